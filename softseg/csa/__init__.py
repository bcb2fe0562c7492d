"""Cross-sectional area of the spinal cord: one mask in, one tidy table out.

>>> import numpy as np
>>> from softseg.csa.aggregation import aggregate
>>> from softseg.csa.measure import measure
>>> from softseg.volume import Volume
>>> data = np.zeros((20, 20, 6))
>>> data[6:14, 6:15] = 1.0
>>> table = measure(Volume(data, np.diag([-1.0, 1.0, 5.0, 1.0])))
>>> aggregate(table).area_mm2.round(1).tolist()
[72.0]
"""
