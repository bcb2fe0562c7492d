"""Brightness by physics: each sequence's signal equation applied to the tissue table.

A voxel of several tissues is the sum of what they emit, so signals are kept as *channels* that mix
linearly (echoes, the two readouts of MP2RAGE, signed inversion recoveries), and `combine` makes the
picture out of the mixed channels as the scanner does.
"""

from collections.abc import Callable

import numpy as np

from softseg.phantom.protocols import Protocol, get_protocol
from softseg.phantom.tissues import LIKE, Tissue, tissue_properties, tissue_table

_DIRECTIONS = np.linspace(0, 1, 101)
"""Cosines between gradient and fibre, uniform for directions spread over a sphere."""
_ARTERIAL_INFLOW = 0.24
"""Fraction of arterial blood that is fresh at each excitation of a gradient echo, at least."""
_FLOW_DEPHASING_S = 0.03
"""In which pulsating blood of the neck's arteries loses its phase (estimated)."""
_FAT_SHIFT_HZ_PER_T = 3.4 * 42.577
"""Fat's protons turn 3.4 ppm slower than water's."""


def gradient_echo(tissue: Tissue, protocol: Protocol) -> np.ndarray:
    """Spoiled gradient echo in steady state (Ernst), one value for each echo.

    `S = ρ sin α (1-E1) / (1 - E1 cos α) · exp(-TE/T2*)`, `E1 = exp(-TR/T1)`.
    """
    flip = np.deg2rad(protocol.flip_deg[0])
    recovery = np.exp(-protocol.tr_s / tissue.t1_s)
    steady = np.sin(flip) * (1 - recovery) / (1 - np.cos(flip) * recovery)
    kept = 1 - tissue.mtr if protocol.mt else 1.0
    return tissue.proton_density * kept * steady * _decay(protocol, tissue.t2star_s)


def turbo_spin_echo(tissue: Tissue, protocol: Protocol) -> np.ndarray:
    """Echo train read at its effective echo time, `S = ρ (1-exp(-TR/T1)) exp(-TE/T2)`."""
    recovered = 1 - np.exp(-protocol.tr_s / tissue.t1_s)
    return tissue.proton_density * recovered * _decay(protocol, tissue.t2_train_s)


def inversion_turbo_spin_echo(tissue: Tissue, protocol: Protocol) -> np.ndarray:
    """Inverted echo train, with its sign: `ρ (1 - 2 exp(-TI/T1) + exp(-TR/T1)) exp(-TE/T2)`."""
    inverted = 2 * np.exp(-protocol.ti_s[0] / tissue.t1_s)
    recovered = 1 - inverted + np.exp(-protocol.tr_s / tissue.t1_s)
    return tissue.proton_density * recovered * _decay(protocol, tissue.t2_train_s)


def diffusion_spin_echo(tissue: Tissue, protocol: Protocol) -> np.ndarray:
    """Spin echo with a diffusion gradient in one direction, or averaged over all of them.

    `S = ρ (1-exp(-TR/T1)) exp(-TE/T2) · ⟨exp(-b (D⊥ + (D∥-D⊥) cos²θ))⟩`.
    """
    along = tissue.axial_mm2_s - tissue.radial_mm2_s
    cosine = _DIRECTIONS if protocol.fibre_cosine is None else protocol.fibre_cosine
    weight = np.exp(-protocol.b_value * (tissue.radial_mm2_s + along * cosine**2))
    if protocol.fibre_cosine is None:
        weight = np.trapezoid(weight, _DIRECTIONS)
    recovered = 1 - np.exp(-protocol.tr_s / tissue.t1_s)
    return tissue.proton_density * recovered * weight * _decay(protocol, tissue.t2_s)


def inversion_gradient_echo(tissue: Tissue, protocol: Protocol) -> np.ndarray:
    """Trains of gradient echoes after one inversion, signed, one value for each train.

    The magnetisation before the inversion is the one that the whole cycle of recoveries and pulses
    reproduces (Marques et al. 2010, doi:10.1016/j.neuroimage.2009.10.002). MPRAGE has one train a
    cycle, MP2RAGE two.
    """
    gain, offset, centres = -1.0, 0.0, []  # inverted magnetisation as gain · before + offset
    now = 0.0
    half = protocol.pulses * protocol.echo_spacing_s / 2
    for centre_s, flip_deg in zip(protocol.ti_s, protocol.flip_deg, strict=True):
        gain, offset = _recover(gain, offset, tissue.t1_s, centre_s - half - now)
        halfway = _pulses(gain, offset, tissue.t1_s, protocol, flip_deg, protocol.pulses // 2)
        centres.append((*halfway, np.sin(np.deg2rad(flip_deg))))
        gain, offset = _pulses(gain, offset, tissue.t1_s, protocol, flip_deg, protocol.pulses)
        now = centre_s + half
    gain, offset = _recover(gain, offset, tissue.t1_s, protocol.tr_s - now)
    before = offset / (1 - gain)
    trains = np.array([(g * before + o) * tip for g, o, tip in centres])
    return tissue.proton_density * trains * _decay(protocol, tissue.t2star_s)


def _recover(gain: float, offset: float, t1_s: float, time_s: float) -> tuple[float, float]:
    kept = np.exp(-time_s / t1_s)
    return gain * kept, offset * kept + 1 - kept


def _pulses(
    gain: float, offset: float, t1_s: float, protocol: Protocol, flip_deg: float, count: int
) -> tuple[float, float]:
    recovery = np.exp(-protocol.echo_spacing_s / t1_s)
    step = np.cos(np.deg2rad(flip_deg)) * recovery
    settled = (1 - recovery) / (1 - step)
    kept = step**count
    return gain * kept, offset * kept + settled * (1 - kept)


def _decay(protocol: Protocol, time_s: float) -> np.ndarray:
    return np.exp(-np.array(protocol.te_s) / time_s)


def phase_modulation(tissue: Tissue, protocol: Protocol, frequency: np.ndarray) -> np.ndarray:
    """How a tissue's signal changes while k-space is read along the phase axis: its point spread.

    Trains and readouts run through k-space once, its middle at the echo time. Signal decays with T2
    along an echo train, with T2* along a gradient echo's readout, and along a spin echo's with T2
    and, to both sides of the echo, with what T2* adds to it.

    Args:
        tissue: Whose relaxation.
        protocol: The sequence.
        frequency: `(K,)` from -1 to 1, the ends of k-space.

    Returns:
        `(K,)` factors, 1 in the middle.

    Example:
        >>> fluid = tissue_properties("csf", 3.0)
        >>> phase_modulation(fluid, get_protocol("T2star"), np.array([-1.0, 0.0, 1.0]))
        array([1., 1., 1.])
    """
    half_train, half_readout = protocol.train_s / 2, protocol.readout_s / 2
    exponent = frequency * half_train / tissue.t2_train_s
    if "spin_echo" in protocol.sequence:
        dephasing = 1 / tissue.t2star_s - 1 / tissue.t2_s
        exponent = exponent + half_readout * (
            frequency / tissue.t2_s + np.abs(frequency) * dephasing
        )
    else:
        exponent = exponent + frequency * half_readout / tissue.t2star_s
    read = frequency >= 1 - 2 * protocol.partial_fourier
    return np.exp(-exponent) * read


def _magnitude(channels: np.ndarray) -> np.ndarray:
    return np.abs(channels[0])


def _root_mean_square(channels: np.ndarray) -> np.ndarray:
    return np.sqrt((np.abs(channels) ** 2).mean(axis=0))


def _phase_sensitive(channels: np.ndarray) -> np.ndarray:
    """Signed picture, lifted so that inverted tissue stays positive as PSIR is stored."""
    return np.maximum(channels[0].real + 0.6, 0)


def _uniform(channels: np.ndarray) -> np.ndarray:
    """MP2RAGE's ratio of its two readouts, free of the coil's profile, from 0 to 1.

    The small constant keeps the background dark instead of noisy (O'Brien et al. 2014,
    doi:10.1371/journal.pone.0099676).
    """
    first, second = channels
    guard = 3e-5
    product = (np.conj(first) * second).real - guard
    return product / (np.abs(first) ** 2 + np.abs(second) ** 2 + 2 * guard) + 0.5


_SEQUENCES: dict[str, tuple[Callable, Callable]] = {
    "gradient_echo": (gradient_echo, _root_mean_square),
    "turbo_spin_echo": (turbo_spin_echo, _magnitude),
    "diffusion_spin_echo": (diffusion_spin_echo, _magnitude),
    "inversion_gradient_echo": (inversion_gradient_echo, _magnitude),
    "inversion_turbo_spin_echo": (inversion_turbo_spin_echo, _magnitude),
    "phase_sensitive_inversion": (inversion_turbo_spin_echo, _phase_sensitive),
    "two_inversions": (inversion_gradient_echo, _uniform),
}


def tissue_channels(
    tissues: tuple[str, ...],
    protocol: Protocol,
    *,
    field_t: float = 3.0,
    rng: np.random.Generator | None = None,
    spread: float = 0.04,
) -> np.ndarray:
    """Signal of each tissue in each channel of a sequence, before any mixing.

    Args:
        tissues: Names known to `softseg.phantom.tissues.tissue_properties`.
        protocol: The sequence and its settings.
        field_t: Field strength in tesla.
        rng: Varies each material by about `spread`, as participants differ; None for the table.
        spread: Relative standard deviation.

    Returns:
        `(C, T)` signed signals relative to fully relaxed water.
    """
    equation, _ = _SEQUENCES[protocol.sequence]
    materials = sorted({LIKE.get(name, name) for name in tissues})
    varied = {material: tissue_properties(material, field_t) for material in materials}
    if rng is not None:
        varied = {material: tissue.varied(rng, spread) for material, tissue in varied.items()}
    columns = []
    for name in tissues:
        tissue = varied[LIKE.get(name, name)]
        signal = equation(tissue, protocol)
        signal = signal * (1 - protocol.fat_saturation * tissue.fat)
        if "gradient_echo" in protocol.sequence:
            signal = signal * _out_of_phase(tissue.fat, protocol.te_s, field_t)
        if name == "csf":
            signal = _flowing(signal, tissue, protocol, protocol.inflow) * protocol.csf
        elif name == "vessel":
            inflow = np.clip(4 * protocol.inflow, _ARTERIAL_INFLOW, 1) if protocol.inflow else 0.0
            signal = _flowing(signal, tissue, protocol, inflow) * _dephased(protocol)
        columns.append(signal)
    return np.stack(columns, axis=1)


def _flowing(signal: np.ndarray, tissue: Tissue, protocol: Protocol, inflow: float) -> np.ndarray:
    """Fluid that moves: part of it comes into the slice unsaturated."""
    if inflow == 0:
        return signal
    fresh = np.sin(np.deg2rad(protocol.flip_deg[0])) * _decay(protocol, tissue.t2star_s)
    return np.abs((1 - inflow) * signal) + inflow * tissue.proton_density * fresh


def _dephased(protocol: Protocol) -> np.ndarray | float:
    """What flow leaves of blood: little in spin echoes, the less the later in gradient echoes."""
    if "spin_echo" in protocol.sequence:
        return 0.1
    return np.exp(-np.array(protocol.te_s) / _FLOW_DEPHASING_S)


def _out_of_phase(fat: float, te_s: tuple[float, ...], field_t: float) -> np.ndarray:
    """What is left where fat and water of one voxel turn against each other, for each echo."""
    turns = np.array(te_s) * _FAT_SHIFT_HZ_PER_T * field_t
    return np.abs((1 - fat) + fat * np.exp(2j * np.pi * turns))


def combine(channels: np.ndarray, protocol: Protocol) -> np.ndarray:
    """The picture that the scanner makes of `(C, …)` channels (complex with noise): `(…)`."""
    return _SEQUENCES[protocol.sequence][1](channels)


def tissue_signal(
    contrast_name: str,
    *,
    vendor: str = "Siemens",
    field_t: float = 3.0,
    tissues: tuple[str, ...] | None = None,
    rng: np.random.Generator | None = None,
) -> dict[str, float]:
    """Brightness of voxels that are full of one tissue, noise-free.

    Args:
        contrast_name: Key of `softseg.contrasts`.
        vendor: `Siemens`, `Philips` or `GE`.
        field_t: 1.5, 3 or 7.
        tissues: Which tissues; None for all that are known.
        rng: Varies materials as participants differ.

    Raises:
        InputError: If the contrast, vendor, field strength or a tissue is unknown.

    Example:
        >>> signal = tissue_signal("T2w")
        >>> signal["csf"] > 2 * signal["white_matter"]
        True
    """
    protocol = get_protocol(contrast_name, vendor)
    names = tissues or tuple(sorted({*tissue_table()["tissue"], *LIKE}))
    channels = tissue_channels(names, protocol, field_t=field_t, rng=rng)
    return dict(zip(names, combine(channels, protocol).tolist(), strict=True))
