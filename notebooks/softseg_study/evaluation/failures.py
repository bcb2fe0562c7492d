"""Which masks are no segmentation of the cord, counted rather than averaged away."""

from collections.abc import Sequence

import pandas as pd

DICE_FLOOR = 0.5
"""Below this overlap a mask is somewhere else."""


def count_failures(
    overlap: pd.DataFrame, *, by: Sequence[str] = ("method",), dice_below: float = DICE_FLOOR
) -> pd.DataFrame:
    """Images of each group without a usable mask: missing, empty, unreadable or beside the cord.

    Args:
        overlap: From `evaluate_overlap`; images without a reference are not counted.
        by: Columns that form the groups.
        dice_below: A mask with less overlap has failed.

    Returns:
        The columns of `by`, `images`, `failures`, `missing` (of them without any mask), `share`.

    Example:
        >>> table = pd.DataFrame({"method": "m", "dice": [0.9, 0.2, None],
        ...     "status": ["ok", "ok", "no mask"]})
        >>> count_failures(table)
          method  images  failures  missing     share
        0      m       3         2        1  0.666667
    """
    known = overlap[overlap["status"] != "no reference"]
    missing = known["status"] == "no mask"
    failed = (known["status"] != "ok") | ~(known["dice"] >= dice_below)
    groups = known.assign(failures=failed, missing=missing).groupby(
        list(by), sort=False, observed=True, dropna=False
    )
    counts = groups.agg(
        images=("status", "size"), failures=("failures", "sum"), missing=("missing", "sum")
    ).reset_index()
    return counts.assign(share=counts["failures"] / counts["images"])
