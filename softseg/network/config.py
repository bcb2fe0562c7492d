"""What a network is, in numbers; nothing here imports torch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from math import prod
from typing import Any

from softseg.errors import InputError

ARCHITECTURES = ("plain", "residual")
ACTIVATIONS = ("none", "clamp", "normalised_relu", "sigmoid")


@dataclass(frozen=True)
class NetworkConfig:
    """One class for every network, two- or three-dimensional.

    Attributes:
        dimension: 2 for axial slices, 3 for volumes.
        architecture: `plain` or `residual` encoder (Isensee et al. 2024,
            doi:10.1007/978-3-031-72114-4_47).
        features_per_stage: Channels of each resolution. Multiples of 16 are what CPUs multiply
            fastest.
        strides: Down-sampling on entering each stage, one number for all axes or one per axis.
        convolutions_per_stage: Convolutions (plain) or blocks (residual) of an encoder stage; a
            decoder stage of a plain network has as many, of a residual one has one.
        decoder_normalisation: Whether the decoder normalises its features, as the paper's does. An
            instance norm there gives every patch features of zero mean, and with them the area of
            the average cord: without, areas follow the participant.
        deep_supervision: Whether the training sees outputs of every resolution.
        activation: What `activate` makes of the raw output: `none`, `clamp`, `normalised_relu`
            or `sigmoid`.
        spacing_mm: Working voxel size: in the slice (2-D) or of the volume (3-D).
        patch_size: Voxels that the network is trained on, and that it is shown at a time.
        output_bias: Where the output starts. Above zero it keeps a normalised ReLU from being
            born dead.

    Raises:
        InputError: If the numbers do not describe a network.

    Example:
        >>> config = NetworkConfig(features_per_stage=(16, 32), strides=(1, 2))
        >>> config.strides, config.multiple
        (((1, 1), (2, 2)), (2, 2))
    """

    dimension: int = 2
    architecture: str = "plain"
    features_per_stage: tuple[int, ...] = (16, 32, 64, 64)
    strides: tuple[int | tuple[int, ...], ...] = (1, 2, 2, 2)
    convolutions_per_stage: int = 2
    decoder_normalisation: bool = True
    deep_supervision: bool = False
    activation: str = "clamp"
    spacing_mm: tuple[float, ...] = (0.8, 0.8)
    patch_size: tuple[int, ...] = (64, 64)
    output_bias: float = 0.0

    def __post_init__(self) -> None:
        if self.dimension not in (2, 3):
            raise InputError(f"network: dimension must be 2 or 3, found {self.dimension!r}")
        for name in ("features_per_stage", "spacing_mm", "patch_size"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        strides = ((s,) * self.dimension if isinstance(s, int) else tuple(s) for s in self.strides)
        object.__setattr__(self, "strides", tuple(strides))
        self._check()

    def _check(self) -> None:
        rules = {
            f"architecture must be one of {ARCHITECTURES}": self.architecture in ARCHITECTURES,
            f"activation must be one of {ACTIVATIONS}": self.activation in ACTIVATIONS,
            "at least two stages, features and strides for each": (
                len(self.strides) == len(self.features_per_stage) >= 2
            ),
            "features and convolutions must be positive": (
                min(*self.features_per_stage, self.convolutions_per_stage) > 0
            ),
            "spacing_mm, patch_size and strides need one number per dimension": (
                {len(self.spacing_mm), len(self.patch_size), *map(len, self.strides)}
                == {self.dimension}
            ),
            "spacing_mm must be positive": min(self.spacing_mm) > 0,
            "the first stride must be 1": set(self.strides[0]) == {1},
        }
        for rule, kept in rules.items():
            if not kept:
                raise InputError(f"network: {rule}, found {self}")
        if any(
            size % m or size < m for size, m in zip(self.patch_size, self.multiple, strict=True)
        ):
            raise InputError(
                f"network: patch_size must be a multiple of {self.multiple} (the product of the "
                f"strides), found {self.patch_size}"
            )

    @property
    def multiple(self) -> tuple[int, ...]:
        """Every input size must be a multiple of this: the product of the strides."""
        return tuple(prod(axis) for axis in zip(*self.strides, strict=True))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "NetworkConfig":
        """The inverse of `to_dict`, also after a round trip through JSON.

        Raises:
            InputError: If a name is unknown or a value does not fit.
        """
        unknown = set(values) - {f.name for f in fields(cls)}
        if unknown:
            raise InputError(f"network: unknown options {sorted(unknown)}")
        try:
            return cls(**values)
        except TypeError as error:
            raise InputError(f"network: options of a wrong kind ({error})") from error


PRESETS: dict[str, NetworkConfig] = {
    "small": NetworkConfig(patch_size=(48, 48), decoder_normalisation=False),
    "axial": NetworkConfig(
        decoder_normalisation=False,
        features_per_stage=(16, 32, 64, 96, 96),
        strides=(1, 2, 2, 2, 2),
        activation="sigmoid",
        spacing_mm=(0.5, 0.5),
        patch_size=(96, 96),
    ),
    "volume": NetworkConfig(
        dimension=3,
        features_per_stage=(16, 32, 64, 128),
        strides=(1, 2, 2, 2),
        deep_supervision=True,
        spacing_mm=(1.0, 1.0, 1.0),
        patch_size=(48, 48, 64),
    ),
    "paper": NetworkConfig(
        dimension=3,
        features_per_stage=(32, 64, 128, 256, 320, 320),
        strides=(1, 2, 2, 2, 2, (1, 2, 2)),
        deep_supervision=True,
        activation="normalised_relu",
        spacing_mm=(1.0, 1.0, 1.0),
        patch_size=(64, 192, 320),
    ),
}
"""`small` trains in a minute or two on a core; `axial` ships; `volume` is a moderate 3-D network;
`paper` is the published one (30.785 M parameters)."""
