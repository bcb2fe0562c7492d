"""What can be wrong with a cord, with parameters, and the names that choose it.

Places along the cord are level coordinates: 5.0 is the disc above C5, 5.5 the middle of C5.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from softseg.errors import InputError


@dataclass(frozen=True)
class Compression:
    """A disc or spur that flattens the cord from the front.

    Attributes:
        level: Level coordinate of the worst place.
        flattening: Loss of anterior-posterior diameter there, 0.1 to 0.5.
        length_mm: Standard deviation of the flattening along the cord.
        widening: Gain of right-left diameter for a unit of flattening.
    """

    level: float
    flattening: float
    length_mm: float = 6.0
    widening: float = 0.25


@dataclass(frozen=True)
class Lesion:
    """A demyelinated spot as in multiple sclerosis: an ellipsoid inside the cord.

    Attributes:
        level: Level coordinate of its centre.
        right, front: Its centre as fractions of the cord's half diameters.
        radius_mm: Half its width across the cord.
        length_mm: Half its length along the cord.
    """

    level: float
    right: float
    front: float
    radius_mm: float
    length_mm: float


@dataclass(frozen=True)
class Injury:
    """Oedema around a fluid-filled cavity after cord injury.

    Attributes:
        level: Level coordinate of the centre.
        oedema_mm: Half the oedema's length along the cord.
        cavity: Cavity's diameter as a fraction of the cord's, 0 for none.
        cavity_mm: Half the cavity's length.
        swelling: Relative gain of area at the centre.
    """

    level: float
    oedema_mm: float
    cavity: float = 0.4
    cavity_mm: float = 8.0
    swelling: float = 0.0


@dataclass(frozen=True)
class Pathology:
    """All that is wrong with one cord.

    Attributes:
        name: Key for tables: names of `PATHOLOGIES`, joined with `+`.
        compressions, lesions, injury: See their classes.
        atrophy_percent: Exact loss of cross-sectional area along the whole cord.
        local_atrophy: `(first level, last level, percent)`: the same between two level coordinates,
            fading out over 8 mm.
    """

    name: str = "healthy"
    compressions: tuple[Compression, ...] = ()
    lesions: tuple[Lesion, ...] = ()
    injury: Injury | None = None
    atrophy_percent: float = 0.0
    local_atrophy: tuple[float, float, float] | None = None


HEALTHY = Pathology()


def parse_pathology(text: str, rng: np.random.Generator) -> Pathology:
    """Read `name` or `name=number`, and draw what the text leaves open.

    The number is the flattening in per cent (compression), the number of lesions, the cavity's
    diameter in per cent of the cord (injury) or the loss of area in per cent (atrophy). Several
    join with `+`: `compression=30+atrophy=5`.

    Raises:
        InputError: If a name is unknown or a number is out of range.

    Example:
        >>> parse_pathology("atrophy=5", np.random.default_rng(0)).atrophy_percent
        5.0
    """
    result = HEALTHY
    for part in text.split("+"):
        name, _, number = part.strip().partition("=")
        if name not in _DRAWN:
            raise InputError(
                f"pathology {part.strip()!r}: unknown; known are {', '.join(PATHOLOGIES)}"
            )
        changed, usual, limits = _DRAWN[name]
        value = _number(name, number, *limits) if number else usual(rng)
        joined = name if result is HEALTHY else f"{result.name}+{name}"
        result = replace(result, name=joined, **changed(value, rng))
    return result


def _number(name: str, text: str, low: float, high: float) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise InputError(f"pathology {name}: a number must follow '=', found {text!r}") from error
    if not low <= value <= high:
        raise InputError(f"pathology {name}: must lie in {low:g} to {high:g}, found {value:g}")
    return value


def _compression(percent: float, rng: np.random.Generator) -> dict:
    # Discs C4-C5 to C6-C7 are where cervical discs degenerate first.
    worst = Compression(float(rng.choice([5.0, 6.0, 7.0])), percent / 100, rng.uniform(4, 9))
    found = [worst]
    if rng.random() < 0.4:
        other = worst.level + float(rng.choice([-1.0, 1.0]))
        found.append(
            Compression(other, worst.flattening * rng.uniform(0.3, 0.8), rng.uniform(4, 8))
        )
    return {"compressions": tuple(found)}


def _lesions(count: float, rng: np.random.Generator) -> dict:
    found = []
    for _ in range(int(count)):
        angle = rng.uniform(0, 2 * np.pi)
        away = rng.uniform(0.2, 0.65)
        place = (away * np.cos(angle), away * np.sin(angle))
        found.append(Lesion(rng.uniform(1.5, 8.5), *place, rng.uniform(1, 2.4), rng.uniform(3, 12)))
    return {"lesions": tuple(found)}


def _injury(percent: float, rng: np.random.Generator) -> dict:
    injury = Injury(
        level=rng.uniform(4.5, 7.5),
        oedema_mm=rng.uniform(8, 25),
        cavity=percent / 100,
        cavity_mm=rng.uniform(4, 12),
        swelling=rng.uniform(-0.15, 0.1),
    )
    return {"injury": injury}


def _local_atrophy(percent: float, rng: np.random.Generator) -> dict:
    first = float(rng.integers(2, 7))
    return {"local_atrophy": (first, first + float(rng.integers(1, 3)), percent)}


_DRAWN: dict[str, tuple[Callable, Callable, tuple[float, float]]] = {
    "healthy": (lambda _, rng: {}, lambda rng: 0.0, (-np.inf, np.inf)),
    "compression": (_compression, lambda rng: rng.uniform(10, 50), (10, 50)),
    "lesions": (_lesions, lambda rng: rng.integers(1, 5), (1, 20)),
    "injury": (_injury, lambda rng: rng.uniform(0, 60), (0, 70)),
    "atrophy": (lambda loss, _: {"atrophy_percent": loss}, lambda rng: rng.uniform(2, 20), (0, 60)),
    "local-atrophy": (_local_atrophy, lambda rng: rng.uniform(5, 30), (0, 60)),
}
"""What a number changes, how it is drawn where the text leaves it open, and its limits."""
PATHOLOGIES = tuple(_DRAWN)
"""Names that `parse_pathology` knows."""
