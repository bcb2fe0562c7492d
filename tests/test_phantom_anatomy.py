"""The phantom's anatomy: truth on voxels against truth by integration, and what the issue asks."""

import time
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from softseg.errors import InputError
from softseg.phantom.anatomy import random_anatomy
from softseg.phantom.cord_geometry import (
    STEP_MM,
    Butterfly,
    CordCurve,
    UnitOutline,
    ellipse_distance,
)
from softseg.phantom.partial_volume import blend, cord_fraction
from softseg.phantom.pathology import PATHOLOGIES, Pathology, parse_pathology
from softseg.phantom.placement import place
from softseg.phantom.profiles import NAMES, PIA_MM
from softseg.phantom.tissues import CORD_TISSUES, INDEX, TISSUES
from softseg.phantom.true_areas import slice_levels, true_areas
from softseg.volume import Grid

SPACINGS_MM = [(0.8, 0.8, 0.8), (1.0, 1.0, 1.0), (0.5, 0.5, 5.0), (0.9, 0.9, 5.0), (3.0, 0.7, 0.7)]


def make_grid(anatomy, *, height_mm=0.0, spacing_mm=(0.8, 0.8, 0.8), tilt_deg=0.0, size_mm=30.0):
    """A grid in working orientation around the cord at a height, tilted forward or back."""
    line = anatomy.centreline
    centre = line.point(np.interp(height_mm, line.position[:, 2], line.s_mm))
    angle = np.radians(tilt_deg)
    turn = np.array(
        [[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]]
    )
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([-1, 1, 1]) * spacing_mm
    shape = tuple(
        int(np.ceil(w / h)) for w, h in zip((size_mm, size_mm, 15), spacing_mm, strict=True)
    )
    affine[:3, 3] = centre - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid(shape, affine)


def tissue_fractions(anatomy, grid):
    """`(T, X, Y, Z)` fraction of each tissue."""
    return blend(anatomy, grid, np.eye(len(TISSUES)))


def area_errors_percent(anatomy, grid):
    """Area summed from voxels against the analytic area, for each whole slice."""
    table = true_areas(anatomy, grid)
    soft = cord_fraction(anatomy, grid)
    voxel_mm3 = abs(np.linalg.det(grid.affine[:3, :3]))
    summed = soft.sum(axis=(0, 1))[table["slice"]] * voxel_mm3 / table["length_mm"]
    return 100 * (summed / table["area_mm2"] - 1)


@pytest.fixture(scope="module")
def anatomy():
    return random_anatomy(np.random.default_rng(11))


@pytest.mark.parametrize("spacing_mm", SPACINGS_MM)
@pytest.mark.parametrize("tilt_deg", [-15.0, 0.0, 8.0, 20.0])
def test_area_summed_from_voxels_is_the_analytic_area(anatomy, spacing_mm, tilt_deg):
    for height_mm in (10.0, -40.0):
        grid = make_grid(anatomy, height_mm=height_mm, spacing_mm=spacing_mm, tilt_deg=tilt_deg)
        errors = area_errors_percent(anatomy, grid)
        assert len(errors) >= 2
        assert np.abs(errors).max() < 0.3
        assert abs(errors.mean()) < 0.1


@pytest.mark.parametrize("text", ["compression=50", "compression=20", "local-atrophy=40", "injury"])
def test_area_stays_exact_where_the_cord_is_deformed(text):
    anatomy = random_anatomy(np.random.default_rng(5), pathology=text)
    s_mm = [anatomy.profiles.arc_length(c.level) for c in anatomy.pathology.compressions] or [-40.0]
    for spacing_mm in SPACINGS_MM:
        height_mm = anatomy.centreline.point(s_mm[0])[2]
        grid = make_grid(anatomy, height_mm=height_mm, spacing_mm=spacing_mm, tilt_deg=6.0)
        assert np.abs(area_errors_percent(anatomy, grid)).max() < 0.3


def test_an_upright_cylinder_has_the_area_of_its_ellipse(anatomy):
    s_mm = anatomy.centreline.s_mm
    upright = CordCurve.from_angles(s_mm, np.zeros(len(s_mm)), np.zeros(len(s_mm)))
    table = anatomy.profiles.table.copy()
    table[:, :2] = 6.0, 4.0
    straight = replace(anatomy, centreline=upright, profiles=replace(anatomy.profiles, table=table))
    grid = make_grid(straight, height_mm=-40.0, spacing_mm=(0.5, 0.5, 5.0))
    assert true_areas(straight, grid)["area_mm2"].to_numpy() == pytest.approx(np.pi * 24, rel=1e-4)
    assert np.abs(area_errors_percent(straight, grid)).max() < 0.1


def test_an_oblique_cut_does_not_change_the_area_of_a_straight_cord(anatomy):
    s_mm = anatomy.centreline.s_mm
    leaning = CordCurve.from_angles(s_mm, np.full(len(s_mm), 11.0), np.full(len(s_mm), -5.0))
    table = anatomy.profiles.table.copy()
    table[:, :2] = 6.0, 4.0
    oblique = replace(anatomy, centreline=leaning, profiles=replace(anatomy.profiles, table=table))
    for tilt_deg in (0.0, 25.0):
        grid = make_grid(oblique, height_mm=-40.0, spacing_mm=(0.7, 0.7, 3.0), tilt_deg=tilt_deg)
        assert true_areas(oblique, grid)["area_mm2"].to_numpy() == pytest.approx(
            np.pi * 24, rel=1e-4
        )


def test_the_soft_mask_of_a_coarse_grid_is_the_average_of_a_fine_one(anatomy):
    fine = make_grid(anatomy, spacing_mm=(0.5, 0.5, 1.0))
    size = np.array(fine.shape) // [2, 2, 5] * [2, 2, 5]
    fine = Grid(tuple(int(n) for n in size), fine.affine)
    affine = fine.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [0.5, 0.5, 2.0]
    affine[:3, :3] = affine[:3, :3] * [2, 2, 5]
    coarse = Grid(tuple(int(n) for n in size // [2, 2, 5]), affine)
    a, b, c = coarse.shape
    averaged = cord_fraction(anatomy, fine).reshape(a, 2, b, 2, c, 5).mean(axis=(1, 3, 5))
    assert np.abs(averaged - cord_fraction(anatomy, coarse)).max() < 0.03


def test_more_points_a_voxel_change_nothing_that_matters(anatomy):
    grid = make_grid(anatomy, spacing_mm=(1.0, 1.0, 1.0), tilt_deg=10.0)
    usual, fine = (cord_fraction(anatomy, grid, supersampling=n) for n in (None, 9))
    assert np.abs(usual - fine).max() < 0.06
    assert np.abs(usual - fine).mean() < 1e-3


def test_fractions_add_up_and_the_cord_among_them_is_the_truth(anatomy):
    grid = make_grid(anatomy, spacing_mm=(0.9, 0.9, 5.0), size_mm=120.0)
    fractions = tissue_fractions(anatomy, grid)
    assert fractions.shape == (len(TISSUES), *grid.shape)
    assert fractions.dtype == np.float32
    assert fractions.min() >= 0
    np.testing.assert_allclose(fractions.sum(axis=0), 1, atol=1e-5)
    cord = fractions[[INDEX[name] for name in CORD_TISSUES]].sum(axis=0)
    np.testing.assert_allclose(cord, cord_fraction(anatomy, grid), atol=1e-5)


def test_a_blend_is_the_tissues_weighted_by_their_values(anatomy):
    grid = make_grid(anatomy, spacing_mm=(0.9, 0.9, 5.0), size_mm=60.0)
    values = np.random.default_rng(0).random((2, len(TISSUES))).astype(np.float32)
    wanted = np.tensordot(values, tissue_fractions(anatomy, grid), axes=1)
    np.testing.assert_allclose(blend(anatomy, grid, values), wanted, atol=1e-5)


def test_every_orientation_of_the_array_shows_the_same_cord(anatomy):
    grid = make_grid(anatomy, spacing_mm=(0.9, 0.9, 3.0), tilt_deg=7.0)
    flipped = grid.affine.copy()
    flipped[:3, 3] += flipped[:3, 2] * (grid.shape[2] - 1)
    flipped[:3, 2] *= -1
    other = Grid(grid.shape, flipped)
    soft = cord_fraction(anatomy, grid)
    np.testing.assert_allclose(cord_fraction(anatomy, other)[:, :, ::-1], soft, atol=1e-3)
    sagittal = Grid((grid.shape[1], grid.shape[2], grid.shape[0]), grid.affine[:, [1, 2, 0, 3]])
    turned = cord_fraction(anatomy, sagittal)
    np.testing.assert_allclose(np.moveaxis(turned, 2, 0), soft, atol=1e-3)
    for there in (other, sagittal):
        np.testing.assert_allclose(
            true_areas(anatomy, there)["area_mm2"], true_areas(anatomy, grid)["area_mm2"], rtol=1e-6
        )
        np.testing.assert_array_equal(slice_levels(anatomy, there), slice_levels(anatomy, grid))


@pytest.mark.parametrize("percent", [1.0, 5.0, 20.0])
def test_atrophy_takes_exactly_its_share_of_every_slice(percent):
    def areas(loss):
        pathology = Pathology(atrophy_percent=loss)
        participant = random_anatomy(np.random.default_rng(8), pathology=pathology)
        grid = make_grid(participant, height_mm=-30, spacing_mm=(0.5, 0.5, 5))
        return true_areas(participant, grid)["area_mm2"]

    left = areas(percent) / areas(0.0)
    np.testing.assert_allclose(left, 1 - percent / 100, rtol=1e-3)


def test_compression_flattens_the_cord_and_leaves_no_fluid_in_front_or_behind():
    healthy, pressed = (
        random_anatomy(np.random.default_rng(9), pathology=p)
        for p in (Pathology(), parse_pathology("compression=40", np.random.default_rng(0)))
    )
    s_mm = np.array([pressed.profiles.arc_length(pressed.pathology.compressions[0].level)])
    half_ap = [
        p.centreline.look_up(p.profiles.column("half_ap"), s_mm)[0] for p in (healthy, pressed)
    ]
    assert half_ap[1] / half_ap[0] == pytest.approx(0.6, abs=0.02)
    height_mm = pressed.centreline.point(s_mm[0])[2]
    fluid = []
    for participant in (healthy, pressed):
        grid = make_grid(participant, height_mm=height_mm, spacing_mm=(0.4, 0.4, 5.0))
        fractions = tissue_fractions(participant, grid)[:, :, :, 1]
        middle = slice(grid.shape[0] // 2 - 4, grid.shape[0] // 2 + 4)
        fluid.append(fractions[INDEX["csf"], middle].sum())
    assert fluid[1] < 0.35 * fluid[0]


@pytest.mark.parametrize("name", ["lesions", "injury=40"])
def test_diseased_tissue_is_cord_in_the_truth_and_a_tissue_of_its_own(name):
    sick = random_anatomy(np.random.default_rng(3), pathology=name)
    level = (sick.pathology.injury or sick.pathology.lesions[0]).level
    height_mm = sick.centreline.point(sick.profiles.arc_length(level))[2]
    grid = make_grid(sick, height_mm=height_mm)
    fractions = tissue_fractions(sick, grid)
    for tissue in ("lesion",) if name == "lesions" else ("oedema", "cavity"):
        assert fractions[INDEX[tissue]].sum() * 0.512 > 5  # mm3
        assert (fractions[INDEX[tissue]] <= cord_fraction(sick, grid) + 1e-5).all()


@pytest.mark.parametrize("name", ["compression", "atrophy", "local-atrophy=20"])
def test_compression_and_atrophy_narrow_the_same_participant_somewhere(name):
    sickness = parse_pathology(name, np.random.default_rng(1))
    assert sickness.name == name.partition("=")[0]
    sick, well = (
        random_anatomy(np.random.default_rng(3), pathology=p) for p in (sickness, Pathology())
    )
    area = [p.profiles.column("half_ap") * p.profiles.column("half_rl") for p in (sick, well)]
    assert (area[0] / area[1]).min() < 0.985
    assert (area[0] / area[1]).max() <= 1 + 1e-6


def test_every_known_pathology_can_be_drawn_and_joined():
    for name in PATHOLOGIES:
        drawn = parse_pathology(f"{name}+atrophy=3", np.random.default_rng(2))
        assert drawn.atrophy_percent == 3


@pytest.mark.parametrize("text", ["cancer", "compression=90", "atrophy=x", "atrophy=-1", ""])
def test_a_bad_pathology_is_refused_in_one_line(text):
    with pytest.raises(InputError) as caught:
        parse_pathology(text, np.random.default_rng(0))
    assert "\n" not in str(caught.value)


def test_levels_follow_the_discs(anatomy):
    s_mm = anatomy.profiles.disc_mm
    assert s_mm[3] == 0
    for level in range(2, 9):
        assert anatomy.level_at(s_mm[level] - 0.5) == level
        assert anatomy.level_at(s_mm[level] + 0.5) == level - 1
    assert anatomy.level_at(anatomy.profiles.top_mm + 1) == 0
    heights = [point[2] for _, point in sorted(anatomy.discs_mm.items())]
    assert np.all(np.diff(heights) < 0)


def test_posterior_disc_points_lie_just_in_front_of_the_dural_sac(anatomy):
    for disc in range(3, 9):
        _, u, v = anatomy.centreline.locate(anatomy.discs_mm[disc][None])
        assert abs(u[0]) < 1
        assert 4 < v[0] < 14


def test_slices_beyond_the_end_of_the_cord_have_no_area_and_no_level(anatomy):
    top = anatomy.centreline.point(anatomy.profiles.top_mm)[2]
    grid = make_grid(anatomy, height_mm=top + 20, spacing_mm=(1, 1, 1))
    assert true_areas(anatomy, grid).empty
    assert not slice_levels(anatomy, grid).any()
    assert cord_fraction(anatomy, grid).max() == 0
    assert tissue_fractions(anatomy, grid)[INDEX["brainstem"]].max() == 1


def test_the_cord_ends_between_t12_and_l3_and_the_spine_goes_on_to_the_sacrum():
    tips, ends = [], []
    for seed in range(150):
        profiles = random_anatomy(np.random.default_rng([7, seed])).profiles
        level = profiles.column("level")
        tips.append(np.interp(profiles.bottom_mm, *_rising(profiles)))
        ends.append(level[profiles.column("sac_share") > 0.05].max())
    assert np.mean(tips) == pytest.approx(20.83, abs=0.12)  # lower third of L1
    assert np.std(tips) == pytest.approx(0.43, abs=0.1)
    assert min(tips) >= 19.0
    assert max(tips) <= 22.2
    assert np.mean(ends) == pytest.approx(26.2, abs=0.2)


def _rising(profiles):
    """Arc lengths and level coordinates of the discs, from below."""
    discs = sorted(profiles.disc_mm)[::-1]
    return [profiles.disc_mm[k] for k in discs], discs


@pytest.mark.parametrize("spacing_mm", SPACINGS_MM)
def test_the_area_of_the_conus_is_exact_down_to_its_tip(spacing_mm):
    participant = random_anatomy(np.random.default_rng(21))
    tip_mm = participant.profiles.bottom_mm
    for above_mm in (9.0, 20.0):
        height_mm = participant.centreline.point(tip_mm + above_mm)[2]
        grid = make_grid(participant, height_mm=height_mm, spacing_mm=spacing_mm, tilt_deg=5.0)
        errors = area_errors_percent(participant, grid)
        area_mm2 = true_areas(participant, grid)["area_mm2"]
        assert np.abs(errors * area_mm2 / 100).max() < 0.2  # 0.3 % of a usual cord's 70 mm2
        assert abs(errors.mean()) < 0.1


@pytest.mark.parametrize("curvature_deg", [(45, 0), (-45, 0), (0, 45), (-30, 30)])
def test_the_area_is_exact_where_a_deformed_spine_leans_by_45_degrees(curvature_deg):
    leant = []
    for seed in range(3):
        curved = random_anatomy(np.random.default_rng([1, seed]), curvature_deg=curvature_deg)
        line, profiles = curved.centreline, curved.profiles
        inside = (line.s_mm > profiles.bottom_mm + 25) & (line.s_mm < profiles.top_mm - 12)
        lean_deg = np.degrees(np.arccos(line.tangent[:, 2])) * inside
        leant.append(lean_deg.max())
        for spacing_mm in SPACINGS_MM:
            height_mm = line.position[np.argmax(lean_deg), 2]
            grid = make_grid(curved, height_mm=height_mm, spacing_mm=spacing_mm, size_mm=60.0)
            errors = area_errors_percent(curved, grid)
            assert len(errors) >= 2
            assert np.abs(errors).max() < 0.3
        radius_mm = 1 / np.linalg.norm(line.curvature[inside], axis=1).max()
        assert radius_mm > 35
    assert max(leant) > 0.85 * np.hypot(*curvature_deg)


def test_a_stack_of_slices_holds_a_scoliotic_cord_and_steeper_curves_are_refused():
    for seed in range(3):
        curved = random_anatomy(np.random.default_rng([1, seed]), curvature_deg=(0, 45))
        grid = place(curved, "T2star", rng=np.random.default_rng(0)).body_grid
        assert np.abs(area_errors_percent(curved, grid)).max() < 0.3
    with pytest.raises(InputError, match="45"):
        random_anatomy(np.random.default_rng(0), curvature_deg=(50, 0))


def test_nothing_around_the_cord_tells_how_much_of_what_is_seen_is_pia():
    thin = random_anatomy(np.random.default_rng(12))
    table = thin.profiles.table.copy()
    columns = [NAMES.index(name) for name in ("half_rl", "half_ap", "pia")]
    table[:, columns] += np.float32([-0.1, -0.1, 0.1])
    thick = replace(thin, profiles=replace(thin.profiles, table=table))
    grid = make_grid(thin, height_mm=-30, spacing_mm=(0.4, 0.4, 2.0))
    shown = [tissue_fractions(a, grid) for a in (thin, thick)]
    assert shown[0][INDEX["vessel"]].max() > 0.3
    others = [k for k, name in enumerate(TISSUES) if name not in (*CORD_TISSUES, "pia")]
    apart = np.abs(shown[0][others] - shown[1][others])
    assert apart.max() < 0.05
    assert (
        true_areas(thick, grid)["area_mm2"].mean()
        < 0.97 * true_areas(thin, grid)["area_mm2"].mean()
    )


def test_butterfly_and_canal_predict_a_cord_no_better_than_they_do_in_people():
    features, areas = [], []
    for seed in range(200):
        participant = random_anatomy(np.random.default_rng([13, seed]))
        p, stretch = participant.profiles, participant.butterfly.stretch
        row = participant.profiles_at(np.array([p.arc_length(3.5)]))
        size = [row["half_rl"][0] * stretch[0], row["half_ap"][0] * stretch[1]]
        features.append(np.log([*size, row["sac_rl"][0], row["sac_ap"][0]]))
        areas.append(np.log(row["half_rl"][0] * row["half_ap"][0]))
    design = np.column_stack([np.ones(len(areas)), features])
    fitted = design @ np.linalg.lstsq(design, np.array(areas), rcond=None)[0]
    assert np.corrcoef(fitted, areas)[0, 1] < 0.85


def test_threads_on_the_cord_touch_it_and_do_not_mirror_each_other():
    mirrored, touching = [], []
    for seed in range(6):
        participant = random_anatomy(np.random.default_rng([14, seed]))
        height_mm = participant.centreline.point(participant.profiles.disc_mm[5] - 3)[2]
        grid = make_grid(participant, height_mm=height_mm, spacing_mm=(0.3, 0.3, 2.0))
        found = tissue_fractions(participant, grid)
        threads = found[INDEX["roots"]] + found[INDEX["vessel"]] + found[INDEX["dura"]]
        threads = threads * (found[INDEX["csf"]] + threads > 0.9)
        threads = threads[:, :, grid.shape[2] // 2]
        mirrored.append(np.corrcoef(threads.ravel(), threads[::-1].ravel())[0, 1])
        cord = cord_fraction(participant, grid)[:, :, grid.shape[2] // 2] > 0.5
        shell = ndimage.binary_dilation(cord, iterations=2) & ~cord
        touching.append((threads[shell] > 0.2).sum() * 0.09)
    assert np.mean(mirrored) < 0.7
    assert min(touching) > 0.5  # mm2


def test_discs_bulge_and_touch_some_healthy_cords_without_changing_their_area():
    touched = []
    for seed in range(100):
        participant = random_anatomy(np.random.default_rng([15, seed]))
        p = participant.profiles
        discs = participant.profiles_at(np.array([p.disc_mm[k] for k in range(4, 9)]))
        seen = discs["half_ap"] + discs["pia"]
        touched.append((discs["sac_ap"] + discs["sac_front"] - seen < 0.05).any())
        around = np.array([p.disc_mm[k] for k in range(4, 9)])[:, None] + [-7.0, 0.0, 7.0]
        rows = participant.profiles_at(around.ravel())
        area = (rows["half_rl"] * rows["half_ap"]).reshape(-1, 3)
        assert np.abs(area[:, 1] / area[:, ::2].mean(axis=1) - 1).max() < 0.03
    assert 0.03 < np.mean(touched) < 0.3


def test_below_the_cord_many_roots_float_behind_in_fluid_and_grow_fewer():
    for seed in range(4):
        participant = random_anatomy(np.random.default_rng([8, seed]))
        disc_mm, roots, behind = participant.profiles.disc_mm, [], []
        for level in (22.5, 24.5):  # L3, L5
            height_mm = participant.centreline.point(participant.profiles.arc_length(level))[2]
            grid = make_grid(participant, height_mm=height_mm, spacing_mm=(0.4, 0.4, 3.0))
            assert cord_fraction(participant, grid).max() == 0
            assert true_areas(participant, grid).empty
            found = tissue_fractions(participant, grid)[:, 12:-12, :, 2]
            in_sac = found[INDEX["roots"]] * (found[INDEX["roots"]] + found[INDEX["csf"]] > 0.9)
            roots.append(in_sac.sum() * 0.16)
            rows = np.arange(in_sac.shape[1])
            fluid = found[INDEX["csf"]].sum(axis=0)
            behind.append(fluid @ rows / fluid.sum() - in_sac.sum(axis=0) @ rows / in_sac.sum())
            assert found[INDEX["csf"]].sum() * 0.16 > 20  # mm2
        assert 3 < roots[1] < roots[0] < 60
        assert min(behind) > 0
        assert disc_mm[27] < disc_mm[25] < participant.profiles.bottom_mm


def test_the_pia_lies_outside_the_truth_and_is_as_thick_in_one_participant_as_in_another():
    thickness = [
        random_anatomy(np.random.default_rng([2, seed])).profiles.column("pia")[0]
        for seed in range(40)
    ]
    assert np.std(thickness) < 0.04
    assert np.mean(thickness) == pytest.approx(PIA_MM[0], abs=0.015)
    for seed in range(5):
        participant = random_anatomy(np.random.default_rng([2, seed]))
        assert np.ptp(participant.profiles.column("pia")) == 0
        grid = make_grid(participant, height_mm=-20, spacing_mm=(0.4, 0.4, 2.0))
        fractions = tissue_fractions(participant, grid)
        truth = cord_fraction(participant, grid)
        assert fractions[INDEX["pia"]].sum() > 0
        assert (fractions[INDEX["pia"]] + truth).max() <= 1 + 1e-5


def test_participants_look_like_the_population_around_their_cords():
    tilts, sacs, grey, front = [], [], [], []
    for seed in range(60):
        participant = random_anatomy(np.random.default_rng([4, seed]))
        p = participant.profiles
        level = p.column("level")
        neck = (level >= 2) & (level < 7)
        sacs.append((np.pi * p.column("sac_rl") * p.column("sac_ap"))[neck].mean())
        front.append(p.column("sac_front")[neck].mean())
        tilts.append(np.degrees(np.arccos(participant.centreline.tangent[neck, 2])).mean())
        if seed < 12:
            middle = participant.centreline.point(p.arc_length(4.5))[2]
            grid = make_grid(participant, height_mm=middle, spacing_mm=(0.4, 0.4, 3.0))
            found = tissue_fractions(participant, grid)[INDEX["grey_matter"], :, :, 1:4]
            grey.append(found.sum() * 0.16 / 3)
    assert np.mean(sacs) == pytest.approx(222, abs=12)
    assert np.std(sacs) == pytest.approx(31, abs=10)
    assert 5 <= np.mean(tilts) <= 11
    assert 0.1 < np.mean(front) < 1.3  # the cord lies behind the sac's middle
    assert np.mean(grey) == pytest.approx(14, abs=3)


def test_the_unit_outline_has_the_area_of_a_circle_and_its_centroid_at_the_origin():
    shape = UnitOutline.build(harmonics=((0.03, 1.0), (0.02, 2.0)))
    angle = np.arange(len(shape.radius)) * 2 * np.pi / len(shape.radius)
    assert np.mean(shape.radius.astype(float) ** 2) == pytest.approx(1, abs=1e-5)
    for axis in (np.cos, np.sin):
        assert abs(np.mean(shape.radius.astype(float) ** 3 * axis(angle))) < 1e-3
    fissure = shape.radius[len(angle) // 4]
    assert fissure < shape.radius[len(angle) // 4 + 80] * 0.97


def test_distances_to_outlines_are_those_of_a_fine_polygon():
    shape = UnitOutline.build()
    angle = np.linspace(0, 2 * np.pi, 4000, endpoint=False)
    radius = shape.radius_at(angle.astype(np.float32))
    edge = np.stack([6 * radius * np.cos(angle), 4 * radius * np.sin(angle)], -1)
    rng = np.random.default_rng(0)
    near = edge[rng.integers(4000, size=200)] + rng.uniform(-0.2, 0.2, (200, 2))
    true = np.linalg.norm(near[:, None] - edge, axis=-1).min(axis=1)
    found = np.abs(shape.distance(near[:, 0], near[:, 1], 6.0, 4.0))
    assert np.abs(found - true).max() < 0.05
    circle = ellipse_distance(np.array([3.0, 0.0]), np.array([4.0, 1.0]), 2.0, 2.0)
    np.testing.assert_allclose(circle, [3.0, -1.0], atol=1e-6)


def test_grey_matter_fills_the_share_that_is_asked_for():
    grid = np.linspace(-6.5, 6.5, 651)
    u, v = np.meshgrid(grid, grid, indexing="ij")
    for share in (0.13, 0.19, 0.28):
        horns = Butterfly().distance(u, v, 6.0, 4.0) - Butterfly().thickness(share)
        area_mm2 = (horns < 0).sum() * (grid[1] - grid[0]) ** 2
        assert area_mm2 / (np.pi * 24) == pytest.approx(share, abs=0.012)


def test_places_found_on_the_curve_lead_back_to_their_points(anatomy):
    line = anatomy.centreline
    rng = np.random.default_rng(1)
    s_mm = rng.uniform(-150, 20, 500)
    u, v = rng.uniform(-12, 12, (2, 500))
    frame = [line.look_up(t, s_mm) for t in (line.position, line.right, line.front)]
    points = frame[0] + u[:, None] * frame[1] + v[:, None] * frame[2]
    found = line.locate(points)
    for got, wanted in zip(found, (s_mm, u, v), strict=True):
        assert np.abs(got - wanted).max() < 0.02
    assert np.linalg.norm(np.diff(line.position, axis=0), axis=1) == pytest.approx(
        STEP_MM, rel=1e-4
    )


def test_the_same_seed_gives_the_same_participant_and_another_seed_another():
    first, again, other = (random_anatomy(np.random.default_rng(s)) for s in (1, 1, 2))
    grid = make_grid(first)
    np.testing.assert_array_equal(tissue_fractions(first, grid), tissue_fractions(again, grid))
    assert not np.array_equal(first.profiles.table, other.profiles.table)


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.parametrize(
    ("shape", "spacing_mm"), [((64, 64, 190), (0.8, 0.8, 0.8)), ((100, 100, 14), (0.5, 0.5, 5.0))]
)
def test_sampling_a_cord_field_of_view_is_fast(benchmark, anatomy, shape, spacing_mm):
    affine = np.diag([-spacing_mm[0], spacing_mm[1], spacing_mm[2], 1.0])
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2) - [0, 0, 40]
    fractions = benchmark(anatomy.tissue_fractions, Grid(shape, affine))
    assert fractions[INDEX["white_matter"]].max() > 0.9
    assert benchmark.stats["median"] < 1.5
