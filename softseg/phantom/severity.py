"""How hard the scanner makes it."""

from dataclasses import dataclass, fields, replace

from softseg.errors import InputError


@dataclass(frozen=True)
class Severity:
    """How hard the scanner makes it.

    Attributes:
        noise: Factor on the protocol's noise.
        bias: Strength of the coil's uneven brightness.
        texture: Unevenness of muscle and marrow.
        flow_depth: Signal that pulsation takes from the CSF at most.
        distortion_mm, jitter_mm: Displacement in echo-planar scans, smooth and slice by slice.
        dropout: Signal lost beside discs in gradient-echo EPI (half of it in DWI).
        ghost: Brightness of the ghost, relative to the image.
        rotation_deg: Deviation of the person's turn between contrasts.
        spread: Variation of relaxation from person to person.
        refine: Fine voxels per voxel within axial slices.
    """

    noise: float
    bias: float
    texture: float
    flow_depth: float
    distortion_mm: float
    jitter_mm: float
    dropout: float
    ghost: float
    rotation_deg: float
    spread: float
    refine: int


SEVERITIES = {
    "mild": Severity(
        noise=0.8, bias=0.25, texture=0.10, flow_depth=0.25, distortion_mm=0.5, jitter_mm=0.1,
        dropout=0.15, ghost=0.0, rotation_deg=0.0, spread=0.03, refine=1,
    ),
    "realistic": Severity(
        noise=1.3, bias=0.8, texture=0.18, flow_depth=0.65, distortion_mm=1.8, jitter_mm=0.35,
        dropout=0.45, ghost=0.06, rotation_deg=1.5, spread=0.06, refine=2,
    ),
}  # fmt: skip
"""`mild` is for demonstrations on a small machine, `realistic` for generalisation."""


def get_severity(severity: str | Severity) -> Severity:
    """The settings called `mild` or `realistic`, or the given ones.

    Raises:
        InputError: If the name is unknown.
    """
    if isinstance(severity, Severity):
        return severity
    if severity not in SEVERITIES:
        raise InputError(f"unknown severity {severity!r}; known are {', '.join(SEVERITIES)}")
    return SEVERITIES[severity]


def with_settings(severity: str | Severity, **changes: float) -> Severity:
    """A severity with some settings changed, for experiments.

    Raises:
        InputError: If a setting is unknown.

    Example:
        >>> with_settings("mild", noise=0.0).noise
        0.0
    """
    known = {f.name for f in fields(Severity)}
    unknown = sorted(set(changes) - known)
    if unknown:
        raise InputError(f"unknown severity setting {unknown[0]!r}; known are {sorted(known)}")
    return replace(get_severity(severity), **changes)
