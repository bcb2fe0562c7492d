"""Beyond the spine: brain, skull, muscles, airway, lungs, belly, vessels, fat, skin, air."""

import numpy as np

from softseg.phantom.cord_geometry import ellipse_distance, stroke_distance
from softseg.phantom.surroundings import Composite, VoxelBatch, coverage

FORAMEN_LEVEL = 0.9
"""Level coordinate of the foramen magnum."""
BELLY_LEVEL = 18.5
"""Level coordinate (T11) below which the belly takes the place of the lungs."""


def paint_head(batch: VoxelBatch, picture: Composite) -> None:
    """Put the posterior fossa where the field of view reaches it."""
    index = np.flatnonzero(batch.here["level"] < FORAMEN_LEVEL + 0.1)
    if not len(index):
        return
    p = batch.at(index)
    above = (FORAMEN_LEVEL - p.here["level"]) * 15  # mm
    grown = np.sqrt(np.clip(above / 40, 0.01, 1))
    here = coverage(-above, p.height)
    middle = -8 - 26 * grown
    fossa = ellipse_distance(p.x, p.y - middle, 6 + 46 * grown, 9 + 30 * grown)
    brain = ellipse_distance(p.x, p.y - middle + 3, 2 + 45 * grown, 2 + 27 * grown)
    folds = 0.5 + 0.5 * np.sin(1.3 * p.s + 0.9 * p.v + 4 * p.fast[0])
    inside = coverage(brain, p.width) * here
    picture.put("csf", inside * 0.25 * (folds > 0.8), index)
    picture.put("brain", inside, index)
    picture.put("csf", coverage(fossa, p.width) * here, index)
    picture.put("marrow", coverage(np.abs(fossa - 3.5) - 1.2, p.width) * here, index)
    picture.put("cortical_bone", coverage(fossa - 6, p.width) * here, index)
    clivus = ellipse_distance(p.x, p.y - p.wall - 8, 16.0, 6.0)
    picture.put("marrow", coverage(clivus + 1, p.width) * here, index)
    picture.put("cortical_bone", coverage(clivus, p.width) * here, index)


def paint_soft_tissue(batch: VoxelBatch, picture: Composite) -> None:
    """Fill everything that the spine leaves; beyond the skin is air."""
    index = np.flatnonzero(picture.left > 0.003)
    if not len(index):
        return
    p = batch.at(index)
    y = p.v + 1.5 * p.slow[0]
    half_v = np.where(y > 0, p.here["skin_front"], p.here["skin_back"])
    skin = ellipse_distance(p.u + 1.5 * p.slow[1], y, p.here["skin_side"], half_v)
    inside = coverage(skin, p.width)
    picture.put("air", 1 - inside, index)
    picture.put("skin", coverage(-skin - 1.8, p.width), index)
    behind = np.clip(-p.v / p.here["skin_back"], 0, 1)
    fat_mm = p.choices["side_fat"] + (p.choices["back_fat"] - p.choices["side_fat"]) * behind
    picture.put("fat", coverage(-skin - 1.8 - fat_mm * (1 + 0.3 * p.slow[0]), p.width), index)
    # Soft tissue gives way by a few millimetres, more so far from the spine.
    loose = np.clip(np.hypot(p.x, p.y) / 25, 0, 1)
    bent_x = p.x + 3.0 * loose * p.slow[0] + 0.8 * p.fast[0]
    bent_y = p.y + 3.0 * loose * p.slow[1] + 0.8 * p.fast[1]
    front = bent_y - p.wall - 2 * p.here["body_depth"]
    _lungs(p, bent_x, bent_y, picture, index)
    _viscera(p, bent_x, front, picture, index)
    _belly(p, bent_x, front, picture, index)
    _front_muscles(p, bent_x, bent_y, front, picture, index)
    _back_muscles(p, bent_x, bent_y, picture, index)


def _lungs(p: VoxelBatch, x, y, picture: Composite, index: np.ndarray) -> None:
    level = p.here["level"]
    chest = coverage((8.6 - level) * 20, p.height) * coverage((level - 17.5) * 20, 40.0)
    if not chest.any():
        return
    grown = np.clip((level - 8.2) / 2.5, 0.2, 1)
    lung = ellipse_distance(np.abs(x) - 26 - 42 * grown, y - 18, 46 * grown, 55 * grown)
    picture.put("air", coverage(lung, p.width) * chest * 0.9, index)
    picture.put("soft_tissue", coverage(lung, p.width) * chest, index)


def _viscera(p: VoxelBatch, x, front, picture: Composite, index: np.ndarray) -> None:
    """Airway and oesophagus, thyroid, great vessels."""
    x = x - p.choices["viscera_right"]
    level = p.here["level"]
    neck = coverage((0.5 - level) * 15, p.height)
    gap = p.here["airway_gap"]
    airway = ellipse_distance(x, front - gap, p.here["airway_width"], p.here["airway_depth"])
    picture.put("air", coverage(airway, p.width), index)
    picture.put("soft_tissue", coverage(airway - 2.5, p.width), index)
    tube = ellipse_distance(x - 2, front - 3.5, 7.0, 3.0)
    picture.put("soft_tissue", coverage(tube, p.width) * neck, index)
    thyroid = ellipse_distance(np.abs(x) - 15, front - gap, 6.5, 10.0)
    low = coverage((5.4 - level) * 16, p.height) * coverage((level - 8.2) * 16, p.height)
    picture.put("soft_tissue", coverage(thyroid, p.width) * low, index)
    for sign, wide, bent in ((1, 1.0, p.slow[0]), (-1, p.choices["jugular_left"], p.slow[1])):
        carotid = np.hypot(x - sign * 24 - 2 * bent, front - 6 - bent) - p.choices["carotid"]
        half = p.choices["jugular"] * wide
        jugular = ellipse_distance(x - sign * 31 - 3 * bent, front - 4, half, 0.7 * half)
        for vessel in (carotid, jugular):
            picture.put("vessel", coverage(vessel, p.width) * neck, index)
    throat = ellipse_distance(x, front - gap - 10, 19.0, 17.0)
    picture.put("soft_tissue", coverage(throat, p.width) * 0.8, index)


def _belly(p: VoxelBatch, x, front, picture: Composite, index: np.ndarray) -> None:
    """Aorta and vena cava before the bodies, psoas beside them, kidneys, and bowel in fat."""
    level = p.here["level"]
    if not (level > 11).any():
        return
    middle = 23.6 - level  # the vessels part at L4
    trunk = coverage((11 - level) * 20, p.height) * coverage(-middle * 30, p.height)
    for name, right, ahead in (("aorta", -6.0, 9.0), ("cava", 13.0, 7.0)):
        right = right + np.where(middle < 1, 8 * np.sign(right) * (1 - middle), 0)
        vessel = np.hypot(x - right - p.choices["viscera_right"], front - ahead)
        picture.put("vessel", coverage(vessel - p.choices[name], p.width) * trunk, index)
    low = coverage((BELLY_LEVEL - level) * 25, 40.0)
    if not low.any():
        return
    across, body = np.abs(x), p.here["body_width"]
    grown = np.clip((level - 19.5) / 3.5, 0.05, 1)
    psoas = ellipse_distance(across - body - 14 * grown, front + 16, 15 * grown, 21 * grown)
    picture.put("muscle", coverage(psoas, p.width) * low * _lean(p), index)
    kidney = ellipse_distance(across - 62, front + 10, 25.0, 30.0)
    kidney_here = low * coverage((np.abs(level - 20.8) - 1.6) * 33, 10.0)
    picture.put("soft_tissue", coverage(kidney, p.width) * kidney_here, index)
    within = low * coverage(8 - front, 8.0)
    picture.put("air", coverage(0.95 - p.fast[0], 0.15) * within * 0.9, index)
    picture.put("soft_tissue", (1 - p.sheets) * within * coverage(-0.3 - p.slow[0], 0.2), index)
    picture.put("fat", within, index)


def _front_muscles(p: VoxelBatch, x, y, front, picture: Composite, index: np.ndarray) -> None:
    across = np.abs(x)
    body = p.here["body_width"]
    longus = ellipse_distance(across - body * 0.75, front + 1.5, 6.0, 3.2)
    scalene = stroke_distance(across, y, (body + 9, 8.0), (body + 24, 4.0), 5.0, 7.0)
    mastoid = stroke_distance(across, front, (34.0, 12.0), (46.0, -6.0), 5.0, 7.0)
    upper = coverage((p.here["level"] - 10) * 20, 40.0) * _lean(p)
    for shape in (longus, scalene, mastoid):
        picture.put("muscle", coverage(shape, p.width) * upper, index)
    # Small muscles and glands in front, each in its own sheath of fat.
    ahead = coverage(2.0 - y, 4.0)
    picture.put("fat", ahead * np.clip(p.sheets + 0.5 * p.slow[1], 0, 0.9), index)
    picture.put("soft_tissue", ahead * coverage(0.5 - p.fast[1], 0.1), index)
    picture.put("muscle", ahead * 0.9, index)


def _back_muscles(p: VoxelBatch, x, y, picture: Composite, index: np.ndarray) -> None:
    """Layers of muscle behind the spine, parted by thin fasciae and the nuchal ligament."""
    across = np.abs(x)
    depth = np.hypot(0.75 * across, y + 6) + 0.12 * across
    layer = depth / p.choices["layers"] + 0.12 * p.fast[0] + 0.3 * p.slow[0]
    sheet = np.abs(layer - np.round(layer)) * p.choices["layers"]
    thickness = p.choices["fascia"] * (0.7 + 0.5 * p.fast[1])
    fascia = coverage(sheet - thickness / 2, max(p.width, 0.3)) * (depth > 8)
    picture.put("fat", fascia * 0.8, index)
    seam = coverage(across - 0.6 - 0.4 * np.abs(p.slow[1]), p.width) * (y < -14)
    picture.put("cortical_bone", seam * 0.4, index)
    picture.put("fat", coverage(across - 2.2, p.width) * (y < -14) * 0.6, index)
    picture.put("muscle", _lean(p), index)
    picture.put("fat", np.ones_like(x), index)


def _lean(p: VoxelBatch) -> np.ndarray:
    """Share of muscle in muscle: the rest is fat between its fibres."""
    return 1 - p.choices["marbling"] * p.sheets
