"""What can be changed about a cohort, one thing at a time, with the same participants in it."""

import json
from dataclasses import fields

import numpy as np
import pandas as pd
import pytest

from softseg.contrasts import CONTRASTS
from softseg.errors import InputError
from softseg.phantom.acquisition import acquire
from softseg.phantom.anatomy import random_anatomy
from softseg.phantom.artefacts import with_options
from softseg.phantom.cohort import OPTIONS_FILE, write_cohort
from softseg.phantom.subjects import CohortOptions, draw_subject
from softseg.volume import Volume

STEM = CONTRASTS["DWI"].stem("sub-001")
PLAIN = with_options("mild")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Cohorts of one participant that differ in one option, made when they are asked for."""
    root, made = tmp_path_factory.mktemp("options"), {}

    def get(**options):
        key = repr(options)
        if key not in made:
            settings = {"vendor": "Siemens", "severity": PLAIN, "same_people": True} | options
            made[key] = write_cohort(
                root / str(len(made)), subjects=1, seed=6, contrasts="DWI", jobs=1, **settings,
            )  # fmt: skip
        return made[key]

    return get


def image(cohort):
    return Volume.load(cohort / f"{STEM}.nii.gz")


def truth(cohort):
    return Volume.load(cohort / "derivatives" / "truth" / f"{STEM}_label-SC_softseg.nii.gz")


def areas(cohort):
    table = pd.read_csv(cohort / "derivatives/truth/sub-001/sub-001_csa.csv")
    return table["area_mm2"].to_numpy()


@pytest.mark.parametrize(
    "options",
    [
        {"vendor": "GE"},
        {"field_t": 7.0},
        {"severity": with_options("mild", noise=3.0)},
        {"pathology": "lesions=6"},
    ],
    ids=str,
)
def test_another_scanner_or_a_lesion_changes_the_picture_and_leaves_the_truth(written, options):
    plain, changed = written(), written(**options)
    np.testing.assert_allclose(truth(plain).data, truth(changed).data, atol=1e-6)
    assert not np.array_equal(image(plain).data, image(changed).data)


def test_the_same_people_lose_exactly_the_area_that_atrophy_takes(written):
    thin = written(pathology="atrophy=15")
    np.testing.assert_allclose(areas(thin), 0.85 * areas(written()), rtol=2e-3)


def test_a_population_s_mean_area_scales_every_cord_and_leaves_the_canals(written):
    large = written(mean_area_mm2=78.0)
    np.testing.assert_allclose(areas(large), 78 / 72 * areas(written()), rtol=2e-3)
    plain, other = (
        draw_subject(CohortOptions(6, ("DWI",), mean_area_mm2=mean), 0).anatomy
        for mean in (72.0, 78.0)
    )
    assert other.participant.diameters_mm["canal_AP"] == plain.participant.diameters_mm["canal_AP"]


def mask_mm2(cohort):
    mask = Volume.load(cohort / "derivatives" / "labels" / f"{STEM}_label-SC_seg.nii.gz")
    return mask.data.sum(axis=(0, 1), dtype=float) * np.prod(mask.spacing_mm[:2])


def test_a_shifted_rule_changes_masks_alone(written):
    plain, wide = written(), written(rule_mm=0.1)
    np.testing.assert_array_equal(image(plain).data, image(wide).data)
    inner = slice(5, -5)
    change = (mask_mm2(wide) - mask_mm2(plain))[inner].mean()
    assert change == pytest.approx(0.23 * 31, rel=0.25)


def test_without_edges_by_contrast_no_pia_covers_the_cord_and_one_rule_draws(written):
    plain, same = (
        draw_subject(CohortOptions(6, ("DWI",), edges=edges), 0)
        for edges in ("by-contrast", "same")
    )
    assert plain.anatomy.profiles.column("pia").min() > 0.1
    assert not same.anatomy.profiles.column("pia").any()
    assert same.row == plain.row
    np.testing.assert_allclose(areas(written(edges="same")), areas(written()), rtol=1e-6)
    assert not np.array_equal(mask_mm2(written(edges="same")), mask_mm2(written()))


def test_without_edges_by_contrast_no_echo_train_blurs_the_image(written):
    for contrast in ("DWI", "T2w", "EPI"):
        blurred = CohortOptions(6, (contrast,)).protocol(contrast, "GE")
        sharp = CohortOptions(6, (contrast,), edges="same").protocol(contrast, "GE")
        assert blurred.train_s + blurred.readout_s > 0
        assert (sharp.train_s, sharp.readout_s, sharp.partial_fourier) == (0, 0, 1)
        assert sharp.te_s == blurred.te_s
    # The cord of diffusion images has the steeper edges: its brightness falls within fewer voxels.
    steepness = []
    for cohort in (written(edges="same"), written()):
        middle = image(cohort).data[:, :, 4:-4]
        steepness.append(np.abs(np.diff(middle, axis=1))[truth(cohort).data[:, 1:, 4:-4] > 0].max())
    assert steepness[0] > 1.1 * steepness[1]


def test_without_the_option_pathology_makes_other_participants(written):
    alone = {"same_people": False}
    thin = written(pathology="atrophy=15", **alone)
    np.testing.assert_allclose(areas(written(**alone)), areas(written()), rtol=1e-6)
    ratio = areas(written(pathology="atrophy", **alone)) / areas(thin)
    assert np.ptp(ratio) > 0.01, "a drawn number shifts everything that is drawn after it"


@pytest.mark.parametrize("pathology", ["compression", "lesions", "injury", "atrophy", "healthy"])
@pytest.mark.parametrize("vendor", ["Siemens", "Philips", "GE"])
def test_a_participant_is_the_same_whatever_the_pathology_and_the_vendor(pathology, vendor):
    plain = draw_subject(CohortOptions(3, ("T2w",), same_people=True), 5)
    other = draw_subject(CohortOptions(3, ("T2w",), pathology, vendor, same_people=True), 5)
    assert other.anatomy.participant == plain.anatomy.participant
    np.testing.assert_array_equal(
        other.anatomy.centreline.position, plain.anatomy.centreline.position
    )
    np.testing.assert_array_equal(other.anatomy.outline.radius, plain.anatomy.outline.radius)
    assert other.anatomy.pathology.name == pathology


def test_noise_grows_with_its_factor():
    participant = random_anatomy(np.random.default_rng(2))

    def picture(noise):
        level = with_options("mild", noise=noise)
        return acquire(participant, "EPI", rng=np.random.default_rng(3), severity=level)

    quiet = picture(1e-6)  # without noise tissue would have no texture
    inside = quiet.truth.data > 0.95
    spread = [
        np.std((picture(noise).image.data - quiet.image.data)[inside]) for noise in (0.8, 2.4)
    ]
    assert spread[1] / spread[0] == pytest.approx(3, rel=0.1)


def test_field_strength_is_written_down_and_reaches_the_relaxation(written):
    sidecar = json.loads((written(field_t=1.5) / f"{STEM}.json").read_text())
    assert sidecar["MagneticFieldStrength"] == 1.5
    low, high = image(written(field_t=1.5)).data, image(written(field_t=7.0)).data
    assert abs(low - high).mean() > 5


@pytest.mark.parametrize("contrast", ["T2star", "T1w"])
def test_larger_voxels_cover_the_same_field_and_keep_the_true_areas(contrast):
    participant = random_anatomy(np.random.default_rng(8))
    nominal = np.array(CONTRASTS[contrast].spacing_mm)
    sizes = []
    for scale in (1.0, 1.5):
        scan = acquire(participant, contrast, rng=np.random.default_rng(1), voxel_scale=scale)
        spacing = np.array(scan.image.spacing_mm)
        np.testing.assert_allclose(spacing, scale * nominal)
        sizes.append(spacing * scan.image.data.shape)
        volume = scan.truth.data.sum(axis=(0, 1), dtype=float)[scan.areas["slice"]]
        area = volume * spacing.prod() / scan.areas["length_mm"]
        np.testing.assert_allclose(area, scan.areas["area_mm2"], rtol=0.003)
    assert (np.abs(sizes[1] - sizes[0]) <= 1.5 * nominal).all()


def test_slice_thickness_in_the_sidecar_is_that_of_the_voxels(written):
    cohort = written(voxel_scale=1.5)
    sidecar = json.loads((cohort / f"{STEM}.json").read_text())
    assert sidecar["SliceThickness"] == pytest.approx(image(cohort).spacing_mm[2])


def test_options_that_are_not_used_leave_no_trace_in_a_cohorts_description(written):
    later = {
        "field_t", "voxel_scale", "same_people", "mean_area_mm2", "rule_mm", "edges",
    }  # fmt: skip
    assert later < {field.name for field in fields(CohortOptions)}
    assert not later & set(CohortOptions(1, ("T2w",)).content)
    found = json.loads((written(field_t=7.0) / OPTIONS_FILE).read_text())
    assert found["field_t"] == 7.0
    assert found["severity"]["noise"] == PLAIN.noise


def test_a_cohort_of_other_options_is_not_gone_on_with(written):
    out = written(field_t=7.0)
    with pytest.raises(InputError, match="field_t"):
        write_cohort(
            out, subjects=2, seed=6, contrasts="DWI", vendor="Siemens", severity=PLAIN,
            same_people=True, field_t=1.5,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"field_t": 2.0}, "field strength"),
        ({"voxel_scale": 0.0}, "voxel_scale"),
        ({"voxel_scale": 9.0}, "voxel_scale"),
        ({"voxel_scale": float("nan")}, "voxel_scale"),
        ({"mean_area_mm2": 20.0}, "mean_area_mm2"),
        ({"rule_mm": float("nan")}, "rule_mm"),
        ({"edges": "none"}, "edges"),
    ],
    ids=str,
)
def test_an_option_out_of_range_is_named_and_touches_nothing(tmp_path, options, named):
    with pytest.raises(InputError, match=named):
        write_cohort(tmp_path / "new", subjects=1, seed=1, **options)
    assert not (tmp_path / "new").exists()
