"""Digital spinal cords: participants whose true cord area is known.

`anatomy` is a continuous model in millimetres, `signal` gives its tissues a brightness by physics,
`acquisition` images it as a scanner would, `raters` draws hard masks on it, `cohort`
writes a data set of many participants, and `stream` is an endless supply for training.
"""
