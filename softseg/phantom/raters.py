"""Hard masks as raters and contrast-specific tools draw them on an image.

A rater reads the image: the outline lies on the edge that it shows (`visible_edge`), inward by a
rule, wavers smoothly around and along the cord, differs on every scan, is worse at the ends and now
and then grossly wrong. What makes areas differ between contrasts is first of all in the images;
what published masks differ beyond that is a constant for each contrast, and vendor where known:
a convention of tools, which no image explains. The edge is kept as radii from the cord's centre at
many angles, so that coarse and thick voxels are decided by where their centre lies, not by rounding
a blurred mask.

The numbers come from measurements, none is tuned by hand:

* the rule and its variation: manual masks of six people of three data sets against the half level
  of their images, 0.10 +- 0.05 mm inside it;
* the constants (`data/rater_constants.csv`): computed from published areas by
  `softseg_study.phantom.calibration.fit_constants`;
* scans of one participant: areas deviate by 1.8 to 2.0 mm² (three cohorts). Reading an image makes
  a part of that, which differs by contrast; the rest is a factor on `Rater.scan_sd_mm` beside the
  constants;
* sites: their means of T1w - T2w deviate by 2 mm² after removal of the sampling error, 1.6 mm² of
  it within a vendor, so that each contrast has 1.1 mm².
"""

import csv
import zlib
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources

import numpy as np
from scipy import ndimage
from scipy.special import ndtri

from softseg.phantom.outline import SliceOutlines
from softseg.phantom.protocols import VENDORS, get_protocol
from softseg.volume import Volume

VENDOR_SHARES = {"Siemens": 168 / 253, "Philips": 50 / 253, "GE": 35 / 253}
"""Of participants of Spine Generic with T1w and T2w (November 2020)."""

_LIKE = {"UNIT1": "T1w", "PSIR": "T1w", "STIR": "T2w", "EPI": "T2star", "b0": "T2star"}
"""Contrasts without published masks are drawn by the convention of the one they resemble."""


@dataclass(frozen=True)
class Rater:
    """How masks lie on the edge that an image shows; lengths in mm.

    Attributes:
        rule_mm: Where the outline lies, outward positive.
        site_sd_mm: Deviation between sites of one vendor, in each contrast.
        scan_sd_mm: Deviation between scans, of the whole mask.
        slice_sd_mm: Deviation of single slices, correlated over `slice_length_mm`.
        shape_sd_mm: Wavering of the edge around and along the cord, which keeps the area.
        slice_length_mm: Distance over which both are correlated.
        centre_sd_mm: Displacement of the whole outline.
        bad_end: Chance that an end of the mask is drawn badly.
        failure: Chance of a gross failure.
    """

    rule_mm: float = -0.10
    site_sd_mm: float = 0.035
    scan_sd_mm: float = 0.04
    slice_sd_mm: float = 0.05
    shape_sd_mm: float = 0.12
    slice_length_mm: float = 5.0
    centre_sd_mm: float = 0.08
    bad_end: float = 0.3
    failure: float = 0.015


RATER = Rater()
"""The usual rule."""

SITES: dict[str, tuple[str, ...]] = {
    vendor: tuple(f"{vendor.lower()}{n:02d}" for n in range(1, count + 1))
    for vendor, count in zip(VENDORS, (16, 6, 5), strict=True)
}
"""Invented sites; each keeps its own offset in every cohort."""


def site_effect(contrast_name: str, vendor: str, site: str) -> float:
    """A site's deviation in units of `site_sd_mm`; its vendor's sites average to 0.

    Sites that are not in `SITES` have none.
    """
    sites = SITES.get(vendor, ())
    if site not in sites:
        return 0.0
    seed = zlib.crc32(f"{contrast_name} {vendor}".encode())
    places = np.random.default_rng(seed).permutation(len(sites))
    quantiles = ndtri((np.arange(len(sites)) + 0.5) / len(sites))
    return float(quantiles[places[sites.index(site)]] / quantiles.std())


@cache
def rater_constants() -> dict[tuple[str, str], tuple[float, float]]:
    """By contrast and vendor what published masks differ beyond what one rule draws on images.

    Returns:
        Displacement in mm, and factor on `Rater.scan_sd_mm`.

    Example:
        >>> len(rater_constants())
        18
    """
    text = (resources.files("softseg") / "data" / "rater_constants.csv").read_text("utf-8")
    rows = csv.DictReader(text.splitlines())
    return {
        (row["contrast"], row["vendor"]): (float(row["constant_mm"]), float(row["scan_factor"]))
        for row in rows
    }


def draw(
    image: Volume,
    visible: SliceOutlines,
    contrast_name: str,
    *,
    rng: np.random.Generator,
    vendor: str = "Siemens",
    site: str = "",
    rater: Rater = RATER,
    constants: bool = True,
    failures: bool = True,
) -> Volume:
    """Draw a hard mask of the cord in an image.

    Args:
        image: What the rater sees, working orientation.
        visible: The edge that it shows, by `visible_outlines`.
        contrast_name: Key of `softseg.contrasts`.
        rng: Source of randomness: another state is another scan of the same participant.
        vendor: Vendor of the scanner.
        site: One of `SITES`, for the site's habit; anything else has none.
        rater: The rule and its variation.
        constants: Whether contrast, vendor and site have their own conventions; without, one rule
            draws every image.
        failures: Whether bad ends and gross failures happen.

    Returns:
        Values 0 and 1 as uint8 on the grid of `image`.

    Raises:
        InputError: If the contrast or vendor is unknown.

    Example:
        >>> from softseg.phantom.outline import trace_outlines
        >>> from softseg.phantom.visible_edge import visible_outlines
        >>> x = np.hypot(*np.meshgrid(np.arange(-20, 21), np.arange(-20, 21))) * 0.5
        >>> disk = np.repeat((x < 4.8)[:, :, None], 30, axis=2).astype(np.float32)
        >>> cord = Volume(disk, np.diag([-0.5, 0.5, 1.0, 1.0]))
        >>> seen = visible_outlines(cord.like(400 - 200 * disk), trace_outlines(cord))
        >>> mask = draw(cord, seen, "T2w", rng=np.random.default_rng(0))
        >>> sorted(np.unique(mask.data).tolist()), mask.data.shape
        ([0, 1], (41, 41, 30))
    """
    get_protocol(contrast_name, vendor)  # refuses names that it does not know
    push_mm, factor = rater.rule_mm, 1.0
    if constants:
        known = _LIKE.get(contrast_name, contrast_name), vendor
        constant, factor = rater_constants().get(known, (0.0, 1.0))
        push_mm += constant + rater.site_sd_mm * site_effect(contrast_name, vendor, site)
    push_mm += factor * rater.scan_sd_mm * rng.standard_normal()
    drawn = _waver(visible, rater, push_mm, rng)
    if failures:
        drawn = _fail(_spoil_ends(drawn, rater, rng), rater, rng)
    return image.like(drawn.fill(image.data.shape))


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
    outlines: SliceOutlines, rater: Rater, push_mm: float, rng: np.random.Generator
) -> SliceOutlines:
    """Displace the edge by the rule and by smooth noise around and along the cord."""
    slices = len(outlines.slices)
    smooth = rater.slice_length_mm / np.sqrt(2) / outlines.step_mm
    pad = int(3 * smooth) + 1
    noise = rng.standard_normal((slices + pad, 11))
    noise = _smooth_along(noise, smooth)[:slices]
    theta = outlines.angles
    waves = np.stack([f(k * theta) for k in (2, 3, 4, 5) for f in (np.cos, np.sin)])  # (8, A)
    amplitude = rater.shape_sd_mm * np.repeat([0.7, 0.5, 0.4, 0.3], 2)[:, None]
    push = noise[:, 3:] @ (waves * amplitude)
    push += rater.slice_sd_mm * noise[:, :1] + push_mm
    moved = outlines.displaced(push)
    centre = outlines.centre_mm + rater.centre_sd_mm * noise[:, 1:3]
    return replace(moved, centre_mm=centre)


_BAD_END_MM = 4.0


def _spoil_ends(outlines: SliceOutlines, rater: Rater, rng: np.random.Generator) -> SliceOutlines:
    """Ends of masks: missing slices, or shrunken and displaced ones."""
    slices = len(outlines.slices)
    keep, scale, shift = np.ones(slices, bool), np.ones(slices), np.zeros((slices, 2))
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
    return _altered(outlines, keep, scale, shift)


def _fail(outlines: SliceOutlines, rater: Rater, rng: np.random.Generator) -> SliceOutlines:
    """A part of the cord that leaks, shrinks, is displaced or is missing."""
    happens, kind = rng.random() < rater.failure, rng.integers(0, 4)
    count = len(outlines.slices)
    length = max(1, int(count * rng.uniform(0.08, 0.25)))
    start = int(rng.integers(0, max(1, count - length)))
    keep, scale, shift = np.ones(count, bool), np.ones(count), np.zeros((count, 2))
    if happens:
        rows = slice(start, start + length)
        bump = np.sin(np.pi * (np.arange(length) + 0.5) / length)
        if kind == 0:
            keep[rows] = False
        elif kind == 1:
            shift[rows] = bump[:, None] * rng.normal(0, 3.0, 2)
        else:
            scale[rows] = 1 + bump * (0.45 if kind == 2 else -0.5)
    return _altered(outlines, keep, scale, shift)


def _altered(
    outlines: SliceOutlines, keep: np.ndarray, scale: np.ndarray, shift_mm: np.ndarray
) -> SliceOutlines:
    """Some of the slices, their radii multiplied and their centres moved."""
    return SliceOutlines(
        outlines.slices[keep],
        (outlines.centre_mm + shift_mm)[keep],
        (outlines.radius_mm * scale[:, None])[keep],
        outlines.spacing_mm,
    )
