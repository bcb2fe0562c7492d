"""The vertebral canal and the bones around it: roots, fluid, dura, fat and veins; bodies, discs,
arches, processes, and the vertebral arteries beside them.
"""

import numpy as np

from softseg.phantom.cord_geometry import ellipse_distance, stroke_distance
from softseg.phantom.surroundings import Composite, VoxelBatch, coverage

CAUDA_LEVEL = 17.3
"""Level coordinate (T10) below which roots of the cauda equina lie beside the cord."""


def paint_canal(batch: VoxelBatch, picture: Composite) -> None:
    """Put the canal's contents where the cord leaves room."""
    reach = np.flatnonzero(
        (batch.across < batch.here["sac_rl"] + 6 + batch.width)
        & (np.abs(batch.y) < batch.here["sac_ap"] + 6 + batch.width)
    )
    p = batch.at(reach)
    sac = _sac_distance(p)
    in_sac = coverage(sac, p.width)
    fluid = np.flatnonzero((in_sac > 0) & (picture.left[reach] > 0))
    _in_fluid(p.at(fluid), picture, reach[fluid], in_sac[fluid])
    picture.put("csf", in_sac, reach)
    # Where fat or a vein lies against the dura, it is too thin to be seen.
    seen = np.clip(p.choices["dura_seen"] + 0.7 * p.fast[0] + 0.3 * (p.y > 0), 0, 1)
    picture.put("dura", coverage(sac - p.choices["dura"], p.width) * seen, reach)
    behind = np.clip(-p.y / p.here["sac_ap"], 0, 1) ** 2
    # Epidural fat is thin behind the neck and thick behind the chest; in the loins a pad in each
    # gap between laminae, in the sacrum all around the end of the sac.
    gap = 1 + 0.12 * p.here["fat_behind"] * np.cos(2 * np.pi * p.phase_mm / p.here["vertebra"])
    pad = 0.5 + 1.3 * p.here["fat_behind"] * behind * gap * (1 + 0.5 * p.slow[0])
    space = p.choices["dura"] + p.choices["epidural"] * pad
    vein = np.abs(p.across - p.here["sac_rl"] * 0.75) - 2.0
    venous = coverage(vein, 2.0) * coverage(-p.y, 2.0) * 0.6
    canal = np.where(p.here["sac_share"] < 1, _sac_distance(p, whole=True), sac)
    inside = coverage(canal - space, p.width)
    picture.put("vessel", inside * venous, reach)
    picture.put("epidural_fat", inside, reach)


def _sac_distance(p: VoxelBatch, *, whole: bool = False) -> np.ndarray:
    """Distance to the dural sac: an ellipse, wider in front, dented by the vertebral body.

    `whole` is the canal around it, which stays wide where the sac tapers to its end.
    """
    share = 1.0 if whole else p.here["sac_share"]
    half_u, half_v = p.here["sac_rl"] * share, p.here["sac_ap"] * share
    forward = np.clip(p.y / half_v, -1, 1)
    x = p.x / (1 + p.here["sac_taper"] * forward)
    middle = np.maximum(1 - (p.x / half_u) ** 2, 0)
    y = p.y + p.here["sac_dent"] * middle * np.maximum(forward, 0)
    return ellipse_distance(x, y, half_u, half_v)


def _cauda(p: VoxelBatch) -> np.ndarray:
    """Roots that float in the sac, each of which turns to the side where it leaves."""
    start, leaves, angle, depth, radius, phase = p.surroundings.strands.T[:, :, None]  # (K, 1)
    level, share = p.here["level"], p.here["sac_share"]
    left_mm = (leaves - level) * p.here["vertebra"]  # (K, P)
    near = np.clip(1 - left_mm / 28, 0, 1)
    side = np.copysign(np.float32(1.6), angle)
    turned = angle + (side - angle) * near**2 + 0.12 * np.sin(p.s / 9 + phase)
    reach = depth + (0.95 - depth) * near
    across = p.x - p.here["sac_rl"] * share * reach * np.sin(turned)
    away = np.hypot(across, p.y + p.here["sac_ap"] * share * reach * np.cos(turned))
    shares = np.clip(0.5 - (away - radius) / np.maximum(p.width, radius), 0, 1)
    shares *= np.minimum(1, 2 * radius / p.width) * (level > start) * (left_mm > 0)
    filum = coverage(np.hypot(p.u, p.v) - 0.6, max(p.width, 0.6)) * min(1.0, 1.2 / p.width)
    return np.minimum(shares.sum(axis=0) + filum, 1)


def _in_fluid(p: VoxelBatch, picture: Composite, index: np.ndarray, in_sac: np.ndarray) -> None:
    """What touches the cord in its fluid: rootlets, ligaments and vessels; below it the roots."""
    low = np.flatnonzero(p.here["level"] > CAUDA_LEVEL)
    if len(low):
        picture.put("roots", _cauda(p.at(low)) * in_sac[low], index[low])
    upper = np.flatnonzero(p.here["level"] < CAUDA_LEVEL + 2)
    if len(upper):
        p, index, in_sac = p.at(upper), index[upper], in_sac[upper]
        picture.put("roots", _rootlets(p) * in_sac, index)
        picture.put("vessel", _surface_vessels(p) * in_sac, index)
        picture.put("dura", _ligaments(p) * in_sac, index)


def _thread(p: VoxelBatch, away: np.ndarray, radius: float) -> np.ndarray:
    """Share of a thread that may be thinner than a voxel, at a distance from its surface."""
    return coverage(away, max(p.width, radius)) * min(1.0, 2 * radius / p.width)


def _rootlets(p: VoxelBatch) -> np.ndarray:
    """Dorsal and ventral rootlets, which fan out from the foramina to the cord's surface."""
    half_u, half_v = p.seen
    # A root leaves the sac a little below the disc and runs down to it.
    far = 1 - 0.65 * np.clip(p.below_disc_mm / 15.0, 0, 1)
    near_exit = coverage(np.abs(p.below_disc_mm - 8) - 8, max(p.height, 2.0))
    found = np.zeros_like(p.u)
    for angle, radius, phase in p.surroundings.rootlets:
        turned = angle + 0.08 * np.sin(p.s / 7 + phase)
        start_u, start_v = 0.96 * half_u * np.cos(turned), 0.96 * half_v * np.sin(turned)
        side = p.here["sac_right"] + np.sign(np.cos(angle)) * p.here["sac_rl"]
        height = p.here["sac_front"] + 0.8 * np.sign(angle)
        tip = (start_u + far * (side - start_u), start_v + far * (height - start_v))
        away = stroke_distance(p.u, p.v, (start_u, start_v), tip, radius)
        filaments = 0.65 + 0.35 * np.sin(p.s * 1.7 + phase) * min(1.0, 1.5 / p.height)
        found = np.maximum(found, _thread(p, away, radius) * filaments)
    return found * near_exit


def _surface_vessels(p: VoxelBatch) -> np.ndarray:
    """Winding arteries and veins on the cord's visible surface."""
    half_u, half_v = p.seen
    found = np.zeros_like(p.u)
    for angle, radius, phase in p.surroundings.vessels:
        turned = angle + 0.14 * np.sin(p.s / (6 + 2 * phase) + phase)
        across = p.u - (half_u + radius) * np.cos(turned)
        away = np.hypot(across, p.v - (half_v + radius) * np.sin(turned)) - radius
        found = np.maximum(found, _thread(p, away, radius))
    return found


def _ligaments(p: VoxelBatch) -> np.ndarray:
    """Denticulate ligaments: a thin sheet on each side of the cord, whose teeth reach the dura."""
    radius = p.choices["ligament"]
    if not radius:
        return np.zeros_like(p.u)
    half_u, _ = p.seen
    tooth = np.clip(1 - np.abs(p.below_disc_mm - 0.6 * p.here["vertebra"]) / 5, 0, 1)
    height = 0.4 * p.here["sac_front"]
    found = np.zeros_like(p.u)
    for sign, bent in zip((1, -1), p.slow, strict=True):
        start, end = sign * 0.97 * half_u, p.here["sac_right"] + sign * p.here["sac_rl"]
        far = np.clip(0.25 + 0.75 * tooth + 0.1 * bent, 0.1, 1)
        tip = (start + far * (end - start), height + 0.7 * bent)
        away = stroke_distance(p.u, p.v, (start, height), tip, radius)
        found = np.maximum(found, _thread(p, away, radius))
    return found


def paint_bones(batch: VoxelBatch, picture: Composite) -> None:
    """Put the spine around the canal."""
    near = (batch.across < 44) & (np.abs(batch.y) < 62) & (batch.here["level"] > 0.2)
    index = np.flatnonzero(near)
    if not len(index):
        return
    p = batch.at(index)
    _body(p, picture, index)
    _atlas(p, picture, index)
    _arteries_and_foramina(p, picture, index)
    _arch(p, picture, index)


def _body(p: VoxelBatch, picture: Composite, index: np.ndarray) -> None:
    # A disc that bulges into the canal does not move its front.
    half_u, half_v = p.here["body_width"], p.here["body_depth"] + p.here["bulge"] / 2
    # A flat back wall: the ellipse's rear is squeezed.
    y = p.y - p.wall - half_v
    y = np.where(y < 0, y * np.sqrt(1 + 0.35 * (p.x / half_u) ** 2), y)
    box = ellipse_distance(
        p.x + 0.4 * p.slow[0], y + 0.3 * p.slow[1], half_u, half_v, boxiness=p.choices["boxy"]
    )
    # Bodies are narrow in the middle, and discs thick in the middle and dark outside.
    box = box - p.choices["concave"] * np.cos(2 * np.pi * p.phase_mm / p.here["vertebra"])
    box = np.maximum(box, (1.05 - p.here["level"]) * 15)  # the tip of the dens
    outside = coverage(box, p.width)
    within = np.clip(-box / half_v, 0, 1)
    half_disc = p.choices["disc_height"] / 2 * p.here["vertebra"] * (0.8 + 0.6 * within)
    mobile = (p.here["level"] > 2.5) & (p.here["level"] < 25.4)
    in_disc = coverage(p.phase_mm - half_disc, p.height) * mobile
    plate = coverage(p.phase_mm - half_disc - 0.7, p.height) * mobile
    shell = p.choices["shell"] * 0.6
    in_disc = coverage(box - p.choices["disc_bulge"] * (p.y > p.wall), p.width) * in_disc
    picture.put("cortical_bone", in_disc * p.choices["annulus"] * (1 - 2 * within).clip(0), index)
    picture.put("disc", in_disc, index)
    picture.put("cortical_bone", outside * np.maximum(plate - in_disc, 0), index)
    vein = coverage(np.hypot(p.x, p.here["vertebra"] / 2 - p.phase_mm) - 1, max(p.width, p.height))
    behind = coverage(y + half_v / 2, 4.0) * mobile
    picture.put("vessel", 0.5 * vein * behind * outside, index)
    picture.put("marrow", coverage(box + shell, p.width) * (1 - plate), index)
    picture.put("cortical_bone", coverage(box - 0.5, p.width), index)


def _atlas(p: VoxelBatch, picture: Composite, index: np.ndarray) -> None:
    """Anterior arch in front of the dens, and the atlas's lateral masses."""
    here = coverage(np.abs(p.here["level"] - 1.55) * 15 - 6.5, p.height)
    if not here.any():
        return
    reach = p.wall + 2 * p.here["body_depth"] + 3.5 - 0.02 * p.x**2
    arch = stroke_distance(p.across, p.y - reach, (0, 0), (9, 0), 2.8)
    mass = ellipse_distance(p.across - p.here["sac_rl"] - 6.5, p.y - 4, 7.0, 6.5)
    for shape in (arch, mass):
        picture.put("marrow", coverage(shape + 1.2, p.width) * here, index)
        picture.put("cortical_bone", coverage(shape, p.width) * here, index)


def _arteries_and_foramina(p: VoxelBatch, picture: Composite, index: np.ndarray) -> None:
    level = p.here["level"]
    cervical = coverage((level - 7.2) * 16, p.height)
    for sign, name, bent in ((1, "artery_right", p.slow[0]), (-1, "artery_left", p.slow[1])):
        away = p.x - sign * (p.here["sac_rl"] + 5.5) - 1.2 * bent
        artery = np.hypot(away, p.y - p.wall + 1.5 - bent) - p.choices[name]
        picture.put("vessel", coverage(artery, p.width) * cervical, index)
        # Between discs it runs through a ring of bone.
        ring = coverage(artery - 2.4, p.width) * coverage(6.5 - p.phase_mm, p.height) * cervical
        picture.put("epidural_fat", coverage(artery - 1, p.width) * cervical, index)
        picture.put("cortical_bone", ring * (level > 1.1), index)
    at_disc = coverage(p.phase_mm - 0.28 * p.here["vertebra"], p.height) * (level > 2.2)
    # The foramen runs forward and outward; the root lies in fat and veins.
    start, end = (p.here["sac_rl"] + 0.5, 0.0), (p.here["sac_rl"] + 9.0, 4.0)
    root = stroke_distance(p.across, p.y, start, end, 1.1, 2.0)
    picture.put("roots", coverage(root, p.width) * at_disc, index)
    picture.put("epidural_fat", coverage(root - 1.1, p.width) * at_disc, index)


def _arch(p: VoxelBatch, picture: Composite, index: np.ndarray) -> None:
    """Pedicles, articular pillars, laminae, spinous processes, ligaments between them."""
    fat = p.choices["epidural"] * 1.5 * (0.1 + p.here["fat_behind"])
    side, back = p.here["sac_rl"], -(p.here["sac_ap"] + fat + 0.8)
    shell = p.choices["shell"]
    bony = p.here["level"] > 1.05
    thoracic = np.clip((p.here["level"] - 7) / 2, 0, 1)
    inner = (side + 4.5 - 2 * thoracic, -1.0 - 3 * thoracic)
    outer = (side + 11.0 - 2 * thoracic, -5.0 - 4 * thoracic)
    pillar = stroke_distance(
        p.across + 0.6 * p.slow[0], p.y + 0.6 * p.slow[1], inner, outer, 4.2, 4.6
    )
    joint = coverage(np.abs(p.phase_mm + 0.35 * (p.y + 2)) - 0.6, p.height)
    lamina_here = coverage(np.abs(p.below_disc_mm / p.here["vertebra"] - 0.62) * 16 - 5.5, p.height)
    corner, apex = (side + 2.0, -3.5 - 0.2 * side), (0.6, back - 2.4)
    lamina = stroke_distance(p.across, p.y, corner, apex, 2.3, 2.5)
    ligament = stroke_distance(p.across, p.y, corner, apex, 1.0, 1.4)
    # Spinous processes slope down, so their slab lies lower the further behind.
    slope = 0.35 + 0.5 * thoracic
    drop = p.below_disc_mm - slope * np.maximum(0, back - p.y)
    drop = drop % np.maximum(p.here["vertebra"], 1)
    process_here = coverage(np.abs(drop - 0.62 * p.here["vertebra"]) - 4.2, p.height)
    tip = (0.3 * p.slow[0], back - 3 - p.here["spinous"])
    process = stroke_distance(p.x, p.y, (0.0, back - 2.4), tip, 1.8, 3.2)
    picture.put("cortical_bone", coverage(pillar, p.width) * joint * bony, index)
    for shape, where, thickness in (
        (pillar, 1.0, shell),
        (lamina, lamina_here, shell * 0.9),
        (process, process_here, shell * 0.9),
    ):
        picture.put("marrow", coverage(shape + thickness, p.width) * where * bony, index)
        picture.put("cortical_bone", coverage(shape, p.width) * where * bony, index)
    picture.put("cortical_bone", coverage(ligament, p.width) * 0.8 * bony, index)
    between = stroke_distance(p.x, p.y, (0.0, back - 2.4), tip, 0.7, 1.2)
    picture.put("cortical_bone", coverage(between, p.width) * 0.6 * bony, index)
