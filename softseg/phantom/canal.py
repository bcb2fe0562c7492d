"""Inside the vertebral canal: nerve roots, fluid, dura, epidural fat and veins."""

import numpy as np

from softseg.phantom.composite import Composite, coverage
from softseg.phantom.cross_section import ellipse_distance, stroke_distance
from softseg.phantom.places import Places

CORD_ENDS_LEVEL = 20.0


def paint(places: Places, picture: Composite) -> None:
    """Put the canal's contents where the cord leaves room."""
    reach = np.flatnonzero(
        (places.across < places.here["sac_rl"] + 6 + places.width)
        & (np.abs(places.y) < places.here["sac_ap"] + 6 + places.width)
    )
    p = places.at(reach)
    sac = _sac_distance(p)
    in_sac = coverage(sac, p.width)
    picture.put("roots", _roots(p) * in_sac, reach)
    picture.put("roots", _cauda(p, sac) * in_sac, reach)
    artery = np.hypot(p.u, p.v - p.here["half_ap"] - 0.55) - 0.4
    picture.put("vessel", coverage(artery, p.width) * in_sac, reach)
    picture.put("csf", in_sac, reach)
    picture.put("dura", coverage(sac - p.choices["dura"], p.width), reach)
    behind = np.clip(-p.y / p.here["sac_ap"], 0, 1) ** 2
    # Epidural fat is thin behind the neck and thick behind the chest.
    lower = 0.4 + np.clip((p.here["level"] - 6) / 3, 0, 1)
    pad = 0.5 + 1.3 * lower * behind * (1 + 0.5 * p.slow[0])
    space = p.choices["dura"] + p.choices["epidural"] * pad
    vein = np.abs(p.across - p.here["sac_rl"] * 0.75) - 2.0
    venous = coverage(vein, 2.0) * coverage(-p.y, 2.0) * 0.6
    inside = coverage(sac - space, p.width)
    picture.put("vessel", inside * venous, reach)
    picture.put("epidural_fat", inside, reach)


def _sac_distance(p: Places) -> np.ndarray:
    """Distance to the dural sac: an ellipse, wider in front, dented by the vertebral body."""
    half_u, half_v = p.here["sac_rl"], p.here["sac_ap"]
    forward = np.clip(p.y / half_v, -1, 1)
    x = p.x / (1 + p.here["sac_taper"] * forward)
    middle = np.maximum(1 - (p.x / half_u) ** 2, 0)
    y = p.y + p.here["sac_dent"] * middle * np.maximum(forward, 0)
    return ellipse_distance(x, y, half_u, half_v)


def _cauda(p: Places, sac: np.ndarray) -> np.ndarray:
    """The bundle of roots that fills the rear of the sac below the end of the cord."""
    below = coverage((CORD_ENDS_LEVEL - p.here["level"]) * p.here["vertebra"], max(p.height, 8.0))
    strands = np.sin(2.6 * p.u + p.slow[0]) * np.sin(2.6 * p.v + p.slow[1])
    return below * coverage(p.y + 0.5, 3.0) * np.clip(0.35 + strands, 0, 1) * (sac < -0.8)


def _roots(p: Places) -> np.ndarray:
    """Rootlets between the cord and the foramina, bundles below the end of the cord."""
    radius = p.choices["roots"]
    half_u, half_v, side = p.here["half_rl"], p.here["half_ap"], p.here["sac_rl"]
    # A root leaves the sac a little below the disc and runs down to it.
    down = np.clip(p.below_disc_mm / 14.0, 0, 1)
    near_exit = coverage(np.abs(p.below_disc_mm - 7) - 7, max(p.height, 2.0))
    found = np.zeros_like(p.u)
    for sign, front in ((1, 0.0), (1, 1.0), (-1, 0.0), (-1, 1.0)):
        start_v = half_v * (0.72 if front else -0.68)
        start_u = sign * half_u * 0.62
        end_u, end_v = sign * side, p.here["sac_front"] + (0.8 if front else -0.8)
        far = 0.35 + 0.65 * (1 - down)
        tip = (start_u + far * (end_u - start_u), start_v + far * (end_v - start_v))
        away = stroke_distance(p.u, p.v, (start_u, start_v), tip, radius)
        found = np.maximum(found, coverage(away, max(p.width, radius)))
    return found * near_exit * min(1.0, 2 * radius / p.width)
