"""`softseg segment`."""


def segment() -> None:
    """Not written yet."""
