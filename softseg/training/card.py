"""What a model says about itself."""

from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pandas as pd

import softseg
from softseg.training.config import TrainingConfig

PACKAGES = ("torch", "lightning", "monai", "numpy", "dynamic-network-architectures")


def model_card(config: TrainingConfig, data: dict[str, Any], curves: pd.DataFrame) -> dict:
    """The card's entries but for those that the weights file adds itself.

    Args:
        config: Settings of the training.
        data: `name`, `fingerprint`, number of `images` and of `validated` volumes.
        curves: Learning curves; their last validation gives the scores.
    """
    scores = {}
    columns = [name for name in curves if name.startswith("validation_")]
    if columns:
        last = curves.dropna(subset=columns).iloc[-1]
        scores = {name.removeprefix("validation_"): float(last[name]) for name in columns}
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
