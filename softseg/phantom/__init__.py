"""Digital spinal cords: people whose true cord area is known.

`anatomy` is a continuous model in millimetres, `signal` gives its tissues a brightness by physics,
`acquisition` images it as a scanner would, `raters` draw on the images as people do, `cohort`
writes a data set of many people, and `stream` is an endless supply for training.
"""
