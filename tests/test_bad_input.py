"""Bad input of every kind, to every command: one line, exit code 2, nothing written."""

import gzip
import os
import re
import resource
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from broken_files import (
    BROKEN,
    ODD_NAMES,
    mask_bytes,
    nifti_bytes,
    with_field,
    write_broken,
    write_whole,
)
from fuzzing import attempt, below, fuzz, untrained_weights
from hypothesis import HealthCheck, given, settings

from softseg.errors import InputError, brief, printable
from softseg.nifti import read
from softseg.volume import Volume


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    return untrained_weights(tmp_path_factory.mktemp("weights"))


def refused(case, path: Path) -> None:
    """A refusal is exit code 2 and one line that names the file, the rule and the finding."""
    assert case.faults == ()
    assert case.code == 2, case.lines
    (line,) = case.lines
    assert line.startswith("softseg: ")
    assert path.name in line
    assert len(line) < 500


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_image_is_refused_with_its_name_and_what_is_wrong(tmp_path, name):
    path = write_broken(tmp_path, name)
    with pytest.raises(InputError) as caught:
        Volume.load(path)
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", BROKEN)
def test_csa_refuses_a_broken_mask_and_broken_levels(tmp_path, name):
    path = write_broken(tmp_path / "in", name)
    refused(attempt("csa", [path, "-o", tmp_path / "a.csv"], tmp_path), path)
    whole = write_whole(tmp_path / "in/whole.nii.gz")
    for option in ("--levels", "--discs", "--centreline"):
        words = [whole, "-o", tmp_path / "a.csv", option, path]
        refused(attempt("csa", words, tmp_path), path)


@pytest.mark.parametrize("name", BROKEN)
def test_segment_refuses_a_broken_image_alone_and_goes_on_in_a_batch(tmp_path, name, weights):
    path = write_broken(tmp_path / "in", name)
    options = ["--weights", weights]
    case = attempt("segment", [path, "-o", tmp_path / "mask.nii.gz", *options], tmp_path)
    refused(case, path)
    case = attempt("segment", [path, "-o", tmp_path / "out", *options], tmp_path)
    refused(case, path)
    if name in ("cut-gzip", "nan-affine"):
        whole = write_whole(tmp_path / "in/whole.nii.gz")
        case = attempt("segment", [path, whole, "-o", tmp_path / "out", *options], tmp_path)
        assert case.code == 1
        assert any(path.name in line for line in case.lines)
        made = {file.name for file in (tmp_path / "out").iterdir()}
        assert made == {f"whole_label-SC_softseg.{kind}" for kind in ("nii.gz", "json")}


@pytest.mark.parametrize("name", ["cut-gzip", "five-dimensional", "nan-affine", "empty", "huge"])
def test_ground_truth_fails_for_a_participant_with_a_broken_mask_only(tmp_path, name):
    root = tmp_path / "data"
    for subject in ("sub-1", "sub-2"):
        stem = f"{subject}/anat/{subject}_T2w"
        write_whole(root / f"{stem}.nii.gz", shape=(12, 14, 9))
        labels = root / "derivatives/labels"
        write_whole(labels / f"{stem}_label-SC_seg.nii.gz", shape=(12, 14, 9), kind=np.uint8)
    broken = write_broken(tmp_path, name)
    target = root / "derivatives/labels/sub-1/anat/sub-1_T2w_label-SC_seg.nii.gz"
    target.write_bytes(broken.read_bytes())
    case = attempt("ground-truth", [root, "--subjects", "1"], tmp_path)
    assert case.faults == ()
    assert case.code == 2, case.lines
    assert any(target.name in line for line in case.lines)
    case = attempt("ground-truth", [root], tmp_path)
    assert case.faults == ()
    assert case.code == 1, case.lines
    assert list((root / "derivatives/labels_softseg/sub-2").rglob("*.nii.gz"))
    assert not list((root / "derivatives/labels_softseg").rglob("sub-1*"))


def test_both_byte_orders_both_versions_and_wrong_names_are_read(tmp_path):
    expected = Volume.load(write_whole(tmp_path / "a.nii")).data
    for endian, ending in ((">", ".nii"), ("<", ".nii.gz"), (">", ".nii.gz")):
        path = write_whole(tmp_path / f"b{ending}", endian=endian)
        np.testing.assert_array_equal(Volume.load(path).data, expected)
    second = nib.Nifti2Image(expected, np.diag([-1.0, 1.0, 3.0, 1.0]))
    nib.save(second, tmp_path / "c.nii.gz")
    np.testing.assert_array_equal(Volume.load(tmp_path / "c.nii.gz").data, expected)
    # Compressed content without the ending, and the ending without compressed content.
    (tmp_path / "d.nii").write_bytes(gzip.compress(bytes(mask_bytes())))
    (tmp_path / "e.nii.gz").write_bytes(bytes(mask_bytes()))
    for name in ("d.nii", "e.nii.gz"):
        np.testing.assert_array_equal(Volume.load(tmp_path / name).data, expected)


def test_voxel_sizes_in_the_sform_are_not_judged_by_the_unused_ones(tmp_path):
    path = tmp_path / "a.nii"
    path.write_bytes(bytes(with_field(mask_bytes(), "pixdim", 1, 0, 0, 0, 0, 0, 0, 0)))
    assert Volume.load(path).spacing_mm == (1.0, 1.0, 3.0)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(content=nifti_bytes())
def test_whatever_the_bytes_are_a_finite_geometry_or_one_line_comes_out(tmp_path, content):
    path = tmp_path / "a.nii"
    path.write_bytes(content)
    said = found = None
    try:
        found = read(path, average="mean")
    except InputError as error:
        said = str(error)
    if found is None:
        assert path.name in said
        assert "\n" not in said
    else:
        assert found.data.ndim == 3
        assert found.data.dtype == np.float32
        assert np.isfinite(found.geometry.affine).all()
        assert found.data.size <= len(content) * 1032


def test_a_header_cannot_ask_for_more_memory_than_its_file_can_fill(tmp_path):
    for name in ("gzip-bomb", "huge", "large"):
        path = write_broken(tmp_path, name)
        tracemalloc.start()
        with pytest.raises(InputError):
            Volume.load(path)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 2**20, name


def test_a_long_series_is_averaged_without_being_held(tmp_path):
    volumes = 40
    one = mask_bytes(shape=(64, 64, 16))
    voxels = bytes(one[352:])
    head = with_field(one[:352], "dim", 4, 64, 64, 16, volumes, 1, 1, 1)
    path = tmp_path / "series.nii.gz"
    with gzip.open(path, "wb", 1) as file:
        file.write(bytes(head))
        for _ in range(volumes):
            file.write(voxels)
    tracemalloc.start()
    volume = Volume.load(path, average="mean")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert volume.data.max() == 1
    assert peak < volumes * len(voxels) / 3


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_file_names_are_measured_like_others_and_run_nothing(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    mask = write_whole(tmp_path / f"{name}.nii.gz")
    case = attempt("csa", ["-o", tmp_path / "a.csv", "--", mask], tmp_path)
    assert (case.code, case.faults) == (0, ())
    assert not (tmp_path / "pwned").exists()
    case = attempt("csa", ["-o", "b.csv", "--", tmp_path / f"{name}-absent.nii"], tmp_path)
    assert case.code == 2
    assert len(case.lines) == 1


def test_odd_file_names_are_segmented_and_shown_like_others(tmp_path, weights, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = [write_whole(tmp_path / "in" / f"{name}.nii.gz") for name in ODD_NAMES]
    words = ["-o", "out", "--weights", weights, "--qc", "page", "--csa", "a.csv", "--", *images]
    case = attempt("segment", words, tmp_path)
    assert (case.code, case.faults) == (0, ()), case.lines[:3]
    made = {path.name for path in (tmp_path / "out").glob("*.nii.gz")}
    assert made == {f"{name}_label-SC_softseg.nii.gz" for name in ODD_NAMES}
    assert not (tmp_path / "pwned").exists()
    assert "<script>alert" not in (tmp_path / "page/index.html").read_text()


def test_a_name_that_is_no_text_is_refused_as_text(tmp_path):
    path = os.fsencode(tmp_path) + b"/\xff\xfe.nii"
    try:
        with open(path, "wb") as file:
            file.write(bytes(mask_bytes()))
    except OSError:
        pytest.skip("this file system takes names in UTF-8 only")
    case = attempt("csa", [os.fsdecode(path), "-o", tmp_path / "a.csv"], tmp_path)
    assert (case.code, case.faults) == (2, ())
    assert "UTF-8; rename it" in case.lines[0]


@pytest.mark.parametrize("slope", [0.0, float("nan"), 1.0])
def test_values_are_not_scaled_where_the_header_says_nothing(tmp_path, slope):
    path = tmp_path / "a.nii"
    for kind in (np.float32, np.int16):
        content = with_field(mask_bytes(kind=kind), "scl_slope", slope)
        path.write_bytes(bytes(with_field(content, "scl_inter", 0.0)))
        np.testing.assert_array_equal(Volume.load(path).data, nib.load(path).get_fdata())
        assert Volume.load(path).data.max() == 1


def _dataset(root: Path) -> Path:
    stem = "sub-1/anat/sub-1_T2w"
    write_whole(root / f"{stem}.nii.gz", shape=(12, 14, 9))
    labels = root / "derivatives/labels"
    write_whole(labels / f"{stem}_label-SC_seg.nii.gz", shape=(12, 14, 9), kind=np.uint8)
    return root


def test_a_link_that_leaves_the_data_set_is_refused_unless_allowed(tmp_path, weights):
    secret = write_whole(tmp_path / "secret/other.nii.gz", shape=(12, 14, 9), kind=np.uint8)
    for place in ("sub-1/anat/sub-1_T2w.nii.gz",
                  "derivatives/labels/sub-1/anat/sub-1_T2w_label-SC_seg.nii.gz"):  # fmt: skip
        root = _dataset(tmp_path / f"data{len(place)}")
        (root / place).unlink()
        (root / place).symlink_to(secret)
        commands = {"ground-truth": [root]}
        if place.startswith("sub-1"):
            commands["segment"] = [root, "-o", tmp_path / "out", "--weights", weights]
        for command, words in commands.items():
            case = attempt(command, words, tmp_path)
            assert case.code == 2
            assert case.faults == ()
            assert "leaves the data set" in case.lines[-1]
            assert "--follow-links" in case.lines[-1]
            assert attempt(command, [*words, "--follow-links"], tmp_path).code == 0


def test_links_within_the_data_set_are_read(tmp_path):
    root = _dataset(tmp_path / "data")
    image = root / "sub-1/anat/sub-1_T2w.nii.gz"
    (root / ".git/annex").mkdir(parents=True)
    image.rename(root / ".git/annex/key")
    image.symlink_to("../../.git/annex/key")
    assert attempt("ground-truth", [root], tmp_path).code == 0


def test_masks_are_not_written_through_a_link_out_of_the_data_set(tmp_path):
    root = _dataset(tmp_path / "data")
    (tmp_path / "elsewhere").mkdir()
    (root / "derivatives/labels_softseg").symlink_to(tmp_path / "elsewhere")
    case = attempt("ground-truth", [root], tmp_path)
    assert (case.code, case.faults) == (2, ())
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("name", ["../up", "/tmp/abs", "", "a/../../b", ".."])
@pytest.mark.parametrize("option", ["--output", "--labels"])
def test_a_pipelines_name_cannot_lead_out_of_derivatives(tmp_path, name, option):
    root = _dataset(tmp_path / "data")
    case = attempt("ground-truth", [root, option, name], tmp_path)
    assert (case.code, case.faults) == (2, ())
    assert option in case.lines[-1]


def test_a_table_whose_plot_has_no_place_is_not_written_either(tmp_path):
    mask = write_whole(tmp_path / "a.nii")
    (tmp_path / "b.png").mkdir()
    words = [mask, "-o", tmp_path / "a.csv", "--plot", tmp_path / "b.png"]
    case = attempt("csa", words, tmp_path)
    assert (case.code, case.faults) == (2, ())


def test_messages_stay_on_one_line_and_cannot_steer_a_terminal():
    assert printable("a\nb\x1b[31m") == "a\\nb\\x1b[31m"
    assert brief(ValueError("x" * 999)).endswith("…")
    assert not re.search(r"[\x00-\x1f]", printable(bytes(range(256)).decode("latin-1")))


def test_a_few_of_the_fuzzed_cases_end_as_they_should(weights):
    report = fuzz(66, weights)
    assert report.faults == []
    assert {case.command for case in report.cases} >= {"csa", "segment", "ground-truth", "verify"}
    assert any(case.code == 0 for case in report.cases)
    assert any(case.code == 2 for case in report.cases)


@pytest.mark.stress
def test_two_thousand_fuzzed_cases_end_as_they_should_in_bounded_memory(weights):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    report = fuzz(2400, weights)
    assert report.faults == []
    assert len(report.cases) >= 2000
    assert report.peak_bytes - before < 2**30


def test_what_an_attempt_finds_wrong_is_a_fault(tmp_path):
    """The judge can condemn."""
    case = attempt("divine", [], tmp_path)
    assert (case.code, case.faults) == (2, ())
    assert below(tmp_path) == set()


def test_codes_that_nifti_does_not_know_are_not_passed_on(tmp_path):
    image = nib.Nifti1Image(np.ones((4, 5, 6), np.float32), np.diag([1.0, 2.0, 3.0, 1.0]))
    image.header["qform_code"] = -38
    path = tmp_path / "odd.nii"
    path.write_bytes(image.to_bytes())
    volume = Volume.load(path)
    assert set(volume.codes) <= set(range(6))
    assert Volume.load(volume.save(tmp_path / "saved.nii")).data.shape == (4, 5, 6)
