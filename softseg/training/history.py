"""What a training leaves behind: learning curves, and what the model says about itself."""

import json
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd

import softseg
from softseg.errors import InputError
from softseg.training.config import TrainingConfig

WEIGHTS, EXPORT = "model.safetensors", "model.onnx"
CARD, CURVES, TIMING = "model.json", "history.csv", "timing.json"
PACKAGES = ("torch", "lightning", "monai", "numpy", "dynamic-network-architectures")


@dataclass(frozen=True, eq=False)
class History:
    """Learning curves, settings and scores of one model.

    Attributes:
        folder: Where weights, card and curves are.
        config: The settings; read back from disk, they do not say where the data were.
        curves: One row a step: `step`, `loss`, `learning_rate`, and at validations
            `validation_soft_dice`, `validation_csa_error_mm2`, `validation_volume_ratio`.
        card: The model card.
        timing: Seconds and steps a second on this machine; kept apart, since nothing else here
            differs from run to run.
    """

    folder: Path
    config: TrainingConfig
    curves: pd.DataFrame
    card: dict[str, Any]
    timing: dict[str, float]

    @property
    def weights(self) -> Path:
        """The weights file."""
        return self.folder / WEIGHTS

    @property
    def losses(self) -> pd.DataFrame:
        """`step`, `loss`, `learning_rate` of every step."""
        return self.curves[["step", "loss", "learning_rate"]]

    @property
    def validation(self) -> pd.DataFrame:
        """`step` and the scores of every validation, without the prefix."""
        return validations(self.curves)

    @classmethod
    def load(cls, folder: Path | str) -> "History":
        """Read a finished training.

        Raises:
            InputError: If there is none.
        """
        folder = Path(folder)
        if not (folder / CARD).exists() or not (folder / CURVES).exists():
            raise InputError(
                f"{folder}: no finished training; run softseg.training.fitting.fit first"
            )
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        timing = folder / TIMING
        return cls(
            folder,
            TrainingConfig.from_dict(card["training"] | {"output": str(folder)}),
            pd.read_csv(folder / CURVES),
            card,
            json.loads(timing.read_text(encoding="utf-8")) if timing.exists() else {},
        )


def validations(curves: pd.DataFrame) -> pd.DataFrame:
    """`step` and the scores of every validation, without the prefix."""
    columns = [name for name in curves if name.startswith("validation_")]
    rows = curves.dropna(subset=columns, how="all")[["step", *columns]]
    return rows.rename(columns=lambda name: name.removeprefix("validation_")).reset_index(drop=True)


def model_card(config: TrainingConfig, data: dict[str, Any], curves: pd.DataFrame) -> dict:
    """The card's entries but for those that the weights file adds itself.

    Args:
        config: Settings of the training.
        data: `name`, `fingerprint`, number of `images` and of `validated` volumes.
        curves: Learning curves; their last validation gives the scores.
    """
    last = validations(curves).drop(columns="step").tail(1)
    scores = next(iter(last.to_dict("records")), {})
    warnings = []
    if scores.get("volume_ratio") == 0.0:
        warnings.append(
            "the output has died, it is 0 everywhere on the validated volumes; start from a "
            "network with output_bias > 0 or the activation clamp"
        )
    return {
        "intended_use": "research on spinal cord MRI, not diagnosis",
        "licence": "MIT",
        "data": data,
        "truth": config.truth,
        "contrasts": list(config.contrasts),
        "loss": config.loss,
        "augmentation": config.augmentation,
        "seed": config.seed,
        "steps": config.steps,
        "training": config.identity(),
        "scores": scores,
        "warnings": warnings,
        "versions": {"softseg": softseg.__version__} | _versions(),
    }


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
