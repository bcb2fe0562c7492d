"""The soft truth of analytic cords whose movements and areas are known."""

import tracemalloc
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tubes import AREA_MM2, fraction, grid_of, moved_masks, rater_mask

from softseg.contrasts import CONTRASTS
from softseg.errors import InputError
from softseg.ground_truth import transfer
from softseg.ground_truth.report import Bounds, summarise
from softseg.ground_truth.soft import soft_ground_truth
from softseg.volume import Grid, Volume

ORIENTATIONS = [
    "".join(axes)
    for order in permutations(("LR", "AP", "IS"))
    for axes in product(*order)
]  # fmt: skip


@pytest.fixture(scope="module")
def moved():
    masks, moves = moved_masks(0)
    return masks, moves, soft_ground_truth(masks)


def areas(volume: Volume) -> np.ndarray:
    return volume.data.sum(axis=(0, 1)) * np.prod(volume.spacing_mm[:2])


def sheared(volume: Volume, start: np.ndarray, slope: np.ndarray) -> Volume:
    """The volume with the movement `start + slope z` taken back by its header."""
    undo = np.eye(4)
    undo[:2, 2], undo[:2, 3] = -slope, -start
    return Volume(volume.data, undo @ volume.affine)


def true_shift(report, move, frame: Volume) -> np.ndarray:
    """What the report's shifts should be: minus the movement, X pointing left."""
    z = report["z_mm"].to_numpy() + frame.affine[2, 3]
    return -move(z) * [-1, 1]


@pytest.mark.parametrize("seed", [0, 1])
def test_known_shifts_are_recovered_within_a_tenth_of_a_millimetre(seed):
    masks, moves = moved_masks(seed)
    report = soft_ground_truth(masks).report
    for name in masks:
        rows = report[(report["contrast"] == name) & report["registered"]]
        error = rows[["shift_x_mm", "shift_y_mm"]].to_numpy()
        error = error - true_shift(rows, moves[name], masks["T2w"])
        assert np.sqrt((error**2).mean()) < 0.1, name


def test_oblique_slices_are_laid_and_averaged_as_well_as_straight_ones():
    straight = grid_of(CONTRASTS["DWI"])
    angle = np.deg2rad(15)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    oblique = Grid(straight.shape, turn @ straight.affine)
    shift = np.array([1.0, -1.5])
    mask = rater_mask(oblique, lambda z: np.tile(shift, (len(z), 1)))
    reference = rater_mask(grid_of(CONTRASTS["T2w"]))
    truth = soft_ground_truth({"T2w": reference, "DWI": mask})
    rows = truth.report.query("contrast == 'DWI' and registered and used")
    assert len(rows) > 50
    error = rows[["shift_x_mm", "shift_y_mm"]].to_numpy() - [1.0, 1.5]
    assert np.sqrt((error**2).mean()) < 0.1
    exact = fraction(oblique, lambda z: np.tile(shift, (len(z), 1)))[..., 2:-2]
    soft = truth.soft["DWI"].data[..., 2:-2]
    assert soft.sum() == pytest.approx(exact.sum(), rel=0.01)
    assert np.abs(soft - exact)[exact > 0].mean() < 0.06


def test_soft_truth_is_the_mean_of_the_masks_laid_by_their_true_movements(moved):
    masks, moves, truth = moved
    known = {}
    for name, mask in masks.items():
        start, end = moves[name](np.array([0.0, 1.0]))
        known[name] = sheared(mask, start, end - start)
    oracle = soft_ground_truth(known, registration="none").soft["T2w"].data
    ours = truth.soft["T2w"].data
    cord = (oracle > 0) | (ours > 0)
    assert np.abs(ours - oracle)[cord].mean() <= 0.02


def test_area_of_the_soft_truth_is_the_mean_of_the_raters_areas(moved):
    masks, _, truth = moved
    frame = masks["T2w"]
    z = frame.affine[2, 3] + np.arange(frame.data.shape[2]) * frame.spacing_mm[2]
    height = (z > -24) & (z < 24)  # here every contrast counts
    drawn = []
    for mask in masks.values():
        own = mask.affine[2, 3] + np.arange(mask.data.shape[2]) * mask.spacing_mm[2]
        drawn.append(np.interp(z[height], own, areas(mask)).mean())
    assert areas(truth.soft["T2w"])[height].mean() == pytest.approx(np.mean(drawn), rel=0.003)


def test_soft_truth_is_nearer_to_the_true_fraction_than_any_hard_mask(moved):
    masks, moves, truth = moved
    for name in ("T2w", "T1w", "DWI"):
        exact = fraction(masks[name].grid, moves[name])
        cord = exact > 0
        soft = np.abs(truth.soft[name].data - exact)[cord].mean()
        hard = np.abs(masks[name].data - exact)[cord].mean()
        assert soft < 0.8 * hard


def test_area_comes_back_to_every_grid(moved):
    masks, _, truth = moved
    middle = {name: areas(v)[2:-2].mean() for name, v in truth.soft.items()}
    for name in masks:
        assert middle[name] == pytest.approx(AREA_MM2, rel=0.01), name


def test_volume_is_conserved_between_grids():
    # Tapered ends inside every field of view: nothing is cut off.
    def taper(z):
        return 1.2 * np.cos(np.clip(z / 40, -1, 1) * np.pi / 2) ** 0.5

    source = rater_mask(grid_of(CONTRASTS["T2w"], half_mm=(16, 24, 48)), taper=taper)
    volume = source.data.sum() * np.prod(source.spacing_mm)
    for name in ("T1w", "T2star", "DWI"):
        half = (16, 24, 50)
        target = rater_mask(grid_of(CONTRASTS[name], half_mm=half, offset_mm=(0.3, 0.2, 0.1)))
        soft = soft_ground_truth({"T2w": source, name: target}, weights={name: 0}).soft[name]
        moved = soft.data.sum() * np.prod(soft.spacing_mm)
        assert moved == pytest.approx(volume, rel=0.002), name


def test_order_of_contrasts_does_not_matter(moved):
    masks, _, truth = moved
    backwards = soft_ground_truth(dict(reversed(masks.items())))
    for name in masks:
        np.testing.assert_array_equal(backwards.soft[name].data, truth.soft[name].data)


@pytest.fixture(scope="module")
def small():
    """Three contrasts in a narrow field of view, quick enough to repeat 48 times."""
    half = (10, 8, 10)
    masks = {
        name: rater_mask(
            grid_of(CONTRASTS[name], half_mm=half, offset_mm=np.add(offset, (0, 10, 0))),
            lambda z, a=offset: np.tile(np.array(a)[:2], (len(z), 1)),
        )
        for name, offset in {
            "T2w": (0.0, 0.0, 0.0),
            "T1w": (0.4, -1.3, 0.2),
            "DWI": (-1.2, 0.6, 0.3),
        }.items()
    }
    options = {"trim_mm": {"DWI": 4.0}}
    return masks, options, soft_ground_truth(masks, **options)


def test_no_orientation_changes_the_result(small):
    masks, options, truth = small
    assert len(ORIENTATIONS) == 48
    for index, codes in enumerate(ORIENTATIONS):
        # Every contrast in another orientation, so that all are seen in all roles.
        turned = {
            name: mask.oriented(ORIENTATIONS[(index + 7 * k) % 48])
            for k, (name, mask) in enumerate(masks.items())
        }
        result = soft_ground_truth(turned, **options)
        for name in masks:
            assert result.soft[name].grid.matches(turned[name].grid)
            back = result.soft[name].oriented("LAS").data
            np.testing.assert_allclose(back, truth.soft[name].data, atol=1e-6, err_msg=codes)


def test_turning_all_headers_together_changes_nothing(small):
    masks, options, truth = small
    angle = np.deg2rad(20)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    turn[:3, 3] = 11, -42, 300
    turned = {name: Volume(mask.data, turn @ mask.affine) for name, mask in masks.items()}
    result = soft_ground_truth(turned, **options)
    for name in masks:
        np.testing.assert_allclose(result.soft[name].data, truth.soft[name].data, atol=1e-6)


def test_each_voxel_is_divided_by_the_contrasts_that_cover_it():
    long = np.zeros((12, 12, 20), dtype=np.float32)
    long[3:7, 3:7] = 1
    short = np.zeros_like(long)
    short[3:5, 3:7, 8:14] = 1  # half as wide
    short[5:7, 3:7, 8:14] = 0
    affine = np.diag([-1.0, 1.0, 1.0, 1.0])
    masks = {"T2w": Volume(long, affine), "T1w": Volume(short, affine)}
    soft = soft_ground_truth(masks, registration="none").soft["T2w"].data
    assert (soft[3:5, 3:7, 8:14] == 1).all()
    assert (soft[5:7, 3:7, 8:14] == 0.5).all()
    # Where T1w was not segmented it says nothing, rather than "no cord".
    assert (soft[3:7, 3:7, :8] == 1).all()
    assert (soft[3:7, 3:7, 14:] == 1).all()


def test_published_coverage_lets_an_empty_slice_say_no_cord():
    long = np.zeros((12, 12, 20), dtype=np.float32)
    long[3:7, 3:7] = 1
    short = long.copy()
    short[..., :6] = 0
    affine = np.diag([-1.0, 1.0, 1.0, 1.0])
    masks = {"T2w": Volume(long, affine), "T1w": Volume(short, affine)}
    segmented = soft_ground_truth(masks).soft["T2w"].data
    published = soft_ground_truth(masks, coverage="published").soft["T2w"].data
    np.testing.assert_array_equal(segmented, long)
    np.testing.assert_allclose(published, (long + short) / 2, atol=1e-6)


def test_equal_masks_on_one_grid_come_back_unchanged(small):
    mask = small[0]["T2w"]
    truth = soft_ground_truth({"T2w": mask, "T1w": mask})
    for volume in truth.soft.values():
        np.testing.assert_array_equal(volume.data, mask.data)
    assert (truth.report["dice"] == 1).all()


def test_trim_leaves_out_millimetres_at_both_ends():
    masks = {name: rater_mask(grid_of(CONTRASTS[name])) for name in ("T2w", "DWI", "T1w")}
    for trim, name, cut in ((None, "DWI", 8), (3.0, "DWI", 3), ({"T1w": 6.0}, "T1w", 6)):
        report = soft_ground_truth(masks, trim_mm=trim).report
        rows = report[report["contrast"] == name]
        length = masks[name].data.shape[2] * masks[name].spacing_mm[2]
        used = rows["used"].sum() * masks["T2w"].spacing_mm[2]
        assert used == pytest.approx(length - 2 * cut, abs=1.0)
        middle = rows.loc[rows["used"], "z_mm"]
        assert middle.mean() == pytest.approx(rows["z_mm"].mean(), abs=0.5)


def test_a_trim_that_leaves_nothing_is_said_and_the_others_fill_in():
    half = (16, 24, 7.5)
    masks = {
        "T2w": rater_mask(grid_of(CONTRASTS["T2w"], half_mm=(16, 24, 20))),
        "DWI": rater_mask(grid_of(CONTRASTS["DWI"], half_mm=half)),
    }
    truth = soft_ground_truth(masks)
    assert any("leaves nothing of its 15.0 mm" in line for line in truth.warnings)
    assert areas(truth.soft["DWI"]).mean() == pytest.approx(AREA_MM2, rel=0.02)
    summary = summarise(truth.report).set_index("contrast")
    assert "coverage" in summary.loc["DWI", "flags"]


def test_cord_beyond_the_references_ends_comes_from_the_contrasts_that_show_it():
    short = rater_mask(grid_of(CONTRASTS["T2w"], half_mm=(16, 24, 15)))
    shift = np.array([1.0, -2.0])
    long = rater_mask(grid_of(CONTRASTS["T1w"]), lambda z: np.tile(shift, (len(z), 1)))
    truth = soft_ground_truth({"T2w": short, "T1w": long})
    assert areas(truth.soft["T1w"]).min() > 0.95 * AREA_MM2
    beyond = truth.report.query("contrast == 'T1w' and not registered")
    assert len(beyond) > 20
    np.testing.assert_allclose(beyond["shift_x_mm"], 1.0, atol=0.25)


def test_weight_zero_leaves_a_contrast_out_of_the_average_and_still_serves_it(small):
    masks, options, _ = small
    without = soft_ground_truth({n: m for n, m in masks.items() if n != "T1w"}, **options)
    left_out = soft_ground_truth(masks, weights={"T1w": 0}, **options)
    for name in without.soft:
        a, b = left_out.soft[name].data, without.soft[name].data
        np.testing.assert_allclose(a[..., 3:-3], b[..., 3:-3], atol=1e-6)
    assert left_out.soft["T1w"].data.max() > 0.99
    assert not left_out.report.query("contrast == 'T1w'")["used"].any()


def test_weights_are_those_of_a_weighted_mean(small):
    masks = {"T2w": small[0]["T2w"], "T1w": small[0]["T2w"].like(_grown(small[0]["T2w"].data))}
    soft = soft_ground_truth(masks, weights={"T1w": 3.0}, registration="none").soft["T2w"].data
    rim = (masks["T1w"].data > 0) & (masks["T2w"].data == 0)
    np.testing.assert_allclose(soft[rim], 0.75)


def _grown(data: np.ndarray) -> np.ndarray:
    from scipy import ndimage

    return ndimage.binary_dilation(data > 0, np.ones((3, 3, 1))).astype(np.float32)


@pytest.mark.parametrize("average", ["median", "staple"])
def test_a_robust_average_is_not_swayed_by_one_wrong_mask(small, average):
    if average == "staple":
        pytest.importorskip("SimpleITK")
    right = small[0]["T2w"]
    wrong = right.like(_grown(_grown(_grown(right.data))))
    masks = {"T2w": right, "T1w": right, "UNIT1": wrong}
    soft = soft_ground_truth(masks, average=average, registration="none").soft["T2w"].data
    mean = soft_ground_truth(masks, registration="none").soft["T2w"].data
    assert np.abs(soft - right.data).max() < 0.01
    assert np.abs(mean - right.data).max() > 0.3


def test_staple_needs_no_equal_coverage():
    pytest.importorskip("SimpleITK")
    masks = {name: rater_mask(grid_of(CONTRASTS[name])) for name in ("T2w", "DWI", "T1w")}
    soft = soft_ground_truth(masks, average="staple").soft["T2w"]
    assert areas(soft)[3:-3].mean() == pytest.approx(AREA_MM2, rel=0.05)


def test_rotation_is_recovered_and_only_on_request():
    fixed = rater_mask(grid_of(CONTRASTS["T2w"]))
    moving = rater_mask(grid_of(CONTRASTS["T1w"]), turn_deg=8.0)
    masks = {"T2w": fixed, "T1w": moving}
    turned = soft_ground_truth(masks, registration="translation+rotation")
    rows = turned.report.query("contrast == 'T1w' and registered")
    # X runs left: what turns from left to front in the image turns back in the report.
    np.testing.assert_allclose(np.abs(rows["rotation_deg"]).iloc[10:-10], 8.0, atol=1.5)
    plain = soft_ground_truth(masks).report.query("contrast == 'T1w'")
    assert (plain["rotation_deg"] == 0).all()
    assert rows["dice"].mean() > plain["dice"].mean()


def test_any_contrast_can_be_the_reference():
    masks, moves = moved_masks(5, reference="T2star")
    truth = soft_ground_truth(masks, reference="T2star")
    report = truth.report
    rows = report[(report["contrast"] == "T1w") & report["registered"]]
    error = rows[["shift_x_mm", "shift_y_mm"]].to_numpy()
    error = error - true_shift(rows, moves["T1w"], masks["T2star"])
    assert np.sqrt((error**2).mean()) < 0.1
    assert areas(truth.soft["T2w"])[25:-25].mean() == pytest.approx(AREA_MM2, rel=0.01)


def test_smoothing_brings_noisy_shifts_nearer_to_the_truth():
    masks, moves = moved_masks(3)
    rng = np.random.default_rng(3)
    noisy = masks["T1w"].data.copy()
    for z in range(noisy.shape[2]):  # a rater whose hand trembles by a voxel from slice to slice
        noisy[..., z] = np.roll(noisy[..., z], rng.integers(-1, 2), axis=0)
    pair = {"T2w": masks["T2w"], "T1w": masks["T1w"].like(noisy)}

    def error(**options) -> float:
        report = soft_ground_truth(pair, **options).report
        rows = report[(report["contrast"] == "T1w") & report["registered"]]
        found = rows[["shift_x_mm", "shift_y_mm"]].to_numpy()
        return np.sqrt(((found - true_shift(rows, moves["T1w"], masks["T2w"])) ** 2).mean())

    assert error(smoothing_mm=5.0) < 0.5 * error()


def test_stray_voxels_and_a_partial_end_slice_do_not_move_the_centre():
    clean = rater_mask(grid_of(CONTRASTS["DWI"]))
    dirty = clean.data.copy()
    dirty[1:3, 1:3, 4:9] = 1  # a piece apart
    ends = np.argwhere(dirty[..., 0])
    keep = ends[ends[:, 0] <= np.median(ends[:, 0]) - 3]  # a sliver of the lowest slice
    dirty[..., 0] = 0
    dirty[(*keep.T, 0)] = 1
    reference = rater_mask(grid_of(CONTRASTS["T2w"]))
    shifts = {
        name: soft_ground_truth({"T2w": reference, "DWI": clean.like(data)}, trim_mm=0)
        .report.query("contrast == 'DWI' and registered")
        .set_index("slice")[["shift_x_mm", "shift_y_mm"]]
        for name, data in {"clean": clean.data, "dirty": dirty}.items()
    }
    apart = (shifts["dirty"] - shifts["clean"]).abs().to_numpy()
    assert apart.max() < 0.25


def test_masks_that_share_no_height_are_placed_by_header_and_said_so():
    low = rater_mask(grid_of(CONTRASTS["T2w"], half_mm=(16, 24, 12), offset_mm=(0, 0, -20)))
    high = rater_mask(grid_of(CONTRASTS["T1w"], half_mm=(16, 24, 12), offset_mm=(0, 0, 20)))
    truth = soft_ground_truth({"T2w": low, "T1w": high})
    assert any("share no height" in line for line in truth.warnings)
    assert (truth.report["shift_x_mm"] == 0).all()
    assert areas(truth.soft["T1w"]) == pytest.approx(areas(high), rel=0.03)
    assert "unregistered" in summarise(truth.report).set_index("contrast").loc["T1w", "flags"]


def test_summary_flags_what_is_out_of_bounds(moved):
    report = moved[2].report
    assert (summarise(report)["flags"] == "").all()
    strict = summarise(report, Bounds(shift_mm=0.5, dice=0.9999, disagreement=0.0))
    flags = strict.set_index("contrast")["flags"]
    assert "shift" in flags["T1w"]
    assert "shift" not in flags["T2w"]
    assert flags.str.contains("dice").all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 4))
def test_soft_values_stay_in_range_for_any_masks(seed, count):
    rng = np.random.default_rng(seed)
    masks = {}
    for name in ("T2w", "T1w", "DWI", "T2star")[:count]:
        shape = tuple(int(n) for n in rng.integers(2, 9, 3))
        data = (rng.random(shape) < 0.3).astype(np.float32)
        data[tuple(n // 2 for n in shape)] = 1
        affine = np.diag([*rng.uniform(0.5, 3, 3), 1.0])
        affine[:3, 3] = rng.uniform(-3, 3, 3)
        masks[name] = Volume(data, affine)
    truth = soft_ground_truth(masks)
    for name, volume in truth.soft.items():
        assert volume.data.shape == masks[name].data.shape
        assert np.isfinite(volume.data).all()
        assert volume.data.min() >= 0
        assert volume.data.max() <= 1
    for name, volume in truth.binary().items():
        np.testing.assert_array_equal(volume.data, truth.soft[name].data > 0.5)


def _block(**changes) -> Volume:
    data = np.zeros((6, 6, 6), dtype=np.float32)
    data[2:4, 2:4] = 1
    for value, where in changes.items():
        data[where] = {"nan": np.nan, "half": 0.5, "two": 2.0}[value]
    return Volume(data, np.diag([-1.0, 1.0, 1.0, 1.0]))


@pytest.mark.parametrize(
    ("masks", "options", "message"),
    [
        ({"T1w": _block()}, {}, "reference T2w: has no mask among T1w"),
        ({}, {}, "has no mask among none"),
        ({"T2w": _block(), "T1w": _block(nan=(0, 0, 0))}, {}, "T1w: .*NaN"),
        ({"T2w": _block(half=(2, 2, 2))}, {}, "0 and 1 only"),
        ({"T2w": _block(two=(2, 2, 2))}, {}, r"found values in \[0, 2\]"),
        ({"T2w": Volume(np.zeros((3, 3, 3)), np.eye(4))}, {}, "mask is empty"),
        ({"T2w": Volume(np.ones((3, 3, 3, 2)), np.eye(4))}, {}, "three dimensions"),
        ({"T2w": _block()}, {"registration": "affine"}, "registration: one of none"),
        ({"T2w": _block()}, {"average": "mode"}, "average: one of mean"),
        ({"T2w": _block()}, {"coverage": "all"}, "coverage: one of segmented"),
        ({"T2w": _block()}, {"weights": {"T9": 1}}, "no contrast T9"),
        ({"T2w": _block()}, {"weights": {"T2w": 0}}, "not all zero"),
        ({"T2w": _block()}, {"weights": {"T2w": -1}}, "none negative"),
        ({"T2w": _block()}, {"weights": {"T2w": np.inf}}, "all finite"),
        ({"T2w": _block(), "T1w": _block()}, {"trim_mm": np.inf}, "must be finite"),
        ({"T2w": _block()}, {"trim_mm": -1.0}, None),
        ({"T2w": _block(), "T1w": _block()}, {"trim_mm": -1.0}, "must not be negative"),
        ({"T2w": _block()}, {"trim_mm": {"T9": 1.0}}, "no contrast T9"),
        (
            {"T2w": _block(), "T1w": _block()},
            {"trim_mm": {"T2w": 9.0, "T1w": 9.0}},
            "no mask enters",
        ),
    ],
)
def test_wrong_masks_and_options_are_refused(masks, options, message):
    if message is None:
        soft_ground_truth(masks, **options)  # the reference is never trimmed by one number
        return
    with pytest.raises(InputError, match=message):
        soft_ground_truth(masks, **options)


def test_a_grid_within_the_grid_needs_no_shift_to_agree():
    # A crop of the same image, one voxel grid: the same values in the overlap.
    whole = rater_mask(grid_of(CONTRASTS["T2w"]))
    part = Volume(whole.data[5:-5, 5:-5, 20:-20], whole.affine.copy())
    part.affine[:3, 3] = whole.affine[:3, :3] @ [5, 5, 20] + whole.affine[:3, 3]
    assert isinstance(part.grid, Grid)
    truth = soft_ground_truth({"T2w": whole, "T1w": part})
    np.testing.assert_allclose(truth.soft["T1w"].data, part.data, atol=1e-5)
    shifts = truth.report.query("contrast == 'T1w'")[["shift_x_mm", "shift_y_mm"]]
    assert np.abs(shifts.to_numpy()).max() < 1e-6


def round_cord(shape, spacing_mm, radius_mm=6.0) -> Volume:
    """A straight cord in the middle of a field around the origin."""
    x, y = ((np.arange(n) - (n - 1) / 2) * mm for n, mm in zip(shape[:2], spacing_mm, strict=False))
    inside = x[:, None] ** 2 + y[None] ** 2 <= radius_mm**2
    affine = np.diag([-1.0, 1.0, 1.0, 1.0]) @ np.diag([*spacing_mm, 1.0])
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Volume(np.repeat(inside[..., None], shape[2], axis=2).astype(np.float32), affine)


def test_what_lies_far_from_the_cord_neither_counts_nor_costs_memory():
    reference, other = round_cord((64, 96, 64), (1, 1, 1)), round_cord((160, 192, 64), (1, 1, 1))
    clean = soft_ground_truth({"T2w": reference, "T1w": other})
    spoilt = other.like(other.data.copy())
    spoilt.data[0, 0, 3] = spoilt.data[-1, -1, 60] = 1
    tracemalloc.start()
    truth = soft_ground_truth({"T2w": reference, "T1w": spoilt})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # A window that reached them would take 70 times the points near the cord: 6 GB.
    assert peak < 40 * other.data.nbytes
    for name, volume in truth.soft.items():
        np.testing.assert_array_equal(volume.data, clean.soft[name].data)
    assert any("T1w: 2 voxels of its mask more than 30 mm" in line for line in truth.warnings)
    assert clean.warnings == ()


def test_memory_follows_the_cord_and_the_field_not_their_product():
    def peak(field: int) -> int:
        masks = {name: round_cord((field, field, 48), (1, 1, 1)) for name in ("T2w", "T1w")}
        tracemalloc.start()
        soft_ground_truth(masks)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most - 2 * masks["T2w"].data.nbytes

    small, large = peak(64), peak(256)
    # Per voxel of the field: the masks, their components and the truth, no points.
    assert large - small < 40 * 48 * (256**2 - 64**2)


@pytest.mark.parametrize("away_mm", [900.0, 2e5])
def test_masks_that_lie_apart_are_refused(away_mm):
    masks = {"T2w": round_cord((32, 32, 200), (1, 1, 1))}
    affine = masks["T2w"].affine.copy()
    affine[2, 3] += away_mm
    masks["DWI"] = Volume(masks["T2w"].data, affine)
    with pytest.raises(InputError, match=f"DWI: .* must lie together, found one end {away_mm:.0f}"):
        soft_ground_truth(masks)


def test_six_contrasts_take_no_more_memory_than_the_bound_on_points_promises(monkeypatch):
    masks = {name: round_cord((60, 60, 120), (0.4, 0.4, 0.4)) for name in CONTRASTS}
    found = []
    check = transfer._check_size
    monkeypatch.setattr(
        transfer,
        "_check_size",
        lambda centre, heights, reach: (
            found.append(np.pi * reach[0] * reach[1] * len(heights)),
            check(centre, heights, reach),
        ),
    )
    tracemalloc.start()
    soft_ground_truth(masks)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    held = sum(mask.data.nbytes for mask in masks.values())
    assert (peak - 10 * held) / found[0] < 400
    assert transfer.MAX_POINTS * 400 < 2.5e9


def test_a_reference_too_fine_for_memory_is_refused(monkeypatch):
    monkeypatch.setattr("softseg.ground_truth.transfer.MAX_POINTS", 5000)
    with pytest.raises(InputError, match="take a coarser --reference"):
        soft_ground_truth({"T2w": round_cord((32, 32, 40), (1, 1, 1))})


def test_a_mask_of_more_than_any_cord_is_refused(monkeypatch):
    monkeypatch.setattr("softseg.ground_truth.hard_masks.MAX_CORD_VOXELS", 1000)
    with pytest.raises(InputError, match=r"at most 1,000 voxels, found .* crop or resample"):
        soft_ground_truth({"T2w": round_cord((32, 32, 40), (1, 1, 1))})
