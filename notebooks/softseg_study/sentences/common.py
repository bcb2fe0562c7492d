"""Numbers, ranges, counts and p-values as a sentence writes them."""

import pandas as pd


def say_number(value: float, places: int = 1, unit: str = "") -> str:
    """A number in a sentence that may be negative or missing: a true minus sign, or words.

    Example:
        >>> say_number(-4.71, unit="mm²"), say_number(float("nan"), unit="%"), say_number(-0.001)
        ('−4.7 mm²', 'not measured', '0.0')
    """
    if value != value:
        return "not measured"
    text = f"{abs(value):,.{places}f}"
    sign = "−" if value < 0 and text.strip("0.,") else ""
    return f"{sign}{text} {unit}".strip()


def say_p(p: float) -> str:
    """A p-value as one writes it.

    Example:
        >>> say_p(0.0004), say_p(0.0312), say_p(0.4), say_p(float("nan"))
        ('p < 0.001', 'p = 0.031', 'p = 0.40', 'p not known')
    """
    if p != p:
        return "p not known"
    if p < 0.001:
        return "p < 0.001"
    return f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def verdict(tests: pd.DataFrame, other: str, *, alpha: float = 0.05) -> str:
    """Which way a comparison came out: the one place where a sentence's direction is decided.

    Args:
        tests: `median_difference` of a measure that is better small, `p_adjusted` and `n`, indexed
            by whom the first method was compared with.
        other: Which row.
        alpha: Level.

    Returns:
        `smaller`, `larger` or `same` (not told apart); `unknown` where they were not compared, or
        so few people could not have reached the level.

    Example:
        >>> rows = {"median_difference": [-2.0, 0.1], "p_adjusted": [0.001, 0.7], "n": [24, 24]}
        >>> tests = pd.DataFrame(rows, index=["hard_all", "labels"])
        >>> [verdict(tests, name) for name in ("hard_all", "labels", "nobody")]
        ['smaller', 'same', 'unknown']
    """
    if other not in tests.index or 2.0 ** (1 - tests.loc[other, "n"]) >= alpha:
        return "unknown"
    row = tests.loc[other]
    if not row["p_adjusted"] < alpha:
        return "same"
    return "smaller" if row["median_difference"] < 0 else "larger"
