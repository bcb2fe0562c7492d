"""The one error that a user can mend."""


class InputError(ValueError):
    """Wrong input or use: the message is one line that names file, rule, finding and remedy.

    The command line prints it without a traceback and exits with 2; nothing has been written.

    Example:
        >>> raise InputError("a.nii.gz: a mask must lie in [0, 1], found [-0.02, 1.30]")
        Traceback (most recent call last):
        softseg.errors.InputError: a.nii.gz: a mask must lie in [0, 1], found [-0.02, 1.30]
    """
