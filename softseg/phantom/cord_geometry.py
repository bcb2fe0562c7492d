"""Where a point lies relative to the cord: the curve along it and the outlines across it.

Space is the subject frame: millimetres, right-anterior-superior positive, origin in the cord at the
disc between C2 and C3. Along the curve runs the arc length `s` (mm, upwards, 0 at the origin);
across it, in the plane perpendicular to the curve, `u` runs to the right and `v` to the front.
Distances to outlines are in millimetres, negative inside, exact where they are zero and to first
order near it.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

STEP_MM = 0.5
"""Spacing of the curve's table; between its points the curve is straight to 0.4 µm."""


@dataclass(frozen=True, eq=False)
class CordCurve:
    """A smooth curve as a table over arc length.

    Attributes:
        start_mm: Arc length of the first table row.
        position: `(N, 3)` points, in millimetres.
        tangent: `(N, 3)` unit vectors upwards.
        right: `(N, 3)` unit vectors to the participant's right, perpendicular to the tangent.
        front: `(N, 3)` unit vectors to the front, perpendicular to both.
    """

    start_mm: float
    position: np.ndarray = field(repr=False)
    tangent: np.ndarray = field(repr=False)
    right: np.ndarray = field(repr=False)
    front: np.ndarray = field(repr=False)
    curvature: np.ndarray = field(repr=False)  # (N, 3) change of the tangent per millimetre

    @classmethod
    def from_angles(
        cls, s_mm: np.ndarray, forward_deg: np.ndarray, rightward_deg: np.ndarray
    ) -> "CordCurve":
        """Integrate a curve from its tilt.

        Args:
            s_mm: `(N,)` arc lengths in steps of `STEP_MM`, holding 0.
            forward_deg: `(N,)` angle between the tangent and the vertical, to the front.
            rightward_deg: `(N,)` the same, to the right.

        Example:
            >>> s = np.arange(-10, 10.5, 0.5)
            >>> line = CordCurve.from_angles(s, np.full(41, 10.0), np.zeros(41))
            >>> [round(float(x), 2) for x in line.point(10.0)]
            [0.0, 1.74, 9.85]
        """
        lean = np.stack([np.tan(np.radians(rightward_deg)), np.tan(np.radians(forward_deg))], -1)
        tangent = _unit(np.concatenate([lean, np.ones((len(s_mm), 1))], axis=1))
        steps = (tangent[1:] + tangent[:-1]) / 2 * STEP_MM
        position = np.concatenate([np.zeros((1, 3)), np.cumsum(steps, axis=0)])
        zero = int(np.argmin(np.abs(s_mm)))
        position -= position[zero]
        front = _unit(np.array([0.0, 1.0, 0.0]) - tangent[:, 1:2] * tangent)
        right = np.cross(front, tangent)
        curvature = np.gradient(tangent, STEP_MM, axis=0)
        return cls(float(s_mm[0]), position, tangent, right, front, curvature)

    @property
    def end_mm(self) -> float:
        """Arc length of the last table row."""
        return self.start_mm + (len(self.position) - 1) * STEP_MM

    @property
    def s_mm(self) -> np.ndarray:
        """`(N,)` arc lengths of the table."""
        return self.start_mm + np.arange(len(self.position)) * STEP_MM

    def look_up(self, table: np.ndarray, s_mm: np.ndarray) -> np.ndarray:
        """A `(N,)` or `(N, K)` table over arc length at `(P,)` places: linear, constant beyond."""
        row = np.clip((s_mm - self.start_mm) / STEP_MM, 0, len(table) - 1.001)
        low = row.astype(np.int32)
        weight = (row - low).astype(table.dtype)
        weight = weight[:, None] if table.ndim == 2 else weight
        below = table.take(low, axis=0)
        return (table.take(low + 1, axis=0) - below) * weight + below

    def point(self, s_mm: float) -> np.ndarray:
        """`(3,)` point at one arc length."""
        return self.look_up(self.position, np.array([s_mm]))[0]

    @cached_property
    def _frames(self) -> np.ndarray:
        """`(N, 15)` float32: point, tangent, curvature, right, front."""
        tables = (self.position, self.tangent, self.curvature, self.right, self.front)
        return np.concatenate(tables, axis=1).astype(np.float32)

    def locate(
        self, points: np.ndarray, *, guess_mm: np.ndarray | None = None, iterations: int = 2
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Arc length of the perpendicular plane through each point, and the place in that plane.

        Newton's method on `(x - p(s)) · t(s) = 0`. Two steps are good to a hundredth of a
        millimetre within 20 mm of the cord; `u` and `v` are taken where the last step began, where
        they differ by less still.

        Args:
            points: `(P, 3)`, in millimetres.
            guess_mm: `(P,)` arc lengths to start from; by default the points' height.
            iterations: Newton steps.

        Returns:
            `s`, `u`, `v`, each `(P,)` and in millimetres.
        """
        points = points.astype(np.float32, copy=False)
        if guess_mm is None:
            guess_mm = np.interp(points[:, 2], self.position[:, 2], self.s_mm)
        s = guess_mm.astype(np.float32, copy=False)
        for step in range(iterations):
            last = step == iterations - 1
            here = self.look_up(self._frames if last else self._frames[:, :9], s)
            away = points - here[:, :3]
            miss = _dot(away, here[:, 3:6])
            s = s + miss / np.maximum(1 - _dot(away, here[:, 6:9]), 0.4)
        return s, _dot(away, here[:, 9:12]), _dot(away, here[:, 12:])


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[:, 0] * b[:, 0] + a[:, 1] * b[:, 1] + a[:, 2] * b[:, 2]


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


TABLE = 1024
"""Directions in which the outline's radius is stored."""
_ANGLES = np.arange(TABLE) * (2 * np.pi / TABLE)


def ellipse_distance(
    u: np.ndarray,
    v: np.ndarray,
    half_u: np.ndarray,
    half_v: np.ndarray,
    *,
    boxiness: float = 0.0,
) -> np.ndarray:
    """Distance to an ellipse around the origin, its corners pushed out by a share `boxiness`.

    Example:
        >>> bool(abs(ellipse_distance(np.array([3.0]), np.array([0.0]), 2.0, 1.0)[0] - 1) < 1e-6)
        True
    """
    x, y = u / half_u, v / half_v
    rho = np.sqrt(x * x + y * y) + 1e-9
    slope = np.sqrt((x / half_u) ** 2 + (y / half_v) ** 2) / rho
    if boxiness:
        rho = rho * (1 - boxiness * (2 * x * y / rho**2) ** 2)
    return (rho - 1) / (slope + 1e-9)


@dataclass(frozen=True, eq=False)
class UnitOutline:
    """A flattened ellipse with the anterior fissure, a shallow posterior sulcus and asymmetry.

    The outline is stored as the radius of a unit shape by direction, with area π and its centroid
    at the origin, and is stretched by half the right-left and half the anterior-posterior diameter:
    the area is then exactly π/4 · AP · RL.

    Attributes:
        radius: `(TABLE,)` radius of the unit shape by angle from the right, to the front.
        slope: `(TABLE,)` its derivative by angle.
    """

    radius: np.ndarray = field(repr=False)
    slope: np.ndarray = field(repr=False)

    @classmethod
    def build(
        cls,
        *,
        exponent: float = 2.15,
        fissure: tuple[float, float] = (0.10, 0.13),
        sulcus: tuple[float, float] = (0.03, 0.2),
        harmonics: tuple[tuple[float, float], ...] = (),
    ) -> "UnitOutline":
        """Make the unit shape.

        Args:
            exponent: Of the superellipse; 2 is an ellipse, more is boxier.
            fissure: Depth of the anterior median fissure as a fraction of the half diameter, and
                its width as a standard deviation in radians.
            sulcus: The same for the posterior median sulcus.
            harmonics: Relative amplitude and phase (radians) of waves 2, 3, … round the outline.

        Example:
            >>> shape = UnitOutline.build(exponent=2, fissure=(0, 1), sulcus=(0, 1))
            >>> bool(np.allclose(shape.radius, 1))
            True
        """
        angle = _ANGLES
        radius = (np.abs(np.cos(angle)) ** exponent + np.abs(np.sin(angle)) ** exponent) ** (
            -1 / exponent
        )
        for (depth, width), where in ((fissure, np.pi / 2), (sulcus, 3 * np.pi / 2)):
            radius = radius * (1 - depth * np.exp(-0.5 * ((angle - where) / width) ** 2))
        for wave, (amplitude, phase) in enumerate(harmonics, start=2):
            radius = radius * (1 + amplitude * np.cos(wave * angle - phase))
        radius = _centred(radius)
        slope = (np.roll(radius, -1) - np.roll(radius, 1)) / (2 * (2 * np.pi / TABLE))
        return cls(radius.astype(np.float32), slope.astype(np.float32))

    def radius_at(self, angle: np.ndarray) -> np.ndarray:
        """Radius of the unit shape in given directions (radians)."""
        return self._interpolate(self.radius, angle)

    def distance(
        self, u: np.ndarray, v: np.ndarray, half_u: np.ndarray, half_v: np.ndarray
    ) -> np.ndarray:
        """Distance to the outline stretched to half diameters `half_u` and `half_v`."""
        x, y = u / half_u, v / half_v
        rho = np.sqrt(x * x + y * y)
        angle = np.arctan2(y, x)
        rho_safe = np.maximum(rho, 0.3)
        turn = -self._interpolate(self.slope, angle) / rho_safe
        cosine, sine = x / rho_safe, y / rho_safe
        slope = np.hypot((cosine - sine * turn) / half_u, (sine + cosine * turn) / half_v)
        steepest = 1 / np.maximum(half_u, half_v)
        return (rho - self._interpolate(self.radius, angle)) / np.maximum(slope, steepest)

    def _interpolate(self, table: np.ndarray, angle: np.ndarray) -> np.ndarray:
        row = (angle % (2 * np.pi)) * (TABLE / (2 * np.pi))
        low = row.astype(np.int32)
        weight = (row - low).astype(np.float32)
        below = table[low % TABLE]
        return below + (table[(low + 1) % TABLE] - below) * weight


def _centred(radius: np.ndarray) -> np.ndarray:
    """Move a star shape so that its centroid is the origin, and scale it to area π."""
    angle = _ANGLES
    for _ in range(4):
        area = (radius**2).mean() * np.pi
        centroid = np.array(
            [(radius**3 * f(angle)).mean() * 2 * np.pi / 3 / area for f in (np.cos, np.sin)]
        )
        edge = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], -1) - centroid
        turned = np.unwrap(np.arctan2(edge[:, 1], edge[:, 0]))
        length = np.hypot(edge[:, 0], edge[:, 1])
        radius = np.interp(angle, turned, length, period=2 * np.pi)
    return radius / np.sqrt((radius**2).mean())


GREY_STRETCH = (0.07, 0.05)
"""Relative SD between participants of the butterfly's width and depth for a cord's size: in five
people with manual masks they were .60 ± .043 and .66 ± .034 of the cord's. They do not tell how
large the cord is."""


@dataclass(frozen=True)
class Butterfly:
    """Grey matter: two ventral and two dorsal horns and the commissure, as thick strokes.

    Strokes are given in a standard cord of 12.5 × 7.7 mm, traced on the mean of 367 manually
    segmented slices (Asman et al. 2014, doi:10.1016/j.media.2014.01.003), and follow the
    cord's own size.

    Attributes:
        stretch: The butterfly's width and depth for a cord's size, relative to the mean.
    """

    stretch: tuple[float, float] = (1.0, 1.0)

    standard_mm: tuple[float, float] = (6.25, 3.85)  # half diameters
    # Both ends (u, v) on the right side, and the radius at each.
    strokes: tuple = (
        ((1.15, 0.35), (2.15, 1.15), 0.70, 0.75),  # ventral horn
        ((1.10, 0.25), (3.55, -2.75), 0.50, 0.30),  # dorsal horn
        ((0.00, 0.30), (1.15, 0.35), 0.32, 0.40),  # commissure
    )

    def distance(
        self, u: np.ndarray, v: np.ndarray, half_u: np.ndarray, half_v: np.ndarray
    ) -> np.ndarray:
        """Distance to the bare strokes in a cord with the given half diameters."""
        x = np.abs(u) * (self.standard_mm[0] / half_u / self.stretch[0])
        y = v * (self.standard_mm[1] / half_v / self.stretch[1])
        nearest = np.minimum.reduce([stroke_distance(x, y, *stroke) for stroke in self.strokes])
        return nearest * np.sqrt(half_u * half_v / (self.standard_mm[0] * self.standard_mm[1]))

    def thickness(self, share: np.ndarray) -> np.ndarray:
        """Millimetres to add around the strokes so that grey matter fills a share of the cord.

        Example:
            >>> thin, thick = Butterfly().thickness(np.array([0.15, 0.19]))
            >>> bool(thin < thick)
            True
        """
        grid = np.linspace(-6, 6, 241)
        u, v = np.meshgrid(grid, grid, indexing="ij")
        inside = np.sort(self.distance(u, v, *self.standard_mm).ravel())
        cord_mm2 = np.pi * self.standard_mm[0] * self.standard_mm[1]
        wanted = np.asarray(share) * cord_mm2 / (grid[1] - grid[0]) ** 2
        return inside[np.round(wanted).astype(int)]


def stroke_distance(
    u: np.ndarray,
    v: np.ndarray,
    start: tuple[float, float],
    end: tuple[float, float],
    radius: float,
    end_radius: float | None = None,
) -> np.ndarray:
    """Distance to a thick line with round ends; its places and radii may vary by point.

    Example:
        >>> float(stroke_distance(np.array([2.0]), np.array([3.0]), (0, 0), (4, 0), 1.0)[0])
        2.0
    """
    (u0, v0), (u1, v1) = start, end
    du, dv = u1 - u0, v1 - v0
    along = np.clip(((u - u0) * du + (v - v0) * dv) / (du * du + dv * dv), 0, 1)
    x, y = u - u0 - along * du, v - v0 - along * dv
    grown = 0.0 if end_radius is None else along * (end_radius - radius)
    return np.sqrt(x * x + y * y) - radius - grown
