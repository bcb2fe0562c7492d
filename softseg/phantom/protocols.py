"""How each vendor images each contrast, and the volumes that a repeated scan is made of.

Facts of the Spine Generic protocol (Cohen-Adad et al. 2021, doi:10.1038/s41596-021-00588-0) as the
sidecars of its public data set report them (sites amu and unf for Siemens, vuiisAchieva for
Philips, tokyo750w for GE). Trains of inverted gradient echoes, noise and the CSF's flow are not in
the sidecars: the trains are as long as the vendor's readout usually is, noise and flow reproduce
what is measured on real images. The unseen contrasts use settings that are usual for them.

The CSF's `inflow` and `csf` are set by the fluid over the cord on real images of Siemens scanners,
of the Spine Generic protocol where there are any: T1w 0.37 (one participant), MT-on 1.46 to 1.62
(four), GRE-T1w 0.42 (one), T2w 3.65 (one; 3.2 to 5.0 in five of an earlier protocol). In diffusion
scans of two participants fluid has 0.77 and 0.93 of the cord's signal without weighting, and with
it as much as air, where noise is: flow dephases it. Other vendors' scanners are taken alike, but
for T2w, whose fluid is in that range as it is.

Point spread, too, is what the sidecars say. T2w is read in trains of 78 to 92 echoes along the
phase axis, front to back. Their refocusing angles vary so that signal lasts (Mugler 2014,
doi:10.1002/jmri.24542): with 87 pulses rising from 35 to 120 degrees, 3.8 ms apart, an extended
phase graph loses as much from the middle to the end of k-space as 54 ms of T2 decay, for the cord
(T2 75 ms) and for the pia (30 ms) alike. Echo-planar readouts last as many lines as
were encoded times their spacing. Fat is displaced by 434 Hz over the bandwidth for a millimetre.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from softseg.errors import InputError
from softseg.volume import Grid

TEXTURE_MM = 1.6
"""Size of the spots that make tissue uneven beyond noise: small vessels, motion, reconstruction."""

VENDORS = ("Siemens", "Philips", "GE")
"""Makers of scanners, as `participants.tsv` writes them."""


@dataclass(frozen=True)
class Protocol:
    """Settings of one sequence; times in seconds, angles in degrees.

    Attributes:
        sequence: Which signal equation of `softseg.phantom.signal` it obeys.
        tr_s: Time between excitations (between inversions for inverted gradient echoes).
        te_s: Echo times; several are combined by root mean square.
        flip_deg: Flip angles, one for each readout.
        ti_s: Inversion times, to the centre of each readout.
        echo_spacing_s, pulses: Readout of inverted gradient echoes.
        b_value: Diffusion weighting in s/mm².
        fibre_cosine: Cosine between diffusion gradient and fibres; None for the mean over all.
        mt: Whether a magnetisation transfer pulse precedes each excitation.
        fat_saturation: Fraction of fat's signal that is removed.
        inflow: Fraction of CSF that is fresh at each excitation because it flows.
        csf: Factor on the CSF's signal in spin echoes: what flow takes, what echo trains spare.
        noise: Standard deviation of noise in each channel, as a fraction of the cord's signal.
        texture: Standard deviation of tissue's brightness over `TEXTURE_MM`, relative.
        acquired: Fraction of the reconstructed matrix that was acquired, the rest zero-filled.
        train_s: Time of T2 decay from one end of k-space to the other in an echo train, along the
            phase axis.
        readout_s: Duration of an echo-planar readout of all of k-space along the phase axis.
        partial_fourier: Fraction of k-space that is read along the phase axis, the rest zero.
        fat_shift_mm: Displacement of fat at 3 T, along the readout; along the phase axis in
            echo-planar scans.
        slices: Number of slices of an axial stack, or None for a slab over the whole field.
    """

    sequence: str
    tr_s: float
    te_s: tuple[float, ...]
    flip_deg: tuple[float, ...]
    ti_s: tuple[float, ...] = ()
    echo_spacing_s: float = 0.0
    pulses: int = 0
    b_value: float = 0.0
    fibre_cosine: float | None = None
    mt: bool = False
    fat_saturation: float = 0.0
    inflow: float = 0.0
    csf: float = 1.0
    noise: float = 0.03
    texture: float = 0.04
    acquired: float = 1.0
    train_s: float = 0.0
    readout_s: float = 0.0
    partial_fourier: float = 1.0
    fat_shift_mm: float = 0.0
    slices: int | None = None


def _by_vendor(shared: Callable[..., Protocol], **settings: tuple) -> dict[str, Protocol]:
    """A sequence with the settings in which the scanners of `VENDORS` differ."""
    rows = zip(*settings.values(), strict=True)
    return {
        vendor: shared(**dict(zip(settings, row, strict=True)))
        for vendor, row in zip(VENDORS, rows, strict=True)
    }


PROTOCOLS: dict[str, dict[str, Protocol]] = {
    "DWI": _by_vendor(
        partial(
            Protocol, "diffusion_spin_echo", 4.5, flip_deg=(90.0,), b_value=800, csf=0.6,
            fat_saturation=0.95, fat_shift_mm=13.0, slices=15,
        ),
        te_s=((0.060,), (0.070,), (0.087,)),
        # 36 lines of 0.94 ms of which 31 are read, 65 of 0.77 (the bandwidth's inverse), 48 of 1.19
        readout_s=(0.034, 0.050, 0.057),
        partial_fourier=(31 / 36, 1.0, 1.0),
        noise=(0.035, 0.040, 0.050),
    ),
    "MT-on": _by_vendor(
        partial(Protocol, "gradient_echo", flip_deg=(9.0,), mt=True, inflow=0.015, slices=22),
        tr_s=(0.035, 0.057, 0.035),
        te_s=((0.0035,), (0.0020,), (0.0040,)),
        fat_shift_mm=(1.5, 1.5, 1.1),
        noise=(0.050, 0.050, 0.055),
    ),
    "GRE-T1w": _by_vendor(
        partial(Protocol, "gradient_echo", 0.015, flip_deg=(15.0,), inflow=0.015, slices=22),
        te_s=((0.0035,), (0.0020,), (0.0040,)),
        fat_shift_mm=(1.5, 1.5, 1.1),
        noise=(0.030, 0.030, 0.040),
    ),
    "T1w": _by_vendor(
        partial(
            Protocol, "inversion_gradient_echo", 2.0, flip_deg=(9.0,), ti_s=(1.0,), inflow=0.035,
            texture=0.025,
        ),
        te_s=((0.0037,), (0.0036,), (0.0019,)),
        echo_spacing_s=(0.0085, 0.0077, 0.0048),
        pulses=(130, 140, 200),
        fat_shift_mm=(2.3, 1.8, 0.4),
        noise=(0.021, 0.021, 0.035),
    ),
    "T2star": _by_vendor(
        partial(Protocol, "gradient_echo", flip_deg=(30.0,), inflow=0.35, texture=0.10, slices=15),
        tr_s=(0.600, 0.625, 0.660),
        te_s=(
            (0.0065, 0.0103, 0.0141, 0.0180, 0.0218),
            (0.0069, 0.0139, 0.0208),
            (0.0069, 0.0139, 0.0209),
        ),
        fat_shift_mm=(0.8, 1.3, 0.8),
        noise=(0.075, 0.065, 0.075),
    ),
    "T2w": _by_vendor(
        partial(Protocol, "turbo_spin_echo", flip_deg=(90.0,), texture=0.08, train_s=0.108),
        tr_s=(2.00, 3.50, 2.52),
        te_s=((0.120,), (0.120,), (0.128,)),
        csf=(1.27, 0.93, 0.93),
        fat_shift_mm=(0.6, 0.9, 0.7),
        noise=(0.110, 0.100, 0.120),
    ),
}  # fmt: skip
"""Protocol of each contrast and vendor, at 3 T."""
PROTOCOLS["b0"] = {v: replace(p, b_value=0, noise=0.030) for v, p in PROTOCOLS["DWI"].items()}
PROTOCOLS |= {name: dict.fromkeys(VENDORS, protocol) for name, protocol in {
    "UNIT1": Protocol(
        "two_inversions", 5.0, (0.0024,), (4.0, 5.0), ti_s=(0.7, 2.5), echo_spacing_s=0.0062,
        pulses=150, noise=0.02, fat_shift_mm=2.0,
    ),
    "STIR": Protocol(
        "inversion_turbo_spin_echo", 4.0, (0.036,), (90.0,), ti_s=(0.22,), noise=0.05, train_s=0.1
    ),
    "PSIR": Protocol(
        "phase_sensitive_inversion", 3.0, (0.012,), (90.0,), ti_s=(0.40,), noise=0.05, train_s=0.03
    ),
    "EPI": Protocol(
        "gradient_echo", 2.5, (0.03,), (80.0,), fat_saturation=0.95, inflow=0.1, noise=0.025,
        readout_s=0.035, fat_shift_mm=15.0, slices=15,
    ),
}.items()}  # fmt: skip


def imaged(contrasts: Iterable[str]) -> tuple[str, ...]:
    """Those of the contrasts that phantoms have images of."""
    return tuple(name for name in contrasts if name in PROTOCOLS)


def get_protocol(contrast: str, vendor: str = "Siemens") -> Protocol:
    """The protocol of a contrast on a vendor's scanner.

    Raises:
        InputError: If either is unknown, naming those that are.

    Example:
        >>> get_protocol("T2w", "Philips").tr_s
        3.5
    """
    if contrast not in PROTOCOLS:
        raise InputError(f"unknown contrast {contrast!r}; known are {', '.join(PROTOCOLS)}")
    if vendor not in VENDORS:
        raise InputError(f"unknown vendor {vendor!r}; known are {', '.join(VENDORS)}")
    return PROTOCOLS[contrast][vendor]


UNWEIGHTED, DIRECTIONS = 3, 15
"""Volumes of a diffusion series without and with weighting."""
FUNCTIONAL = 12
"""Volumes of a functional series."""
_PHYSIOLOGY = 0.01


@dataclass(frozen=True, eq=False)
class Shots:
    """The volumes that one contrast is made of, before any averaging.

    Attributes:
        protocols: One for each volume.
        averaged: `(V,)` which volumes the final image is the mean of.
        b_values: `(V,)` in s/mm², or None where nothing diffuses.
        directions: `(V, 3)` unit vectors along the array axes, 0 without weighting, or None.
        data: `(X, Y, Z, V)` whole numbers as the scanner stores them, once they are made.
    """

    protocols: tuple[Protocol, ...]
    averaged: np.ndarray
    b_values: np.ndarray | None = None
    directions: np.ndarray | None = None
    data: np.ndarray | None = None


def single(protocol: Protocol) -> Shots:
    """One volume, already averaged by the scanner."""
    return Shots((protocol,), np.ones(1, bool))


def repeated(contrast: str, protocol: Protocol) -> Shots:
    """The volumes behind a contrast's mean: diffusion directions or moments of a functional run.

    Each is noisier than the mean by the square root of their number. Contrasts that are not
    repeated give one volume.

    Example:
        >>> from softseg.phantom.protocols import get_protocol
        >>> len(repeated("DWI", get_protocol("DWI")).protocols)
        18
    """
    if contrast == "EPI":
        loud = replace(protocol, noise=protocol.noise * np.sqrt(FUNCTIONAL))
        return Shots((loud,) * FUNCTIONAL, np.ones(FUNCTIONAL, bool))
    if contrast != "DWI":
        return single(protocol)
    loud = replace(protocol, noise=protocol.noise * np.sqrt(DIRECTIONS))
    plain = replace(loud, b_value=0.0)
    spread = _spread_directions(DIRECTIONS)
    weighted = [replace(loud, fibre_cosine=float(abs(z))) for z in spread[:, 2]]
    return Shots(
        (plain,) * UNWEIGHTED + tuple(weighted),
        np.arange(UNWEIGHTED + DIRECTIONS) >= UNWEIGHTED,
        np.array([0.0] * UNWEIGHTED + [protocol.b_value] * DIRECTIONS),
        np.concatenate([np.zeros((UNWEIGHTED, 3)), spread]),
    )


def _spread_directions(count: int) -> np.ndarray:
    """`(count, 3)` unit vectors spread evenly over a half sphere, on a golden spiral."""
    z = (np.arange(count) + 0.5) / count
    angle = np.arange(count) * np.pi * (3 - np.sqrt(5))
    side = np.sqrt(1 - z**2)
    return np.stack([side * np.cos(angle), side * np.sin(angle), z], axis=1)


def unsteady(
    shots: Shots, grid: Grid, jitter_mm: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """How each volume is displaced along Y and brightened: participants breathe, swallow and drift.

    Returns:
        `(V, X, 1, Z)` displacement in voxels and `(V, 1, 1, 1, 1)` factors, 0 and 1 for one volume.
    """
    count = len(shots.protocols)
    shape = (count, grid.shape[0], 1, grid.shape[2])
    if count == 1:
        return np.zeros(shape, np.float32), np.ones((1, 1, 1, 1, 1), np.float32)
    drift = np.cumsum(rng.standard_normal(count)) / np.sqrt(count)
    beats = rng.standard_normal((count, 1, 1, grid.shape[2])) + drift[:, None, None, None]
    shift = np.broadcast_to(jitter_mm * beats / grid.spacing_mm[1], shape)
    factor = 1 + _PHYSIOLOGY * rng.standard_normal((count, 1, 1, 1, 1))
    return shift.astype(np.float32), factor.astype(np.float32)
