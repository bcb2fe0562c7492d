"""Raters: exact where noise is off, published figures where it is on."""

import dataclasses

import numpy as np
import pytest

from softseg.errors import InputError
from softseg.phantom import raters
from softseg.phantom.anatomy import random_anatomy
from softseg.phantom.outline import ANGLES, trace_outlines
from softseg.phantom.placement import place
from softseg.phantom.raters import RATERS, SITES, rate, site_effect
from softseg.phantom.subjects import CohortOptions, draw_subject
from softseg.phantom.true_areas import true_areas
from softseg.volume import Volume
from softseg_study.phantom.calibration import compare_with_published, paired_difference, rated_areas

EXACT = {
    "scan_sd_mm2": 0.0, "slice_sd_mm2": 0.0, "shape_sd_mm": 0.0, "centre_sd_mm": 0.0,
    "site_sd_mm2": 0.0, "size_slope": 1.0,
}  # fmt: skip


def ellipse(half_x=5.95, half_y=3.85, spacing=0.5, slices=20, centre=(0.0, 0.0), depth=1.0):
    """A soft elliptic tube, its fractions from 8 × 8 points a voxel."""
    count = int(24 / spacing) | 1
    fine = (np.arange(count * 8) + 0.5) / 8 - 0.5 - (count - 1) / 2
    x, y = np.meshgrid(fine * spacing - centre[0], fine * spacing - centre[1], indexing="ij")
    inside = ((x / half_x) ** 2 + (y / half_y) ** 2 <= 1).astype(np.float32)
    soft = inside.reshape(count, 8, count, 8).mean(axis=(1, 3))
    data = np.repeat(soft[:, :, None], slices, axis=2)
    return Volume(data, np.diag([-spacing, spacing, depth, 1.0]))


def area_mm2(mask):
    return mask.data.sum(axis=(0, 1), dtype=float) * mask.spacing_mm[0] * mask.spacing_mm[1]


@pytest.fixture
def exact_rater(monkeypatch):
    """The T2w rater without any noise."""
    monkeypatch.setitem(RATERS, "T2w", dataclasses.replace(RATERS["T2w"], **EXACT))


@pytest.mark.parametrize("spacing", [0.3, 0.5, 0.9])
def test_a_traced_outline_has_the_mask_s_area_and_its_true_radii(spacing):
    truth = ellipse(spacing=spacing)
    outline = trace_outlines(truth)
    np.testing.assert_allclose(outline.area_mm2, area_mm2(truth), rtol=1e-9)
    right, front = outline.radius_mm[0, 0], outline.radius_mm[0, ANGLES // 4]
    assert right == pytest.approx(5.95, abs=0.12)
    assert front == pytest.approx(3.85, abs=0.12)


def test_displacing_an_outline_changes_its_area_as_geometry_says():
    outline = trace_outlines(ellipse(spacing=0.3))
    a, b = 5.95, 3.85
    perimeter = np.pi * (3 * (a + b) - np.sqrt((3 * a + b) * (a + 3 * b)))
    for push in (-0.3, 0.3):
        moved = outline.displaced(np.full_like(outline.radius_mm, push))
        expected = np.pi * a * b + perimeter * push + np.pi * push**2
        assert moved.area_mm2[0] == pytest.approx(expected, rel=0.005)


@pytest.mark.parametrize("contrast", ["DWI", "T1w", "T2star"])
def test_without_noise_a_rater_draws_its_mean_area_even_on_coarse_voxels(contrast, monkeypatch):
    monkeypatch.setitem(RATERS, contrast, dataclasses.replace(RATERS[contrast], **EXACT))
    options = CohortOptions(2, (contrast,))
    errors = []
    for index in range(8):
        subject = draw_subject(options, index)
        placement = place(subject.anatomy, contrast, rng=np.random.default_rng(index))
        areas = true_areas(subject.anatomy, placement.body_grid)
        here = areas[areas["level"].isin([2, 3])]
        size = here["area_mm2"].mean()
        truth = Volume(np.zeros(placement.grid.shape, np.uint8), placement.grid.affine)
        mask = rate(
            truth, contrast, rng=np.random.default_rng(0), vendor=subject.vendor, size_mm2=size,
            outlines=placement.outlines(), failures=False,
        )  # fmt: skip
        drawn = area_mm2(mask)[here["slice"]] * truth.spacing_mm[2] / here["length_mm"]
        wanted = size + RATERS[contrast].mean_mm2[subject.vendor] - 72
        errors.append(drawn.mean() - wanted)
    error = np.std(errors) / np.sqrt(len(errors))
    assert np.mean(errors) == pytest.approx(0, abs=3 * error + 0.2)


def test_the_edge_cut_from_the_anatomy_encloses_the_soft_truth_s_area():
    anatomy = random_anatomy(np.random.default_rng(4), pathology="compression=40")
    for contrast in ("T2w", "T2star", "EPI"):
        placement = place(anatomy, contrast, rng=np.random.default_rng(1))
        outlines, truth = placement.outlines(), placement.truth()
        inner = slice(2, -2)
        soft = area_mm2(truth)[outlines.slices[inner]]
        np.testing.assert_allclose(outlines.area_mm2[inner], soft, rtol=0.008)
        traced = trace_outlines(truth)
        both = np.isin(traced.slices, outlines.slices[inner])
        apart = traced.centre_mm[both] - outlines.centre_mm[inner]
        assert np.abs(apart).max() < 0.5


def test_the_offset_that_changes_a_circle_is_the_difference_of_radii():
    radius = 31.6 / (2 * np.pi)
    area = np.pi * radius**2
    offset = raters._offset_mm(np.pi * (radius + 0.2) ** 2 - area, 72.0)
    assert offset == pytest.approx(0.2, rel=1e-6)


def test_masks_are_binary_on_the_truth_s_grid_and_differ_by_contrast():
    truth = ellipse()
    masks = {
        name: rate(truth, name, rng=np.random.default_rng(0), failures=False) for name in RATERS
    }
    for mask in masks.values():
        assert set(np.unique(mask.data)) == {0, 1}
        assert mask.grid.matches(truth.grid)
    areas = {name: area_mm2(mask).mean() for name, mask in masks.items()}
    assert areas["DWI"] < areas["T1w"] < areas["T2w"] < areas["T2star"]
    assert areas["UNIT1"] == areas["T1w"]


@pytest.mark.parametrize("name", ["T2w", "T2star"])
def test_another_scan_of_one_participant_differs_as_published(name):
    truth = ellipse(spacing=0.5, slices=30, depth=1.0)
    outlines = trace_outlines(truth)
    drawn = []
    for scan in range(150):
        rng = np.random.default_rng([1, scan])
        mask = rate(truth, name, rng=rng, outlines=outlines, failures=False)
        drawn.append(area_mm2(mask).mean())
    assert 1.6 <= np.std(drawn, ddof=1) <= 2.2


def test_the_same_generator_draws_the_same_mask():
    truth = ellipse()
    first, again = (rate(truth, "T2w", rng=np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(first.data, again.data)


@pytest.mark.parametrize("vendor", SITES)
def test_habits_of_a_vendor_s_sites_average_to_nothing(vendor):
    effects = [site_effect("T1w", vendor, site) for site in SITES[vendor]]
    assert np.mean(effects) == pytest.approx(0, abs=1e-9)
    assert np.std(effects) == pytest.approx(1)
    assert site_effect("T1w", vendor, "elsewhere") == 0


def test_every_participant_of_a_site_meets_the_same_habit(exact_rater, monkeypatch):
    monkeypatch.setitem(RATERS, "T2w", dataclasses.replace(RATERS["T2w"], site_sd_mm2=4.0))
    truth = ellipse(spacing=0.3, slices=2)

    def drawn(site):
        mask = rate(truth, "T2w", rng=np.random.default_rng(0), site=site, failures=False)
        return area_mm2(mask)[0]

    effects = [site_effect("T2w", "Siemens", site) for site in SITES["Siemens"]]
    areas = [drawn(site) for site in SITES["Siemens"]]
    assert np.corrcoef(effects, areas)[0, 1] > 0.97


def test_gross_failures_happen_about_as_often_as_said_and_bad_ends_stay_at_the_ends(monkeypatch):
    truth = ellipse(slices=40)
    monkeypatch.setitem(RATERS, "T2w", dataclasses.replace(RATERS["T2w"], failure=1.0, bad_end=0))
    clean = area_mm2(rate(truth, "T2w", rng=np.random.default_rng(0), failures=False))
    failed = [area_mm2(rate(truth, "T2w", rng=np.random.default_rng([0, s]))) for s in range(12)]
    assert any((f == 0).any() for f in failed), "some lose a stretch"
    assert any(f.max() > 1.3 * clean.max() for f in failed), "some leak"
    monkeypatch.setitem(RATERS, "T2w", dataclasses.replace(RATERS["T2w"], failure=0, bad_end=1.0))
    spoilt = area_mm2(rate(truth, "T2w", rng=np.random.default_rng(0)))
    np.testing.assert_array_equal(spoilt[6:-6], clean[6:-6])
    assert (spoilt[:6] != clean[:6]).any()


def test_bad_input_is_named_in_one_line():
    truth = ellipse(slices=2)
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="T3w"):
        rate(truth, "T3w", rng=rng)
    with pytest.raises(InputError, match="Acme"):
        rate(truth, "T2w", rng=rng, vendor="Acme")
    with pytest.raises(InputError, match="no cord"):
        rate(truth.like(np.zeros_like(truth.data)), "T2w", rng=rng)


def test_a_few_participants_are_drawn_as_the_published_ones_on_average():
    areas = rated_areas(10, seed=3, contrasts=("T1w", "T2w", "T2star"))
    bias = areas.assign(bias=areas["area_mm2"] - areas["true_mm2"]).groupby("contrast")["bias"]
    mean, error = bias.mean(), bias.std() / np.sqrt(10)
    for contrast, published in (("T1w", 68.27), ("T2w", 74.3), ("T2star", 79.22)):
        expected = published - raters.POPULATION_MEAN_MM2
        assert mean[contrast] == pytest.approx(expected, abs=3.5 * error[contrast] + 0.5)


@pytest.mark.stress
def test_two_hundred_participants_reproduce_the_published_table():
    areas = rated_areas(200, seed=1, jobs=2)
    table = compare_with_published(areas)
    np.testing.assert_allclose(table["mean_mm2"], table["published_mean_mm2"], atol=1.0)
    np.testing.assert_allclose(table["sd_mm2"], table["published_sd_mm2"], atol=1.5)
    difference = paired_difference(areas)
    assert difference["mean_mm2"] == pytest.approx(-6.0, abs=0.5)
    assert difference["sd_mm2"] == pytest.approx(3.4, abs=0.5)
