"""`softseg csa`."""


def csa() -> None:
    """Not written yet."""
