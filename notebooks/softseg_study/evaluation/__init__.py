"""Masks of all methods → tidy tables: areas, overlap, calibration, ablations, other conditions."""
