"""Training: settings in, a folder with weights, a model card and learning curves out.

`softseg.training.fitting` walks through the other modules.
"""
