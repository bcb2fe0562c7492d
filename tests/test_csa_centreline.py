"""The smoothing spline: its basis, what it keeps, how its stiffness follows the noise."""

import numpy as np
import pytest
from tubes import STANDARD, Curve, Tube, sample

from softseg.csa.centreline import fit_centreline
from softseg.csa.region import cord_region
from softseg.csa.sections import PARTIAL, TRUSTED, _short_ends, sections_of
from softseg.csa.spline import SLAB_MEAN, Bending, basis, smoother

STEP = 1e-5


def test_the_basis_sums_to_one_and_its_derivatives_are_those_of_its_values():
    offset = np.linspace(-0.49, 0.49, 8)
    value, first, second = basis(offset)
    np.testing.assert_allclose(value.sum(-1), 1)
    ahead, behind = basis(offset + STEP), basis(offset - STEP)
    np.testing.assert_allclose((ahead[0] - behind[0]) / (2 * STEP), first, atol=1e-8)
    np.testing.assert_allclose((ahead[1] - behind[1]) / (2 * STEP), second, atol=1e-8)


def test_slab_means_are_the_integrals_of_the_basis():
    nodes, weights = np.polynomial.legendre.leggauss(6)
    # The basis has a knot in the middle of a slice: integrate either side of it.
    halves = [(basis((nodes + side) / 4)[0] * weights[:, None]).sum(0) / 4 for side in (-1, 1)]
    np.testing.assert_allclose(sum(halves), SLAB_MEAN, atol=1e-12)


@pytest.mark.parametrize("n", [30, 500])
def test_precise_centres_of_a_parabola_are_followed(n):
    z = np.arange(n) * 0.8
    curve = np.column_stack([0.1 * z + 3, 0.004 * z**2 * 24 / z[-1]])
    coefficients = smoother(np.ones(n, bool), 1e-3, 0.8, Bending())(curve)
    windows = np.lib.stride_tricks.sliding_window_view(coefficients, 5, axis=0)
    np.testing.assert_allclose(windows @ SLAB_MEAN, curve, atol=1e-3)


@pytest.mark.parametrize("n", [12, 120])
def test_the_line_is_the_penalised_least_squares_fit_of_its_definition(n):
    """Against the normal equations written out, every matrix dense."""
    rng = np.random.default_rng(3)
    used, noise, step, bending = rng.random(n) > 0.1, 0.2, 1.3, Bending()
    centres = rng.normal(size=(used.sum(), 2)).cumsum(axis=0)
    size = n + 4
    seen = np.array([np.r_[np.zeros(k), SLAB_MEAN, np.zeros(n - 1 - k)] for k in range(n)])[used]
    second, third = np.diff(np.eye(size), 2, axis=0), np.diff(np.eye(size), 3, axis=0)
    ends = (np.eye(size)[-1] - np.eye(size)[0]) / ((size - 1) * step * bending.slope)
    spread = bending.curvature_per_mm**2 * min(bending.length_mm, n * step)
    system = seen.T @ seen / noise**2 + np.outer(ends, ends)
    system += second.T @ second / (step**3 * spread)
    system += third.T @ third / (step**5 * bending.change**2)
    expected = np.linalg.solve(system, seen.T @ centres / noise**2)
    found = smoother(used, noise, step, bending)(centres)
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_the_evidence_chooses_how_much_a_cord_bends():
    """A straight line in noise is followed stiffly, a wave closely, though neither is told."""
    z, used = np.arange(40) * 1.0, np.ones(40, dtype=bool)
    noise = np.random.default_rng(0).normal(scale=0.2, size=(40, 2))
    scales = (0.125, 0.5, 2.0)
    for course, scale in ((0.2 * z, 0.125), (5 * np.sin(z / 8), 2.0)):
        centres = course[:, None] + noise
        found = smoother(used, 0.2, 1.0, Bending(), scales=scales)(centres)
        apart = {k: smoother(used, 0.2, 1.0, Bending(), scales=(k,))(centres) for k in scales}
        error = {k: np.abs(found - fit).max() for k, fit in apart.items()}
        assert min(error, key=error.get) == scale


def test_the_noise_of_a_binary_mask_is_seen_in_the_mask_itself():
    """Against the scatter of centres over many places in the voxel grid."""
    apart = []
    for offset in np.linspace(0, 1, 12, endpoint=False):
        sampled = sample(Tube(), (1.0, 1.0, 5.0), length_mm=5, offset_voxels=(offset, 0.37, 0))
        soft, hard = (
            sections_of(cord_region(mask)).centre_mm[0, 0] + start
            for mask, start in (
                (sampled.soft, cord_region(sampled.soft).start[0]),
                (sampled.binary, cord_region(sampled.binary).start[0]),
            )
        )
        apart.append(hard - soft)
    expected = fit_centreline(sections_of(cord_region(sampled.binary))).noise_mm
    assert np.std(apart) == pytest.approx(expected, rel=0.7)
    assert fit_centreline(sections_of(cord_region(sampled.soft))).noise_mm < expected / 3


def test_jumping_slices_make_the_line_stiffer():
    """A rater draws every slice a little elsewhere; the tilt between slices must not follow."""
    sampled = sample(STANDARD["20° forward"](), (0.8, 0.8, 0.8), length_mm=48)
    rng = np.random.default_rng(0)
    jumped = sampled.soft.data.copy()
    for k in range(jumped.shape[2]):
        jumped[:, :, k] = np.roll(jumped[:, :, k], rng.integers(-1, 2), axis=1)
    line = fit_centreline(sections_of(cord_region(sampled.soft.like(jumped))))
    steps = np.diff(sections_of(cord_region(sampled.soft.like(jumped))).centre_mm[:, 1]) / 0.8
    error = np.abs(line.angles_deg()[1] - 20)
    assert np.sqrt((error**2).mean()) < 4
    assert np.abs(np.degrees(np.arctan(steps)) - 20).max() > 40


def test_a_wave_is_followed_by_soft_and_by_binary_masks():
    tube = Tube(Curve(amplitude_mm=(0.0, 6.0)))
    sampled = sample(tube, (0.8, 0.8, 0.8))
    z = (np.arange(sampled.soft.data.shape[2]) - (sampled.soft.data.shape[2] - 1) / 2) * 0.8
    true = np.degrees(np.arctan(tube.curve.at(z)[1][:, 1]))
    for mask, worst in ((sampled.soft, 0.3), (sampled.binary, 2.5)):
        angles = fit_centreline(sections_of(cord_region(mask))).angles_deg()[1]
        assert np.abs(angles - true).max() < worst


def test_areas_that_waver_at_a_tapering_end_leave_its_centres_trusted():
    area = np.r_[39.0, 39, 41, 41, 39, 43, 43, 43, np.linspace(44, 90, 80)]
    for step_mm in (0.8, 1.0, 2.0):
        every = np.ones(area.size, dtype=bool)
        assert not _short_ends(area, every, np.ones(area.size), step_mm, TRUSTED).any()
        cut = np.r_[4.0, 14, 28, area]
        every = np.ones(cut.size, dtype=bool)
        for share in (PARTIAL, TRUSTED):
            short = _short_ends(cut, every, np.ones(cut.size), step_mm, share)
            assert np.flatnonzero(short).tolist() == [0, 1, 2]


def test_the_end_of_a_binary_masks_course_is_not_drawn_by_its_voxels():
    """Tilted and bent tubes; the error of the angle in the last four slices at either end."""
    errors = []
    for tube in (STANDARD[name]() for name in ("10° forward", "20° and 15°", "arc of 100 mm")):
        for offset in ((0.0, 0.0, 0.0), (0.3, 0.4, 0.2), (0.55, 0.15, 0.7)):
            mask = sample(tube, (1.0, 1.0, 1.0), offset_voxels=offset).binary
            line = fit_centreline(sections_of(cord_region(mask)))
            z = mask.affine[2, 3] + np.arange(line.n_slices)
            apart = line.at_slices()[1] - tube.curve.at(z)[1]
            errors.append(apart[[0, 1, 2, 3, -4, -3, -2, -1]])
    assert np.degrees(np.sqrt(np.mean(np.square(errors)))) < 0.3
