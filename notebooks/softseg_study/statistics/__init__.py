"""Statistics that hold: variability, errors, tests, agreement, models and sample sizes."""
