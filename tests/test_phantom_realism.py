"""Figures that phantoms and real images share."""

from pathlib import Path

import numpy as np
import pytest

from softseg.volume import Volume
from softseg_study.phantom.realism import (
    FIGURES,
    REAL,
    compare_with_real,
    image_figures,
    phantom_figures,
    real_figures,
)

REAL_IMAGES = Path(__file__).parents[2] / "shared" / "data" / "real"


def test_the_figures_of_a_plain_scene_are_those_it_was_made_of():
    rng = np.random.default_rng(0)
    x, y = np.meshgrid(np.arange(80) - 40, np.arange(80) - 40, indexing="ij")
    radius = np.hypot(x, y) * 0.5
    scene = np.where(radius < 5, 100.0, np.where(radius < 8, 250.0, np.where(y < 0, 60.0, 40.0)))
    scene = np.repeat(scene[:, :, None], 10, axis=2) + rng.normal(0, 5, (80, 80, 10))
    affine = np.diag([-0.5, 0.5, 5.0, 1.0])
    cord = Volume(np.repeat((radius < 5)[:, :, None], 10, axis=2).astype(float), affine)
    found = image_figures(Volume(scene, affine), cord)
    assert set(found) == set(FIGURES)
    assert found["fluid"] == pytest.approx(2.5, abs=0.1)
    assert found["texture"] == pytest.approx(0.05, abs=0.005)
    assert found["noise"] == pytest.approx(0.05, abs=0.005)
    assert found["behind"] > 1.2
    assert found["surroundings"] == pytest.approx(0.5, abs=0.02)  # of 0.6 and 0.4
    assert image_figures(Volume(scene, affine), Volume(np.zeros_like(scene), affine)) == {}


@pytest.mark.skipif(not REAL_IMAGES.exists(), reason="needs the real images of ../shared/data")
def test_the_ranges_of_real_images_are_what_the_estimator_reads():
    found = real_figures(REAL_IMAGES)
    for contrast, ranges in REAL.items():
        here = found[found["contrast"] == contrast]
        for figure, (low, high) in ranges.items():
            assert here[figure].median() >= low - 0.02
            assert here[figure].median() <= high + 0.02


def test_texture_noise_and_unevenness_lie_in_the_range_of_real_images():
    table = compare_with_real(phantom_figures(range(2), seed=5)).set_index(["contrast", "figure"])
    for contrast in ("T2w", "T2star"):
        for figure in ("texture", "noise", "along"):
            row = table.loc[(contrast, figure)]
            assert 0.85 * row["real_low"] <= row["phantom"] <= 1.15 * row["real_high"]
