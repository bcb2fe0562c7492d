"""Masks of all methods → tidy tables: areas, overlap, calibration, doubt, ablations.

What is measured under changed conditions and on real images lies in modules of its own:
`softseg_study.evaluation.generalisation`, `conditions`, `condition_tables`, `manual` and `real`.
"""
