"""Changes that a training makes to images and their soft masks."""
