"""How sharp an image is at a mask's edge: known blurs, either polarity, what is said of it."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from segmentation_network import discs

from softseg.segmentation.engine import Segmentation
from softseg.segmentation.prepare import normalise
from softseg.segmentation.sharpness import BLURRED_MM, UNSEEN, Edge, find_edge
from softseg.volume import Volume


def cord(spacing, slices=6) -> np.ndarray:
    middles = [(0.3 * z, -0.2 * z) for z in range(slices)]
    return np.concatenate([discs([at], (48, 48), spacing, 5.0) for at in middles], axis=2)


def blurred(soft, spacing, sd_mm, noise=0.0) -> np.ndarray:
    """A dark cord in bright fluid."""
    rng = np.random.default_rng(2)
    image = gaussian_filter(3 * (0.5 - soft), (sd_mm / spacing[0], sd_mm / spacing[1], 0))
    return image + rng.normal(0, noise, image.shape)


@pytest.mark.parametrize("spacing", [(0.5, 0.5, 5.0), (0.8, 1.0, 3.0)])
@pytest.mark.parametrize("sd_mm", [0.6, 0.8, 1.0])
def test_the_width_is_the_blur_whatever_the_voxels(spacing, sd_mm):
    soft = cord(spacing)
    edge = find_edge(soft, blurred(soft, spacing, sd_mm), spacing)
    assert edge.width_mm == pytest.approx(np.hypot(sd_mm, np.mean(spacing[:2]) / 12**0.5), rel=0.2)


@pytest.mark.parametrize("sd_mm", [1.0, 1.3, 1.6])
def test_noise_and_still_wider_edges_hide_no_blur(sd_mm):
    soft = cord((0.5, 0.5, 5.0))
    for noise in (0.0, 0.5):
        image = blurred(soft, (0.5, 0.5, 5.0), sd_mm, noise)
        assert find_edge(soft, image, (0.5, 0.5, 5.0)).blurred


def test_a_sharp_edge_is_narrow():
    soft = cord((0.5, 0.5, 5.0))
    edge = find_edge(soft, blurred(soft, (0.5, 0.5, 5.0), 0.2), (0.5, 0.5, 5.0))
    assert edge.width_mm < 0.4
    assert not edge.blurred


def test_a_bright_cord_is_not_called_blurred_since_its_area_does_not_suffer():
    soft = cord((0.5, 0.5, 5.0))
    dark = blurred(soft, (0.5, 0.5, 5.0), 1.2)
    found = [find_edge(soft, image, (0.5, 0.5, 5.0)) for image in (dark, -dark)]
    assert found[0].width_mm == pytest.approx(found[1].width_mm, rel=1e-6)
    assert [edge.blurred for edge in found] == [True, False]


def test_without_a_mask_or_a_difference_nothing_is_said():
    empty = np.zeros((20, 20, 3), np.float32)
    assert find_edge(empty, empty, (1.0, 1.0, 3.0)) == UNSEEN
    soft = cord((1.0, 1.0, 3.0))
    assert find_edge(soft, np.zeros_like(soft), (1.0, 1.0, 3.0)) == UNSEEN
    assert not UNSEEN.blurred


def test_a_ring_whose_centre_is_no_cord_warns_of_nothing():
    soft = cord((1.0, 1.0, 3.0)) - discs([(0, 0)], (48, 48), (1.0, 1.0, 3.0), 2.0)
    assert not find_edge(np.clip(soft, 0, 1), -soft, (1.0, 1.0, 3.0)).blurred


def test_a_note_says_it_before_the_slices():
    volume = Volume(np.zeros((2, 2, 2)), np.eye(4))
    wide = Edge(BLURRED_MM + 0.34, 1.0)
    note = Segmentation(volume, True, reasons={3: "empty"}, edge=wide).note
    assert note == "blurred edges (SD 1.0 mm), areas are too small; uncertain slices 3 (empty)"
    assert Segmentation(volume, True, edge=Edge(1.0, -1.0)).note == ""


@pytest.mark.parametrize(
    ("across_mm", "fluid", "flags"),
    [
        (3.0, 1.0, ["coarse"]),
        (2.0 + 1e-6, 1.0, []),
        (3.0, -1.0, []),
        (1.0, 1.0, []),
        (np.nan, 1.0, []),
    ],
)
def test_wide_voxels_across_a_dark_cord_are_said(across_mm, fluid, flags):
    volume, edge = Volume(np.zeros((2, 2, 2)), np.eye(4)), Edge(0.5, fluid)
    found = Segmentation(volume, True, edge=edge, across_mm=across_mm)
    assert list(found.doubts) == flags
    assert ("voxels of 3.0 mm across the cord" in found.note) == bool(flags)
    assert Segmentation(volume, False, edge=edge, across_mm=across_mm).doubts == {}


def test_edges_of_people_widen_as_their_images_are_smoothed(real_data):
    """Drawn masks: no network has a part in it."""
    labels = real_data / "derivatives" / "labels"
    masks = [
        *sorted(labels.glob("sub-errsm*/anat/*_T2w_label-SC_seg.nii.gz")),
        *sorted(labels.glob("sub-gmc[0-9]*/**/*_run-*_T2star_label-SC_seg.nii.gz")),
    ]
    assert len(masks) >= 6
    for path in masks:
        folder = real_data / path.parent.relative_to(labels)
        image = Volume.load(folder / path.name.replace("_label-SC_seg", "")).oriented()
        mask = Volume.load(path).oriented().data.astype(np.float32)
        data = normalise(image.data.astype(np.float32))
        smooth = gaussian_filter(data, (1 / image.spacing_mm[0], 1 / image.spacing_mm[1], 0))
        sharp, wide = (find_edge(mask, each, image.spacing_mm) for each in (data, smooth))
        # The steps of a binary mask widen the edge, so that only the difference is asked for.
        assert wide.width_mm > sharp.width_mm + 0.15, (path.name, sharp, wide)
