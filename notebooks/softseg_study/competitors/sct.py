"""The Spinal Cord Toolbox's own segmentations, where its programs are on the PATH."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from softseg.dataset.index import Dataset
from softseg.errors import InputError
from softseg.volume import Volume
from softseg_study.competitors.masks import segment_dataset

CONTRAST_FLAGS: dict[str, str] = {
    "T1w": "t1", "T2w": "t2", "T2star": "t2s", "MT-on": "t2s", "GRE-T1w": "t1", "DWI": "dwi",
}  # fmt: skip
"""What the paper passed to contrast-specific programs."""

PROGRAMS = {
    "propseg": ("sct_propseg", "-i", "{image}", "-c", "{contrast}", "-o", "{mask}"),
    "deepseg2d": (
        "sct_deepseg_sc", "-i", "{image}", "-c", "{contrast}", "-kernel", "2d", "-o", "{mask}",
    ),
    "deepseg3d": (
        "sct_deepseg_sc", "-i", "{image}", "-c", "{contrast}", "-kernel", "3d", "-o", "{mask}",
    ),
    "deepseg": ("sct_deepseg", "spinalcord", "-i", "{image}", "-o", "{mask}"),
}  # fmt: skip
"""Command lines: `propseg` (De Leener et al. 2014), `deepseg2d`/`deepseg3d` (Gros et al. 2019,
doi:10.1016/j.neuroimage.2018.09.081) and today's contrast-agnostic `deepseg`."""


def available_programs() -> list[str]:
    """Those of `PROGRAMS` that can be run here."""
    return [name for name, command in PROGRAMS.items() if shutil.which(command[0])]


def run_sct(
    dataset: Dataset,
    program: str,
    *,
    subjects: Iterable[str] | None = None,
    method: str | None = None,
    timeout_s: float = 1800.0,
) -> pd.DataFrame:
    """Segment a data set with one of the toolbox's programs, as one more method.

    Args:
        dataset: Whose images to segment.
        program: Key of `PROGRAMS`.
        subjects: Participants; all by default.
        method: Name of the derivative folder; `sct_<program>` by default.
        timeout_s: Longest time for one image.

    Returns:
        As `segment_dataset`.

    Raises:
        InputError: If the program is unknown, is not on the PATH, or fails on an image.
    """
    if program not in PROGRAMS:
        raise InputError(f"program: must be one of {', '.join(PROGRAMS)}, found {program!r}")
    command = PROGRAMS[program]
    if shutil.which(command[0]) is None:
        raise InputError(
            f"{command[0]}: not on the PATH; install the Spinal Cord Toolbox or leave {program} out"
        )

    def segment(image: Volume, contrast: str) -> Volume:
        return _run(command, image, contrast, timeout_s)

    return segment_dataset(dataset, method or f"sct_{program}", segment, subjects=subjects)


def _run(command: tuple[str, ...], image: Volume, contrast: str, timeout_s: float) -> Volume:
    if "{contrast}" in command and contrast not in CONTRAST_FLAGS:
        raise InputError(f"{contrast}: {command[0]} knows no such contrast; leave it out")
    with tempfile.TemporaryDirectory() as folder:
        # In a folder of its own: some versions write more files beside the mask than asked for.
        source, mask = Path(folder) / "image.nii.gz", Path(folder) / "mask.nii.gz"
        image.save(source)
        values = {"image": source, "mask": mask, "contrast": CONTRAST_FLAGS.get(contrast, "")}
        line = [part.format(**values) for part in command]
        try:
            ran = subprocess.run(  # noqa: S603  a fixed program and file names of our own
                line, cwd=folder, capture_output=True, text=True, timeout=timeout_s, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise InputError(f"{image.name}: {line[0]} took over {timeout_s:.0f} s") from error
        if ran.returncode != 0 or not mask.exists():
            last = (ran.stderr or ran.stdout).strip().splitlines()[-1:] or ["no message"]
            raise InputError(f"{image.name}: {line[0]} failed: {last[0]}")
        found = Volume.load(mask)
        return image.like(np.clip(found.data, 0.0, 1.0))
