"""What came out of making a soft truth, in words."""

import pandas as pd


def say_registration(report: pd.DataFrame) -> str:
    """One sentence on how far masks were moved, and how many want a look.

    Args:
        report: From `make_ground_truth`: a row a mask, the reference's own with a shift of 0.

    Example:
        >>> report = pd.DataFrame({"contrast": ["T2w", "T1w"], "median_shift_mm": [0.0, 1.5],
        ...     "max_shift_mm": [0.0, 2.0], "flags": [None, "shift"]})
        >>> say_registration(report)
        'Half of the masks had to be moved by 1.5 mm or more (median over slices), one slice by \
2.0 mm; 1 of 2 masks is flagged for a look.'
    """
    moved = report[report["max_shift_mm"] > 0]
    if moved.empty:
        return "No mask had to be moved."
    flags = report["flags"].fillna("").astype(str)
    count = int((flags != "").sum())
    verb = "is" if count == 1 else "are"
    return (
        f"Half of the masks had to be moved by {moved['median_shift_mm'].median():.1f} mm or more "
        f"(median over slices), one slice by {moved['max_shift_mm'].max():.1f} mm; "
        f"{count or 'none'} of {len(report)} masks {verb} flagged for a look."
    )


def say_failed(report: pd.DataFrame) -> str:
    """Who has no soft truth, and why, or that everybody has one.

    Args:
        report: From `make_ground_truth`.

    Example:
        >>> say_failed(pd.DataFrame({"subject": ["a", "b"], "status": ["made", "failed"],
        ...     "message": [None, "b: the reference T2w has no mask"]}))
        'For 1 of 2 people no soft truth could be made (b: the reference T2w has no mask).'
    """
    people = report["subject"].nunique()
    failed = report[report["status"] == "failed"]
    if failed.empty:
        return f"All {people} people have a soft truth."
    why, count = failed["message"].iloc[0], failed["subject"].nunique()
    return f"For {count} of {people} people no soft truth could be made ({why})."


def say_published(agreement: pd.DataFrame) -> str:
    """One sentence on how near our soft masks are to those that came with the data.

    Args:
        agreement: From `compare_truths`.

    Example:
        >>> say_published(pd.DataFrame({"dice": [0.98, 0.96], "difference": [0.02, 0.04]}))
        'In 2 images the Dice score at 0.5 is 0.970 and the mean absolute difference in the cord \
0.030.'
    """
    if agreement.empty:
        return "This data set came without any, so there is nothing to compare with."
    return (
        f"In {len(agreement)} images the Dice score at 0.5 is {agreement['dice'].mean():.3f} and "
        f"the mean absolute difference in the cord {agreement['difference'].mean():.3f}."
    )
