"""Sentences say what the tests found, whichever way it came out."""

import numpy as np
import pandas as pd
import pytest

from softseg_study.sentences.common import say_p
from softseg_study.sentences.comparison import say_comparison
from softseg_study.statistics.comparison import compare_methods


def table(difference: float, n: int = 20) -> pd.DataFrame:
    noise = np.random.default_rng(0).normal(0, 0.2, n)
    base = np.linspace(2, 4, n)
    return pd.DataFrame(
        {
            "subject": list(range(n)) * 2,
            "method": ["soft"] * n + ["hard"] * n,
            "sd_mm2": np.concatenate([base, base + difference + noise]),
        }
    )


@pytest.mark.parametrize(
    ("difference", "word"), [(1.0, "smaller"), (-1.0, "larger"), (0.0, "cannot be told apart")]
)
def test_a_sentence_says_which_way_it_came_out(difference, word):
    sentence = say_comparison(compare_methods(table(difference), "sd_mm2"), "soft", "hard")
    assert word in sentence
    assert "n = 20" in sentence


def test_the_order_of_the_pair_in_the_table_does_not_matter():
    values = table(1.0)
    turned = compare_methods(values, "sd_mm2", pairs=[("hard", "soft")])
    straight = compare_methods(values, "sd_mm2", pairs=[("soft", "hard")])
    assert say_comparison(turned, "soft", "hard") == say_comparison(straight, "soft", "hard")


def test_too_few_people_are_called_too_few():
    tests = compare_methods(table(1.0, n=4), "sd_mm2")
    assert "n too small" in say_comparison(tests, "soft", "hard")


def test_methods_that_were_not_compared_are_an_error():
    with pytest.raises(ValueError, match="not compared"):
        say_comparison(compare_methods(table(1.0), "sd_mm2"), "soft", "other")


def test_small_p_values_are_bounded():
    assert say_p(1e-9) == "p < 0.001"
