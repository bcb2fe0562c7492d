"""Many places around the cord at once: where they are and the person's measures there."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np


@dataclass(frozen=True, eq=False)
class Places:
    """A batch of voxels, small enough to stay in the processor's cache.

    Attributes:
        s, u, v: `(P,)` along the cord, to the right, to the front, in millimetres.
        here: The profiles and surroundings at each place, by name, `(P,)` each.
        width, height: Extent of a voxel across the cord and along it, in millimetres.
        choices: The person's single numbers, by name.
        waves: `(W, 4)` waves that bend soft tissue.
    """

    s: np.ndarray
    u: np.ndarray
    v: np.ndarray
    here: dict[str, np.ndarray] = field(repr=False)
    width: float
    height: float
    choices: dict[str, float]
    waves: np.ndarray = field(repr=False)

    @cached_property
    def x(self) -> np.ndarray:
        """To the right of the middle of the dural sac."""
        return self.u - self.here["sac_right"]

    @cached_property
    def y(self) -> np.ndarray:
        """To the front of the middle of the dural sac."""
        return self.v - self.here["sac_front"]

    @cached_property
    def across(self) -> np.ndarray:
        """Distance from the midline."""
        return np.abs(self.x)

    @cached_property
    def wall(self) -> np.ndarray:
        """Where the vertebral body begins, in terms of `y`."""
        return self.here["sac_ap"] + 1.2

    @cached_property
    def phase_mm(self) -> np.ndarray:
        """Distance along the cord to the nearest disc: 0 at its middle."""
        phase = self.here["level"] % 1
        return np.minimum(phase, 1 - phase) * self.here["vertebra"]

    @cached_property
    def below_disc_mm(self) -> np.ndarray:
        """Distance along the cord below the disc above this place."""
        return (self.here["level"] % 1) * self.here["vertebra"]

    @cached_property
    def slow(self) -> tuple[np.ndarray, np.ndarray]:
        """Two fields of a few centimetres' wavelength, about -1 to 1."""
        return self._wave(0) + self._wave(1), self._wave(2) + self._wave(3)

    @cached_property
    def fast(self) -> tuple[np.ndarray, np.ndarray]:
        """Two fields of one to two centimetres' wavelength, about -1 to 1."""
        return self._wave(4) + self._wave(5), self._wave(6) + self._wave(7)

    def _wave(self, row: int) -> np.ndarray:
        ku, kv, ks, phase = self.waves[row]
        return 0.6 * np.sin(ku * self.u + kv * self.v + ks * self.s + phase)

    def at(self, index: np.ndarray) -> "Places":
        """Some of the places."""
        if len(index) == len(self.s):
            return self
        here = {name: values[index] for name, values in self.here.items()}
        return Places(
            self.s[index],
            self.u[index],
            self.v[index],
            here,
            self.width,
            self.height,
            self.choices,
            self.waves,
        )
