"""Is a value of 0.3 really 30 % cord? One number makes it so, fitted where the truth is known.

A network works on its own grid and is paid for its own loss; brought back to the image's voxels,
its edge can come out wider or steeper than the volume that each voxel shares with the cord. A
temperature mends the width and leaves the edge, where the value is 0.5, in its place (Guo et al.
2017, doi:10.48550/arXiv.1706.04599). A shift besides would move the edge, and so every area.
"""

import numpy as np


def at_temperature(soft: np.ndarray, temperature: float) -> np.ndarray:
    """Steepen (below 1) or flatten (above 1) the edge of a soft mask.

    The same as dividing the values' log odds by `temperature`, without infinite ones.

    Args:
        soft: Any shape, values in [0, 1]; 0, 0.5 and 1 stay what they are.
        temperature: Above 0; 1 changes nothing.

    Example:
        >>> at_temperature(np.array([0.0, 0.2, 0.5, 0.8, 1.0]), 0.5).round(3)
        array([0.   , 0.059, 0.5  , 0.941, 1.   ])
    """
    if temperature == 1:
        return soft
    changed = soft.copy()
    between = (soft > 0) & (soft < 1)
    values = soft[between].astype(np.float64)
    inside, outside = values ** (1 / temperature), (1 - values) ** (1 / temperature)
    changed[between] = inside / (inside + outside)
    return changed
