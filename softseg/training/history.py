"""What a training leaves behind, for tables and figures."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from softseg.errors import InputError
from softseg.training.config import TrainingConfig

WEIGHTS, CARD, CURVES, TIMING = "model.safetensors", "model.json", "history.csv", "timing.json"


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
        columns = [name for name in self.curves if name.startswith("validation_")]
        rows = self.curves.dropna(subset=columns, how="all")[["step", *columns]]
        return rows.rename(columns=lambda name: name.removeprefix("validation_")).reset_index(
            drop=True
        )

    @classmethod
    def load(cls, folder: Path | str) -> "History":
        """Read a finished training.

        Raises:
            InputError: If there is none.
        """
        folder = Path(folder)
        if not (folder / CARD).exists() or not (folder / CURVES).exists():
            raise InputError(f"{folder}: no finished training; run softseg.training.fit first")
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        timing = folder / TIMING
        return cls(
            folder,
            TrainingConfig.from_dict(card["training"] | {"output": str(folder)}),
            pd.read_csv(folder / CURVES),
            card,
            json.loads(timing.read_text(encoding="utf-8")) if timing.exists() else {},
        )
