"""The midline straightened along the cord, with the discs that were found in it."""

import numpy as np

from softseg.csa.automatic import AutomaticDiscs
from softseg.csa.levels import disc_name
from softseg.csa.straighten import BEHIND_MM, STEP_MM
from softseg.quality_control.lettering import write_name

PIXELS_PER_MM = 2
_DOT = 2
_MARK = np.array([86, 180, 233], np.uint8)


def draw_band(found: AutomaticDiscs) -> np.ndarray:
    """Head up, front to the left, as the strip beside it; a dot on each disc's posterior point.

    Args:
        found: Discs and their picture.

    Returns:
        `(rows, columns, 3)` uint8; nothing, 0 columns wide, where there is no picture.
    """
    if found.band is None or not np.isfinite(found.band.values).any():
        return np.zeros((1, 0, 3), np.uint8)
    values = found.band.values
    low, high = np.nanpercentile(values, (1, 99))
    gray = np.clip((np.nan_to_num(values, nan=low) - low) / max(float(high - low), 1e-6), 0, 1)
    size = round(PIXELS_PER_MM * STEP_MM)
    gray = np.kron(np.round(255 * gray[::-1, ::-1]), np.ones((size, size)))
    picture = np.repeat(gray[..., None].astype(np.uint8), 3, axis=2)
    rows, columns = values.shape
    for disc, row in found.rows.items():
        index = int(np.clip(round(row), 0, rows - 1))
        away = (found.points_mm[disc] - found.band.points_mm[index]) @ found.band.front[index]
        y = round((rows - 0.5 - row) * size)
        x = round((columns - 0.5 - (away + BEHIND_MM) / STEP_MM) * size)
        picture[max(0, y - _DOT) : y + _DOT, max(0, x - _DOT) : x + _DOT] = _MARK
        write_name(picture, disc_name(disc), (y - 5, 4))
    return picture
