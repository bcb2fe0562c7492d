"""A classical competitor without any training: follow the edge of the cord from slice to slice.

In the spirit of PropSeg (De Leener, Kadoury and Cohen-Adad 2014,
doi:10.1016/j.neuroimage.2014.04.051): find the cord as a tube of about known size, then let a
closed contour settle on the strongest intensity edge around it, neighbouring slices agreeing.
Where that edge lies depends on the contrast, which is the point of the comparison.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage, signal

from softseg.dataset.index import Dataset
from softseg.errors import InputError
from softseg.masks import check_grid
from softseg.segmentation.cord_path import CellMap, cell_means, interpolate, track
from softseg.volume import Volume
from softseg_study.competitors.mask_files import write_masks

POLARITY: dict[str, str] = {
    "DWI": "bright", "MT-on": "dark", "GRE-T1w": "bright", "T1w": "bright", "T2star": "dark",
    "T2w": "dark", "UNIT1": "bright", "STIR": "dark", "PSIR": "bright", "EPI": "dark", "b0": "dark",
}  # fmt: skip
"""Whether the cord is brighter or darker than the fluid around it."""
ANGLES = 48
STEP_MM = 0.1
SMALLEST_MM, LARGEST_MM = 2.0, 9.0
"""Distance from the centre to the edge."""
TYPICAL_MM = 4.8
"""Radius of the disc that the cord is searched with."""
OFF_MIDDLE_MM = 20.0
"""How far from the middle of the image, left or right, the cord usually lies."""
SMOOTH_MM = 2.5
"""Standard deviation of smoothing along the cord."""
STEEPEST = 5
"""Steps of `STEP_MM` that the edge may move between neighbouring angles."""


def follow_contour(
    image: Volume, *, polarity: str, start: Volume | None = None, rounds: int = 3
) -> Volume:
    """Segment the cord of one image by its edge.

    Args:
        image: Any orientation and voxel size.
        polarity: `bright` or `dark`: the cord against the fluid; see `POLARITY`.
        start: Mask on the image's grid whose middle the contour starts from, slice by slice, as
            PropSeg starts from a centreline drawn by hand; without one the cord is searched.
        rounds: How often the contour is found and its centre moved into its middle.

    Returns:
        On the image's grid the fraction of each voxel inside the contour, in its slice; zeros if
        nothing like a cord is found. Binarise at 0.5 for a hard mask.

    Raises:
        InputError: If `polarity` is neither or `start` lies on another grid.

    Example:
        >>> x, y = np.mgrid[:48, :48]
        >>> disc = np.clip(5.5 - np.hypot(x - 23, y - 25), 0, 1)
        >>> image = Volume(np.repeat(disc[..., None], 6, axis=2), np.diag([-1.0, 1, 3, 1]))
        >>> area_mm2 = follow_contour(image, polarity="bright").data.sum(axis=(0, 1))
        >>> bool(np.all(abs(area_mm2 - np.pi * 5**2) < 5))
        True
    """
    if polarity not in ("bright", "dark"):
        raise InputError(f"polarity: must be bright or dark, found {polarity!r}")
    if start is not None:
        check_grid(start, image)
    working = image.oriented()
    spacing = np.array(working.spacing_mm)
    data = np.nan_to_num(np.asarray(working.data, dtype=np.float32))
    data = data if polarity == "bright" else -data
    smooth = ndimage.gaussian_filter1d(data, SMOOTH_MM / spacing[2], axis=2)
    if start is None:
        centres = _find_tube(smooth, spacing)
    else:
        centres = _middles(start.oriented().data, spacing)
    if np.isnan(centres).any():
        return image.like(np.zeros(image.data.shape, np.float32))
    for _ in range(rounds):
        radii_mm = _contour(_edges(smooth, centres, spacing))
        centres = centres + _middle_mm(radii_mm) / spacing[:2]
    # The centre has moved a last time: the contour has to be found about where it is now.
    radii_mm = _contour(_edges(smooth, centres, spacing))
    mask = working.like(_fill(radii_mm, centres, spacing, data.shape))
    return image.like(np.ascontiguousarray(mask.oriented(image.orientation).data))


def _find_tube(smooth: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """`(Z, 2)` centre of the cord on each slice in voxels, nan where there is none."""
    step = max(1, round(4.0 / spacing[2]))
    slices = np.arange((smooth.shape[2] - 1) % step // 2, smooth.shape[2], step)
    looked = np.moveaxis(smooth[:, :, slices], 2, 0)
    match = np.clip(_likeness(looked, spacing), 0, 1) ** 3
    from_middle_mm = (np.arange(match.shape[1]) - (match.shape[1] - 1) / 2) * spacing[0]
    match *= np.exp(-0.5 * (from_middle_mm / OFF_MIDDLE_MM) ** 2)[:, None]
    # A match is a narrow peak; the path is sought through matches as wide as a cord.
    width = np.maximum(1, np.round(TYPICAL_MM * 1.6 / spacing[:2])).astype(int)
    match = ndimage.maximum_filter(match, size=(1, *width))
    voxel_mm = spacing[:2]
    cells, size = cell_means(match, voxel_mm)
    seen = CellMap(cells, -voxel_mm / 2, size * voxel_mm)
    found = track(seen, step * spacing[2]) / voxel_mm
    return interpolate(found, slices, np.arange(smooth.shape[2]))


def _middles(mask: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """`(Z, 2)` smoothed centres of mass of a mask's slices in voxels, nan where it is empty."""
    weight = mask.sum(axis=(0, 1), dtype=float)
    every = np.arange(mask.shape[2])
    known = np.flatnonzero(weight > 0)
    found = np.stack(
        [
            np.tensordot(mask.sum(axis=1 - axis)[:, known], np.arange(mask.shape[axis]), (0, 0))
            / weight[known]
            for axis in range(2)
        ],
        axis=1,
    )
    centres = interpolate(found, known, every)
    return ndimage.gaussian_filter1d(centres, SMOOTH_MM / spacing[2], axis=0)


def _likeness(slices: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """`(N, X, Y)` correlation of each pixel's surroundings with a bright ellipse in a dark ring."""
    across_mm, along_mm = TYPICAL_MM * np.array([1.25, 0.8])
    reach = np.ceil(TYPICAL_MM * np.array([2.1, 1.7]) / spacing[:2]).astype(int)
    x, y = np.mgrid[-reach[0] : reach[0] + 1, -reach[1] : reach[1] + 1]
    away = np.hypot(x * spacing[0] / across_mm, y * spacing[1] / along_mm)
    seen = away <= 1.6
    template = np.where(seen, away <= 1.0, 0.0)
    template = np.where(seen, template - template[seen].mean(), 0.0)[None]
    window = seen[None] / seen.sum()
    pads = [(0, 0), (reach[0],) * 2, (reach[1],) * 2]
    padded = np.pad(slices - slices.mean(), pads, mode="edge")
    like = signal.fftconvolve(padded, template, mode="valid", axes=(1, 2))
    mean = signal.fftconvolve(padded, window, mode="valid", axes=(1, 2))
    square = signal.fftconvolve(padded**2, window, mode="valid", axes=(1, 2))
    spread = np.sqrt(np.maximum(square - mean**2, 1e-12 + 1e-6 * square.max()))
    return like / (spread * np.sqrt((template**2).sum() * seen.sum()))


def _directions() -> np.ndarray:
    """`(A, 2)` unit vectors."""
    angles = np.arange(ANGLES) * 2 * np.pi / ANGLES
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _edges(smooth: np.ndarray, centres: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """`(Z, A, R)` how much the image falls outwards at each radius, in units of its spread."""
    radii = np.arange(SMALLEST_MM, LARGEST_MM + 2 * STEP_MM, STEP_MM)
    offsets = _directions()[:, None] * radii[:, None] / spacing[:2]  # (A, R, 2)
    place = centres[:, None, None] + offsets  # (Z, A, R, 2)
    slices = np.broadcast_to(np.arange(len(centres))[:, None, None], place.shape[:3])
    coordinates = np.stack([place[..., 0], place[..., 1], slices])
    profile = ndimage.map_coordinates(smooth, coordinates, order=1, mode="nearest")
    profile = ndimage.gaussian_filter1d(profile, 0.35 / STEP_MM, axis=2)
    fall = profile[..., :-1] - profile[..., 1:]
    spread = np.percentile(np.abs(fall), 95, axis=(1, 2), keepdims=True)
    return fall / np.maximum(spread, 1e-9)


def _contour(edges: np.ndarray) -> np.ndarray:
    """`(Z, A)` radii in mm where the image falls most, near the most likely closed contour."""
    radii = SMALLEST_MM + (np.arange(edges.shape[2]) + 0.5) * STEP_MM
    # The canal's wall is an edge too, often a stronger one, but further out.
    likely = np.exp(-0.5 * ((radii - TYPICAL_MM) / TYPICAL_MM * 2.5) ** 2)
    path = _settle(np.clip(edges, -1, 1) * likely)
    near = np.abs(np.arange(edges.shape[2]) - path[..., None]) <= round(0.5 / STEP_MM)
    steepest = np.where(near, edges, -np.inf).argmax(axis=2)
    closed = np.pad(radii[steepest], [(0, 0), (1, 1)], mode="wrap")
    return ndimage.median_filter(closed, size=(3, 3), mode="nearest")[:, 1:-1]


def _settle(edges: np.ndarray) -> np.ndarray:
    """`(Z, A)` step of the radius of the closed contour with the strongest edge, slice by slice.

    Exact by dynamic programming over the angles; the round is gone twice and its second half
    taken, so that the contour closes.
    """
    turns = np.concatenate([edges, edges, edges[:, :1]], axis=1)
    best, choices = turns[:, 0], []
    moves = np.arange(-STEEPEST, STEEPEST + 1)
    for index in range(1, turns.shape[1]):
        padded = np.pad(best, [(0, 0), (STEEPEST,) * 2], constant_values=-np.inf)
        arrivals = np.stack(
            [padded[:, STEEPEST + move :][:, : best.shape[1]] - 0.02 * move**2 for move in moves]
        )
        choices.append(arrivals.argmax(axis=0))
        best = arrivals.max(axis=0) + turns[:, index]
    place = best.argmax(axis=1)
    rows, path = np.arange(len(place)), [place]
    for choice in reversed(choices):
        place = place + moves[choice[rows, place]]
        path.append(place)
    path = np.stack(path[::-1], axis=1)[:, ANGLES // 2 : ANGLES // 2 + ANGLES]
    return np.roll(path, ANGLES // 2, axis=1)


def _middle_mm(radii_mm: np.ndarray) -> np.ndarray:
    """`(Z, 2)` centroid of each contour relative to its centre."""
    directions = _directions()
    weights = radii_mm**2
    points = 2.0 / 3.0 * radii_mm[..., None] * directions
    return (weights[..., None] * points).sum(axis=1) / weights.sum(axis=1, keepdims=True)


def _fill(
    radii_mm: np.ndarray, centres: np.ndarray, spacing: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    """`(X, Y, Z)` fraction of each pixel inside the contour of its slice."""
    index = np.stack(np.mgrid[: shape[0], : shape[1]], axis=-1)
    soft = np.zeros(shape, np.float32)
    pixel_mm = float(np.sqrt(spacing[0] * spacing[1]))
    for z, (radii, centre) in enumerate(zip(radii_mm, centres, strict=True)):
        away = (index - centre) * spacing[:2]
        angle = np.arctan2(away[..., 1], away[..., 0]) % (2 * np.pi)
        closed = np.append(radii, radii[0])
        edge = np.interp(angle, np.linspace(0, 2 * np.pi, ANGLES + 1), closed)
        soft[..., z] = np.clip(0.5 + (edge - np.hypot(away[..., 0], away[..., 1])) / pixel_mm, 0, 1)
    return soft


def cord_polarity(contrast: str) -> str:
    """Whether the cord is `bright` or `dark` against the fluid, also where no rule is written.

    Example:
        >>> cord_polarity("STIR"), cord_polarity("UNIT1")
        ('dark', 'bright')
    """
    from softseg.phantom.signal import tissue_signal

    if contrast in POLARITY or contrast == "MT-off":  # brighter than MT-on, but as dark in fluid
        return POLARITY.get(contrast, "dark")
    signal = tissue_signal(contrast, tissues=("white_matter", "csf"))
    return "bright" if signal["white_matter"] > signal["csf"] else "dark"


def follow_contours(
    dataset: Dataset,
    *,
    subjects: list[str] | None = None,
    method: str = "contour_following",
    start: str | None = None,
    polarity: Callable[[str], str | None] = POLARITY.get,
) -> pd.DataFrame:
    """Run `follow_contour` on every image, with the polarity of its contrast, as hard masks.

    Args:
        dataset: Whose images to segment.
        subjects: Participants; all by default.
        method: Name of the derivative folder and in every table.
        start: `FOLDER:ENDING` of masks whose middle the contour starts from (of their size it
            knows nothing); where there is none the cord is searched in the image.
        polarity: Of a contrast; images of one whose polarity is None are left out.

    Returns:
        As `write_masks`.
    """
    known = dataset.images[dataset.images["contrast"].map(polarity).notna()]
    folder, _, ending = (start or "").partition(":")
    starts: dict[Path, Path | None] = {}
    for row in known.itertuples() if start else ():
        session, run = (v if isinstance(v, str) else None for v in (row.session, row.run))
        starts[Path(row.path)] = dataset.existing(
            folder, row.subject, row.contrast, ending, session=session, run=run
        )

    def segment(image: Volume, contrast: str) -> Volume:
        path = starts.get(image.path)
        if path is None:
            return follow_contour(image, polarity=polarity(contrast))
        # A contour that starts in the middle of the cord has not far to go.
        middle = Volume.load(path)
        return follow_contour(image, polarity=polarity(contrast), start=middle, rounds=1)

    return write_masks(
        replace(dataset, images=known), method, segment, subjects=subjects, binarise=True
    )
