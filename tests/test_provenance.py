"""Each product says where it comes from, and `softseg verify` finds what is not as recorded."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from tubes import Curve, Tube, grid_of, rater_mask, sample

from softseg.cli import main
from softseg.contrasts import CONTRASTS
from softseg.errors import InputError
from softseg.files import sha256
from softseg.provenance.checking import verify
from softseg.provenance.records import (
    MANIFEST,
    PACKAGE,
    record_of,
    write_record,
)


def softseg(capsys, *arguments) -> tuple[int, str]:
    with pytest.raises(SystemExit) as left:
        main([str(a) for a in arguments])
    return int(left.value.code or 0), capsys.readouterr().out


def sign(product: Path, **about) -> Path:
    return write_record(record_of(product), [product], **about)


@pytest.fixture
def measured(tmp_path, capsys) -> Path:
    """A folder with a mask and the table of its areas."""
    soft = sample(Tube(Curve(tilt_deg=(0.0, 10.0))), (1.0, 1.0, 4.0), length_mm=24).soft
    mask = soft.save(tmp_path / "masks" / "sub-01.nii.gz")
    assert softseg(capsys, "csa", mask, "-o", tmp_path / "out/csa.csv", "--threshold", 0.4)[0] == 0
    return tmp_path / "out"


def test_a_table_names_version_commit_code_parameters_and_checksums(measured):
    record = json.loads((measured / "csa.csv.json").read_text())
    (entry,) = record["GeneratedBy"]
    assert entry["Name"] == "softseg csa"
    assert entry["Parameters"]["threshold"] == 0.4
    assert len(entry["CodeSHA256"]) == 64
    if shutil.which("git") and (PACKAGE.parent / ".git").exists():
        head = ["git", "-C", str(PACKAGE.parent), "rev-parse", "HEAD"]
        known = subprocess.run(head, capture_output=True, text=True, check=True).stdout.strip()
        assert entry["Commit"] == known
    mask = measured.parent / "masks/sub-01.nii.gz"
    assert record["SourcesSHA256"] == {"../masks/sub-01.nii.gz": sha256(mask)}
    assert record["SHA256"] == {"csa.csv": sha256(measured / "csa.csv")}
    assert str(measured.parent) not in json.dumps(record)  # no user's folder is named


def test_what_is_as_recorded_is_verified_wherever_it_moved(measured, capsys):
    assert softseg(capsys, "verify", measured) == (0, "1 file and 1 source as in 1 record\n")
    moved = measured.parent.parent / f"{measured.parent.name}-moved"
    shutil.copytree(measured.parent, moved)
    assert softseg(capsys, "verify", moved / "out")[0] == 0


def _change_table(folder):
    (folder / "csa.csv").write_text("area_mm2\n99\n")


def _remove_table(folder):
    (folder / "csa.csv").unlink()


def _change_source(folder):
    source = folder.parent / "masks/sub-01.nii.gz"
    source.write_bytes(source.read_bytes()[:-1] + b"x")


def _remove_source(folder):
    (folder.parent / "masks/sub-01.nii.gz").unlink()


def _add_table(folder):
    (folder / "other.csv").write_text("area_mm2\n80\n")


def _cut_a_record(folder):
    (folder / "other.csv.json").write_text('{"GeneratedBy": [{"Na')


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (_change_table, "changed: csa.csv"),
        (_remove_table, "missing: csa.csv"),
        (_change_source, "source changed: "),
        (_remove_source, "source missing: "),
        (_add_table, "no record: other.csv"),
        (_cut_a_record, "damaged record: other.csv.json"),
    ],
)
def test_what_is_not_as_recorded_is_found(measured, capsys, change, finding):
    change(measured)
    code, said = softseg(capsys, "verify", measured)
    assert code == 1
    assert said.startswith(finding)
    assert said.splitlines()[-1].startswith("1 finding in ")


def test_a_table_without_its_record_is_found(measured, capsys):
    shutil.copy(measured / "csa.csv.json", measured / "again.csv.json")
    (measured / "csa.csv.json").unlink()
    assert "no record: csa.csv" not in softseg(capsys, "verify", measured)[1]  # still named
    (measured / "again.csv.json").unlink()
    shutil.copy(measured / "csa.csv", measured / "b.csv")
    sign(measured / "b.csv", step="test")
    code, said = softseg(capsys, "verify", measured)
    assert (code, said.splitlines()[0]) == (1, "no record: csa.csv")


def test_folders_that_softseg_did_not_write_are_wrong_input(tmp_path, capsys):
    assert softseg(capsys, "verify", tmp_path / "absent")[0] == 2
    (tmp_path / "a.csv").write_text("a\n")
    assert softseg(capsys, "verify", tmp_path)[0] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


@pytest.fixture
def dataset(tmp_path) -> Path:
    root = tmp_path / "data"
    for subject in ("sub-1", "sub-2"):
        for name in ("T2w", "T1w"):
            mask = rater_mask(grid_of(CONTRASTS[name], half_mm=(11, 18, 12.5)))
            stem = CONTRASTS[name].stem(subject)
            mask.save(root / f"{stem}.nii.gz")
            mask.save(root / f"derivatives/labels/{stem}_label-SC_seg.nii.gz", np.uint8)
    provenance_of_others = {"Name": "a lab's images", "BIDSVersion": "1.9.0"}
    (root / "dataset_description.json").write_text(json.dumps(provenance_of_others))
    return root


def test_a_soft_truth_is_verified_with_its_sources_and_a_second_run_hides_no_damage(
    dataset, capsys
):
    words = ("ground-truth", dataset, "--contrasts", "T1w,T2w", "--no-page")
    assert softseg(capsys, *words)[0] == 0
    made = dataset / "derivatives/labels_softseg"
    manifest = json.loads((made / MANIFEST).read_text())
    assert manifest["GeneratedBy"][0]["Parameters"]["reference"] == "T2w"
    assert "../report.csv" in manifest["SHA256"]
    assert softseg(capsys, "verify", made)[0] == 0
    # In the lab's own data set only what softseg made is asked for its record.
    assert softseg(capsys, "verify", dataset)[0] == 0
    assert softseg(capsys, "verify", made / "sub-1")[0] == 0
    victim = next(made.glob("sub-2/anat/*T1w*softseg.nii.gz"))
    stamp = victim.stat()
    victim.write_bytes(victim.read_bytes()[:-1] + b"x")

    os.utime(victim, ns=(stamp.st_atime_ns, stamp.st_mtime_ns - 60 * 10**9))
    assert softseg(capsys, *words)[0] == 0
    code, said = softseg(capsys, "verify", made)
    assert code == 1
    assert said.startswith(f"changed: {victim.relative_to(made).as_posix()}")
    assert softseg(capsys, "verify", made / "sub-1")[0] == 0
    hard = next((dataset / "derivatives/labels/sub-1").rglob("*T2w*"))
    hard.write_bytes(hard.read_bytes() + b"x")
    assert "source changed" in softseg(capsys, "verify", made)[1]


def test_a_phantom_cohort_is_verified(tmp_path, capsys):
    out = tmp_path / "phantom"
    words = ("phantom", out, "--subjects", 1, "--contrasts", "T1w", "--jobs", 1)
    assert softseg(capsys, *words)[0] == 0
    assert softseg(capsys, "verify", out)[0] == 0
    assert softseg(capsys, "verify", out / "derivatives/truth")[0] == 0
    files = json.loads((out / MANIFEST).read_text())["SHA256"]
    assert {"../participants.tsv", "../README", "../dataset_description.json"} <= set(files)
    table = next((out / "derivatives/truth").rglob("*_csa.csv"))
    table.write_text(table.read_text().replace("T1w", "T2w", 1))
    assert softseg(capsys, "verify", out)[0] == 1


def test_a_foreign_file_beside_a_mask_is_not_overwritten(tmp_path):
    mask = tmp_path / "sub-01_T2w.nii.gz"
    mask.write_bytes(b"mask")
    (tmp_path / "sub-01_T2w.json").write_text('{"EchoTime": 0.1}')
    record = sign(mask, step="test")
    assert record.name == "sub-01_T2w.nii.gz.json"
    assert (tmp_path / "sub-01_T2w.json").read_text() == '{"EchoTime": 0.1}'
    assert verify(tmp_path).findings == []


def test_equal_runs_leave_equal_records(tmp_path):
    texts = []
    for name in ("a", "b"):
        table = tmp_path / name / "x.csv"
        table.parent.mkdir()
        table.write_text("1\n")
        texts.append(sign(table, step="t", parameters={"p": (1, 2)}).read_bytes())
    assert texts[0] == texts[1]


@pytest.mark.parametrize("content", ["[]", "{}", '{"GeneratedBy": 3}', '{"SHA256": {"a": 1}}', "["])
def test_records_of_others_are_not_taken_for_ours(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(InputError, match="no record of softseg"):
        verify(tmp_path)


def test_where_the_new_record_cannot_be_written_the_old_one_does_not_vouch(tmp_path, monkeypatch):
    table = tmp_path / "a.csv"
    table.write_text("1\n")
    record = sign(table, step="t")
    table.write_text("2\n")

    def full(*_):
        raise InputError("no space")

    monkeypatch.setattr("softseg.provenance.records.write_json", full)
    with pytest.raises(InputError, match="no space"):
        sign(table, step="t")
    assert not record.exists()
