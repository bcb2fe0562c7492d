"""`softseg phantom`."""


def phantom() -> None:
    """Not written yet."""
