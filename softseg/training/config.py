"""What a training run depends on, in one value that is also a line in its model card."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from softseg.contrasts import CONTRASTS
from softseg.errors import InputError

TRUTHS: dict[str, tuple[str, str]] = {
    "soft": ("labels_softseg", "label-SC_softseg"),
    "soft_bin": ("labels_softseg_bin", "desc-softseg_label-SC_seg"),
    "hard": ("labels", "label-SC_seg"),
    "truth": ("truth", "label-SC_softseg"),
}
"""Name of a truth → derivative folder and file ending."""

_RUNTIME = (
    "output", "dataset", "anatomy_dataset", "cache", "threads", "workers", "devices", "nodes",
    "strategy", "checkpoint_minutes", "progress",
)  # fmt: skip
"""What may change between a run and its continuation: none of it changes the result."""


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides which weights come out, and where.

    Attributes:
        output: Folder of the model; `model.safetensors`, `model.json`, `history.csv` go there.
        dataset: Root of the BIDS data set.
        truth: A key of `TRUTHS`, or `folder:ending` below `derivatives/`.
        contrasts: Contrasts that the network sees; an image without the truth is left out.
        training_subjects: Participants that are trained on.
        entities: Only images with these, for example `{"run": "1"}`, as in `Dataset.index`.
        validation_subjects: Participants whose whole volumes are scored while training.
        network: Name of a preset, or fields of a `NetworkConfig` (or their JSON), among which
            `preset` may name one to start from.
        loss: Key of `softseg.losses.registry.LOSSES`.
        loss_options: Keyword arguments of the loss.
        loss_sees: `raw` output, as in the paper, or what its `activation` makes of it; `auto`
            takes the activation where it is a sigmoid.
        steps: Optimiser steps; the same number for every model that is compared.
        epochs: Passes over the images instead of `steps`, as the paper counts.
        batch_size: Patches a step, over all devices together.
        optimizer: `adamw` or `adam`.
        learning_rate: Peak of the cosine schedule.
        weight_decay: Of AdamW, on weights of convolutions alone.
        warmup_steps: Linear rise to the peak.
        gradient_clip: Largest norm of the gradient; None leaves it.
        augmentation: Key of `softseg.augmentation.registry.AUGMENTATIONS`.
        synthetic_samples: Size of the pool of phantom patches behind `synthseg`.
        synthetic_options: Fields of `softseg.phantom.stream.StreamOptions`: how they vary.
        synthetic_share: Share of every batch that comes from that pool beside the data set;
            `synthseg` takes all of it there.
        anatomy_subjects: Participants whose manual masks (`labels`) lend their outlines to
            phantoms of random contrast; their images are neither needed nor looked at.
        anatomy_dataset: Where these are, if not in `dataset`.
        anatomy_share: Share of every batch that shows those.
        negative_share: Share of every batch that shows no spinal cord: noise, textures, limbs and
            `empty_slices`, as much of these as of all others.
        empty_slices: Slices of images of `dataset` that hold no cord, as below its tip: name of the
            file without ending, and the first slice and the one after the last, from below.
        crop: `cord` draws patches about the cord, `centre` takes one at the image's centre.
        cord_share: Share of the patches that hold the cord; the others lie anywhere.
        seed: Of weights, order, patches and augmentation.
        precision: `auto` takes bfloat16 where the processor computes in it.
        ema: Decay of the running mean of the weights that is validated and kept; 0 keeps the last.
        init_weights: Weights to start from: a path or the name of shipped ones.
        validate_every: Steps between validations; None validates four times.
        validation_volumes: At most so many images are validated, spread over participants and
            contrasts.
        keep: `last` weights or the `best` by validation.
        patience: Stop after so many validations without a better one; None never stops.
        checkpoint_minutes: Time between checkpoints; 0 writes one after every round of steps.
        cache: Folder of prepared volumes; None takes `runs/cache/prepared`.
        threads: Threads of PyTorch; None leaves them.
        workers: Processes that read and augment; 0 does it in this one.
        devices: Processes (CPU) or GPUs on this machine.
        nodes: Machines.
        strategy: Lightning's strategy for several devices.
        progress: `auto` shows a bar on a terminal and lines elsewhere; `none` is silent.

    Example:
        >>> config = TrainingConfig(output="runs/tiny/models/soft_all", dataset="data/tiny")
        >>> TrainingConfig.from_dict(config.to_dict()) == config
        True
    """

    output: str
    dataset: str | None = None
    truth: str = "soft"
    contrasts: tuple[str, ...] = tuple(CONTRASTS)
    training_subjects: tuple[str, ...] = ()
    validation_subjects: tuple[str, ...] = ()
    entities: Mapping[str, str] = field(default_factory=dict)
    network: str | Mapping[str, Any] = "small"
    loss: str = "adaptive_wing"
    loss_options: Mapping[str, Any] = field(default_factory=dict)
    loss_sees: str = "auto"
    steps: int = 600
    epochs: int | None = None
    batch_size: int = 8
    optimizer: str = "adamw"
    learning_rate: float = 5e-3
    weight_decay: float = 1e-2
    warmup_steps: int = 20
    gradient_clip: float | None = 1.0
    augmentation: str = "light"
    synthetic_samples: int = 800
    synthetic_options: Mapping[str, Any] = field(default_factory=dict)
    synthetic_share: float = 0.0
    anatomy_subjects: tuple[str, ...] = ()
    anatomy_dataset: str | None = None
    anatomy_share: float = 0.0
    negative_share: float = 0.0
    empty_slices: Mapping[str, Sequence[int]] = field(default_factory=dict)
    crop: str = "cord"
    cord_share: float = 0.8
    seed: int = 0
    precision: str = "auto"
    ema: float = 0.98
    init_weights: str | None = None
    validate_every: int | None = None
    validation_volumes: int = 6
    keep: str = "last"
    patience: int | None = None
    checkpoint_minutes: float = 1.0
    cache: str | None = None
    threads: int | None = None
    workers: int = 0
    devices: int = 1
    nodes: int = 1
    strategy: str = "auto"
    progress: str = "auto"

    def __post_init__(self) -> None:
        for name in ("contrasts", "training_subjects", "validation_subjects", "anatomy_subjects"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in ("output", "dataset", "anatomy_dataset", "cache", "init_weights"):
            value = getattr(self, name)
            object.__setattr__(self, name, str(value) if isinstance(value, Path) else value)
        if isinstance(self.network, str) and self.network.startswith("{"):
            object.__setattr__(self, "network", _parse(self.network))
        for name in ("network", "loss_options", "synthetic_options", "entities", "empty_slices"):
            if not isinstance(getattr(self, name), str):
                plain = json.loads(json.dumps(dict(getattr(self, name))))
                object.__setattr__(self, name, plain)
        self._check()

    def _check(self) -> None:
        choices = {
            "crop": ("cord", "centre"), "optimizer": ("adamw", "adam"), "keep": ("last", "best"),
            "precision": ("auto", "float32", "bfloat16"),
            "loss_sees": ("auto", "raw", "activation"),
            "progress": ("auto", "bar", "lines", "none"),
        }  # fmt: skip
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                found = getattr(self, name)
                raise InputError(f"{name}: must be one of {', '.join(allowed)}, found {found!r}")
        for name in ("steps", "batch_size", "validation_volumes", "devices", "nodes"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: must be at least 1, found {getattr(self, name)}")
        if not 0 <= self.cord_share <= 1 or not 0 <= self.ema < 1:
            raise InputError("cord_share must lie in [0, 1] and ema in [0, 1)")
        shares = (self.synthetic_share, self.anatomy_share, self.negative_share)
        if min(shares) < 0 or sum(shares) > 1:
            raise InputError(
                f"synthetic_share, anatomy_share, negative_share: must be shares of a batch, found "
                f"{shares}"
            )
        if self.learning_rate <= 0:
            raise InputError(f"learning_rate: must be positive, found {self.learning_rate}")
        if self.batch_size % (self.devices * self.nodes):
            raise InputError(
                f"batch_size: {self.batch_size} patches do not divide among "
                f"{self.devices * self.nodes} devices; choose a multiple"
            )
        seen = {*self.training_subjects, *self.anatomy_subjects}
        both = seen & set(self.validation_subjects)
        if both:
            raise InputError(f"{', '.join(sorted(both))}: both trained on and validated; choose")
        if self.truth not in TRUTHS and ":" not in self.truth:
            known = ", ".join(TRUTHS)
            raise InputError(f"truth: must be {known} or folder:ending, found {self.truth!r}")

    @property
    def truth_files(self) -> tuple[str, str]:
        """Derivative folder and file ending of the truth."""
        if self.truth in TRUTHS:
            return TRUTHS[self.truth]
        folder, _, ending = self.truth.partition(":")
        return folder, ending

    def with_steps(self, images: int) -> "TrainingConfig":
        """The same settings with `epochs` turned into steps over so many images."""
        if self.epochs is None:
            return self
        return self.replaced(steps=self.epochs * -(-images // self.batch_size), epochs=None)

    def replaced(self, **changes: Any) -> "TrainingConfig":
        """The same settings but for `changes`."""
        return TrainingConfig.from_dict(self.to_dict() | changes)

    def to_dict(self) -> dict[str, Any]:
        """Plain values only, ready for JSON."""
        return json.loads(json.dumps(asdict(self)))

    def identity(self) -> dict[str, Any]:
        """What decides the weights: all settings but places and those of the machine.

        Weights to start from are called by the name of their file or folder.
        """
        kept = {key: value for key, value in self.to_dict().items() if key not in _RUNTIME}
        start = self.init_weights and Path(self.init_weights).name
        return kept | {"init_weights": start}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "TrainingConfig":
        """Settings from plain values.

        Raises:
            InputError: If a key is unknown.
        """
        unknown = set(content) - {f.name for f in fields(cls)}
        if unknown:
            raise InputError(f"training settings: unknown {', '.join(sorted(unknown))}")
        return cls(**content)

    @classmethod
    def paper(cls, output: str | Path, **changes: Any) -> "TrainingConfig":
        """The settings with which the paper's model was trained (doi:10.1016/j.media.2025.103473).

        Adaptive Wing summed over voxels, Adam without weight decay, 1e-3 on a cosine, batches of
        two centred crops, 200 epochs, a validation every five and an end after 20 of them without
        a better one (here by soft Dice of whole volumes, there by the loss of crops). Steps
        between validations are counted for the paper's 870 training images.

        Example:
            >>> TrainingConfig.paper("runs/paper").learning_rate
            0.001
        """
        settings: dict[str, Any] = {
            "network": "paper", "loss_options": {"reduction": "sum"}, "epochs": 200,
            "batch_size": 2, "optimizer": "adam",
            "learning_rate": 1e-3, "weight_decay": 0.0, "warmup_steps": 0, "gradient_clip": None,
            "augmentation": "paper_ran", "crop": "centre", "seed": 42, "precision": "float32",
            "ema": 0.0, "validate_every": 5 * 435, "validation_volumes": 10_000, "keep": "best",
            "patience": 20, "checkpoint_minutes": 10.0,
        }  # fmt: skip
        return cls.from_dict(settings | {"output": str(output)} | changes)


def _parse(text: str) -> dict[str, Any]:
    try:
        return dict(json.loads(text))
    except ValueError as error:
        raise InputError(f"network: not a preset and not JSON ({error}): {text}") from error
