"""The index of a BIDS data set, its splits and its exclusions, on trees of empty files."""

import json
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softseg.contrasts import CONTRASTS
from softseg.dataset.exclusions import read_exclusions
from softseg.dataset.index import Dataset
from softseg.dataset.names import parse_contrasts
from softseg.dataset.splits import PUBLISHED_SPLITS, published_split, split
from softseg.errors import InputError
from softseg.paths import SHARED

SEG = "label-SC_seg"


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def make_tree(root: Path, subjects: list[str], derivatives: tuple[str, ...] = ()) -> Path:
    for subject in subjects:
        for contrast in CONTRASTS.values():
            touch(root, f"{contrast.stem(subject)}.nii.gz")
            for name in derivatives:
                touch(root, f"derivatives/{name}/{contrast.stem(subject)}_{SEG}.nii.gz")
    return root


def test_six_contrasts_of_every_participant_are_found(tmp_path):
    dataset = Dataset.index(make_tree(tmp_path, ["sub-02", "sub-01"]))
    assert dataset.subjects == ["sub-01", "sub-02"]
    assert set(dataset.images["contrast"]) == set(CONTRASTS)
    assert len(dataset.images) == 12
    for row in dataset.images.itertuples():
        assert row.path == tmp_path / f"{CONTRASTS[row.contrast].stem(row.subject)}.nii.gz"
    assert dataset.missing.empty


def test_names_of_earlier_releases_are_understood_with_their_derivatives(tmp_path):
    touch(
        tmp_path,
        "sub-1/anat/sub-1_acq-MTon_MTS.nii.gz",
        "sub-1/anat/sub-1_acq-T1w_MTS.nii.gz",
        "sub-1/dwi/sub-1_dwi_moco_dwi_mean.nii.gz",
        "sub-1/dwi/sub-1_dwi.nii.gz",
        "derivatives/labels/sub-1/anat/sub-1_acq-MTon_MTS_seg-manual.nii.gz",
        "derivatives/labels_softseg/sub-1/anat/sub-1_acq-T1w_MTS_softseg.nii.gz",
        "derivatives/labels/sub-1/anat/sub-1_flip-2_mt-off_MTS_label-SC_seg.nii.gz",
    )
    dataset = Dataset.index(tmp_path)
    assert list(dataset.images["contrast"]) == ["DWI", "GRE-T1w", "MT-on"]
    existing = dataset.existing
    assert existing("labels", "sub-1", "MT-on", SEG).name == "sub-1_acq-MTon_MTS_seg-manual.nii.gz"
    assert existing("labels_softseg", "sub-1", "GRE-T1w", "label-SC_softseg") is not None
    assert existing("labels", "sub-1", "GRE-T1w", SEG) is not None  # image old, label new
    assert existing("labels", "sub-1", "DWI", SEG) is None


def test_raw_scans_under_sourcedata_and_derivatives_are_not_images(tmp_path):
    make_tree(tmp_path, ["sub-1"], derivatives=("labels",))
    touch(tmp_path, "sourcedata/sub-1/anat/sub-1_T2w.nii.gz")
    assert len(Dataset.index(tmp_path).images) == 6


def test_a_name_with_further_entities_yields_to_the_exact_one(tmp_path):
    touch(tmp_path, "sub-1/anat/sub-1_T2w.nii.gz", "sub-1/anat/sub-1_acq-fullfov_T2w.nii.gz")
    touch(tmp_path, "sub-2/anat/sub-2_acq-fullfov_T2w.nii.gz")
    dataset = Dataset.index(tmp_path)
    assert dataset.image("sub-1", "T2w").name == "sub-1_T2w.nii.gz"
    assert dataset.image("sub-2", "T2w").name == "sub-2_acq-fullfov_T2w.nii.gz"


def test_an_stir_image_is_no_loose_t2w(tmp_path):
    touch(tmp_path, "sub-1/anat/sub-1_acq-stir_T2w.nii.gz")
    assert Dataset.index(tmp_path).images.empty
    assert list(Dataset.index(tmp_path, contrasts="all").images["contrast"]) == ["STIR"]


def test_two_candidates_for_one_contrast_are_refused_with_their_names(tmp_path):
    touch(tmp_path, *(f"sub-1/anat/sub-1_run-{k}_T2w.nii.gz" for k in (1, 2)))
    dataset = Dataset.index(tmp_path)
    with pytest.raises(InputError, match=r"sub-1 T2w: 2 candidates .*run-1.*run-2"):
        dataset.derivative("labels", "sub-1", "T2w", SEG)
    assert dataset.image("sub-1", "T2w", run="2").name == "sub-1_run-2_T2w.nii.gz"
    first = Dataset.index(tmp_path, entities={"run": "1"})
    assert first.image("sub-1", "T2w").name == "sub-1_run-1_T2w.nii.gz"


def test_sessions_have_their_own_images_and_derivatives(tmp_path):
    touch(tmp_path, *(f"sub-1/ses-{k}/anat/sub-1_ses-{k}_T2w.nii.gz" for k in (1, 2)))
    touch(tmp_path, "sub-2/ses-1/anat/sub-2_ses-1_T2w.nii.gz")
    dataset = Dataset.index(tmp_path)
    assert dataset.sessions("sub-1") == ["ses-1", "ses-2"]
    path = dataset.derivative("labels", "sub-1", "T2w", SEG, session="ses-2")
    assert path.relative_to(tmp_path / "derivatives/labels").as_posix() == (
        "sub-1/ses-2/anat/sub-1_ses-2_T2w_label-SC_seg.nii.gz"
    )
    with pytest.raises(InputError, match="2 candidates"):
        dataset.image("sub-1", "T2w")
    # A contrast without image follows the only session.
    path = dataset.derivative("labels", "sub-2", "T1w", SEG)
    assert path.name == "sub-2_ses-1_T1w_label-SC_seg.nii.gz"


def test_missing_contrasts_are_listed_with_the_reason(tmp_path):
    make_tree(tmp_path, ["sub-1", "sub-2"])
    (tmp_path / "sub-1/anat/sub-1_T1w.nii.gz").unlink()
    image = tmp_path / "sub-1/anat/sub-1_T2star.nii.gz"
    image.unlink()
    image.symlink_to("../../.git/annex/objects/not-here.nii.gz")
    dataset = Dataset.index(tmp_path, exclude=["sub-2/T2w"])
    reasons = dataset.missing.set_index(["subject", "contrast"])["reason"].to_dict()
    assert reasons == {
        ("sub-1", "T1w"): "no image",
        ("sub-1", "T2star"): "not fetched yet (datalad get)",
        ("sub-2", "T2w"): "excluded: excluded by option",
    }
    assert len(dataset.images) == 9


def test_a_mask_without_image_is_found_at_the_place_of_its_image(tmp_path):
    touch(tmp_path, "sub-1/anat/sub-1_T2w.nii.gz")
    touch(tmp_path, "derivatives/labels/sub-1/anat/sub-1_T1w_label-SC_seg.nii.gz")
    dataset = Dataset.index(tmp_path)
    assert dataset.image("sub-1", "T1w") is None
    assert dataset.existing("labels", "sub-1", "T1w", SEG).exists()


def test_a_contrast_of_ones_own_is_named_with_its_suffix(tmp_path):
    touch(tmp_path, "sub-1/anat/sub-1_flip-1_mt-off_MTS.nii.gz", "sub-1/anat/sub-1_T2w.nii.gz")
    dataset = Dataset.index(tmp_path, contrasts=["T2w", "MT-off=flip-1_mt-off_MTS"])
    assert dataset.image("sub-1", "MT-off") is not None
    name = "sub-1_flip-1_mt-off_MTS_label-SC_seg.nii.gz"
    assert dataset.derivative("labels", "sub-1", "MT-off", SEG).name == name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"subjects": ["sub-9"]}, "no participant sub-9"),
        ({"contrasts": ["T3w"]}, "contrast 'T3w': not one of"),
        ({"contrasts": ["T2w", "T2w"]}, "given twice"),
        ({"exclude": "absent.yml"}, "no readable list of exclusions"),
    ],
)
def test_what_is_not_there_is_named(tmp_path, options, message):
    make_tree(tmp_path, ["sub-1"])
    with pytest.raises(InputError, match=message):
        Dataset.index(tmp_path, **options)


def test_a_folder_that_is_no_data_set_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no sub-\* folders"):
        Dataset.index(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        Dataset.index(tmp_path / "absent")


def test_participants_are_read_and_a_duplicate_is_refused(tmp_path):
    make_tree(tmp_path, ["sub-1"])
    table = tmp_path / "participants.tsv"
    table.write_text("participant_id\tsex\nsub-1\tF\n")
    assert Dataset.index(tmp_path).participants.loc["sub-1", "sex"] == "F"
    table.write_text("participant_id\tsex\nsub-1\tF\nsub-1\tM\n")
    with pytest.raises(InputError, match="each participant is listed once, found sub-1"):
        _ = Dataset.index(tmp_path).participants
    table.write_text("name\tsex\nsub-1\tF\n")
    with pytest.raises(InputError, match="column participant_id"):
        _ = Dataset.index(tmp_path).participants


@pytest.mark.parametrize(
    ("encoding", "said"), [("utf-8-sig", None), ("latin-1", "latin-1"), ("utf-16", "utf-16")]
)
def test_participants_are_read_whatever_program_wrote_them(tmp_path, encoding, said):
    make_tree(tmp_path, ["sub-1"])
    text = "participant_id\tname\nsub-1\tJos\u00e9\n"
    (tmp_path / "participants.tsv").write_bytes(text.encode(encoding))
    dataset = Dataset.index(tmp_path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert dataset.participants.loc["sub-1", "name"] == "Jos\u00e9"
    assert [f"not in UTF-8, read as {said}" in str(each.message) for each in caught] == (
        [True] if said else []
    )


def test_labels_with_dots_and_hyphens_belong_to_names(tmp_path):
    touch(tmp_path, "sub-a-b.1/ses-x.y/anat/sub-a-b.1_ses-x.y_acq-c-d_T2w.nii.gz")
    touch(tmp_path, "sub-2/anat/sub-2_part-phase_T2star.nii.gz")
    (row,) = Dataset.index(tmp_path).images.itertuples()
    assert (row.subject, row.session, row.contrast) == ("sub-a-b.1", "ses-x.y", "T2w")


def test_sessions_and_runs_are_read_from_the_name(tmp_path):
    touch(tmp_path, "sub-1/ses-1/anat/sub-1_ses-1_run-01_T2star.nii.gz")
    (row,) = Dataset.index(tmp_path).images.itertuples()
    assert (row.subject, row.session, row.run) == ("sub-1", "ses-1", "01")


def test_exclusions_are_read_from_lists_by_reason(tmp_path):
    text = "moved: [sub-01, '03']\nwrong person: [sub-02/T1w]\n"
    (tmp_path / "exclude.yml").write_text(text)
    exclusions = {"sub-01": "moved", "sub-02/T1w": "wrong person", "sub-03": "moved"}
    assert read_exclusions(tmp_path / "exclude.yml") == exclusions
    (tmp_path / "bad.yml").write_text("- sub-01\n")
    with pytest.raises(InputError, match="map a reason to a list"):
        read_exclusions(tmp_path / "bad.yml")


def test_the_papers_exclusions_leave_243_of_its_267(tmp_path):
    listed = {s for part in published_split("seed-15", excluded=True).values() for s in part}
    assert len(listed) == 260
    excluded = read_exclusions("spine-generic")
    assert len(excluded) == 24
    # Seven of the 24 were already absent from the list of 260.
    assert len(listed - set(excluded)) == 243


def test_published_splits_have_their_published_sizes_and_do_not_overlap():
    sizes = {name: [len(p) for p in published_split(name).values()] for name in PUBLISHED_SPLITS}
    assert sizes == {"seed-15": [145, 49, 49], "seed-50": [158, 36, 49]}
    for name in PUBLISHED_SPLITS:
        parts = published_split(name, excluded=True)
        everyone = [s for part in parts.values() for s in part]
        assert len(everyone) == len(set(everyone))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 200), st.integers(0, 2**31), st.randoms())
def test_a_split_holds_everyone_once_whatever_the_order(n, seed, random):
    subjects = [f"sub-{k:03d}" for k in range(n)]
    shuffled = list(subjects)
    random.shuffle(shuffled)
    parts = split(shuffled, seed=seed)
    assert parts == split(subjects, seed=seed)
    assert sorted(s for part in parts.values() for s in part) == subjects
    assert abs(len(parts["test"]) - 0.2 * n) <= 1


@pytest.mark.parametrize("seed", range(5))
def test_each_part_of_a_stratified_split_has_its_share_of_women_men_and_vendors(seed):
    rng = np.random.default_rng(seed)
    who = {
        f"sub-{k:03d}": f"{rng.choice(['F', 'M'])} "
        f"{rng.choice(['Siemens', 'Philips', 'GE'], p=[0.66, 0.2, 0.14])}"
        for k in range(54)
    }
    fractions = (0.45, 0.11, 0.44)
    plain, parts = (split(who, seed=seed, fractions=fractions, strata=s) for s in (None, who))
    assert {p: len(m) for p, m in parts.items()} == {p: len(m) for p, m in plain.items()}
    assert sorted(s for part in parts.values() for s in part) == sorted(who)
    for value in ("F", "M", "Siemens", "Philips", "GE"):
        everybody = sum(value in w.split() for w in who.values())
        for part, share in zip(parts, fractions, strict=True):
            count = sum(value in who[s].split() for s in parts[part])
            assert abs(count - share * everybody) < 2
    with pytest.raises(InputError, match="sub-900 has no stratum"):
        split([*who, "sub-900"], seed=seed, strata=who)


def test_splits_of_different_seeds_differ_and_bad_fractions_are_refused():
    subjects = [f"sub-{k}" for k in range(50)]
    assert split(subjects, seed=1) != split(subjects, seed=2)
    for fractions in ((0.5, 0.5), (0.6, 0.6, 0.2), (1.2, -0.2, 0.0)):
        with pytest.raises(InputError, match="three shares"):
            split(subjects, seed=1, fractions=fractions)
    with pytest.raises(InputError, match="listed twice"):
        split(["sub-1", "sub-1"], seed=1)


def test_parsing_contrasts_gives_the_six_by_default():
    assert list(parse_contrasts(None)) == list(CONTRASTS)
    assert parse_contrasts("T2w")["T2w"] is CONTRASTS["T2w"]


def test_267_participants_with_derivatives_are_indexed_in_two_seconds(tmp_path):
    make_tree(tmp_path, [f"sub-{k:03d}" for k in range(267)], ("labels",))
    started = time.process_time()
    dataset = Dataset.index(tmp_path)
    found = [
        dataset.existing("labels", s, c, SEG) for s in dataset.subjects for c in dataset.contrasts
    ]
    assert None not in found
    assert len(found) == 267 * 6
    assert time.process_time() - started < 2


@pytest.mark.benchmark(group="index of 267 x 6 images")
def test_speed_of_the_index(tmp_path, benchmark):
    make_tree(tmp_path, [f"sub-{k:03d}" for k in range(267)])
    dataset = benchmark(Dataset.index, tmp_path)
    assert len(dataset.images) == 1602


@pytest.mark.real
@pytest.mark.skipif(not (SHARED / "real").is_dir(), reason=f"no real images at {SHARED}")
def test_the_real_images_are_found_with_sessions_runs_and_masks():
    contrasts = ["T2w", "T1w", "MT-on", "MT-off=flip-1_mt-off_MTS", "T2star", "GRE-T1w"]
    dataset = Dataset.index(SHARED / "real", contrasts=contrasts)
    assert dataset.sessions("sub-gmc10062") == ["ses-1", "ses-2"]
    assert dataset.image("sub-errsm23", "T2w").name == "sub-errsm23_T2w.nii.gz"
    assert dataset.image("sub-errsm23", "T1w") is None
    assert dataset.existing("labels", "sub-errsm23", "T1w", SEG) is not None


def test_json_files_beside_images_are_not_images(tmp_path):
    make_tree(tmp_path, ["sub-1"])
    (tmp_path / "sub-1/anat/sub-1_T2w.json").write_text(json.dumps({}))
    assert len(Dataset.index(tmp_path).images) == 6


def test_a_data_set_whose_folder_has_a_dot_in_its_name_is_found(tmp_path):
    root = tmp_path / "study-1.5T"
    image = root / "sub-01" / "anat" / "sub-01_T2w.nii.gz"
    image.parent.mkdir(parents=True)
    image.write_bytes(b"")
    (root / "dataset_description.json").write_text('{"Name": "dots", "BIDSVersion": "1.9.0"}')
    found = Dataset.index(root).images
    assert [str(path) for path in found["path"]] == [str(image)]
