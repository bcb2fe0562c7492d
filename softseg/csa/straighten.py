"""The image straightened along the cord: what lies in the midline plane behind and before it.

In that picture discs are bars across, a vertebra apart, whatever the neck's posture.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from softseg.csa.centreline import Centreline
from softseg.csa.levels import along_cord
from softseg.csa.region import Region
from softseg.volume import Volume

STEP_MM = 1.0
"""Distance between the picture's points, along the cord and across."""
BEHIND_MM, BEFORE_MM = 20.0, 40.0
"""How far the picture reaches behind the centreline and in front of it."""
BEYOND_MM = 60.0
"""How far it follows what continues the cord straight beyond the mask's ends."""
_END_MM = 15.0
"""Length of the mask's end that says how the cord goes on."""
_SIDES_MM = (-2.5, -1.25, 0.0, 1.25, 2.5)
"""Sagittal planes that are averaged: less noise, and a centreline may be off by as much."""
_FRONT = np.array([0.0, 1.0, 0.0])


@dataclass(frozen=True, eq=False)
class Band:
    """A straightened midline picture.

    Attributes:
        values: `(S, V)` float32, from below upwards and from behind to the front; NaN outside the
            image.
        points_mm: `(S, 3)` the centreline, in scanner millimetres.
        front: `(S, 3)` unit vectors to the front, perpendicular to it.
    """

    values: np.ndarray
    points_mm: np.ndarray = field(repr=False)
    front: np.ndarray = field(repr=False)

    def place(self, along: float, before_mm: float) -> np.ndarray:
        """`(3,)` scanner millimetres of a row, which may be a fraction, so far before the cord."""
        rows = np.arange(len(self.points_mm))
        point, front = (
            np.array([np.interp(along, rows, table[:, axis]) for axis in range(3)])
            for table in (self.points_mm, self.front)
        )
        return point + before_mm * front / np.linalg.norm(front)

    def row_of(self, point_mm: np.ndarray) -> tuple[int, float]:
        """The row next to a point, and how far from the centreline the point lies."""
        apart = np.linalg.norm(self.points_mm - np.asarray(point_mm, dtype=float), axis=1)
        return int(apart.argmin()), float(apart.min())

    def beyond(self, point_mm: np.ndarray) -> float:
        """How far beyond the picture's nearer end a point lies along the cord, in mm; 0 inside."""
        far = 0.0
        for line in (self.points_mm, self.points_mm[::-1]):
            on = line[-1] - line[-min(len(line), 2)]
            if not on.any():
                continue
            far = max(far, float((point_mm - line[-1]) @ on / np.linalg.norm(on)))
        return far


def cord_course(region: Region, line: Centreline) -> np.ndarray:
    """`(N, 3)` points of a mask's centreline in scanner millimetres, from below upwards."""
    heights, curve, _ = along_cord(line)
    rows = np.flatnonzero(region.core)
    inside = (heights >= rows[0] - 0.5) & (heights <= rows[-1] + 0.5)
    return region.to_world(curve[inside])


def straighten(image: Volume, course_mm: np.ndarray) -> Band:
    """Sample the midline plane along a course, and straight on beyond its ends.

    Args:
        image: Any orientation and voxel size.
        course_mm: `(N, 3)` the cord's centreline in scanner millimetres, from below upwards.

    Returns:
        The picture over the part of the course that the image shows.
    """
    points = _spaced(_drawn_on(np.asarray(course_mm, dtype=float)))
    tangent = np.gradient(ndimage.gaussian_filter1d(points, 3, axis=0, mode="nearest"), axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    front = _FRONT - tangent[:, 1:2] * tangent
    front /= np.linalg.norm(front, axis=1, keepdims=True)
    side = np.cross(front, tangent)
    before = np.arange(-BEHIND_MM, BEFORE_MM, STEP_MM)
    to_voxel = np.linalg.inv(image.affine)
    centre = points @ to_voxel[:3, :3].T + to_voxel[:3, 3]
    ahead, aside = front @ to_voxel[:3, :3].T, side @ to_voxel[:3, :3].T
    plane = centre[:, None] + before[:, None] * ahead[:, None]  # (S, V, 3)
    limit = np.array(image.data.shape) - 0.5
    inside = ((plane > -0.5) & (plane < limit)).all(axis=2)
    values = np.zeros(inside.shape, np.float32)
    for offset in _SIDES_MM:
        at = np.moveaxis(plane + offset * aside[:, None], 2, 0)
        values += ndimage.map_coordinates(
            image.data.astype(np.float32, copy=False), at, order=1, mode="nearest"
        )
    values /= len(_SIDES_MM)
    values[~inside] = np.nan
    shown = np.flatnonzero(inside.any(axis=1))
    kept = slice(shown[0], shown[-1] + 1) if shown.size else slice(0, 0)
    return Band(values[kept], points[kept], front[kept])


def _drawn_on(course: np.ndarray) -> np.ndarray:
    """The course with a straight piece at both ends."""
    ends = []
    for end in (course, course[::-1]):
        away = np.linalg.norm(end - end[-1], axis=1)
        direction = end[-1] - end[np.argmin(np.abs(away - min(_END_MM, away[0])))]
        if not direction.any():
            direction = np.array([0.0, 0.0, 1.0 if end is course else -1.0])
        steps = np.arange(STEP_MM, BEYOND_MM + STEP_MM / 2, STEP_MM)
        ends.append(end[-1] + steps[:, None] * direction / np.linalg.norm(direction))
    return np.concatenate([ends[1][::-1], course, ends[0]])


def _spaced(course: np.ndarray) -> np.ndarray:
    """The same course with points `STEP_MM` apart."""
    lengths = np.linalg.norm(np.diff(course, axis=0), axis=1)
    lengths = np.concatenate([[0.0], np.cumsum(lengths)])
    at = np.arange(0, lengths[-1], STEP_MM)
    return np.stack([np.interp(at, lengths, course[:, axis]) for axis in range(3)], axis=1)
