"""What segmenting an image gives, and what is said of it."""

from dataclasses import dataclass, field

import numpy as np

from softseg.segmentation.sharpness import UNSEEN, Edge
from softseg.volume import Volume

COARSE_MM = 2.0
"""Where voxels of T2-weighted images are wider across the cord, its area is too small: joined to
2 mm, five people's area changes by -2 to -4 %, to 2.5 mm by -3 to -7, to 3 by -5 to -9."""


@dataclass(frozen=True, eq=False)
class Segmentation:
    """A soft mask and what can be said about it without knowing the truth.

    Attributes:
        soft: On the image's own grid, values in [0, 1]; zeros if it was withheld.
        cord_found: Whether there is a mask.
        likely: Whether presence reaches the threshold; what is below it is kept only if asked for.
        presence: Probability that the image shows a cord; 0 where nothing was predicted.
        quality: Dice to be expected, in [0, 1]; nan where the weights' card has no model of it.
        area_error: Half the width of the 95 % interval of the mean area's logarithm, in [0, 1], for
            an edge as the weights know it; nan too.
        edge: The image at the mask's edge: where it is blurred, areas are too small.
        across_mm: Largest voxel size across the cord.
        ended: Slices below the cord's lower end, which the mask leaves out, by their index too.
        reasons: Why not to trust the mask on a slice, by its index along Z in working orientation,
            0 the most inferior.
        uncertainty: Standard deviation between variants of the image, if asked for.
    """

    soft: Volume
    cord_found: bool
    likely: bool = True
    presence: float = 0.0
    quality: float = np.nan
    area_error: float = np.nan
    edge: Edge = UNSEEN
    across_mm: float = np.nan
    ended: tuple[int, ...] = ()
    reasons: dict[int, str] = field(default_factory=dict)
    uncertainty: Volume | None = None

    @property
    def uncertain_slices(self) -> tuple[int, ...]:
        """The slices of `reasons`, ascending."""
        return tuple(sorted(self.reasons))

    @property
    def doubts(self) -> dict[str, str]:
        """Why not to trust the mask as a whole, in words by the flag that its rows have."""
        seen = {
            "unlikely": (not self.likely, f"perhaps no spinal cord (presence {self.presence:.2f})"),
            "blurred": (
                self.edge.blurred,
                f"blurred edges (SD {self.edge.width_mm:.1f} mm), areas are too small",
            ),
            "coarse": (
                self.across_mm > COARSE_MM + 0.01 and self.edge.dark_cord,
                f"voxels of {self.across_mm:.1f} mm across the cord, areas are too small",
            ),
        }
        return {flag: said for flag, (holds, said) in seen.items() if holds and self.cord_found}

    @property
    def note(self) -> str:
        """One line to read, empty if there is nothing to say.

        Example:
            >>> volume, reasons = Volume(np.zeros((2, 2, 2)), np.eye(4)), {3: "empty", 4: "empty"}
            >>> Segmentation(volume, True, reasons=reasons | {9: "no signal"}).note
            'uncertain slices 3-4 (empty), 9 (no signal)'
        """
        if not self.cord_found:
            seen = f"presence {self.presence:.2f}" if self.presence else "nothing was predicted"
            return f"no spinal cord found ({seen}), the mask is empty"
        said = ", ".join(
            f"{_ranges(tuple(z for z in self.uncertain_slices if self.reasons[z] == why))} ({why})"
            for why in dict.fromkeys(self.reasons[z] for z in self.uncertain_slices)
        )
        parts = [*self.doubts.values()]
        if self.ended:
            parts.append(f"slices {_ranges(self.ended)} left out, below the cord's lower end")
        return "; ".join(parts + ([f"uncertain slices {said}"] if said else []))


def _ranges(numbers: tuple[int, ...]) -> str:
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], number]
        else:
            parts.append([number])
    return ", ".join("-".join(map(str, part)) for part in parts)
