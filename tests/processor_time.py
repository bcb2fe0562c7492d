"""The clock of `make benchmark`: processor seconds, which a busy machine stretches little."""

import resource


def seconds() -> float:
    """User and system time of this process and of those that it waited for."""
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)
