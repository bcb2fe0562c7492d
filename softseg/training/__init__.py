"""Training: settings in, a folder with weights, a model card and learning curves out.

Example:
    >>> config = TrainingConfig(output="runs/mine/models/soft_all", dataset="data/mine", steps=300)
    >>> config.truth_files
    ('labels_softseg', 'label-SC_softseg')
"""

from softseg.training.config import TRUTHS, TrainingConfig
from softseg.training.fitting import fit
from softseg.training.history import History
from softseg.training.material import example_patch

__all__ = ["TRUTHS", "History", "TrainingConfig", "example_patch", "fit"]
