"""What the command line writes for ranges and points, read into numbers."""

import math
from pathlib import Path

from softseg.errors import InputError


def parse_range(text: str | None, option: str) -> tuple[int, int] | None:
    """A range such as `2:3`, both ends included; one number is a range of one.

    Raises:
        InputError: If it is none.

    Example:
        >>> parse_range("2:3", "--vertebrae"), parse_range("4", "--vertebrae")
        ((2, 3), (4, 4))
    """
    if text is None:
        return None
    try:
        ends = [int(part) for part in text.split(":")]
    except ValueError:
        ends = []
    if len(ends) not in (1, 2) or min(ends) < 0 or ends[0] > ends[-1]:
        raise InputError(f"{option} takes two whole numbers in order such as 2:3, found {text!r}")
    return ends[0], ends[-1]


def parse_discs(texts: list[str]) -> dict[int, tuple[float, float, float]]:
    """Landmarks such as `3:1.5,-20,33`: disc and point in scanner millimetres.

    Raises:
        InputError: If one is none, or a disc is given twice.

    Example:
        >>> parse_discs(["3:1.5,-20,33"])
        {3: (1.5, -20.0, 33.0)}
    """
    points: dict[int, tuple[float, float, float]] = {}
    for text in texts:
        number, _, place = text.partition(":")
        try:
            disc, point = int(number), tuple(float(part) for part in place.split(","))
        except ValueError:
            disc, point = 0, ()
        if disc < 1 or len(point) != 3 or not all(math.isfinite(p) for p in point):
            raise InputError(
                f"--disc takes a disc and a point such as 3:1.5,-20,33, found {text!r}"
            )
        if disc in points:
            raise InputError(f"--disc must name each disc once, found {disc} twice")
        points[disc] = point
    return points


def one_source(levels: object, discs: object, points: object) -> None:
    """Refuse levels from several sources at once.

    Raises:
        InputError: If more than one is given.
    """
    if sum(bool(source) for source in (levels, discs, points)) > 1:
        raise InputError("levels have one source: give --levels, --discs or --disc, not several")


def check_outputs(table: Path, profile: Path | None, plot: Path | None) -> None:
    """Refuse names whose ending says another format.

    Raises:
        InputError: If one does.
    """
    wanted = {table: (".csv",), profile: (".csv",), plot: (".png", ".pdf", ".svg")}
    for path, endings in wanted.items():
        if path is not None and path.suffix.lower() not in endings:
            raise InputError(f"{path}: the name must end in {' or '.join(endings)}")
