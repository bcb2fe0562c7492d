"""The scanner: truth stays true through it, and each artefact does what it says."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from softseg.contrasts import CONTRASTS, UNSEEN_CONTRASTS
from softseg.errors import InputError
from softseg.phantom import artefacts
from softseg.phantom.acquisition import CORD_LEVEL, acquire, picture
from softseg.phantom.anatomy import random_anatomy
from softseg.phantom.artefacts import SEVERITIES, with_options
from softseg.phantom.placement import MAX_GRID_VOXELS, place, refined, seen_after
from softseg.phantom.protocols import get_protocol
from softseg.phantom.true_areas import true_areas
from softseg.volume import Grid

ALL = tuple(CONTRASTS | UNSEEN_CONTRASTS)
QUIET = with_options("mild", noise=0.0, bias=0.0, texture=0.0, flow_depth=0.0, spread=0.0)


@pytest.fixture(scope="module")
def anatomy():
    return random_anatomy(np.random.default_rng(5))


@pytest.fixture(scope="module")
def scans(anatomy):
    return {
        name: acquire(anatomy, name, rng=np.random.default_rng([5, i]), vendor="Siemens")
        for i, name in enumerate(ALL)
    }


@pytest.mark.parametrize("name", ALL)
def test_an_image_is_whole_numbers_on_the_grid_of_its_truth_with_the_nominal_voxels(scans, name):
    scan, contrast = scans[name], (CONTRASTS | UNSEEN_CONTRASTS)[name]
    assert scan.image.grid.matches(scan.truth.grid)
    assert scan.image.orientation == "LAS"
    assert scan.image.spacing_mm == pytest.approx(contrast.spacing_mm)
    np.testing.assert_array_equal(scan.image.data, np.round(scan.image.data))
    assert scan.image.data.min() >= 0
    cord = scan.image.data[scan.truth.data > 0.9]
    assert cord.mean() == pytest.approx(CORD_LEVEL, rel=0.01)
    assert scan.levels.shape == (scan.image.data.shape[2],)


@pytest.mark.parametrize("name", ALL)
def test_area_of_the_soft_truth_is_the_analytic_area_in_every_slice(scans, name):
    scan = scans[name]
    voxel_mm3 = np.prod(scan.truth.spacing_mm)
    volume = scan.truth.data.sum(axis=(0, 1), dtype=float) * voxel_mm3
    area = volume[scan.areas["slice"]] / scan.areas["length_mm"]
    np.testing.assert_allclose(area, scan.areas["area_mm2"], rtol=0.003)


@pytest.mark.parametrize("name", ["T2w", "DWI"])
@pytest.mark.parametrize("severity", list(SEVERITIES))
def test_a_severity_by_name_is_the_same_as_its_settings(anatomy, name, severity):
    shifts = [
        place(anatomy, name, rng=np.random.default_rng(2), severity=given).slide_voxels
        for given in (severity, SEVERITIES[severity])
    ]
    np.testing.assert_array_equal(*shifts)


def test_the_clean_picture_shows_the_object_of_the_noisy_one(anatomy):
    level = with_options("realistic", refine=1)

    def scan(level, **options):
        rng = np.random.default_rng(4)
        placement = place(anatomy, "T2star", rng=rng, severity=level)
        return picture(placement, rng=rng, severity=level, **options)

    both, noisy = scan(level, clean=True), scan(level)
    np.testing.assert_array_equal(both.image.data, noisy.image.data)
    assert noisy.clean is None
    quiet = scan(with_options(level, noise=0.0)).image.data
    np.testing.assert_array_equal(both.clean.data, quiet)


@pytest.mark.parametrize("name", list(CONTRASTS))
def test_every_contrast_of_the_paper_holds_all_of_c2_and_c3(scans, name):
    scan = scans[name]
    levels = list(scan.levels)
    assert {1, 2, 3, 4} <= set(levels)
    for level, disc in ((2, 2), (3, 3), (3, 4)):
        assert disc in scan.discs, f"disc {disc} lies in the image"
        assert levels.count(level) * scan.image.spacing_mm[2] > 9
    heights = [scan.discs[disc][2] for disc in sorted(scan.discs)]
    assert heights == sorted(heights, reverse=True)


def test_the_same_generator_gives_the_same_image_and_another_one_another(anatomy):
    first, again, other = (
        acquire(anatomy, "EPI", rng=np.random.default_rng(s)).image for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.data, again.data)
    assert not np.array_equal(first.data, other.data)


def test_the_participant_moves_by_one_to_three_millimetres_between_contrasts(scans):
    places = [scan.placement for scan in scans.values()]
    moved = [p.grid.affine @ np.linalg.inv(p.body_grid.affine) for p in places]
    steps = np.array(moved)[:, :3, 3]
    length = np.linalg.norm(steps, axis=1)
    assert length.min() >= 1
    assert length.max() <= 3
    assert np.ptp(steps, axis=0).min() > 0.5


def test_a_moved_participant_is_seen_where_the_movement_brought_them():
    grid = Grid((5, 5, 5), np.diag([-1.0, 1, 1, 1]))
    seen = seen_after(grid, (1.0, 2.0, 3.0), (0, 0, 0))
    np.testing.assert_allclose(seen.affine[:3, 3], [-1, -2, -3])


def test_axial_slices_cut_the_cord_at_right_angles_near_c3(anatomy, scans):
    for name in ("T2star", "DWI", "MT-on"):
        normal = scans[name].image.affine[:3, 2] / scans[name].image.spacing_mm[2]
        line = anatomy.centreline
        tangent = line.look_up(line.tangent, np.array([anatomy.profiles.disc_mm[4]]))[0]
        assert np.degrees(np.arccos(normal @ tangent)) < 8


@pytest.mark.parametrize("contrast", ["T2w", "T2star", "DWI"])
def test_fields_below_and_above_the_cord_hold_none_and_a_lumbar_field_holds_its_tip(contrast):
    for seed in range(3):
        participant = random_anatomy(np.random.default_rng([3, seed]))
        rng = np.random.default_rng(seed)
        for field_of_view in ("cauda", "head"):
            scene = place(participant, contrast, rng=rng, field_of_view=field_of_view)
            assert scene.truth().data.max() == 0
            assert true_areas(participant, scene.body_grid).empty
        lumbar = place(participant, "T2w", rng=rng, field_of_view="lumbar")
        inside = lumbar.truth().data.sum(axis=(0, 1))
        assert inside[0] == 0
        assert inside[-1] > 30
        assert 24 in lumbar.discs()
    image = acquire(participant, contrast, rng=rng, field_of_view="cauda").image.data
    assert np.isfinite(image).all()
    assert image.std() > 0


def test_the_full_field_of_view_is_what_the_protocol_images(anatomy):
    placement = place(anatomy, "T2w", rng=np.random.default_rng(0), field_of_view="full")
    size = np.array(placement.grid.shape) * placement.grid.spacing_mm
    np.testing.assert_allclose(size, (51.2, 256, 256), atol=0.8)
    small = place(anatomy, "T2star", rng=np.random.default_rng(0)).grid.shape
    large = place(anatomy, "T2star", rng=np.random.default_rng(0), field_of_view="full").grid.shape
    assert large[0] > 3 * small[0]
    assert large[2] == small[2]


def test_a_protocol_of_ones_own_changes_the_contrast(anatomy):
    ratios = []
    for flip_deg in (5.0, 60.0):
        protocol = replace(get_protocol("T2star", "Siemens"), flip_deg=(flip_deg,), inflow=0.0)
        rng = np.random.default_rng(2)
        scan = acquire(anatomy, "T2star", rng=rng, protocol=protocol)
        cord = scan.truth.data > 0.99
        beside = np.roll(cord, 4, axis=1) & (scan.truth.data == 0)
        ratios.append(np.median(scan.image.data[beside]) / np.median(scan.image.data[cord]))
    assert ratios[0] > 1.2 * ratios[1]


@pytest.mark.parametrize(
    "settings",
    [{"severity": "wild"}, {"field_of_view": "neck"}, {"vendor": "Acme"}],
    ids=lambda settings: next(iter(settings)),
)
def test_an_unknown_setting_is_named_in_one_line(anatomy, settings):
    with pytest.raises(InputError) as error:
        acquire(anatomy, "DWI", rng=np.random.default_rng(0), **settings)
    assert next(iter(settings.values())) in str(error.value)


def test_a_changed_severity_names_what_it_does_not_know():
    with pytest.raises(InputError):
        with_options("mild", nose=1)


def test_an_image_without_noise_is_the_physics_inside_cord_and_fluid(anatomy):
    from softseg.phantom.signal import tissue_signal

    scan = acquire(anatomy, "T2w", rng=np.random.default_rng(0), severity=QUIET)
    signal = tissue_signal("T2w")
    data, truth = scan.image.data, scan.truth.data
    ring = np.percentile(data[_ring(truth, scan.image.spacing_mm)], 90)
    cord = signal["white_matter"] * 0.8 + signal["grey_matter"] * 0.2
    assert ring / data[truth > 0.99].mean() == pytest.approx(signal["csf"] / cord, rel=0.12)


def _ring(truth, spacing_mm):
    """Voxels 1.5 to 3 mm outside the cord, in slices that hold it."""
    from scipy import ndimage

    inside = truth > 0.5
    away = ndimage.distance_transform_edt(~inside, sampling=spacing_mm)
    return (away > 1.5) & (away < 3) & inside.any(axis=(0, 1))


def test_realistic_scans_are_noisier_than_mild_ones_which_are_as_noisy_as_real_ones(anatomy):
    spread = {"mild": [], "realistic": []}
    for severity, found in spread.items():
        for seed in (3, 4, 5):  # shading and noise are drawn: one scan says little
            rng = np.random.default_rng(seed)
            scan = acquire(anatomy, "MT-on", rng=rng, severity=severity)
            cord = scan.truth.data > 0.95
            steps = np.diff(scan.image.data, axis=0)[cord[1:] & cord[:-1]]
            found.append(steps.std() / scan.image.data[cord].mean())
    assert np.median(spread["realistic"]) > 1.05 * np.median(spread["mild"])


def test_distortion_moves_the_truth_with_the_picture(anatomy):
    still = with_options(QUIET, distortion_mm=0.0, jitter_mm=0.0, dropout=0.0)
    bent = with_options(still, distortion_mm=3.0)
    plain, moved = (
        acquire(anatomy, "DWI", rng=np.random.default_rng(8), severity=s) for s in (still, bent)
    )
    shift_truth = _row_centre(moved.truth.data) - _row_centre(plain.truth.data)
    bright = [np.where(s.image.data > 0.75 * CORD_LEVEL, s.image.data, 0) for s in (plain, moved)]
    bright = [
        np.where(_near(s.truth.data), b, 0) for s, b in zip((plain, moved), bright, strict=True)
    ]
    shift_image = _row_centre(bright[1]) - _row_centre(bright[0])
    assert np.abs(shift_truth).max() > 1
    np.testing.assert_allclose(shift_image, shift_truth, atol=0.5)


def _near(truth):
    from scipy import ndimage

    return ndimage.binary_dilation(truth > 0.3, iterations=1)


def _row_centre(data):
    """Centre along Y of each slice, in voxels."""
    rows = data.sum(axis=0, dtype=float)
    return (rows * np.arange(rows.shape[0])[:, None]).sum(axis=0) / rows.sum(axis=0)


# --- single artefacts


def test_truncation_keeps_means_and_slow_waves():
    x = (np.arange(64) + 0.5) / 64
    averaged = np.sinc(3 / 2 / 64) * np.cos(3 * np.pi * x)  # a cosine averaged over small voxels
    fine = np.broadcast_to((2 + averaged)[:, None, None], (64, 2, 2)).copy()
    coarse = artefacts.truncate_k_space(fine, (32, 2, 2), axes=(0,), apodisation=0.0)
    expected = 2 + np.cos(3 * np.pi * (np.arange(32) + 0.5) / 32)
    np.testing.assert_allclose(coarse[:, 0, 0], expected, atol=1e-9)


def test_an_edge_rings_with_the_overshoot_of_gibbs():
    fine = np.zeros((1024, 1, 1))
    fine[512:] = 1
    kept = artefacts.truncate_k_space(fine, (1024, 1, 1), axes=(0,), acquired=0.1, apodisation=0.0)
    assert kept.max() - 1 == pytest.approx(0.0895, abs=0.005)
    smoothed = artefacts.truncate_k_space(
        fine, (1024, 1, 1), axes=(0,), acquired=0.1, apodisation=1.0
    )
    assert smoothed.max() - 1 < 0.02


def test_slices_share_signal_with_their_neighbours_and_lose_none():
    thin = np.zeros((1, 1, 12))
    thin[..., 6] = 1
    thick = artefacts.slice_profile(thin, 2)
    assert thick.shape == (1, 1, 5)
    assert thick.sum() == pytest.approx(0.5)
    assert (thick > 0).sum() == 2
    np.testing.assert_allclose(artefacts.slice_profile(np.ones((1, 1, 12)), 2), 1)


def test_blur_along_the_phase_axis_is_the_complex_transform_of_the_mirrored_object():
    rng = np.random.default_rng(0)
    count = 12
    parts = [rng.random((2, count, 3)) + 1, rng.random((2, count, 3))]
    frequency = np.arange(1 - count, count) / count
    weights = [np.exp(-0.8 * frequency), np.exp(0.3 * frequency) * (frequency > -0.7)]
    mirrored = np.zeros((2, 2 * count, 3), complex)
    order = np.arange(2 * count)
    order[order > count] -= 2 * count  # the highest frequency of a mirrored object is empty
    for part, weight in zip(parts, weights, strict=True):
        spectrum = np.fft.fft(np.concatenate([part, part[:, ::-1]], axis=1), axis=1)
        kept = np.where(np.abs(order) < count, weight[np.clip(order + count - 1, 0, 22)], 0)
        mirrored += np.fft.ifft(spectrum * kept[None, :, None], axis=1)
    blurred = artefacts.encode_phase(parts, weights)
    np.testing.assert_allclose(np.abs(blurred), np.abs(mirrored[:, :count]), rtol=1e-10)


def test_blur_is_stronger_the_faster_signal_decays_and_leaves_flat_objects_alone():
    edge = np.zeros((1, 64, 1))
    edge[:, 32:] = 1
    frequency = np.arange(-63, 64) / 64
    width = []
    for decay in (0.0, 0.7, 1.5):
        image = artefacts.encode_phase([edge], [np.exp(-decay * frequency)])[0, :, 0]
        assert image[50] == pytest.approx(1, abs=0.05)
        width.append(np.abs(image - edge[0, :, 0]).sum())
    assert width[0] < 1e-10 < width[1] < width[2]


def test_an_echo_planar_slice_is_stretched_with_its_truth_and_its_outline(anatomy):
    level = with_options(QUIET, stretch=0.15, distortion_mm=1.0)
    scan = acquire(anatomy, "DWI", rng=np.random.default_rng(3), severity=level)
    shift = scan.placement.slide_voxels
    gain = np.diff(shift, axis=1).mean(axis=(0, 1))
    assert np.ptp(gain) > 0.1
    voxel_mm2 = np.prod(scan.truth.spacing_mm[:2])
    z = scan.areas["slice"].to_numpy()
    area = scan.truth.data.sum(axis=(0, 1))[z] * voxel_mm2
    physical = scan.areas["volume_mm3"].to_numpy() / scan.truth.spacing_mm[2]
    np.testing.assert_allclose(area, physical / (1 - gain[z]), rtol=0.01)
    outlines = scan.placement.outlines()
    rows = np.isin(outlines.slices, z)
    drawn = np.pi * (outlines.radius_mm[rows] ** 2).mean(axis=1)
    np.testing.assert_allclose(drawn, area[np.isin(z, outlines.slices)], rtol=0.03)


def test_metal_leaves_a_void_and_fluid_can_be_as_bright_as_the_cord(anatomy):
    metal, plain, equal = (
        acquire(anatomy, "T2w", rng=np.random.default_rng(3), severity=with_options(QUIET, **kind))
        for kind in ({"metal_mm": 9.0}, {}, {"fluid": 1.0})
    )
    np.testing.assert_array_equal(metal.truth.data, plain.truth.data)
    bright = plain.image.data > 100
    assert ((metal.image.data < 5) & bright).sum() * 0.512 > 300  # mm3
    cord = equal.truth.data > 0.99
    ring = _ring(equal.truth.data, equal.image.spacing_mm)
    upper = np.percentile(equal.image.data[ring], 75)
    assert upper == pytest.approx(equal.image.data[cord].mean(), rel=0.15)


def test_fat_lies_beside_where_it_is_along_the_readout_and_water_does_not(anatomy):
    for name, axis in (("T1w", 2), ("T2star", 0), ("DWI", 1)):
        assert place(anatomy, name, rng=np.random.default_rng(0)).readout_axis == axis
    data = np.zeros((3, 8, 2))
    data[:, 2] = 1
    moved = artefacts.rolled(data, 2.25, 1)
    np.testing.assert_allclose(moved[0, :, 0], [0, 0, 0, 0, 0.75, 0.25, 0, 0])


def test_sliding_by_whole_voxels_is_a_roll_and_by_parts_keeps_the_sum():
    rng = np.random.default_rng(0)
    data = np.zeros((2, 4, 20, 3))
    data[:, :, 8:12] = rng.random((2, 4, 4, 3))
    np.testing.assert_allclose(
        artefacts.slide(data, np.full((4, 1, 3), 3.0)), np.roll(data, 3, axis=2)
    )
    part = artefacts.slide(data, rng.uniform(-3, 3, (4, 1, 3)))
    np.testing.assert_allclose(part.sum(axis=2), data.sum(axis=2))


def test_noise_is_rician():
    rng = np.random.default_rng(0)
    dark = np.abs(artefacts.add_noise(np.zeros((1, 60, 60, 60)), 2.0, rng))
    assert dark.mean() == pytest.approx(2 * np.sqrt(np.pi / 2), rel=0.01)
    bright = np.abs(artefacts.add_noise(np.full((1, 60, 60, 60), 100.0), 2.0, rng))
    assert bright.std() == pytest.approx(2.0, rel=0.02)


def test_smooth_fields_have_unit_deviation_and_their_scale():
    fields = np.stack(
        [
            artefacts.smooth_field((40, 40, 40), (1, 1, 1), 8.0, np.random.default_rng(s))
            for s in range(30)
        ]
    )
    assert fields.std() == pytest.approx(1, abs=0.1)
    assert np.abs(np.diff(fields, axis=1)).mean() < 0.2


def test_the_coil_is_brighter_behind_and_fades_towards_the_ends():
    grid = Grid((20, 80, 100), np.diag([1, 1, 2, 1]))
    coil = artefacts.coil_profile(grid, 0.8, np.random.default_rng(0))
    assert coil.min() > 0
    assert coil[:, 0].mean() > coil[:, -1].mean()
    assert coil[:, :, 50].mean() > coil[:, :, [0, -1]].mean()


def test_gradient_echoes_lose_signal_beside_discs_only():
    factor = artefacts.drop_out(np.array([0.0, 5.0, 30.0]), np.array([0.0]), 0.4)
    assert factor[0] == pytest.approx(0.6)
    assert factor[0] < factor[1] < factor[2]
    assert factor[2] == pytest.approx(1, abs=1e-3)


def test_a_ghost_is_a_faint_copy_along_the_phase_axis():
    data = np.zeros((1, 4, 10, 2))
    data[0, 2, 1, 0] = 1
    ghost = artefacts.add_ghost(data, 0.1, 0.5)
    assert ghost[0, 2, 6, 0] == pytest.approx(0.1)
    assert ghost.sum() == pytest.approx(1.1)


def test_flow_takes_signal_and_never_adds_any():
    void = artefacts.flow_void(Grid((30, 30, 60), np.eye(4)), 0.5, np.random.default_rng(0))
    assert void.max() <= 1
    assert 0.5 <= void.min() < 0.7


def test_a_refined_grid_covers_the_same_space():
    grid = Grid(
        (4, 5, 6), np.array([[-0.9, 0, 0, 3], [0, 0.9, 0.2, 1], [0, -0.1, 5, 2], [0, 0, 0, 1]])
    )
    fine = refined(grid, (2, 1, 2), (0, 0, 1))
    assert fine.shape == (8, 5, 14)
    middle = [grid.affine @ [1.5, 2.0, 2.5, 1], fine.affine @ [3.5, 2.0, 6.5, 1]]
    np.testing.assert_allclose(middle[0], middle[1])


def test_diffusion_along_the_cord_darkens_it_most(anatomy):
    scan = acquire(anatomy, "DWI", rng=np.random.default_rng(0), severity=QUIET, series=True)
    cord = scan.series.data[scan.truth.data > 0.99].mean(axis=0)
    weighted = scan.series.b_values > 0
    along = np.abs(scan.series.directions[weighted, 2])
    assert np.corrcoef(along, cord[weighted])[0, 1] < -0.9
    assert cord[~weighted].min() > 1.2 * cord[weighted].max()


def test_later_echoes_are_darker(anatomy):
    scan = acquire(anatomy, "T2star", rng=np.random.default_rng(0), severity=QUIET, series=True)
    cord = scan.series.data[scan.truth.data > 0.99].mean(axis=0)
    assert (np.diff(cord) < 0).all()
    assert acquire(anatomy, "MT-on", rng=np.random.default_rng(0), series=True).series is None


@pytest.mark.parametrize("contrast", ["T1w", "T2w", "T2star", "UNIT1"])
def test_the_voxels_of_an_image_are_bounded(anatomy, contrast):
    def field(scale):
        rng = np.random.default_rng(0)
        return place(anatomy, contrast, rng=rng, field_of_view="full", voxel_scale=scale).grid

    assert 2 * np.prod(field(1.0).shape) < MAX_GRID_VOXELS
    if np.prod(field(1.0).shape) * 64 > MAX_GRID_VOXELS:
        with pytest.raises(InputError, match=r"at most 40,000,000 voxels, found \d+ x"):
            field(0.25)


def test_memory_is_bounded_by_the_voxels_of_an_image(anatomy):
    tracemalloc.start()
    scan = acquire(anatomy, "T2w", rng=np.random.default_rng(0), severity="realistic")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 250 * scan.image.data.size + 1e8
