"""How well two masks agree: overlap and volume; distances and calibration are of the study.

Arrays in, numbers out. Two empty masks agree perfectly (Dice 1, volume error 0 %). One empty mask
against one that is not has Dice 0.
"""
