"""How well two masks agree: overlap, volume, distance between surfaces.

Arrays in, numbers or tables out. Two empty masks agree perfectly (Dice 1, volume error 0 %,
distances 0 mm). One empty mask against one that is not has Dice 0 and no distance: `nan`, never a
number that a mean could swallow.
"""
