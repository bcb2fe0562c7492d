"""Networks of `dynamic-network-architectures`, the library that the paper used."""

import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet
from torch import nn

from softseg.network.config import ACTIVATIONS, NetworkConfig

CONVOLUTION = {2: nn.Conv2d, 3: nn.Conv3d}
NORMALISATION = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}


def build_network(config: NetworkConfig, *, seed: int = 0) -> nn.Module:
    """A U-Net with fresh weights, the same for the same seed.

    Instance normalisation (affine, eps 1e-5), leaky ReLU (0.01), Kaiming-normal weights and
    biases of zero, as in the paper.

    Args:
        config: What to build.
        seed: Of the weights; the global random state is left alone.

    Returns:
        A module from `(B, 1, …)` to the raw output `(B, 1, …)`, or with deep supervision to a
        list of outputs, the finest first, each next one coarser by its stage's stride.

    Example:
        >>> network = build_network(NetworkConfig(features_per_stage=(16, 32), strides=(1, 2)))
        >>> network(torch.zeros(3, 1, 16, 24)).shape
        torch.Size([3, 1, 16, 24])
    """
    stages = len(config.features_per_stage)
    plain = config.architecture == "plain"
    blocks = "n_conv_per_stage" if plain else "n_blocks_per_stage"
    per_stage = config.convolutions_per_stage
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = (PlainConvUNet if plain else ResidualEncoderUNet)(
            input_channels=1,
            n_stages=stages,
            features_per_stage=list(config.features_per_stage),
            conv_op=CONVOLUTION[config.dimension],
            kernel_sizes=3,
            strides=[list(stride) for stride in config.strides],
            num_classes=1,
            n_conv_per_stage_decoder=[per_stage if plain else 1] * (stages - 1),
            conv_bias=True,
            norm_op=NORMALISATION[config.dimension],
            norm_op_kwargs={"eps": 1e-5, "affine": True},
            nonlin=nn.LeakyReLU,
            nonlin_kwargs={"negative_slope": 0.01, "inplace": True},
            deep_supervision=config.deep_supervision,
            **{blocks: [per_stage] * stages},
        )
        network.apply(network.initialize)
    if not config.decoder_normalisation:
        _drop_normalisation(network.decoder.stages)
    for head in network.decoder.seg_layers:
        nn.init.constant_(head.bias, config.output_bias)
    return network


def _drop_normalisation(module: nn.Module) -> None:
    for name, child in list(module.named_children()):
        if isinstance(child, tuple(NORMALISATION.values())):
            setattr(module, name, nn.Identity())
        else:
            _drop_normalisation(child)


def activate(raw: torch.Tensor, kind: str) -> torch.Tensor:
    """Turn raw output into soft values.

    `clamp` takes the regression at its word and cuts at 0 and 1. `normalised_relu` is
    `relu(z) / max(relu(z))` over the whole tensor (Gros et al. 2021,
    doi:10.1016/j.media.2021.102038), 0 where nothing is positive: hand it a whole volume, since
    its gain depends on the hottest voxel in sight. `sigmoid` is `1 / (1 + exp(-z))`.

    Args:
        raw: Any shape.
        kind: `none`, `clamp`, `normalised_relu` or `sigmoid`.

    Returns:
        The shape of `raw`, values in [0, 1] unless `kind` is `none`.

    Raises:
        ValueError: If `kind` is unknown.

    Example:
        >>> raw = torch.tensor([-1.0, 0.5, 2.0])
        >>> activate(raw, "clamp").tolist(), activate(raw, "normalised_relu").tolist()
        ([0.0, 0.5, 1.0], [0.0, 0.25, 1.0])
    """
    if kind == "none":
        return raw
    if kind == "clamp":
        return raw.clamp(0.0, 1.0)
    if kind == "sigmoid":
        return torch.sigmoid(raw)
    if kind == "normalised_relu":
        positive = raw.relu()
        largest = positive.max() if raw.numel() else positive.sum()
        return positive / largest.clamp_min(torch.finfo(raw.dtype).tiny)
    raise ValueError(f"unknown activation {kind!r}; known are {', '.join(ACTIVATIONS)}")
