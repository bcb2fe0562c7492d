"""A BIDS data set: which images there are, where derivatives lie, who is on which side of a split.

Example:
    >>> from softseg.dataset.splits import PUBLISHED_SPLITS, published_split
    >>> sorted(PUBLISHED_SPLITS)
    ['seed-15', 'seed-50']
    >>> {part: len(chosen) for part, chosen in published_split("seed-15").items()}
    {'train': 145, 'validation': 49, 'test': 49}
"""
