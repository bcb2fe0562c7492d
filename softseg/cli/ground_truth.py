"""`softseg ground-truth`."""


def ground_truth() -> None:
    """Not written yet."""
