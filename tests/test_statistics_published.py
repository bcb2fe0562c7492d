"""Tests, models and powers against printed examples, and error rates counted under the null."""

import numpy as np
import pandas as pd
import pytest

from softseg_study.statistics.studies import power, sample_size

GIRLS = [
    [21, 20, 21.5, 23], [21, 21.5, 24, 25.5], [20.5, 24, 24.5, 26], [23.5, 24.5, 25, 26.5],
    [21.5, 23, 22.5, 23.5], [20, 21, 21, 22.5], [21.5, 22.5, 23, 25], [23, 23, 23.5, 24],
    [20, 21, 22, 21.5], [16.5, 19, 19, 19.5], [24.5, 25, 28, 28],
]  # fmt: skip
BOYS = [
    [26, 25, 29, 31], [21.5, 22.5, 23, 26.5], [23, 22.5, 24, 27.5], [25.5, 27.5, 26.5, 27],
    [20, 23.5, 22.5, 26], [24.5, 25.5, 27, 28.5], [22, 22, 24.5, 26.5], [24, 21.5, 24.5, 25.5],
    [23, 20.5, 31, 26], [27.5, 28, 31, 31.5], [23, 23, 23.5, 25], [21.5, 23.5, 24, 28],
    [17, 24.5, 26, 29.5], [22.5, 25.5, 25.5, 26], [23, 24.5, 26, 30], [22, 21.5, 23.5, 25],
]  # fmt: skip
"""R's nlme::Orthodont (Potthoff and Roy 1964, doi:10.2307/2334137): mm at 8, 10, 12, 14 years."""

BEFORE = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30]
AFTER = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29]
"""Hollander and Wolfe 1973, page 29: depression before and after therapy; R's wilcox.test."""


def orthodont():
    rows = [
        (f"{sex}{child}", sex, 8 + 2 * visit, value)
        for sex, children in (("girl", GIRLS), ("boy", BOYS))
        for child, values in enumerate(children)
        for visit, value in enumerate(values)
    ]
    return pd.DataFrame(rows, columns=["subject", "sex", "age", "area_mm2"])


def test_power_and_sample_size_are_those_of_rs_power_t_test():
    """Examples of its help page: n = 20, delta = 1, sd = 1; and power = 0.90, delta = 1."""
    # By default R leaves out the chance to find the wrong sign, here 2e-7.
    assert power(20, 1.0) == pytest.approx(0.8689528, abs=5e-7)
    assert power(22.02110, 1.0) == pytest.approx(0.9, abs=1e-6)
    assert sample_size(1.0, target_power=0.9) == 23


def tidy(x):
    subject, contrast = np.indices(x.shape).reshape(2, -1)
    return pd.DataFrame({"subject": subject, "contrast": contrast, "area_mm2": x.ravel()})
