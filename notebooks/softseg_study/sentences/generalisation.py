"""What changed conditions and real images show, as sentences."""

import pandas as pd

from softseg_study.evaluation.conditions import CONDITIONS, REFERENCE
from softseg_study.sentences.common import say_count, say_number, say_range


def say_conditions(
    summary: pd.DataFrame, comparisons: pd.DataFrame, method: str, *, alpha: float = 0.05
) -> str:
    """What the conditions do to one method, in a few sentences that follow from the tables.

    Args:
        summary: From `summarise_conditions`.
        comparisons: From `compare_conditions` of the same method.
        method: Which method.
        alpha: Level of the adjusted p.
    """
    own = summary[summary["method"] == method].set_index("condition")
    reference = CONDITIONS[REFERENCE].title
    others = own.drop(index=reference, errors="ignore")
    known = others["absolute_error_percent"].dropna()
    if known.empty or reference not in own.index:
        return f"No mask of {method} is usable, so that nothing can be said of its errors."
    worst, signed = known.idxmax(), own["error_percent"].dropna()
    text = (
        f"The area of {method} is {own.loc[reference, 'absolute_error_percent']:.1f} % off under "
        f"the reference and {known.median():.1f} % in the median of {len(known)} changed "
        f"conditions, at worst {known[worst]:.1f} % ({worst}); with its sign, the mean error runs "
        f"from {say_number(signed.min(), signed=True)} % ({signed.idxmin()}) to "
        f"{say_number(signed.max(), signed=True)} % "
        f"({signed.idxmax()})."
    )
    return f"{text} {_say_tests(comparisons, alpha)} {_say_failures(own)}"


def _say_tests(comparisons: pd.DataFrame, alpha: float) -> str:
    if comparisons.empty:
        return "Too few people for tests."
    small = comparisons["note"].astype(str).str.contains("n too small")
    if small.all():
        return f"With {say_count(comparisons['n'].max())} no test can tell a difference."
    sure = comparisons[(comparisons["p_adjusted"] < alpha) & (comparisons["median_difference"] > 0)]
    if sure.empty:
        return f"No condition has a larger error at an adjusted p below {alpha:g}."
    names = ", ".join(sure["method_a"])
    return f"The error is larger than under the reference (adjusted p < {alpha:g}) for: {names}."


def _say_failures(own: pd.DataFrame) -> str:
    failed = own[own["failures"] > 0]
    total = f"{own['failures'].sum():.0f} of {own['images'].sum():.0f} masks miss the cord"
    if failed.empty:
        return f"None of {own['images'].sum():.0f} masks misses the cord."
    worst = failed["failures"].idxmax()
    return f"{total}, most of them for {worst} ({failed.loc[worst, 'failures']:.0f})."


def say_slopes(summary: pd.DataFrame, method: str) -> str:
    """Over how many conditions areas still follow the people, and where least.

    Args:
        summary: From `summarise_conditions`.
        method: Which method.
    """
    own = summary[summary["method"] == method].dropna(subset=["slope"]).set_index("condition")
    if own.empty:
        return "Too few people to say whether areas follow them."
    slope, lowest = own["slope"], own["slope"].idxmin()
    return (
        f"Of every mm² by which two people differ, {method} shows "
        f"{say_number(slope.median(), 2)} mm² in the median of {len(own)} "
        f"conditions (n = {own['people'].max():.0f}), and least, "
        f"{say_number(slope[lowest], 2)} mm², under: {lowest} (95 % interval "
        f"{say_range(*own.loc[lowest, ['slope_low', 'slope_high']], 2)})."
    )


def say_real(summary: pd.DataFrame, method: str) -> str:
    """One or two sentences on a method on real images, or that there are none.

    Args:
        summary: From `summarise_real`.
        method: Which method.
    """
    rows = summary[summary["method"] == method]
    if rows.empty or not rows["images"].iloc[0]:
        return "No real image with a manual mask was at hand."
    row = rows.iloc[0]
    text = (
        f"On {say_count(row['images'], 'real image', 'real images')} of {say_count(row['people'])} "
        f"{method} reaches a Dice of {row['dice']:.2f} (mean by person; worst image "
        f"{row['worst_dice']:.2f})"
    )
    others = summary[(summary["method"] != method) & (summary["images"] > 0)]
    if others.empty:
        return f"{text}."
    best = others.loc[others["dice"].idxmax()]
    return f"{text}; the best of the others is {best['method']} with {best['dice']:.2f}."
