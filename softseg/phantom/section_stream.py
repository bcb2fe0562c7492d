"""Manually drawn cords: real outlines under random contrasts.

A manual mask shows how a cord is shaped even where its image is not at hand. Here its outline, and
where they were drawn those of grey matter and fluid, take the place of the phantom's own cord in
the phantom's own surroundings; brightness and acquisition stay random. The outline is taken for the
cord's surface, on which a thin layer of pia lies.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from softseg.errors import InputError
from softseg.phantom.partial_volume import blend, cord_fraction
from softseg.phantom.profiles import TRAINED_PIA_MM
from softseg.phantom.random_acquisition import ObjectMaps
from softseg.phantom.random_contrast import grain_strengths
from softseg.phantom.stream import FLUID, PhantomStream, Scene, StreamOptions
from softseg.phantom.tissues import CORD_TISSUES, INDEX
from softseg.volume import Grid, Volume

STEP_MM = 0.25
HALF_MM = 16.0
"""Sections are kept on squares of twice this side, finer than any mask."""
SMALLEST_MM2 = 15.0
"""A smaller section is the tip of a mask."""
STRETCH = (0.88, 1.14)
"""Along each axis of a section, so that it is never the same twice."""
MARGIN_MM = (0.0, 2.0)
"""Fluid around the cord at least, where none was drawn."""
_SMOOTHING = 0.6  # voxels: takes the steps off a mask, not its shape
_POINTS = 4  # along each axis of a voxel
_INSIDE = [INDEX[name] for name in (*CORD_TISSUES, "pia")]


@dataclass(frozen=True, eq=False)
class Section:
    """What was drawn by hand on one axial slice.

    Each is a signed distance in mm, negative inside, `(N, N)` at `STEP_MM` about the cord's centre.

    Attributes:
        cord: Of the cord's edge.
        grey: Of the grey matter's; None if it was not drawn.
        canal: Of the edge of cord and fluid together; None if the fluid was not drawn.
    """

    cord: np.ndarray
    grey: np.ndarray | None = None
    canal: np.ndarray | None = None


def find_sections(
    cord: Volume, *, grey: Volume | None = None, fluid: Volume | None = None
) -> list[Section]:
    """Every slice of a mask that shows a whole cord.

    Args:
        cord: Binary mask, any orientation.
        grey: Grey matter on the same grid.
        fluid: Cerebrospinal fluid on the same grid.

    Raises:
        ValueError: If the grids differ.
    """
    drawn = {"cord": cord, "grey": grey, "canal": fluid}
    for mask in (grey, fluid):
        if mask is not None and not mask.grid.matches(cord.grid, tolerance_mm=0.05):
            raise ValueError(f"{mask.name} does not lie on the grid of {cord.name}")
    data = {name: mask.oriented().data > 0.5 for name, mask in drawn.items() if mask is not None}
    if "canal" in data:
        data["canal"] |= data["cord"]
    spacing = np.array(cord.oriented().spacing_mm[:2])
    sections = []
    for z in np.flatnonzero(data["cord"].any(axis=(0, 1))):
        if data["cord"][..., z].sum() * spacing.prod() < SMALLEST_MM2:
            continue
        drawn = {name: mask[..., z] for name, mask in data.items() if mask[..., z].any()}
        centre = ndimage.center_of_mass(drawn["cord"])
        found = {name: _distance(mask, centre, spacing) for name, mask in drawn.items()}
        sections.append(Section(**found))
    return sections


def _distance(mask: np.ndarray, centre: tuple[float, ...], spacing_mm: np.ndarray) -> np.ndarray:
    smooth = ndimage.gaussian_filter(mask.astype(np.float32), _SMOOTHING)
    along = np.arange(-HALF_MM, HALF_MM + STEP_MM / 2, STEP_MM)
    axes = [c + along / h for c, h in zip(centre, spacing_mm, strict=True)]
    at = np.meshgrid(*axes, indexing="ij")
    inside = ndimage.map_coordinates(smooth, at, order=1, mode="constant") > 0.5
    if not inside.any():  # a speck that smoothing takes away
        return np.full(inside.shape, 2 * HALF_MM, np.float32)
    apart = ndimage.distance_transform_edt
    # The edge lies between the last point inside and the first outside.
    steps = apart(~inside) - apart(inside)
    return (steps * STEP_MM - np.where(inside, -0.5, 0.5) * STEP_MM).astype(np.float32)


class SectionStream(PhantomStream):
    """The phantom stream with manually drawn sections in place of its cords.

    Args:
        seed: Names the stream.
        sections: What is drawn from, each as often as any other.
        size_mm: Field of view along both axes.
        spacing_mm: Voxel size of the samples.
        options: How samples vary.

    Raises:
        InputError: If there is no section, or the sizes describe no axial slice.
    """

    def __init__(
        self,
        seed: int,
        sections: Sequence[Section],
        *,
        size_mm: tuple[float, ...] = (48.0, 48.0),
        spacing_mm: tuple[float, ...] = (0.5, 0.5),
        options: StreamOptions | None = None,
    ) -> None:
        options = options or StreamOptions()
        super().__init__(seed, size_mm=size_mm, spacing_mm=spacing_mm, options=options)
        if not sections:
            raise InputError("section stream: there is no manual mask with a whole cord")
        self.sections = list(sections)

    def _lent(self, rng: np.random.Generator, scene: Scene) -> "Lent | None":
        grid = scene.seen(scene.working)
        own = cord_fraction(scene.anatomy, grid)
        if own.max() < 0.5:  # moved away from the cord, or beyond its ends
            return None
        section = self.sections[rng.integers(len(self.sections))]
        return Lent.draw(rng, section, own, np.array(grid.spacing_mm[:2]))

    def _truth(self, scene: Scene, lent: "Lent | None") -> np.ndarray:
        if lent is None:
            return super()._truth(scene, lent)
        return lent.fractions(scene.seen(scene.working))[0]

    def _object_maps(self, scene: Scene, native: Grid, lent: "Lent | None") -> ObjectMaps:
        if lent is None:
            return super()._object_maps(scene, native, lent)
        grid = scene.seen(native)
        values = np.stack([scene.contrast, grain_strengths(), FLUID])
        emptied = values.copy()
        emptied[:, _INSIDE] = values[:, [INDEX["csf"]]]
        images = blend(scene.anatomy, grid, emptied)
        cord, grey, pia, fluid = lent.fractions(grid)
        kept = 1 - cord - pia - fluid
        shares = {"pia": pia, "csf": fluid, "grey_matter": grey, "white_matter": cord - grey}
        painted = [
            kept * image + sum(row[INDEX[name]] * share for name, share in shares.items())
            for image, row in zip(images, values, strict=True)
        ]
        return ObjectMaps(*(image.astype(np.float32) for image in (*painted, cord)))


@dataclass(frozen=True, eq=False)
class Lent:
    """A section turned, stretched and mirrored at random, in the place of a participant's cord.

    Attributes:
        section: What was drawn.
        centre_mm: `(2,)` of the participant's cord from the middle of the sample's grid.
        turn: Radians.
        scale: `(2,)` along each axis of the section.
        mirror: -1 or 1.
        margin_mm: Fluid around the cord where none was drawn.
        pia_mm: Thickness of the layer on its surface.
    """

    section: Section
    centre_mm: np.ndarray
    turn: float
    scale: np.ndarray
    mirror: int
    margin_mm: float
    pia_mm: float

    @classmethod
    def draw(
        cls, rng: np.random.Generator, section: Section, own: np.ndarray, spacing_mm: np.ndarray
    ) -> "Lent":
        """Put a section where the cord of `own` `(X, Y, Z)` lies."""
        centre = np.array(ndimage.center_of_mass(own.sum(axis=2)))
        return cls(
            section,
            (centre - (np.array(own.shape[:2]) - 1) / 2) * spacing_mm,
            float(np.deg2rad(rng.normal(0, 6))),
            rng.uniform(*STRETCH, 2),
            int(rng.choice([-1, 1])),
            float(rng.uniform(*MARGIN_MM)),
            float(max(0.0, rng.normal(*TRAINED_PIA_MM))),
        )

    def fractions(self, grid: Grid) -> list[np.ndarray]:
        """`(X, Y, Z)` fractions of cord, grey matter within it, pia and fluid about it."""
        points = (np.arange(_POINTS) + 0.5) / _POINTS - 0.5
        shape = grid.shape[:2]
        axes = [
            ((np.arange(n)[:, None] - (n - 1) / 2 + points) * h - c).ravel()
            for n, h, c in zip(shape, grid.spacing_mm, self.centre_mm, strict=False)
        ]
        near = [np.abs(axis) < HALF_MM for axis in axes]
        x, y = (axis[kept] for axis, kept in zip(axes, near, strict=True))
        cord, grey, canal = self._distances(x, y)
        inside, covered = cord < 0, cord < self.pia_mm
        fractions = []
        for part in (inside, inside & (grey < 0), covered & ~inside, (canal < 0) & ~covered):
            fine = np.zeros([len(axis) for axis in axes], np.float32)
            fine[np.ix_(*near)] = part
            coarse = fine.reshape(shape[0], _POINTS, shape[1], _POINTS).mean(axis=(1, 3))
            fractions.append(np.repeat(coarse[..., None], grid.shape[2], axis=2))
        return fractions

    def _distances(self, x_mm: np.ndarray, y_mm: np.ndarray) -> list[np.ndarray]:
        """Signed distances of cord, grey matter and canal, `(X, Y)` each."""
        x, y = np.meshgrid(self.mirror * x_mm, y_mm, indexing="ij")
        cosine, sine = np.cos(self.turn), np.sin(self.turn)
        at = [
            ((cosine * x - sine * y) / self.scale[0] + HALF_MM) / STEP_MM,
            ((sine * x + cosine * y) / self.scale[1] + HALF_MM) / STEP_MM,
        ]
        # Distances stretch with the section: across its edge by about the mean of both scales.
        drawn = (self.section.cord, self.section.grey, self.section.canal)
        cord, grey, canal = (
            np.full(x.shape, np.inf, np.float32)
            if one is None
            else self.scale.mean() * ndimage.map_coordinates(one, at, order=1, mode="nearest")
            for one in drawn
        )
        return [cord, grey, cord - self.margin_mm if self.section.canal is None else canal]
