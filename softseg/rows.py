"""What rows of voxels tell of a mask, in NumPy alone.

Most masks of a cord are one piece without holes, and their rows show it at once. To label them, or
to measure distances in them, is SciPy's; its import takes longer than measuring the whole cord.
"""

import numpy as np

MOST_LOOKUPS = 4_000_000
"""Up to here distances are looked up voxel by voxel."""


def unbroken(inside: np.ndarray) -> bool:
    """Whether every row along Y is one run of voxels: then no slice across Z has a hole.

    Args:
        inside: `(X, Y, Z)` booleans.
    """
    return bool((inside.sum(axis=1) == _run(inside)[2]).all())


def one_piece(inside: np.ndarray) -> bool:
    """Whether a mask is seen to be one component, of voxels that touch at least by a corner.

    False says nothing: a piece that is no pile of simple sections has to be labelled.

    Args:
        inside: `(X, Y, Z)` booleans.

    Example:
        >>> cord = np.zeros((5, 5, 4), dtype=bool); cord[1:4, 2:4] = True
        >>> one_piece(cord), one_piece(cord & (np.arange(4) != 2))
        (True, False)
    """
    first, last, length = _run(inside)
    if (inside.sum(axis=1) != length).any():
        return False

    def touching(a: tuple, b: tuple) -> np.ndarray:
        both = (length[a] > 0) & (length[b] > 0)
        return both & (first[a] <= last[b] + 1) & (first[b] <= last[a] + 1)

    rows = np.count_nonzero(length, axis=0)  # of each slice, which touch those beside them only
    joints = touching(np.s_[:-1], np.s_[1:]).sum(axis=0)
    drawn = np.flatnonzero(rows)
    if drawn.size == 0 or drawn.size != np.ptp(drawn) + 1 or (joints != rows - 1)[drawn].any():
        return False
    return bool(touching(np.s_[:, :-1], np.s_[:, 1:]).any(axis=0)[drawn[:-1]].all())


def _run(inside: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First and last voxel of each row along Y, and how many from one to the other, `(X, Z)`."""
    first = inside.argmax(axis=1)
    last = inside.shape[1] - 1 - inside[:, ::-1].argmax(axis=1)
    return first, last, np.where(inside.any(axis=1), last - first + 1, 0)


def within(
    inside: np.ndarray, wanted: np.ndarray, spacing_mm: np.ndarray, limit_mm: float
) -> np.ndarray:
    """Which of the wanted voxels lie within a distance of a mask, centre to centre.

    Args:
        inside: `(X, Y, Z)` booleans.
        wanted: Of the same shape.
        spacing_mm: `(3,)` voxel size.
        limit_mm: The distance.

    Example:
        >>> inside = np.array([[[True, False, False, False]]])
        >>> within(inside, ~inside, np.ones(3), 2.0).astype(int).tolist()
        [[[0, 1, 1, 0]]]
    """
    reach = (limit_mm / spacing_mm).astype(int)
    steps = np.stack(np.meshgrid(*[np.arange(-r, r + 1) for r in reach], indexing="ij"), axis=-1)
    steps = steps[np.linalg.norm(steps * spacing_mm, axis=-1) <= limit_mm]
    voxels = np.argwhere(wanted)
    if len(steps) * len(voxels) > MOST_LOOKUPS:
        from scipy import ndimage  # 0.2 s at start-up

        distance = ndimage.distance_transform_edt(~inside, sampling=tuple(spacing_mm))
        return wanted & (distance <= limit_mm)
    around = np.pad(inside, [(r, r) for r in reach])
    near = np.zeros(len(voxels), dtype=bool)
    for step in steps + reach:
        near |= around[tuple((voxels + step).T)]
    found = np.zeros_like(wanted)
    found[tuple(voxels.T)] = near
    return found
