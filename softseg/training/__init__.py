"""Training: settings in, a folder with weights, a model card and learning curves out.

Example:
    >>> from softseg.training.config import TrainingConfig
    >>> config = TrainingConfig(output="runs/mine/models/soft_all", dataset="data/mine", steps=300)
    >>> config.truth_files
    ('labels_softseg', 'label-SC_softseg')
"""
