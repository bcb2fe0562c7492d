"""Inside the cord and its rim: which tissue a point is made of."""

import numpy as np

from softseg.phantom.anatomy import Anatomy
from softseg.phantom.composite import coverage
from softseg.phantom.pathology import Injury, Lesion
from softseg.phantom.profiles import NAMES, RIM_MM, Profiles


def cord_points(
    anatomy: Anatomy, s: np.ndarray, u: np.ndarray, v: np.ndarray, width: float, height: float
) -> dict[str, np.ndarray]:
    """Fractions of what lies inside cord and rim at points of a given extent.

    Args:
        anatomy: Whose cord.
        s, u, v: `(P,)` places.
        width: Extent of a point across the cord, in millimetres.
        height: Extent along it.

    Returns:
        Tissue -> `(P,)` fractions; the `CORD_TISSUES` among them add up to the cord's.
    """
    here = profiles_at(anatomy, s)
    half_u, half_v = here["half_rl"], here["half_ap"]
    cosine, sine = np.cos(here["twist"]), np.sin(here["twist"])
    x, y = u * cosine + v * sine, v * cosine - u * sine
    edge = anatomy.outline.distance(x, y, half_u, half_v)
    # Points of width w cover π w² / 12 too much of any convex outline; its perimeter shares that.
    edge = edge + width**2 / (24 * np.sqrt((half_u**2 + half_v**2) / 2))
    inside = coverage(edge, width)
    rim = np.clip(here["rim"] * (1 + 0.3 * y / half_v), *RIM_MM)
    with_rim = coverage(edge - rim, width)
    below = coverage(s - anatomy.profiles.top_mm, height)
    cord = inside * below * coverage(anatomy.profiles.bottom_mm - s, height)
    horns = anatomy.butterfly.distance(x, y, half_u, half_v)
    grey = coverage(horns - here["grey"], width)
    found = {
        "grey_matter": cord * grey,
        "white_matter": cord * (1 - grey),
        "rim": (with_rim - inside) * below * coverage(anatomy.profiles.bottom_mm - s, height),
        "brainstem": with_rim * (1 - below),
    }
    for lesion in anatomy.pathology.lesions:
        spot = _lesion(lesion, anatomy.profiles, s, x, y, half_u, half_v, width)
        _replace(found, "lesion", spot)
    if anatomy.pathology.injury is not None:
        for tissue, share in _injury(anatomy, s, x, y, here, width).items():
            _replace(found, tissue, share)
    return found


def profiles_at(anatomy: Anatomy, s: np.ndarray) -> dict[str, np.ndarray]:
    """The anatomy's profiles at arc lengths, by name."""
    rows = anatomy.centreline.look_up(anatomy.profiles.table, s)
    return {name: rows[:, i] for i, name in enumerate(NAMES)}


def _replace(found: dict[str, np.ndarray], tissue: str, share: np.ndarray) -> None:
    """Turn a share of all cord tissue into another."""
    taken = np.zeros_like(share)
    for other in ("white_matter", "grey_matter", "lesion", "oedema"):
        if other in found and other != tissue:
            taken += found[other] * share
            found[other] = found[other] * (1 - share)
    found[tissue] = found.get(tissue, 0) + taken


def _lesion(lesion: Lesion, profiles: Profiles, s, x, y, half_u, half_v, width) -> np.ndarray:
    across = np.hypot(x - lesion.right * half_u, y - lesion.front * half_v) / lesion.radius_mm
    along = (s - profiles.arc_length(lesion.level)) / lesion.length_mm
    reach = np.sqrt(across**2 + along**2)
    return coverage((reach - 1) * lesion.radius_mm, max(width, 0.6))


def _injury(anatomy: Anatomy, s, x, y, here, width) -> dict[str, np.ndarray]:
    """Oedema that fades out along the cord, and a cavity in its middle."""
    injury: Injury = anatomy.pathology.injury
    along = s - anatomy.profiles.arc_length(injury.level)
    relative = np.hypot(x / here["half_rl"], y / here["half_ap"])
    length = injury.oedema_mm * (1.15 - 0.3 * relative)
    found = {"oedema": coverage(np.abs(along) - length, 4.0) * 0.9}
    if injury.cavity > 0:
        room = np.sqrt(np.clip(1 - (along / injury.cavity_mm) ** 2, 0, 1))
        edge = (relative - injury.cavity * room) * here["half_ap"]
        found["cavity"] = coverage(edge, max(width, 0.3)) * (room > 0)
    return found
