"""Losses for soft targets: each is smallest where the prediction equals the target."""
