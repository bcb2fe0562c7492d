"""What small networks in NumPy that look at straightened pictures have in common.

Rows and columns of such a picture are a millimetre apart.
"""

import numpy as np
from scipy import ndimage

ROWS = 4
"""The networks halve the number of rows twice."""
_NEAR = 8.0
_BRIGHTEST = 4.0


def prepared(values: np.ndarray) -> np.ndarray:
    """Three pictures for the network: of usual brightness, evened out, and where the image is.

    Args:
        values: `(S, V)`, NaN outside the image.

    Returns:
        `(3, S, V)` float32, the rows filled up to a multiple of four.
    """
    values = np.pad(values, ((0, -len(values) % ROWS), (0, 0)), constant_values=np.nan)
    inside = np.isfinite(values)
    if not inside.any():
        return np.zeros((3, *values.shape), np.float32)
    low, high = np.percentile(values[inside], (1, 99))
    clipped = np.clip(np.where(inside, values, 0), low, high)
    mean, spread = clipped[inside].mean(), clipped[inside].std()
    usual = np.where(inside, (clipped - mean) / max(float(spread), 1e-6), 0)
    share = np.maximum(_around(inside.astype(np.float32)), 1e-3)
    middle = _around(usual) / share
    varies = np.sqrt(np.maximum(_around(usual**2) / share - middle**2, 0)) + 0.05
    even = np.where(inside, (usual - middle) / varies, 0)
    pictures = np.stack([usual, even, inside]).astype(np.float32)
    return np.clip(pictures, -_BRIGHTEST, _BRIGHTEST)


def _around(picture: np.ndarray) -> np.ndarray:
    return ndimage.gaussian_filter(picture.astype(np.float32), _NEAR, truncate=2.5)


def rectified(x: np.ndarray) -> np.ndarray:
    """Nothing below 0."""
    return np.maximum(x, 0)


def convolved(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    *,
    stride: tuple[int, int] = (1, 1),
    dilation: int = 1,
) -> np.ndarray:
    """Convolution of `(C, S, V)`: kernels of three keep the size, wider ones take the width."""
    _, _, tall, wide = weight.shape
    across = 1 if wide == 3 else 0
    x = np.pad(x, ((0, 0), (dilation * (tall // 2),) * 2, (across, across)))
    rows = (x.shape[1] - dilation * (tall - 1) - 1) // stride[0] + 1
    columns = (x.shape[2] - wide) // stride[1] + 1
    out = np.zeros((len(weight), rows, columns), np.float32) + bias[:, None, None]
    for i in range(tall):
        for j in range(wide):
            part = x[:, i * dilation :: stride[0], j :: stride[1]][:, :rows, :columns]
            out += np.tensordot(weight[:, :, i, j], part, axes=1)
    return out
