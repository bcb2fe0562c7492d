"""What a comparison of methods found, as numbers and sentences for the page."""

from collections.abc import Mapping

import pandas as pd

from softseg_study.sentences.common import say_count, say_number, say_range


def say_overlap(scores: pd.DataFrame | None, *, measure: str = "dice") -> str:
    """One sentence on how masks agree with manual ones, or that nothing could be compared.

    Args:
        scores: From `evaluate_overlap`, one row an image; None or empty without any.
        measure: Column that is reported.

    Example:
        >>> say_overlap(pd.DataFrame({"subject": ["a", "a", "b"], "dice": [0.9, 0.7, 0.5]}))
        'On 3 real images of 2 people with manual masks the Dice score is 0.65 (mean by person; \
worst image 0.50).'
    """
    if scores is None or scores.empty:
        return "No real image with a manual mask was at hand to compare with."
    people = scores.groupby("subject")[measure].mean()
    return (
        f"On {say_count(len(scores), 'real image', 'real images')} of {say_count(len(people))} "
        f"with manual masks the Dice score is {people.mean():.2f} (mean by person; worst image "
        f"{scores[measure].min():.2f})."
    )


def say_reliability(
    table: pd.DataFrame, first: str, second: str, *, names: Mapping[str, str] | None = None
) -> str:
    """One sentence on whether contrasts can stand for one another under two methods.

    Args:
        table: From `contrast_reliability`.
        first: A method.
        second: Another.
        names: Method → how the sentence names it; the method's own name by default.

    Example:
        >>> table = pd.DataFrame({"method": ["a", "b"], "n": [9, 9], "icc": [0.5, 0.99],
        ...     "ci_low": [0.3, 0.98], "ci_high": [0.7, 1.0]})
        >>> say_reliability(table, "a", "b")
        'The intraclass correlation of one contrast with another is 0.50 (95 % interval 0.30 to \
0.70) for a and 0.99 (0.98 to 1.00) for b, over 9 people.'
    """
    rows = table.set_index("method").reindex([first, second])
    if rows["icc"].isna().any():
        return "Too few people have every contrast to tell whether one can stand for another."
    values = [say_number(row.icc, 2) for row in rows.itertuples()]
    ranges = [say_range(row.ci_low, row.ci_high, 2) for row in rows.itertuples()]
    one, other = ((names or {}).get(method, method) for method in (first, second))
    return (
        f"The intraclass correlation of one contrast with another is {values[0]} (95 % interval "
        f"{ranges[0]}) for {one} and {values[1]} ({ranges[1]}) for {other}, over "
        f"{say_count(rows['n'].min())}."
    )


def say_distance(errors: pd.DataFrame | None, methods: Mapping[str, str]) -> str:
    """One sentence on how far methods are from the true area, or that it is not known.

    Args:
        errors: From `csa_error`; None or empty without a truth.
        methods: Method → how the sentence names it, in the plural or not, as it stands.

    Example:
        >>> errors = pd.DataFrame({"method": ["a", "a", "b", "b"], "subject": [1, 2] * 2,
        ...     "error_mm2": [-3.0, 1.0, 1.0, 1.0], "absolute_error_mm2": [3.0, 1.0, 1.0, 1.0]})
        >>> say_distance(errors, {"a": "hard masks", "b": "the soft truth"})
        'From the true area, hard masks are off by 2.0 mm² (mean absolute error; mean error −1.0), \
the soft truth by 1.0 mm² (+1.0).'
    """
    if errors is None or errors.empty:
        return "How far either is from the true area is not known: these data have no true areas."
    measures = ["absolute_error_mm2", "error_mm2"]
    means = errors.groupby(["method", "subject"])[measures].mean().groupby("method").mean()
    said = []
    for method, words in methods.items():
        size, error = means.loc[method]
        signed = say_number(error, signed=True)
        if said:
            said.append(f"{words} by {size:.1f} mm² ({signed})")
        else:
            said.append(
                f"{words} are off by {size:.1f} mm² (mean absolute error; mean error {signed})"
            )
    return f"From the true area, {', '.join(said)}."
