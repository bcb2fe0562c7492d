"""Brightness of every tissue, drawn at random: for training.

A network that has seen any contrast need not know the one in front of it (SynthSeg: Billot et al.
2023, doi:10.1016/j.media.2023.102789). Wholly random draws are mixed with draws around the families
that scanners make, because those are what it will meet.
"""

import numpy as np

from softseg.phantom.tissues import TISSUES

# Rough brightness by family: where random draws are centred, not a calibrated signal.
# Columns as below; grey and lesion as a factor on white matter.
_FAMILIES = {
    "t2w": (0.32, 1.10, 1.00, 0.45, 0.18, 0.05, 0.30, 0.12, 0.25, 0.10, 1.7),
    "t2star": (0.55, 1.15, 0.95, 0.60, 0.12, 0.05, 0.35, 0.45, 0.50, 1.00, 1.4),
    "t1w": (0.75, 0.90, 0.37, 1.10, 0.60, 0.10, 0.40, 0.50, 0.50, 0.60, 0.8),
    "mt-on": (0.40, 1.15, 0.75, 0.80, 0.20, 0.05, 0.35, 0.35, 0.45, 0.90, 1.4),
    "gre-t1w": (0.60, 1.00, 0.45, 0.80, 0.25, 0.05, 0.35, 0.55, 0.55, 1.00, 0.9),
    "dwi": (1.00, 1.00, 0.10, 0.15, 0.10, 0.03, 0.15, 0.15, 0.25, 0.05, 1.1),
    "epi": (0.70, 1.10, 1.00, 0.20, 0.15, 0.05, 0.30, 0.35, 0.40, 0.40, 1.3),
    "stir": (0.45, 1.10, 1.00, 0.08, 0.08, 0.04, 0.30, 0.25, 0.40, 0.30, 1.6),
    "inverted": (0.90, 0.75, 0.15, 1.00, 0.70, 0.30, 0.50, 0.60, 0.60, 0.40, 0.6),
}
_COLUMNS = ("cord", "grey", "csf", "fat", "marrow", "bone", "disc", "muscle", "soft", "vessel",
            "lesion")  # fmt: skip


def random_contrast(
    rng: np.random.Generator, *, families: float = 0.55, equal: float = 0.1
) -> np.ndarray:
    """Draw the brightness of each tissue.

    Args:
        rng: Source of randomness.
        families: Share of draws around a real family of contrasts; the rest is any contrast.
        equal: Share of all draws in which fluid and cord are about equally bright, as in some
            gradient-echo series.

    Returns:
        `(T,)` float32, not negative, cord about 0.1 to 1.

    Example:
        >>> random_contrast(np.random.default_rng(0)).shape == (len(TISSUES),)
        True
    """
    if rng.random() < families:
        family = list(_FAMILIES)[rng.integers(len(_FAMILIES))]
        draw = dict(zip(_COLUMNS, _FAMILIES[family], strict=True))
        spread = rng.uniform(0.05, 0.4)
        plain = {k: v for k, v in draw.items() if k not in ("grey", "lesion")}
        base = {k: v * rng.lognormal(0, spread) for k, v in plain.items()}
        # The fluid's ratio to the cord is the family's mark: half as much spread keeps it.
        base["csf"] = base["cord"] * draw["csf"] / draw["cord"] * rng.lognormal(0, spread / 2)
        base["grey"] = draw["grey"] * rng.lognormal(0, 0.05)
        base["lesion"] = draw["lesion"] * rng.lognormal(0, 0.15)
    else:
        base = {k: rng.uniform(0, 1) for k in _COLUMNS}
        base["cord"] = rng.uniform(0.12, 1)
        ends = (1.15, 3.5) if rng.random() < 0.5 else (0.0, 0.85)  # clearly brighter or darker
        base["csf"] = base["cord"] * rng.uniform(*ends)
        base["grey"] = rng.uniform(0.75, 1.3)
        base["lesion"] = rng.uniform(0.5, 2.0)
    if rng.random() < equal:
        base["csf"] = base["cord"] * rng.uniform(0.85, 1.2)
    return _all_tissues(base, rng)


def _all_tissues(base: dict[str, float], rng: np.random.Generator) -> np.ndarray:
    cord, fluid = base["cord"], base["csf"]

    def near(value: float, spread: float) -> float:
        return value * rng.lognormal(0, spread)

    # The cord's surface looks like nerve in one contrast and like fluid in another.
    towards_fluid = rng.uniform(0, 1) if rng.random() < 0.85 else rng.uniform(-0.4, 1.4)

    values = {
        "air": rng.uniform(0, 0.03),
        "white_matter": cord,
        "grey_matter": cord * base["grey"],
        "lesion": cord * base["lesion"],
        "oedema": cord * near(base["lesion"], 0.2),
        "cavity": near(fluid, 0.1),
        "pia": max(0.0, cord + towards_fluid * (fluid - cord)),
        "brainstem": near(cord, 0.06),
        "csf": fluid,
        "roots": near(0.7 * cord + 0.3 * fluid, 0.25),
        "dura": near(base["bone"] + 0.1, 0.4),
        "epidural_fat": near(base["fat"], 0.3),
        "marrow": base["marrow"],
        "cortical_bone": base["bone"] * 0.6,
        "disc": base["disc"],
        "muscle": base["muscle"],
        "fat": base["fat"],
        "skin": near(base["fat"] * 0.6, 0.4),
        "vessel": base["vessel"],
        "soft_tissue": base["soft"],
        "brain": near(cord, 0.15),
    }
    return np.array([values[name] for name in TISSUES], np.float32)


TEXTURE = {
    1.5: ("marrow", "soft_tissue", "epidural_fat"),
    1.0: ("muscle", "skin", "vessel"),
    0.8: ("fat", "disc", "brain"),
}
"""Relative strength of the grain within tissues; the cord is the most even of all."""
CORD_TEXTURE = 0.5
"""That of the cord and of what is not named: real cords vary by 8 to 20 % of their brightness,
noise included (measured on the images of `tables/calibration_contrast.csv`)."""


def grain_strengths() -> np.ndarray:
    """`(T,)` strength of the grain in each tissue."""
    named = {name: strength for strength, names in TEXTURE.items() for name in names}
    return np.array([named.get(name, CORD_TEXTURE) for name in TISSUES], np.float32)


def hidden_contrast(rng: np.random.Generator) -> np.ndarray:
    """Brightness as in computed tomography: bright bone, dark fat, and no cord to be seen.

    Returns:
        `(T,)` float32; nerve, fluid and what lies between them are equal.

    Example:
        >>> values = hidden_contrast(np.random.default_rng(0))
        >>> bool(values[TISSUES.index("csf")] == values[TISSUES.index("white_matter")])
        True
    """
    soft, bone = rng.uniform(0.3, 0.6), rng.uniform(0.8, 1.0)
    values = {"air": 0.0, "fat": soft * rng.uniform(0.6, 0.9), "cortical_bone": bone,
              "marrow": rng.uniform(soft, bone), "muscle": soft * rng.uniform(1, 1.1)}  # fmt: skip
    values["epidural_fat"] = values["fat"]
    return np.array([values.get(name, soft) for name in TISSUES], np.float32)
