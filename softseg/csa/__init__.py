"""Cross-sectional area of the spinal cord: one mask in, one tidy table out.

>>> from softseg.csa.aggregation import aggregate
>>> from softseg.csa.measure import measure
>>> from softseg.phantom.tubes import Tube, sample
>>> table = measure(sample(Tube(), (1, 1, 5), length_mm=30).soft)
>>> aggregate(table).area_mm2_mean.round(1).tolist()
[70.0]
"""
