"""Hard masks as raters and contrast-specific tools draw them: off by contrast, site and day.

A rater sees the true edge and draws another one: displaced by an offset that depends on the
contrast, vendor and site, a little more for large or small cords, wavering smoothly around and
along the cord, different on every scan, worse at the ends, and now and then grossly wrong. The edge
is kept as radii from the cord's centre at many angles, so that coarse and thick voxels are decided
by where their centre lies, not by rounding a blurred mask.

The parameters are computed from published group figures (`RATERS`), none is tuned by hand:

* mean and SD of each contrast at C2-C3 for DWI, MT-on, GRE-T1w and T2star: contrast-specific tool
  on Spine Generic, as shown in the Spinal Cord Toolbox's documentation;
* T1w and T2w: the same participants in both (n = 253, November 2020), by vendor;
* rescan SD of one participant 1.8-2.0 mm², site SD of the T1w-T2w difference 2.3 mm² before, about
  2 mm² after removing the sampling error of site means.
"""

import zlib
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.special import ndtri

from softseg.errors import InputError
from softseg.phantom.outline import SliceOutlines, trace_outlines
from softseg.phantom.protocols import VENDORS
from softseg.volume import Volume

POPULATION_MEAN_MM2 = 72.0
"""Mean true area at C2-C3 (design decision: where careful masks put the edge)."""
POPULATION_SD_MM2 = 6.7
"""Standard deviation of the true area between participants (contrast-agnostic T2w: 6.5-6.9)."""
POPULATION_PERIMETER_MM = 31.6
"""Perimeter of an ellipse of 72 mm² and the population's diameters at C2-C3 (7.7 x 11.9 mm)."""

VENDOR_SHARES = {"Siemens": 168 / 253, "Philips": 50 / 253, "GE": 35 / 253}
"""Vendors of the paired table."""

PUBLISHED_MM2: dict[str, tuple[float, float]] = {
    "DWI": (63.65, 6.84),
    "MT-on": (74.34, 7.23),
    "GRE-T1w": (69.90, 6.16),
    "T1w": (68.27, 6.4),
    "T2star": (79.22, 8.07),
    "T2w": (74.30, 7.4),
}
"""Mean and SD of the area at C2-C3 that masks of each contrast should show."""

_PAIRED_MM2 = {
    "T1w": {"Siemens": 69.2, "Philips": 68.1, "GE": 64.1},
    "T2w": {"Siemens": 75.1, "Philips": 72.7, "GE": 72.8},
}
"""Means by vendor of the paired table."""

_LIKE = {"UNIT1": "T1w", "PSIR": "T1w", "STIR": "T2w", "EPI": "T2star", "b0": "T2star"}
"""Contrasts without published masks are drawn like the one they resemble."""


@dataclass(frozen=True)
class Rater:
    """How the masks of one contrast err; areas in mm² at C2-C3, lengths in mm.

    Attributes:
        mean_mm2: Mean area by vendor.
        size_slope: Area drawn for a square millimetre of true area between participants.
        site_sd_mm2: Deviation between sites of one vendor.
        scan_sd_mm2: Deviation between scans of one participant, of the whole mask.
        slice_sd_mm2: Deviation of single slices, correlated over `slice_length_mm`.
        shape_sd_mm: Wavering of the edge around and along the cord, which keeps the area.
        slice_length_mm: Distance over which both are correlated.
        centre_sd_mm: Displacement of the whole outline.
        bad_end: Chance that an end of the mask is drawn badly.
        failure: Chance of a gross failure.
    """

    mean_mm2: dict[str, float]
    size_slope: float
    site_sd_mm2: float
    scan_sd_mm2: float = 1.5
    slice_sd_mm2: float = 1.7
    shape_sd_mm: float = 0.12
    slice_length_mm: float = 5.0
    centre_sd_mm: float = 0.08
    bad_end: float = 0.3
    failure: float = 0.015


_RESCAN_MM2 = 1.9
"""Deviation of the C2-C3 mean between scans of one participant: `scan_sd_mm2` and what is left of
`slice_sd_mm2` after averaging over 30 mm."""


def _rater(contrast: str, site_sd_mm2: float) -> Rater:
    mean, deviation = PUBLISHED_MM2[contrast]
    by_vendor = _PAIRED_MM2.get(contrast, dict.fromkeys(VENDORS, mean))
    between = sum(VENDOR_SHARES[v] * (by_vendor[v] - mean) ** 2 for v in VENDORS)
    left = deviation**2 - between - site_sd_mm2**2 - _RESCAN_MM2**2
    return Rater(by_vendor, float(np.sqrt(left)) / POPULATION_SD_MM2, site_sd_mm2)


RATERS: dict[str, Rater] = {
    contrast: _rater(contrast, site_sd_mm2)
    for contrast, site_sd_mm2 in {
        "DWI": 1.0, "MT-on": 1.0, "GRE-T1w": 1.0, "T1w": 1.2, "T2star": 1.0, "T2w": 0.9,
    }.items()
}  # fmt: skip
"""The one set of parameters."""
RATERS |= {name: RATERS[like] for name, like in _LIKE.items()}

SITES: dict[str, tuple[str, ...]] = {
    "Siemens": tuple(f"siemens{n:02d}" for n in range(1, 17)),
    "Philips": tuple(f"philips{n:02d}" for n in range(1, 7)),
    "GE": tuple(f"ge{n:02d}" for n in range(1, 6)),
}
"""Invented sites; each keeps its own offset in every cohort."""


def site_effect(contrast_name: str, vendor: str, site: str) -> float:
    """A site's deviation in units of `site_sd_mm2`; its vendor's sites average to 0.

    Sites that are not in `SITES` have none.
    """
    sites = SITES.get(vendor, ())
    if site not in sites:
        return 0.0
    seed = zlib.crc32(f"{contrast_name} {vendor}".encode())
    places = np.random.default_rng(seed).permutation(len(sites))
    quantiles = ndtri((np.arange(len(sites)) + 0.5) / len(sites))
    return float(quantiles[places[sites.index(site)]] / quantiles.std())


def rate(
    truth: Volume,
    contrast_name: str,
    *,
    rng: np.random.Generator,
    vendor: str = "Siemens",
    site: str = "",
    size_mm2: float | None = None,
    outlines: SliceOutlines | None = None,
    failures: bool = True,
) -> Volume:
    """Draw a hard mask of a cord.

    Args:
        truth: Fraction of cord in each voxel, working orientation.
        contrast_name: Key of `softseg.contrasts`.
        rng: Source of randomness: another state is another scan of the same participant.
        vendor: Vendor of the scanner.
        site: One of `SITES`, for the site's habit; anything else has none.
        size_mm2: The participant's true mean area at C2-C3; by default the median slice of `truth`.
        outlines: The true edge on this grid, where it is known more finely than from `truth`.
        failures: Whether bad ends and gross failures happen.

    Returns:
        Values 0 and 1 as uint8 on the grid of `truth`.

    Raises:
        InputError: If the contrast or vendor is unknown or the truth is empty.

    Example:
        >>> x = np.hypot(*np.meshgrid(np.arange(-20, 21), np.arange(-20, 21))) * 0.5
        >>> disk = np.repeat((x < 4.8)[:, :, None], 30, axis=2).astype(np.float32)
        >>> truth = Volume(disk, np.diag([-0.5, 0.5, 1.0, 1.0]))
        >>> mask = rate(truth, "T2w", rng=np.random.default_rng(0))
        >>> sorted(np.unique(mask.data).tolist()), mask.data.shape
        ([0, 1], (41, 41, 30))
    """
    if contrast_name not in RATERS:
        raise InputError(f"unknown contrast {contrast_name!r}; known are {', '.join(RATERS)}")
    if vendor not in VENDORS:
        raise InputError(f"unknown vendor {vendor!r}; known are {', '.join(VENDORS)}")
    rater = RATERS[contrast_name]
    outlines = outlines or trace_outlines(truth)
    size = float(np.median(outlines.area_mm2)) if size_mm2 is None else size_mm2
    change = rater.mean_mm2[vendor] - POPULATION_MEAN_MM2
    change += (rater.size_slope - 1) * (size - POPULATION_MEAN_MM2)
    change += rater.site_sd_mm2 * site_effect(contrast_name, vendor, site)
    change += rater.scan_sd_mm2 * rng.standard_normal()
    drawn = _waver(outlines, rater, _offset_mm(change, size), rng)
    if failures:
        drawn = _spoil_ends(drawn, rater, rng)
        drawn = _fail(drawn, rater, rng)
    return truth.like(drawn.fill(truth.data.shape))


def _offset_mm(change_mm2: float, size_mm2: float) -> float:
    """Outward displacement of the edge that changes an area by so much: `P δ + π δ² = ΔA`."""
    perimeter = POPULATION_PERIMETER_MM * np.sqrt(size_mm2 / POPULATION_MEAN_MM2)
    inside = perimeter**2 + 4 * np.pi * change_mm2
    return float((np.sqrt(max(inside, 0.0)) - perimeter) / (2 * np.pi))


def _smooth_along(values: np.ndarray, length_voxels: float) -> np.ndarray:
    """Correlate `(Z, …)` unit noise along its first axis, keeping its variance."""
    if length_voxels < 0.3:
        return values
    smoothed = ndimage.gaussian_filter1d(values, length_voxels, axis=0, mode="wrap")
    impulse = ndimage.gaussian_filter1d(
        np.eye(1, 8 * int(length_voxels) + 17, 4 * int(length_voxels) + 8)[0], length_voxels
    )
    return smoothed / np.sqrt((impulse**2).sum())


def _waver(
    outlines: SliceOutlines, rater: Rater, offset_mm: float, rng: np.random.Generator
) -> SliceOutlines:
    """Displace the edge by the offset and by smooth noise around and along the cord."""
    slices = len(outlines.slices)
    smooth = rater.slice_length_mm / np.sqrt(2) / outlines.step_mm
    pad = int(3 * smooth) + 1
    noise = rng.standard_normal((slices + pad, 11))
    noise = _smooth_along(noise, smooth)[:slices]
    theta = outlines.angles
    waves = np.stack([f(k * theta) for k in (2, 3, 4, 5) for f in (np.cos, np.sin)])  # (8, A)
    amplitude = rater.shape_sd_mm * np.repeat([0.7, 0.5, 0.4, 0.3], 2)[:, None]
    push = noise[:, 3:] @ (waves * amplitude)
    push += rater.slice_sd_mm2 / POPULATION_PERIMETER_MM * noise[:, :1] + offset_mm
    moved = outlines.displaced(push)
    centre = outlines.centre_mm + rater.centre_sd_mm * noise[:, 1:3]
    return moved.centred(centre)


_BAD_END_MM = 4.0


def _spoil_ends(outlines: SliceOutlines, rater: Rater, rng: np.random.Generator) -> SliceOutlines:
    """Ends of masks: missing slices, or shrunken and displaced ones."""
    keep = np.ones(len(outlines.slices), bool)
    scale = np.ones(len(outlines.slices))
    shift = np.zeros((len(outlines.slices), 2))
    for end in (0, -1):
        most = max(1, round(_BAD_END_MM / outlines.step_mm))
        count = min(int(rng.integers(1, most + 1)), len(keep) // 4)
        bad, kind = rng.random() < rater.bad_end, rng.random()
        wrong, drift = rng.uniform(0.75, 0.95, most), rng.normal(0, 0.5, (most, 2))
        if not bad or count == 0:
            continue
        rows = slice(0, count) if end == 0 else slice(-count, None)
        if kind < 0.5:
            keep[rows] = False
        else:
            scale[rows] = wrong[:count]
            shift[rows] = drift[:count]
    spoilt = outlines.scaled(scale).centred(outlines.centre_mm + shift)
    return spoilt.subset(keep)


def _fail(outlines: SliceOutlines, rater: Rater, rng: np.random.Generator) -> SliceOutlines:
    """A part of the cord that leaks, shrinks, is displaced or is missing."""
    happens, kind = rng.random() < rater.failure, rng.integers(0, 4)
    count = len(outlines.slices)
    length = max(1, int(count * rng.uniform(0.08, 0.25)))
    start = int(rng.integers(0, max(1, count - length)))
    if not happens:
        return outlines
    rows = slice(start, start + length)
    bump = np.sin(np.pi * (np.arange(length) + 0.5) / length)
    if kind == 0:
        keep = np.ones(count, bool)
        keep[rows] = False
        return outlines.subset(keep)
    if kind == 1:
        shift = np.zeros((count, 2))
        shift[rows] = bump[:, None] * rng.normal(0, 3.0, 2)
        return outlines.centred(outlines.centre_mm + shift)
    scale = np.ones(count)
    scale[rows] = 1 + bump * (0.45 if kind == 2 else -0.5)
    return outlines.scaled(scale)
