"""Levels from labelled masks, disc points and a few landmarks, and what is averaged over them."""

import warnings

import numpy as np
import pandas as pd
import pytest
from tubes import Curve, Tube, sample

from softseg.csa.aggregation import aggregate, select
from softseg.csa.levels import level_lengths_mm
from softseg.csa.measure import measure
from softseg.errors import InputError
from softseg.masks import MaskWarning
from softseg.volume import Volume

TILT = Tube(Curve(tilt_deg=(0.0, 20.0)))
SECANT = 1 / np.cos(np.radians(20.0))


@pytest.fixture(scope="module")
def cord():
    """100 mm of a cord that leans forward, in slices of 1 mm; Z = 0 in the middle."""
    return sample(TILT, (1.0, 1.0, 1.0), length_mm=100).soft


def on_cord(z_mm: float, in_front_mm: float = 0.0) -> tuple[float, float, float]:
    """The point `in_front_mm` perpendicular to the cord beside its centre at height `z_mm`."""
    c, s = np.cos(np.radians(20)), np.sin(np.radians(20))
    return 0.0, z_mm * s / c + in_front_mm * c, z_mm - in_front_mm * s


def labelled(cord: Volume, borders_z: dict[int, float]) -> Volume:
    """Level k between the heights of its own and of the next border, inside the cord."""
    z = np.arange(cord.data.shape[2]) + cord.affine[2, 3]
    level = np.zeros(z.size)
    for number, top in borders_z.items():
        level[z <= top] = number
    return cord.like((cord.data > 0.5) * level)


def test_a_slice_takes_the_level_of_the_labels_in_it(cord):
    labels = labelled(cord, {2: 40, 3: 20, 4: 0, 5: -25})
    table = measure(cord, levels=labels)
    z = table["centre_z_mm"]
    expected = np.select([z > 40, z > 20, z > 0, z > -25], [0, 2, 3, 4], 5)
    np.testing.assert_array_equal(table["level"].fillna(0).astype(int), expected)
    assert (table["flag"] == "").all()


def test_labels_on_another_grid_and_orientation_give_the_same_levels(cord):
    labels = labelled(cord, {2: 40, 3: 20, 4: 0, 5: -25})
    other = Volume(labels.data[:, :, 5:], labels.affine @ shift(0, 0, 5)).oriented("RPI")
    table, moved = measure(cord, levels=labels), measure(cord, levels=other)
    pd.testing.assert_series_equal(table["level"][5:], moved["level"][5:])


def shift(*voxels: float) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, 3] = voxels
    return matrix


def test_labels_drawn_beside_the_cord_count_for_their_slices(cord):
    labels = labelled(cord, {2: 40, 3: 20, 4: 0})
    bodies = np.zeros_like(labels.data)
    for k in range(bodies.shape[2]):
        bodies[5, -3, k] = bodies[6, -3, k] = bodies[7, -3, k] = labels.data[:, :, k].max()
    beside = measure(cord, levels=cord.like(bodies))
    inside = measure(cord, levels=labels)
    near = beside["level"].notna()
    assert near.sum() > 50
    np.testing.assert_array_equal(beside["level"][near], inside["level"][near])


def test_position_runs_from_the_top_of_a_level_to_its_bottom(cord):
    table = measure(cord, levels=labelled(cord, {2: 40, 3: 20, 4: 0, 5: -25}))
    third = table[table["level"] == 3]
    assert third["position"].is_monotonic_decreasing
    np.testing.assert_allclose(third["position"].iloc[[0, -1]], [0.975, 0.025], atol=0.01)


def test_discs_belong_to_the_nearest_point_of_the_centreline(cord):
    """Points 8 mm in front of a leaning cord lie lower than the place they mark."""
    tops = {2: 40.0, 3: 20.0, 4: 2.0, 5: -20.0}
    discs = {k: on_cord(z, in_front_mm=8.0) for k, z in tops.items()}
    table = measure(cord, discs=discs)
    z = table["centre_z_mm"]
    inside = (z < 39) & (z > -19) & ~z.round().isin([20, 2])
    expected = np.select([z > 20, z > 2], [2, 3], 4)
    np.testing.assert_array_equal(table.loc[inside, "level"].astype(int), expected[inside])
    assert (table.loc[inside, "flag"] == "").all()
    assert (table.loc[z > 41, "flag"] == "level-estimated").all()


def test_a_disc_image_gives_what_its_points_give(cord, tmp_path):
    data = np.zeros(cord.data.shape)
    discs = {}
    for number, z in ((3, 70), (4, 50), (5, 33)):
        y = round(on_cord(z + cord.affine[2, 3])[1] - cord.affine[1, 3])
        data[10, y, z] = number
        discs[number] = tuple((cord.affine @ [10, y, z, 1])[:3])
    path = cord.like(data).save(tmp_path / "discs.nii.gz")
    pd.testing.assert_frame_equal(measure(cord, discs=path), measure(cord, discs=discs))


def test_levels_between_landmarks_follow_the_populations_lengths(cord):
    """Discs 3 and 6 given; 4 and 5 divide the cord between them as in the population."""
    lengths = level_lengths_mm()
    table = measure(cord, discs={3: on_cord(45.0), 6: on_cord(-5.0)})
    share = np.cumsum([lengths[k] for k in (3, 4, 5)])
    for level, border in zip((3, 4), 45.0 - 50.0 * share[:2] / share[2], strict=True):
        lowest = table.loc[table["level"] == level, "centre_z_mm"].min()
        assert lowest == pytest.approx(border, abs=1.0)
    assert (table.loc[table["level"] == 4, "flag"] == "level-estimated").all()


def test_one_landmark_is_enough_with_the_populations_own_lengths(cord):
    table = measure(cord, discs={3: on_cord(30.0)})
    third = table[table["level"] == 3]
    assert len(third) * SECANT == pytest.approx(level_lengths_mm()[3], abs=SECANT)
    assert (third["flag"] == "level-estimated").all()


@pytest.mark.parametrize(
    ("discs", "message"),
    [
        ({}, "at least one disc"),
        ({49: (0, 0, 0)}, "at least one disc"),
        ({3: (0, 0, -300)}, "must lie near the cord"),
        ({3: on_cord(0.0), 4: on_cord(20.0)}, "must descend along the cord, found 3 at"),
    ],
)
def test_impossible_discs_are_refused(cord, discs, message):
    with pytest.raises(InputError, match=message):
        measure(cord, discs=discs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d * 0, "found no value above 0"),
        (lambda d: d * 0.37, "must be whole numbers"),
        (lambda d: d * 100, "are numbered 1 to 29, found 200 to 400; is it another numbering"),
        (lambda d: d - 1.0, "labels are whole numbers from 0 on, found -1"),
        (lambda d: d + 0.2 * (d == 3), "must be whole numbers, found 3.2"),
        (
            lambda d: np.where(d > 0, 6 - d, 0),
            r"must descend along the cord, found C\d \(\d\) above",
        ),
        (lambda d: np.where(d == 4, 2, d), r"found C2 \(2\) in two with 20 slices of others"),
        (lambda d: np.where(d > 0, 51 - d, 0), "with --level-names totalsegmentator"),
        (lambda d: np.where(d > 0, 31 - d, 0), "must descend along the cord, found S"),
        (lambda d: np.where(d > 3, 21, np.where(d > 0, d + 14, 0)), "--level-names totalspineseg"),
        (lambda d: np.where(d > 0, d + 61, 0), "--level-names totalspineseg"),
        (lambda d: d * np.nan, "found no value above 0"),
        (
            lambda d: np.eye(*d.shape[:2])[:, :, None] * 0 + only_point(d),
            "single points; use --discs",
        ),
    ],
)
def test_wrong_level_images_are_refused(cord, change, message):
    labels = labelled(cord, {2: 40, 3: 20, 4: 0})
    with pytest.raises(InputError, match=message):
        measure(cord, levels=labels.like(change(labels.data)))


THEIRS = {
    "totalsegmentator": lambda k: 51 - k,
    "totalspineseg": lambda k: k + np.select([k < 8, k < 20], [10, 13], 21),
}


@pytest.mark.parametrize("first", [1, 6, 18])
@pytest.mark.parametrize("names", list(THEIRS))
def test_numberings_of_other_tools_are_read_with_what_else_they_number(cord, names, first):
    tops = {first: 40, first + 1: 20, first + 2: 0, first + 3: -25}
    labels = labelled(cord, tops)
    theirs = np.where(labels.data > 0, THEIRS[names](labels.data), 0)
    # Both tools label the cord, the canal and organs in the same image.
    theirs[:, :3] = 79 if names == "totalsegmentator" else 2
    theirs[:, -2:] = 117 if names == "totalsegmentator" else 1
    own = measure(cord, levels=labels)
    other = measure(cord, levels=cord.like(theirs), level_names=names)
    pd.testing.assert_series_equal(own["level"], other["level"])


def test_cervical_levels_of_totalspineseg_are_said_where_they_could_be_thoracic_ones(cord):
    labels = labelled(cord, {12: 40, 13: 20, 14: 0})
    with pytest.warns(MaskWarning, match="read as T5 to T7; TotalSpineSeg's"):
        assert set(measure(cord, levels=labels)["level"].dropna()) == {12, 13, 14}
    further = labelled(cord, {12: 40, 18: 20, 19: 0})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        measure(cord, levels=further)


def ladder(first: int, length_mm: float, *, width_mm: float = 12.0) -> tuple[Volume, Volume]:
    """A straight cord with five levels of one length, the outermost cut to 4 mm, in 2 mm slices."""
    n = round((3 * length_mm + 8) / 2)
    x, y = np.meshgrid(*[np.arange(24) - 11.5] * 2, indexing="ij")
    inside = (x / (width_mm / 2)) ** 2 + (y / (width_mm / 3.2)) ** 2 <= 1
    cord = Volume(np.repeat(inside[..., None], n, 2).astype(float), np.diag([-1.0, 1, 2, 1]))
    down_mm = np.arange(n)[::-1] * 2.0
    level = first + np.clip(1 + (down_mm - 4) // length_mm, 0, 4)
    return cord, cord.like(cord.data * level)


@pytest.mark.parametrize("length_mm", [16.0, 20.0])
def test_cervical_levels_of_totalspineseg_are_refused_where_no_cord_has_them(length_mm):
    """Three whole levels of 16 to 20 mm with 72 mm² are C3 to C5, and no T6 to T8."""
    cord, levels = ladder(12, length_mm)
    with pytest.raises(InputError, match=r"found T5 to T9, but 3 of them .* --level-names total"):
        measure(cord, levels=levels)
    own = measure(cord, levels=levels, level_names="totalspineseg")
    assert set(own["level"]) == {2, 3, 4, 5, 6}
    assert set(measure(cord, levels=levels, level_names="sct")["level"]) == {12, 13, 14, 15, 16}


@pytest.mark.parametrize(
    ("first", "length_mm", "width_mm"),
    [
        (12, 26.0, 9.0),  # an adult's thoracic cord
        (12, 18.0, 8.0),  # a child's
        (12, 26.0, 12.0),  # a swollen one
        (13, 22.0, 12.0),  # and that of somebody small
        (11, 24.0, 9.0),
    ],
)
def test_thoracic_levels_are_read_as_they_are_named(first, length_mm, width_mm):
    cord, levels = ladder(first, length_mm, width_mm=width_mm)
    with pytest.warns(MaskWarning, match="read as T"):
        found = measure(cord, levels=levels)
    assert set(found["level"]) == set(range(first, first + 5))


def test_thoracic_levels_of_totalspineseg_are_no_lumbar_and_sacral_ones():
    cord, levels = ladder(21, 22.0)
    with pytest.raises(InputError, match="found L2 to S1, but a cord ends above L4; TotalSpineSeg"):
        measure(cord, levels=levels)
    read = measure(cord, levels=levels, level_names="totalspineseg")
    assert set(read["level"]) == {8, 9, 10, 11, 12}
    lumbar = levels.like(levels.data * (levels.data < 23))
    with pytest.warns(MaskWarning, match="read as L2 to L3; TotalSpineSeg"):
        assert set(measure(cord, levels=lumbar)["level"].dropna()) == {21, 22}


def test_vertebrae_of_totalsegmentators_task_for_mr_are_read(cord):
    labels = labelled(cord, {2: 40, 3: 20, 4: 0})
    theirs = cord.like(np.where(labels.data > 0, 26 - labels.data, 0))
    own, other = (
        measure(cord, levels=labels),
        measure(cord, levels=theirs, level_names="totalsegmentator"),
    )
    pd.testing.assert_series_equal(own["level"], other["level"])
    pd.testing.assert_frame_equal(own, measure(cord, levels=labels, level_names="sct"))


def test_discs_of_other_numberings_are_read_or_refused_with_what_to_do(cord):
    data = np.zeros(cord.data.shape)
    for number, z in ((3, 70), (4, 50), (8, 33)):
        data[10, round(on_cord(z + cord.affine[2, 3])[1] - cord.affine[1, 3]), z] = number
    theirs = np.where(data > 0, data + np.where(data < 8, 60, 63), 0)
    own = measure(cord, discs=cord.like(np.where(data == 3, 3 + 0.02, data)))
    # Points of `step1_levels` are numbered as here, discs of the other images are not.
    for labels, names in ((theirs, "totalspineseg"), (data, "totalspineseg"), (data, "sct")):
        found = measure(cord, discs=cord.like(labels), level_names=names)
        pd.testing.assert_frame_equal(own, found)
    with pytest.raises(InputError, match="discs are numbered 1 to 29, found 63 to 71; TotalSpine"):
        measure(cord, discs=cord.like(theirs))
    with pytest.raises(InputError, match="no numbers for discs"):
        measure(cord, discs=cord.like(data), level_names="totalsegmentator")
    data[2, 2, 90], data[2, 2, 95] = 49, 50
    pd.testing.assert_frame_equal(own, measure(cord, discs=cord.like(data)))


@pytest.mark.parametrize("scale", [6 / 255, 21 / 255])
def test_levels_of_a_scaled_header_of_eight_bits_are_read(cord, scale):
    labels = labelled(cord, {2: 40, 3: 20, 4: 0, 6: -25})
    stored = labels.like(np.round(labels.data / scale) * scale)
    assert (stored.data != labels.data).any()
    pd.testing.assert_frame_equal(measure(cord, levels=stored), measure(cord, levels=labels))


def test_a_few_labels_that_mix_at_a_border_are_no_second_place(cord):
    labels = labelled(cord, {2: 40, 3: 20, 4: 0})
    mixed = labels.data.copy()
    row = int(20 - cord.affine[2, 3])
    mixed[:, :, [row - 1, row + 1]] = mixed[:, :, [row + 1, row - 1]]
    mixed = np.where(cord.data > 0.5, mixed.max(axis=(0, 1)), 0)
    assert measure(cord, levels=cord.like(mixed))["level"].notna().any()


def only_point(data: np.ndarray) -> np.ndarray:
    point = np.zeros_like(data)
    point[3, 3, 3] = 3
    return point


def test_levels_of_somebody_else_are_refused(cord):
    labels = labelled(cord, {2: 40, 3: 20, 4: 0})
    with pytest.raises(InputError, match="wrong level file"):
        measure(cord, levels=Volume(labels.data, shift(0, 0, 400) @ labels.affine))


def test_areas_given_as_discs_are_refused(cord):
    with pytest.raises(InputError, match="found areas; use --levels"):
        measure(cord, discs=labelled(cord, {2: 40, 3: 20, 4: 0}))


@pytest.mark.parametrize(
    ("places", "said"),
    [
        ({20: 3, 90: 3, 10: 4}, "disc 3 lies in two places, 70 mm apart"),
        ({10: 1, 25: 1, 40: 1, 60: 1}, "disc 1 lies in 4 places, 20 mm apart"),
    ],
)
def test_a_disc_in_several_places_is_refused(cord, places, said):
    data = np.zeros(cord.data.shape)
    for z, number in places.items():
        data[8, 9, z] = number
    with pytest.raises(InputError, match=f"{said}; each disc has a number of its own"):
        measure(cord, discs=cord.like(data))


def test_a_compact_blob_is_one_disc(cord):
    point, blob = np.zeros(cord.data.shape), np.zeros(cord.data.shape)
    point[8, 24, 60] = blob[7:10, 23:26, 59:62] = 3
    alone, wide = (measure(cord, discs=cord.like(d))["level"] for d in (point, blob))
    pd.testing.assert_series_equal(alone, wide)


def test_c2_and_c3_are_averaged_where_levels_are_known_and_all_slices_elsewhere(cord):
    known = measure(cord, levels=labelled(cord, {2: 40, 3: 20, 4: 0}))
    assert aggregate(known)["level"].tolist() == ["2:3"]
    assert aggregate(known)["n_slices"].tolist() == [int(known["level"].isin([2, 3]).sum())]
    assert aggregate(measure(cord))["n_slices"].tolist() == [100]


def slices_of(areas, levels, flags="", lengths=1.0) -> pd.DataFrame:
    return pd.DataFrame(
        {"file": "a", "slice": range(len(areas)), "level": pd.array(levels, dtype="Int64"),
         "area_mm2": areas, "length_mm": lengths, "flag": flags}
    )  # fmt: skip


def test_means_spread_median_and_weights_are_those_of_the_definition():
    table = slices_of([60.0, 70.0, 80.0, 100.0], [4, 3, 2, 2], lengths=[1.0, 1.0, 2.0, 3.0])
    row = aggregate(table).iloc[0]
    areas = np.array([70.0, 80.0, 100.0])
    assert row["area_mm2"] == pytest.approx(areas.mean())
    assert row["area_mm2_std"] == pytest.approx(np.sqrt(((areas - areas.mean()) ** 2).mean()))
    assert row["area_mm2_median"] == 80.0
    assert row["area_mm2_weighted"] == pytest.approx((70 + 2 * 80 + 3 * 100) / 6)
    assert row["length_mm"] == 6.0


def test_each_level_has_the_flags_of_its_own_slices():
    table = slices_of([35.0, 70.0, np.nan, 72.0], [3, 3, 3, 2], flags=["partial", "", "gap", "cut"])
    assert aggregate(table, per_level=True)["flag"].tolist() == ["cut", "gap;partial"]


def test_rows_per_level_and_chosen_slices():
    table = slices_of([60.0, 70.0, 80.0, 100.0], [4, 3, 2, 2])
    per_level = aggregate(table, per_level=True)
    assert per_level["level"].tolist() == [2, 3, 4]
    assert per_level["area_mm2"].tolist() == [90.0, 70.0, 60.0]
    assert aggregate(table, slices=(1, 2))["area_mm2"].tolist() == [75.0]
    assert aggregate(table, vertebrae=(3, 4))["area_mm2"].tolist() == [65.0]
    assert select(table, vertebrae=(2, 2))["slice"].tolist() == [2, 3]
    assert len(select(table)) == 4


def test_outliers_are_left_out_of_means_unless_wanted_and_counted():
    table = slices_of([90.0, 70.0, 35.0, 72.0], [3] * 4, flags=["outlier", "", "partial;cut", ""])
    counts = {}
    for options in ({}, {"outliers": True}, {"partial": True}, {"partial": True, "outliers": True}):
        row = aggregate(table, **options).iloc[0]
        counts[row["area_mm2"]] = int(row["n_slices"]), int(row["n_left_out"])
        assert row["flag"] == "cut;outlier;partial"
    assert list(counts.values()) == [(2, 2), (3, 1), (3, 1), (4, 0)]
    assert min(counts) == 59.0


@pytest.mark.parametrize("fault", ["leak", "hole"])
def test_without_outliers_a_mean_is_nearer_to_the_truth(fault):
    for spacing in ((1.0, 1.0, 1.0), (0.5, 0.5, 5.0)):
        sampled = sample(Tube(Curve(radius_mm=100.0)), spacing)
        for mask in (sampled.soft, sampled.binary):
            data, middle = mask.data.copy(), mask.data.shape[2] // 2
            for k in range(middle, middle + max(1, round(4 / spacing[2]))):
                x, y = np.argwhere(data[..., k] > 0.5).mean(axis=0).round().astype(int)
                side = slice(x + round(1.3 / spacing[0]), None)
                if fault == "hole":
                    data[side, :, k] = 0
                else:
                    wide = round(2 / spacing[0])
                    data[x : x + 6 * wide, y - wide : y + wide + 1, k] = 1
            table = measure(mask.like(data))
            error = [
                abs(aggregate(table, outliers=kept)["area_mm2"][0] / 70.0 - 1)
                for kept in (True, False)
            ]
            assert table["flag"].str.contains("outlier").any()
            assert error[1] < error[0]


def test_partly_covered_slices_are_left_out_of_means_unless_wanted():
    table = slices_of([35.0, 70.0, np.nan, 72.0], [3, 3, 3, 2], flags=["partial", "", "gap", ""])
    row = aggregate(table).iloc[0]
    assert (row["area_mm2"], row["n_slices"], row["flag"]) == (71.0, 2, "gap;partial")
    assert aggregate(table, partial=True)["n_slices"][0] == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vertebrae": (5, 6)}, "vertebrae 5:6 must be on the cord, found levels 2 to 4"),
        ({"slices": (50, 60)}, "found slices 0 to 3"),
        ({"slices": (1, 2), "vertebrae": (2, 3)}, "not both"),
    ],
)
def test_choices_that_leave_nothing_are_refused(options, message):
    table = slices_of([60.0, 70.0, 80.0, 100.0], [4, 3, 2, 2])
    with pytest.raises(InputError, match=message):
        aggregate(table, **options)


def test_several_files_are_averaged_each_for_itself():
    one, two = slices_of([60.0, 70.0], [3, 2]), slices_of([80.0, 90.0], [3, 2])
    result = aggregate(pd.concat([one, two.assign(file="b")]))
    assert result[["file", "area_mm2"]].to_numpy().tolist() == [["a", 65.0], ["b", 85.0]]


@pytest.mark.real
def test_landmarks_put_c2_and_c3_where_people_have_them(real_data):
    """C2 and T2 points of three people; T2w masks, population 72 ± 7 mm²."""
    masks = sorted(real_data.glob("derivatives/labels/sub-errsm*/anat/*_T2w_label-SC_seg.nii.gz"))
    measured = 0
    for mask in masks:
        points = mask.with_name(mask.name.replace("SC_seg", "landmarks_dlabel"))
        if points.exists():
            assert 55 < aggregate(measure(mask, discs=points))["area_mm2"][0] < 90
            measured += 1
    assert measured == 3
