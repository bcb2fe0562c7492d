"""The direction of a sentence is what the test found, whichever way it came out."""

import pandas as pd
import pytest

from softseg_study.sentences.common import say_p, verdict


@pytest.mark.parametrize(
    ("difference", "p", "n", "word"),
    [(-1.0, 0.01, 20, "smaller"), (1.0, 0.01, 20, "larger"), (0.1, 0.4, 20, "same"),
     (-1.0, 0.01, 4, "unknown"), (-1.0, float("nan"), 20, "same")],
)  # fmt: skip
def test_the_verdict_turns_with_the_result(difference, p, n, word):
    row = {"median_difference": [difference], "p_adjusted": [p], "n": [n]}
    assert verdict(pd.DataFrame(row, index=["other"]), "other") == word
    assert verdict(pd.DataFrame(row, index=["other"]), "nobody") == "unknown"


def test_small_p_values_are_bounded():
    assert say_p(1e-9) == "p < 0.001"
