"""Participant-wise soft ground truth: hard masks of several contrasts in, one soft mask out."""
