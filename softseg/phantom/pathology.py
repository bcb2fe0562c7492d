"""What can be wrong with a cord, with parameters, and the names that choose it.

Places along the cord are level coordinates: 5.0 is the disc above C5, 5.5 the middle of C5.
"""

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
PATHOLOGIES = ("healthy", "compression", "lesions", "injury", "atrophy", "local-atrophy")
"""Names that `parse_pathology` knows."""


def parse_pathology(text: str, rng: np.random.Generator) -> Pathology:
    """Read `name` or `name=number`, and draw what the text leaves open.

    The number is the flattening in per cent (compression), the number of lesions, the cavity's
    diameter in per cent of the cord (injury) or the loss of area in per cent (atrophy). Several
    join with `+`: `compression=30+atrophy=5`.

    Args:
        text: What to draw.
        rng: Source of randomness.

    Raises:
        InputError: If a name is unknown or a number is out of range.

    Example:
        >>> parse_pathology("atrophy=5", np.random.default_rng(0)).atrophy_percent
        5.0
    """
    result = HEALTHY
    for part in text.split("+"):
        name, _, number = part.strip().partition("=")
        value = _number(part, number) if number else None
        if name not in PATHOLOGIES:
            raise InputError(
                f"pathology {part.strip()!r}: unknown; known are {', '.join(PATHOLOGIES)}"
            )
        joined = name if result is HEALTHY else f"{result.name}+{name}"
        result = replace(_DRAW[name](result, value, rng), name=joined)
    return result


def _number(part: str, number: str) -> float:
    try:
        return float(number)
    except ValueError as error:
        raise InputError(
            f"pathology {part!r}: a number must follow '=', found {number!r}"
        ) from error


def _within(name: str, value: float, low: float, high: float) -> float:
    if not low <= value <= high:
        raise InputError(f"pathology {name}: must lie in {low:g} to {high:g}, found {value:g}")
    return value


def _healthy(so_far: Pathology, value: float | None, rng: np.random.Generator) -> Pathology:
    return so_far


def _compression(so_far: Pathology, value: float | None, rng: np.random.Generator) -> Pathology:
    percent = rng.uniform(10, 50) if value is None else _within("compression", value, 10, 50)
    # Discs C4-C5 to C6-C7 are where cervical discs degenerate first.
    worst = Compression(float(rng.choice([5.0, 6.0, 7.0])), percent / 100, rng.uniform(4, 9))
    found = [worst]
    if rng.random() < 0.4:
        other = worst.level + float(rng.choice([-1.0, 1.0]))
        found.append(
            Compression(other, worst.flattening * rng.uniform(0.3, 0.8), rng.uniform(4, 8))
        )
    return replace(so_far, compressions=tuple(found))


def _lesions(so_far: Pathology, value: float | None, rng: np.random.Generator) -> Pathology:
    count = int(rng.integers(1, 5)) if value is None else int(_within("lesions", value, 1, 20))
    found = []
    for _ in range(count):
        angle = rng.uniform(0, 2 * np.pi)
        away = rng.uniform(0.2, 0.65)
        place = (away * np.cos(angle), away * np.sin(angle))
        found.append(Lesion(rng.uniform(1.5, 8.5), *place, rng.uniform(1, 2.4), rng.uniform(3, 12)))
    return replace(so_far, lesions=tuple(found))


def _injury(so_far: Pathology, value: float | None, rng: np.random.Generator) -> Pathology:
    percent = rng.uniform(0, 60) if value is None else _within("injury", value, 0, 70)
    injury = Injury(
        level=rng.uniform(4.5, 7.5),
        oedema_mm=rng.uniform(8, 25),
        cavity=percent / 100,
        cavity_mm=rng.uniform(4, 12),
        swelling=rng.uniform(-0.15, 0.1),
    )
    return replace(so_far, injury=injury)


def _atrophy(so_far: Pathology, value: float | None, rng: np.random.Generator) -> Pathology:
    percent = rng.uniform(2, 20) if value is None else _within("atrophy", value, 0, 60)
    return replace(so_far, atrophy_percent=float(percent))


def _local_atrophy(so_far: Pathology, value: float | None, rng: np.random.Generator) -> Pathology:
    percent = rng.uniform(5, 30) if value is None else _within("local-atrophy", value, 0, 60)
    first = float(rng.integers(2, 7))
    return replace(so_far, local_atrophy=(first, first + float(rng.integers(1, 3)), percent))


_DRAW = {
    "healthy": _healthy,
    "compression": _compression,
    "lesions": _lesions,
    "injury": _injury,
    "atrophy": _atrophy,
    "local-atrophy": _local_atrophy,
}
