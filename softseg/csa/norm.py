"""The population's cord along its length, and a participant's against it.

Levels have different lengths in different participants. On the normalised axis each level runs from
its number, at its top, to the next: 2.0 is the top of C2, 2.5 its middle, 3.0 the C2-C3 disc.

The figures are group means of the Spine Generic cohort (CC-BY-4.0, T2w, 3 T; Cohen-Adad et al.
2021, doi:10.1038/s41597-021-00941-8) measured in PAM50 space (MIT; Valošek et al. 2024,
doi:10.1162/imag_a_00075).
"""

from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from softseg.csa.aggregation import whole_slices
from softseg.csa.columns import Columns, where
from softseg.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

POINTS_PER_LEVEL = 10
PROFILE_MEASURES = ("area_mm2", "diameter_ap_mm", "diameter_rl_mm")
SEXES = ("all", "F", "M")
PLAUSIBLE_SDS = 4.0
"""Beyond these of the population an area is said to be implausible; it is not removed."""
_LUMBAR = 20


@dataclass(frozen=True)
class Reference:
    """How area at C2-C3 goes with sex and height, and the reference to which areas are adjusted.

    Area, its difference between the sexes and its correlation with height are Spine Generic's
    (T2w, n = 203; SD n = 150). Height itself is not in those tables: its SD within a sex and the
    difference between the sexes are those of adults in general.

    Attributes:
        area_mm2: Mean at C2-C3, to which the effects are proportional at other levels.
        area_sd_mm2: Standard deviation between participants.
        sex_mm2: Men's minus women's mean area.
        height_correlation: Correlation of area and height over both sexes.
        height_cm: Reference height; the reference stands halfway between the sexes.
        height_sd_cm: Standard deviation of height within a sex.
        sex_height_cm: Men's minus women's mean height.
    """

    area_mm2: float = 72.1
    area_sd_mm2: float = 6.9
    sex_mm2: float = 4.7
    height_correlation: float = 0.41
    height_cm: float = 172.0
    height_sd_cm: float = 6.8
    sex_height_cm: float = 13.0

    @property
    def height_slope(self) -> float:
        """mm² per cm over both sexes."""
        return self._covariance / self._height_variance

    @property
    def height_slope_within_sex(self) -> float:
        """mm² per cm within a sex."""
        return (self._covariance - self.sex_mm2 * self.sex_height_cm / 4) / self.height_sd_cm**2

    @property
    def sex_at_equal_height_mm2(self) -> float:
        """Men's minus women's area at the same height."""
        return self.sex_mm2 - self.height_slope_within_sex * self.sex_height_cm

    @property
    def _height_variance(self) -> float:
        return self.height_sd_cm**2 + self.sex_height_cm**2 / 4

    @property
    def _covariance(self) -> float:
        return self.height_correlation * self.area_sd_mm2 * np.sqrt(self._height_variance)


REFERENCE = Reference()


@cache
def _table(name: str) -> Columns:
    text = files("softseg").joinpath(f"data/{name}").read_text(encoding="utf-8")
    head, *rows = (line.split(",") for line in text.splitlines() if not line.startswith("#"))
    return {name: _read(texts) for name, texts in zip(head, zip(*rows, strict=True), strict=True)}


def _read(texts: tuple[str, ...]) -> np.ndarray:
    for kind in (int, float):
        with suppress(ValueError):
            return np.array([kind(text) for text in texts])
    return np.array(texts, dtype=object)


def norm_levels() -> "pd.DataFrame":
    """Mean area, diameters and canal area of each level, n = 203; spread and sexes, n = 150."""
    import pandas as pd

    return pd.DataFrame(_table("spine_generic_norm.csv"))


def norm_areas_mm2() -> dict[int, float]:
    """Mean area of each level."""
    table = _table("spine_generic_norm.csv")
    return dict(zip(table["level"].tolist(), table["area_mm2_mean"].tolist(), strict=True))


@cache
def plausible_area_mm2(level: int | None = None) -> tuple[float, float]:
    """Areas within `PLAUSIBLE_SDS` standard deviations of the population's at a level.

    Args:
        level: 2 = C2. None, or a level without a norm, allows what any level does; from L1 on the
            cord tapers to its end, and nothing is too small.

    Example:
        >>> [round(mm2) for mm2 in plausible_area_mm2(3)], round(plausible_area_mm2()[1])
        ([44, 101], 108)
    """
    table = _table("spine_generic_norm.csv")
    if level is not None and (table["level"] == level).any():
        table = where(table, table["level"] == level)
    spread = PLAUSIBLE_SDS * table["area_mm2_std"]
    low = (table["area_mm2_mean"] - spread).min()
    high = (table["area_mm2_mean"] + spread).max()
    return (0.0 if level is not None and level >= _LUMBAR else float(low)), float(high)


def norm_profile(sex: str = "all") -> "pd.DataFrame":
    """Mean, SD and percentiles along the cord.

    Args:
        sex: `all`, `F` or `M`.

    Returns:
        `level, position, n`, and for each of `PROFILE_MEASURES` `…_mean, …_std, …_p05` to `…_p95`.

    Raises:
        InputError: If `sex` is none of those.
    """
    if sex not in SEXES:
        raise InputError(f"sex must be one of {', '.join(SEXES)}, found {sex!r}")
    import pandas as pd

    table = pd.DataFrame(_table("spine_generic_norm_profile.csv"))
    return table[table["sex"] == sex].drop(columns="sex").reset_index(drop=True)


def length_profile(
    table: "pd.DataFrame", *, points_per_level: int = POINTS_PER_LEVEL
) -> "pd.DataFrame":
    """Measures at fixed places along the normalised length axis, to average participants.

    Between slices the measures are linear; nothing is extrapolated beyond a participant's outermost
    whole slices by more than half a slice.

    Args:
        table: What `measure` returned with levels, of one or several files.
        points_per_level: Places per level, evenly spread.

    Returns:
        `file, level, position` and the measures that the table has; nothing of a file without
        levels on whole slices.

    Raises:
        InputError: If no file has any.

    Example:
        >>> import pandas as pd
        >>> table = pd.DataFrame({"file": "a", "level": [3, 3, 2, 2], "flag": "",
        ...     "position": [0.75, 0.25, 0.75, 0.25], "area_mm2": [74.0, 73.0, 72.0, 71.0]})
        >>> length_profile(table, points_per_level=2).area_mm2.tolist()
        [71.0, 72.0, 73.0, 74.0]
    """
    import pandas as pd

    measures = [m for m in PROFILE_MEASURES if m in table]
    place = (np.arange(points_per_level) + 0.5) / points_per_level
    profiles = []
    for file, one in table.groupby("file", sort=False):
        one = whole_slices(one[one["position"].notna()])
        if one.empty:
            continue
        at = (one["level"].astype(float) + one["position"]).to_numpy()
        order = np.argsort(at, kind="stable")
        at = at[order]
        half = np.median(np.diff(at)) / 2 if at.size > 1 else 0.0
        levels = np.arange(int(at[0]), int(at[-1]) + 1)
        wanted = (levels[:, None] + place).ravel()
        inside = (wanted >= at[0] - half - 1e-9) & (wanted <= at[-1] + half + 1e-9)
        profile = {
            "file": file,
            "level": np.repeat(levels, points_per_level)[inside],
            "position": np.tile(place, levels.size)[inside],
        }
        for name in measures:
            profile[name] = np.interp(wanted[inside], at, one[name].to_numpy(dtype=float)[order])
        profiles.append(pd.DataFrame(profile))
    if not profiles:
        file = table["file"].iloc[0]
        raise InputError(f"{file}: a length profile needs levels, found none on whole slices")
    return pd.concat(profiles, ignore_index=True)


def against_norm(profile: "pd.DataFrame", *, sex: str = "all") -> "pd.DataFrame":
    """A profile with the population's mean and SD beside it, and how many SDs it lies from it.

    Args:
        profile: From `length_profile`.
        sex: Compare with `all`, women `F` or men `M`.

    Returns:
        The profile with `area_mm2_norm`, `area_mm2_norm_std` and `z`; missing where there is no
        norm.
    """
    norm = norm_profile(sex)
    at = norm["level"].to_numpy() + norm["position"].to_numpy()
    here = profile["level"].to_numpy(dtype=float) + profile["position"].to_numpy()
    half = 0.5 / POINTS_PER_LEVEL
    known = (here >= at[0] - half - 1e-9) & (here <= at[-1] + half + 1e-9)
    result = profile.copy()
    for name, own in (("mean", "area_mm2_norm"), ("std", "area_mm2_norm_std")):
        result[own] = np.where(known, np.interp(here, at, norm[f"area_mm2_{name}"]), np.nan)
    result["z"] = (result["area_mm2"] - result["area_mm2_norm"]) / result["area_mm2_norm_std"]
    return result


def check_sex_and_height(sex: str | None, height_cm: float | None) -> None:
    """Refuse what no area can be adjusted for.

    Raises:
        InputError: If sex is given and not `F` or `M`, or the height not that of a person.
    """
    if sex not in (None, "F", "M"):
        raise InputError(f"sex must be F or M, found {sex!r}")
    if height_cm is not None and not 50 <= height_cm <= 250:
        raise InputError(f"height must be in centimetres, 50 to 250, found {height_cm}")


def adjust_area(
    area_mm2: float | np.ndarray,
    *,
    sex: str | None = None,
    height_cm: float | None = None,
    level_area_mm2: float | np.ndarray | None = None,
    reference: Reference = REFERENCE,
) -> np.ndarray:
    """Area that the participant would have at the reference height, halfway between the sexes.

    Only what is given is adjusted for: sex alone by the sexes' difference, height alone by the
    slope over both sexes, both together by the slope within a sex and what remains of the
    difference.

    Args:
        area_mm2: Measured area or areas.
        sex: `F` or `M`.
        height_cm: Height.
        level_area_mm2: The population's mean area where it was measured; C2-C3 if not given.
        reference: The effects.

    Raises:
        InputError: If sex is not `F` or `M`, or the height not that of a person.

    Example:
        >>> float(adjust_area(72.0, sex="M"))
        69.65
    """
    check_sex_and_height(sex, height_cm)
    effect = 0.0
    if sex is not None:
        sign = 0.5 if sex == "M" else -0.5
        effect += sign * (
            reference.sex_mm2 if height_cm is None else reference.sex_at_equal_height_mm2
        )
    if height_cm is not None:
        slope = reference.height_slope if sex is None else reference.height_slope_within_sex
        effect += slope * (height_cm - reference.height_cm)
    share = 1.0 if level_area_mm2 is None else level_area_mm2 / reference.area_mm2
    return np.asarray(area_mm2, dtype=float) - effect * share
