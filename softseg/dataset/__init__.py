"""A BIDS data set: which images there are, where derivatives lie, who is on which side of a split.

Example:
    >>> sorted(PUBLISHED_SPLITS)
    ['seed-15', 'seed-50']
    >>> {part: len(people) for part, people in published_split("seed-15").items()}
    {'train': 145, 'validation': 49, 'test': 49}
"""

from softseg.dataset.exclusions import SPINE_GENERIC_EXCLUDED, read_exclusions, write_exclusions
from softseg.dataset.index import Dataset
from softseg.dataset.names import parse_contrasts, split_commas
from softseg.dataset.splits import PUBLISHED_SPLITS, guard_split, published_split, split
from softseg.dataset.writing import describe_pipeline, generated_by

__all__ = [
    "PUBLISHED_SPLITS",
    "SPINE_GENERIC_EXCLUDED",
    "Dataset",
    "describe_pipeline",
    "generated_by",
    "guard_split",
    "parse_contrasts",
    "published_split",
    "read_exclusions",
    "split",
    "split_commas",
    "write_exclusions",
]
