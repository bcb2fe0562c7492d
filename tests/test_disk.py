"""No room, no right to write: one line, exit code 2, and what was there before stays as it was."""

import hashlib
import os
import resource
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nbformat
import numpy as np
import pytest
from checkout import visible_files
from nbformat import v4
from segmentation_network import CONFIG, tube
from tubes import grid_of, rater_mask

from softseg.archives import unpack
from softseg.cli import main
from softseg.contrasts import CONTRASTS
from softseg.errors import InputError
from softseg.network.unet import build_network
from softseg.network.weights import save_weights
from softseg.provenance.checking import verify

KNOWN = ("No space left on device", "Read-only file system", "File too large")


@pytest.fixture
def disk(tmp_path) -> Iterator[Path]:
    """A file system of four megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("a small file system can be mounted by root only")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@contextmanager
def full(folder: Path, room: int = 0) -> Iterator[None]:
    """Nothing more fits, but for some bytes."""
    state = os.statvfs(folder)
    with open(folder / ".filler", "wb") as filler:
        filler.write(b"0" * max(0, state.f_bavail * state.f_frsize - room))
    yield
    (folder / ".filler").unlink()


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    yield
    subprocess.run(["mount", "-o", "remount,rw", folder], check=True)


@contextmanager
def limited(folder: Path, size: int = 600) -> Iterator[None]:
    """No file may grow beyond `size` bytes: the same without being root."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@dataclass(frozen=True)
class Command:
    """A command that writes, and the same again with something else to write."""

    first: Callable[[Path, Path], list[object]]
    again: Callable[[Path, Path], list[object]]


COMMANDS = {
    "segment": Command(
        lambda files, out: ["segment", files / "a.nii", "-o", out / "mask.nii.gz",
                            "--weights", files / "w.safetensors", "--csa", out / "areas.csv"],
        lambda files, out: ["segment", files / "b.nii", "-o", out / "mask.nii.gz",
                            "--weights", files / "w.safetensors", "--csa", out / "areas.csv"],
    ),
    "segment several": Command(
        lambda files, out: ["segment", files / "a.nii", files / "b.nii", "-o", out,
                            "--weights", files / "w.safetensors", "--qc", out / "page"],
        lambda files, out: ["segment", files / "a.nii", files / "b.nii", "-o", out, "--overwrite",
                            "--weights", files / "w.safetensors", "--qc", out / "page", "--tta"],
    ),
    "quality control": Command(
        lambda files, out: ["segment", files / "a.nii", files / "b.nii", "-o", files / "masks",
                            "--weights", files / "w.safetensors", "--qc", out],
        lambda files, out: ["segment", files / "b.nii", files / "a.nii", "-o", files / "masks",
                            "--weights", files / "w.safetensors", "--qc", out, "--qc-crop", 3],
    ),
    "csa": Command(
        lambda files, out: ["csa", files / "mask.nii", "-o", out / "a.csv", "--per-slice",
                            "--no-angle-correction"],
        lambda files, out: ["csa", files / "mask.nii", "-o", out / "a.csv", "--per-slice",
                            "--threshold", 0.3],
    ),
    "phantom": Command(
        lambda files, out: ["phantom", out / "p", "--subjects", 1, "--contrasts", "EPI",
                            "--jobs", 1],
        lambda files, out: ["phantom", out / "p", "--subjects", 2, "--contrasts", "EPI",
                            "--jobs", 1],
    ),
    "ground truth": Command(
        lambda files, out: ["ground-truth", shutil.copytree(files / "dataset", out / "dataset"),
                            "--contrasts", "T2w,T1w"],
        lambda files, out: ["ground-truth", out / "dataset", "--contrasts", "T2w,T1w",
                            "--average", "median"],
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """Inputs, outside the disk."""
    folder = tmp_path_factory.mktemp("inputs")
    for seed, name in enumerate("ab"):
        image, soft = tube(offset=(seed, 0), seed=seed)
        image.save(folder / f"{name}.nii")
    soft.save(folder / "mask.nii")
    mask = rater_mask(grid_of(CONTRASTS["T2w"], half_mm=(9, 16, 6)))
    for name in ("T2w", "T1w"):
        stem = CONTRASTS[name].stem("sub-1")
        mask.save(folder / "dataset" / f"{stem}.nii.gz")
        hard = folder / "dataset/derivatives/labels" / f"{stem}_label-SC_seg.nii.gz"
        mask.save(hard, np.uint8)
    network = build_network(CONFIG, seed=0)
    save_weights(folder / "w.safetensors", network, CONFIG, {"data": "none"})
    return folder


def run(capsys, *words: object) -> tuple[int, str]:
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    return int(left.value.code or 0), capsys.readouterr().err


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in visible_files(folder)
    }


def assert_whole(before: dict[str, str], after: dict[str, str]) -> None:
    """What was there is there still; the rest, if any, is finished files."""
    assert {name: after.get(name) for name in before} == before


def assert_told(code: int, errors: str) -> None:
    # How far a batch came is told in lines of its own: [1/2] a.nii
    lines = [line for line in errors.splitlines() if line.strip() and not line.startswith("[")]
    assert code == 2, errors
    assert len(lines) == 1, errors
    assert any(reason in lines[0] for reason in KNOWN), lines


@pytest.mark.parametrize("obstacle", [full, read_only, limited])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_cannot_write_says_so_and_harms_nothing(
    request, tmp_path, files, capsys, name, obstacle
):
    out = tmp_path if obstacle is limited else request.getfixturevalue("disk")
    command = COMMANDS[name]
    code, errors = run(capsys, *command.first(files, out))
    assert code == 0, errors
    before = digests(out)
    with obstacle(out):
        code, errors = run(capsys, *command.again(files, out))
        after = digests(out)
    assert_told(code, errors)
    assert_whole(before, after)
    assert not list(out.rglob(".partial-*"))
    code, errors = run(capsys, *command.again(files, out))
    assert code == 0, errors


def test_a_table_and_its_record_take_their_places_together(disk, files, capsys):
    """However much room there is: what is on the disk is as its records say."""
    words = ["csa", files / "mask.nii", "-o", disk / "a.csv", "--per-slice"]
    assert run(capsys, *words)[0] == 0
    codes = []
    for pages in range(6):
        with full(disk, room=pages * 4096):
            codes.append(run(capsys, *words, "--threshold", 0.2 + pages / 20)[0])
        assert verify(disk).findings == []
    assert codes[0] == 2
    assert codes[-1] == 0


@pytest.mark.parametrize("obstacle", [full, limited])
def test_a_training_that_cannot_write_says_so_and_keeps_the_earlier_model(
    request, tmp_path, obstacle
):
    from interruptions import training_of_tubes, tube_inputs

    from softseg.training.fitting import fit

    out = tmp_path / "out" if obstacle is limited else request.getfixturevalue("disk")
    tube_inputs(tmp_path / "in")
    config = training_of_tubes(tmp_path / "in").replaced(output=out / "model", steps=4)
    fit(config)
    before = digests(out)
    with obstacle(out), pytest.raises(InputError) as caught:
        fit(config.replaced(steps=5))
    assert any(reason in str(caught.value) for reason in KNOWN)
    assert "\n" not in str(caught.value)
    assert_whole(before, {n: d for n, d in digests(out).items() if "/checkpoint/" not in n})
    assert fit(config.replaced(steps=5)).timing["steps"] == 5


def test_a_chapter_that_cannot_be_written_says_so_and_keeps_the_earlier_one(
    disk, tmp_path, project_root
):
    source, chapter = tmp_path / "01_small.ipynb", disk / "chapters/01_small.ipynb"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [v4.new_code_cell("n: int = 1", metadata={"tags": ["parameters"]})]
    nbformat.write(v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), source)
    (tmp_path / "tiny.yml").write_text("run: tiny\n")
    chapter.parent.mkdir()
    chapter.write_text("the earlier chapter")
    words = [sys.executable, project_root / "notebooks/execute.py", source, chapter,
             "--scale", tmp_path / "tiny.yml"]  # fmt: skip
    with full(disk):
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("softseg: ")]
    assert "No space left on device" in said
    assert "Traceback" not in done.stderr
    assert chapter.read_text() == "the earlier chapter"


def test_an_archive_that_does_not_fit_leaves_nothing(disk, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("t2/t2.nii", b"0" * 50_000)
        archive.writestr("t2/mask.nii", b"0" * 50_000)
    (disk / "earlier.txt").write_text("kept")
    with full(disk, room=70_000), pytest.raises(InputError, match="No space left on device"):
        unpack(tmp_path / "a.zip", disk)
    assert [path.name for path in disk.rglob("*")] == ["earlier.txt"]
