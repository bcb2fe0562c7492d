"""Numbers, ranges, counts and p-values as a sentence writes them."""

import pandas as pd


def say_number(value: float, places: int = 1, *, signed: bool = False) -> str:
    """A number in a sentence: with a true minus sign, and no sign on what rounds to nothing.

    Args:
        value: The number.
        places: Decimals.
        signed: Whether a positive number has a plus sign.

    Example:
        >>> say_number(-4.71), say_number(2.2, signed=True), say_number(-0.001)
        ('−4.7', '+2.2', '0.0')
    """
    text = f"{abs(value):,.{places}f}"
    if not text.strip("0.,"):
        return text
    return f"−{text}" if value < 0 else f"{'+' if signed else ''}{text}"


def say_range(low: float, high: float, places: int = 1) -> str:
    """Both ends of an interval.

    Example:
        >>> say_range(-0.52, 1.25, 2)
        '−0.52 to 1.25'
    """
    return f"{say_number(low, places)} to {say_number(high, places)}"


def say_count(number: float, one: str = "person", more: str = "people") -> str:
    """How many of something there are.

    Example:
        >>> say_count(1), say_count(24), say_count(1, "image", "images")
        ('1 person', '24 people', '1 image')
    """
    return f"{number:,.0f} {one if number == 1 else more}"


def say_values(values: pd.Series) -> str:
    """How often each value is there.

    Example:
        >>> say_values(pd.Series(["GE", "Siemens", "GE"]))
        'GE 2, Siemens 1'
    """
    return ", ".join(f"{value} {n}" for value, n in values.value_counts().sort_index().items())


def say_p(p: float) -> str:
    """A p-value as one writes it.

    Example:
        >>> say_p(0.0004), say_p(0.0312), say_p(0.4)
        ('p < 0.001', 'p = 0.031', 'p = 0.40')
    """
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
