"""How often levels found in the image are right: on phantoms whose discs are known, and on real
images in which an eye has marked C2-C3.
"""

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from softseg.csa.aggregation import aggregate
from softseg.csa.automatic import automatic_discs
from softseg.csa.disc_search import NEAR_MM, search_discs
from softseg.csa.level_network import disc_heat
from softseg.csa.measure import measure
from softseg.csa.straighten import STEP_MM
from softseg.volume import Volume
from softseg_study.phantom.straightened import Straightened, straightened

WRONG_MM = 8.0
"""A disc that is told further from its own place than half a vertebra has another's number."""
BELOW_NECK = 13
"""A field whose highest disc is this or a lower one (T5-T6) is none of the neck's."""


PROBABILITIES = (0.1, 0.5, 0.9, 0.99, 1.0)


def judge_phantoms(count: int = 300, seed: int = 3) -> tuple[pd.DataFrame, pd.DataFrame]:
    """How many fields of each kind are answered, and with right numbers; how often discs are right.

    Args:
        count: Fields of as many participants, each in one random contrast.
        seed: Of none that the network has learnt from.

    Returns:
        A row for each kind of field; and for all discs that have a probability between two of
        `PROBABILITIES`, reported or not, how many lie where it says.
    """
    rows, discs = [], []
    for number in range(count):
        (one,) = straightened(np.random.default_rng([seed, number]), contrasts=1)
        heat = disc_heat(one.band)
        found = search_discs(heat)
        off = [abs(disc.row - one.rows.get(k, -np.inf)) * STEP_MM for k, disc in found.items()]
        rows.append({
            "field": _kind(one, heat.shown),
            "images": 1,
            "answered": int(bool(found)),
            "right": int(bool(found) and max(off) < WRONG_MM),
            "wrong": int(bool(found) and max(off) >= WRONG_MM),
        })  # fmt: skip
        for k, disc in search_discs(heat, sure=PROBABILITIES[0]).items():
            near = abs(disc.row - one.rows.get(k, -np.inf)) * STEP_MM <= NEAR_MM
            discs.append((disc.confidence, near))
    table = pd.DataFrame(rows).groupby("field", sort=False).sum().reset_index()
    return table.sort_values("field", ignore_index=True), _reliability(discs)


def _reliability(discs: list[tuple[float, bool]]) -> pd.DataFrame:
    table = pd.DataFrame(discs, columns=["told", "right"])
    table["from"] = pd.cut(table["told"], PROBABILITIES, labels=PROBABILITIES[:-1])
    groups = table.groupby("from", observed=True)
    return pd.DataFrame({
        "discs": groups.size(),
        "mean_probability": groups["told"].mean().round(3),
        "right": groups["right"].mean().round(3),
    }).reset_index()  # fmt: skip


def _kind(one: Straightened, shown: np.ndarray) -> str:
    def in_it(disc: int) -> bool:
        row = round(one.rows.get(disc, -1))
        return 0 <= row < len(shown) and bool(shown[row])

    if in_it(2) and in_it(3):
        return "all of C2"
    if in_it(3):
        return "C2–C3 without C2"
    highest = min((k for k in one.rows if in_it(k)), default=BELOW_NECK)
    return "neck without C2–C3" if highest < BELOW_NECK else "thoracic and lumbar"


def judge_real(shared: Path) -> pd.DataFrame:
    """A row for each real image with a mark on C2-C3 and a mask: how far off the disc is (mm).

    Args:
        shared: The folder of real images.
    """
    labels = shared / "real/derivatives"
    marks = pd.read_csv(labels / "labels-semiauto/landmarks_by_eye.tsv", sep="\t")
    rows = []
    for mark in marks[marks["what"].str.contains("C2-C3")].itertuples():
        subject = mark.image.partition("_")[0]
        image = Volume.load(shared / "real" / subject / "anat" / f"{mark.image}.nii.gz")
        masks = sorted(labels.glob(f"labels*/{subject}/anat/{mark.image}_label-SC_seg.nii.gz"))
        if not masks:
            continue
        voxel = np.array([mark.x_voxel, mark.y_voxel, mark.z_voxel], float)
        point = nib.affines.apply_affine(image.affine, voxel)
        found = automatic_discs(image, masks[0])
        row = {"image": mark.image, "discs": len(found.points_mm)}
        if 3 in found.points_mm:
            marked = automatic_discs(image, masks[0], given={3: point})
            areas = [
                aggregate(measure(masks[0], discs=discs, shape=False))["area_mm2"][0]
                for discs in (marked.points_mm, found.points_mm)
            ]
            row |= {
                "off_mm": round(found.rows[3] - found.band.row_of(point)[0], 1) * STEP_MM,
                "confidence": round(found.confidence[3], 3),
                "area_off_percent": round(100 * (areas[1] / areas[0] - 1), 2),
            }
        rows.append(row)
    return pd.DataFrame(rows)
