"""The one error that a user can mend, and messages that stay on one line."""


class InputError(ValueError):
    """Wrong input or use: the message is one line that names file, rule, finding and remedy.

    The command line prints it without a traceback and exits with 2; nothing has been written.

    Example:
        >>> raise InputError("a.nii.gz: a mask must lie in [0, 1], found [-0.02, 1.30]")
        Traceback (most recent call last):
        softseg.errors.InputError: a.nii.gz: a mask must lie in [0, 1], found [-0.02, 1.30]
    """


class WriteError(InputError):
    """A file cannot be written where it should go: what comes after it would not fare better."""


def printable(text: object) -> str:
    """`text` on one line: what would break it, steer a terminal or not encode is escaped.

    File names may hold any of these.

    Example:
        >>> print(printable("a\\nb \\x1b[31m é"))
        a\\nb \\x1b[31m é
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode("ascii")
        for c in str(text)
    )


def counted(number: int, noun: str) -> str:
    """A number and what there is of it.

    Example:
        >>> counted(1, "picture"), counted(2, "picture")
        ('1 picture', '2 pictures')
    """
    return f"{number} {noun}{'s' * (number != 1)}"


def brief(error: BaseException, limit: int = 200) -> str:
    """What another library's error says, in one line of at most `limit` characters.

    Example:
        >>> brief(ValueError("two\\nlines"))
        'two lines'
    """
    text = " ".join(str(error).split()) or type(error).__name__
    return printable(text if len(text) <= limit else f"{text[: limit - 1]}…")
