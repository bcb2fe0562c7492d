"""Areas at a distance down the cord from a landmark."""

import numpy as np
import pytest
from tubes import Curve, Tube, sample

from softseg.csa.aggregation import aggregate, select
from softseg.csa.landmark import read_landmark
from softseg.csa.measure import measure
from softseg.errors import InputError

SECANT = 1 / np.cos(np.radians(20.0))


@pytest.fixture(scope="module")
def cord():
    """100 mm of a cord that leans forward, in slices of 1 mm; Z = 0 in the middle."""
    return sample(Tube(Curve(tilt_deg=(0.0, 20.0))), (1.0, 1.0, 1.0), length_mm=100).soft


def on_cord(z_mm: float, beside_mm: float = 0.0) -> tuple[float, float, float]:
    return beside_mm, z_mm * np.tan(np.radians(20)), z_mm


@pytest.mark.parametrize("landmark_z", [45.0, 20.0, 80.0])
def test_distances_run_along_the_cord_and_straight_beyond_its_end(cord, landmark_z):
    table = measure(cord, landmark_mm=on_cord(landmark_z, beside_mm=6.0))
    expected = (landmark_z - table["centre_z_mm"]) * SECANT
    np.testing.assert_allclose(table["distance_mm"], expected, atol=0.2)


def test_a_mean_is_over_the_slices_whose_middle_lies_in_the_extent(cord):
    table = measure(cord, landmark_mm=on_cord(45.0))
    chosen = select(table, distance_mm=(50, 70))
    assert chosen["distance_mm"].between(50, 70).all()
    row = aggregate(table, distance_mm=(50, 70)).iloc[0]
    assert row["n_slices"] == len(chosen) == pytest.approx(20 / SECANT, abs=1)
    assert row["distance_mm"] == pytest.approx(60, abs=1)
    assert row["area_mm2"] == pytest.approx(70, rel=0.01)
    assert row["flag"] == ""


def test_a_mask_that_does_not_hold_the_whole_extent_is_flagged(cord):
    table = measure(cord, landmark_mm=on_cord(45.0))
    end_mm = table["distance_mm"].max()
    row = aggregate(table, distance_mm=(end_mm - 15, end_mm + 5)).iloc[0]
    assert row["flag"] == "incomplete"
    assert row["length_mm"] == pytest.approx(15, abs=1.5)
    hollow = table.assign(area_mm2=table["area_mm2"].mask(table["distance_mm"].between(55, 60)))
    assert aggregate(hollow, distance_mm=(50, 70))["flag"][0] == "incomplete"


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"distance_mm": (150, 170)}, "a distance must be on the cord, found a distance -4"),
        ({"distance_mm": (0, 9), "slices": (0, 9)}, "choose slices or a distance, not both"),
        ({"distance_mm": (0, 9), "per_level": True}, "a distance or a row per level"),
    ],
)
def test_a_distance_that_is_not_on_the_cord_or_another_choice_is_refused(cord, options, rule):
    with pytest.raises(InputError, match=rule):
        aggregate(measure(cord, landmark_mm=on_cord(45.0)), **options)


@pytest.mark.parametrize("point", [on_cord(45.0, 60.0), on_cord(200.0)])
def test_a_landmark_of_another_image_is_refused(cord, point):
    with pytest.raises(InputError, match="the landmark must lie near the cord"):
        measure(cord, landmark_mm=point)


def test_a_landmark_is_a_point_or_an_image_of_one(cord, tmp_path):
    assert read_landmark("-1,2.5,3e1", "--pmj") == (-1.0, 2.5, 30.0)
    data = np.zeros(cord.data.shape)
    data[3, 4, 90] = 50
    point = cord.like(data).save(tmp_path / "pmj.nii.gz")
    expected = cord.affine @ [3, 4, 90, 1]
    assert read_landmark(str(point), "--pmj") == pytest.approx(tuple(expected[:3]))
    data[3, 4, 20] = 50
    cord.like(data).save(point)
    with pytest.raises(InputError, match="must hold one labelled point, found 2"):
        read_landmark(str(point), "--pmj")
    for text in ("1,2", "a,b,c", "1,2,nan"):
        with pytest.raises(InputError, match="--pmj takes a point"):
            read_landmark(text, "--pmj")
