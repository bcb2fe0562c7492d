"""Fields and pictures from which it is learnt where a cord ends, and whether there is one."""

import numpy as np
import pytest

from softseg.segmentation.along_cord import STEP_MM
from softseg.segmentation.engine import Model
from softseg_study.evaluation.cord_ends import along_mask, elsewhere, fields
from softseg_study.evaluation.presence_fit import Case


def several(make, count=24) -> list:
    return [make(np.random.default_rng([3, number])) for number in range(count)]


def test_pictures_of_something_else_change_along_the_third_axis():
    cases = several(elsewhere)
    assert all(case.truth is None and np.isfinite(case.image.data).all() for case in cases)
    alike = []
    for case in cases:
        data = case.image.data.astype(float)
        half = data.shape[2] // 2
        below, above = (data[..., part].mean(axis=2) for part in (slice(half), slice(half, None)))
        alike.append(np.corrcoef(below.ravel(), above.ravel())[0, 1])
    assert np.mean(np.array(alike) < 0.9) > 0.5
    assert max(alike) > 0.9  # and some hardly do


def test_the_same_generator_draws_the_same_picture():
    one, two = (elsewhere(np.random.default_rng(5)).image.data for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_fields_lie_above_at_and_below_the_tip_and_beside_the_spine():
    kinds = {}
    for first, _ in several(lambda rng: next(fields(rng)), 30):
        kinds.setdefault(first.name, []).append(first.truth.oriented().data.sum(axis=(0, 1)))
    assert set(kinds) == {"conus", "cauda", "neck", "chest", "beside"}
    assert all(not areas.any() for areas in kinds["cauda"] + kinds["beside"])
    assert all(areas.min() > 0 for areas in kinds["chest"])
    assert all(areas.max() > 0 and areas[0] == 0 for areas in kinds["conus"])


def test_what_lies_along_a_mask_says_where_the_cord_is():
    case, course = next(fields(np.random.default_rng([3, 1])))
    found = along_mask(case, Model.load("axial"), course)
    slices = case.image.oriented().data.shape[2]
    assert {len(found[name]) for name in ("rows", "cord", "shared", "mask")} == {slices}
    assert (found["shared"] <= np.minimum(found["cord"] / 0.3, found["mask"]) + 1e-3).all()
    steps_mm = np.diff(found["rows"]) * STEP_MM
    assert steps_mm == pytest.approx(case.image.oriented().spacing_mm[2], rel=1e-5)


def test_without_a_mask_there_is_nothing_to_learn():
    case = elsewhere(np.random.default_rng(0))
    empty = Case("empty", case.image.like(np.zeros_like(case.image.data)), None)
    assert along_mask(empty, Model.load("axial"), None) is None
