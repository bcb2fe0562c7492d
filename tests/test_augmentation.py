import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.transforms import Compose

from softseg.augmentation.light import LightOptions, augment_lightly
from softseg.augmentation.published import run_transform, transforms
from softseg.augmentation.registry import AUGMENTATIONS, get_augmentation
from softseg.errors import InputError

SHAPES = ((48, 56), (20, 40, 32))
CHANGING = tuple(name for name in AUGMENTATIONS if name != "none")


def cords(shape: tuple[int, ...], samples: int) -> torch.Tensor:
    """`(B, 1, …)` soft ellipses whose edge is two voxels wide, around the last two axes' middle."""
    *_, rows, columns = shape
    y, x = np.mgrid[:rows, :columns]
    away = np.hypot((y - rows / 2 + 0.8) / 9, (x - columns / 2 - 0.6) / 6)
    soft = torch.tensor(np.clip((1 - away) * 4 + 0.5, 0, 1), dtype=torch.float32)
    return soft.expand(samples, 1, *shape).clone()


def seeds(samples: int, first: int = 0) -> list[list[int]]:
    return [[0, 3, first + number] for number in range(samples)]


@pytest.mark.parametrize("shape", SHAPES, ids=["2-D", "3-D"])
@pytest.mark.parametrize("name", CHANGING)
def test_soft_masks_stay_fractions_and_are_never_binarised(name, shape):
    softs = cords(shape, 6)
    images, changed = get_augmentation(name)(softs * 2 - 1, softs, seeds(6))
    assert images.shape == changed.shape == softs.shape
    assert images.dtype == changed.dtype == torch.float32
    assert torch.isfinite(images).all()
    assert changed.min() >= 0
    assert changed.max() <= 1
    partial = ((changed > 0.02) & (changed < 0.98)).float().flatten(1).mean(dim=1)
    before = ((softs > 0.02) & (softs < 0.98)).float().mean()
    assert (partial > 0.5 * before).all()


@pytest.mark.parametrize("shape", SHAPES, ids=["2-D", "3-D"])
@pytest.mark.parametrize("name", CHANGING)
def test_image_and_mask_move_together(name, shape):
    softs = cords(shape, 8)
    images, changed = get_augmentation(name)(softs * 2 - 1, softs, seeds(8))
    for image, soft in zip(images, changed, strict=True):
        if 0 < soft.sum() < 0.4 * soft.numel():
            here = np.corrcoef(image.flatten(), soft.flatten())[0, 1]
            moved = np.corrcoef(image.roll(8, dims=-1).flatten(), soft.flatten())[0, 1]
            assert here > moved + 0.1


@pytest.mark.parametrize("name", CHANGING)
def test_a_sample_depends_on_its_own_seed_alone(name):
    softs = cords(SHAPES[0], 4)
    images = softs + 0.1 * torch.randn(softs.shape, generator=torch.Generator().manual_seed(0))
    augment = get_augmentation(name)
    together, masks = augment(images, softs, seeds(4))
    alone, mask = augment(images[2:3], softs[2:3], seeds(4)[2:3])
    assert torch.allclose(together[2], alone[0], atol=1e-3)
    assert torch.allclose(masks[2], mask[0], atol=1e-4)
    again, _ = augment(images, softs, seeds(4))
    assert torch.equal(together, again)
    other, _ = augment(images, softs, seeds(4, first=100))
    assert not torch.allclose(together, other, atol=1e-2)


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_rotation_and_shift_conserve_the_volume_of_a_soft_mask(seed):
    softs = cords((64, 64), 1)
    still = LightOptions(scale=0.0, probability=0.0)
    _, changed = augment_lightly(softs, softs, [[seed]], still)
    assert changed.sum().item() == pytest.approx(softs.sum().item(), rel=0.005)


def test_scaling_changes_the_volume_as_far_as_it_says():
    softs = cords((64, 64), 64)
    _, changed = augment_lightly(softs, softs, seeds(64), LightOptions(scale=0.2, probability=0.0))
    ratios = changed.flatten(1).sum(dim=1) / softs[0].sum()
    assert ratios.min() > 0.8**2 * 0.99
    assert ratios.max() < 1.2**2 * 1.01
    assert ratios.std() > 0.05


def test_light_changes_of_intensity_leave_the_mask_alone():
    softs = cords((48, 48), 16)
    images = softs * 2 - 1
    only_intensity = LightOptions(rotation_deg=0.0, scale=0.0, shift_voxels=0.0, probability=1.0)
    changed, masks = augment_lightly(images, softs, seeds(16), only_intensity)
    mirrored = masks.flip(2)
    same = torch.isclose(masks, softs, atol=1e-4).flatten(1).all(dim=1)
    assert (same | torch.isclose(mirrored, softs, atol=1e-4).flatten(1).all(dim=1)).all()
    assert ((changed - images).abs().flatten(1).mean(dim=1) > 0.01).all()


def test_right_and_left_are_mirrored_and_no_other_axis():
    images = torch.zeros(32, 1, 32, 32)
    images[:, :, 4:8, 20:28] = 1.0
    fixed = LightOptions(rotation_deg=0.0, scale=0.0, shift_voxels=0.0, probability=0.0)
    changed, _ = augment_lightly(images, images, seeds(32), fixed)
    mirrored = changed[:, 0, 24:28, 20:28].mean(dim=(1, 2)) > 0.9
    kept = changed[:, 0, 4:8, 20:28].mean(dim=(1, 2)) > 0.9
    assert (mirrored ^ kept).all()
    assert 4 < mirrored.sum() < 28


def _transform(name, shape, title):
    return transforms(name, shape)[title]


def test_the_list_that_ran_turns_about_two_axes_and_hardly_shifts():
    ran = _transform("paper_ran", SHAPES[1], "affine").rand_affine.rand_affine_grid
    meant = _transform("paper_meant", SHAPES[1], "affine").rand_affine.rand_affine_grid
    drawn = {"ran": [], "meant": []}
    for number in range(20):
        for title, grid in (("ran", ran), ("meant", meant)):
            grid.set_random_state(seed=number)
            grid.randomize()
            drawn[title].append((grid.rotate_params, grid.scale_params, grid.translate_params))
    for title, axes in (("ran", 2), ("meant", 3)):
        assert {tuple(map(len, sample)) for sample in drawn[title]} == {(axes,) * 3}
        turned = np.abs([sample[0] for sample in drawn[title]])
        assert np.rad2deg(turned.max()) <= 20
    shifts = {title: np.abs([s[2] for s in samples]).max() for title, samples in drawn.items()}
    assert shifts["ran"] <= 0.1
    assert shifts["meant"] > 1.0


PUBLISHED = {
    "affine": (0.9, {"mode": (2, 1)}),
    "elastic": (0.5, {"sigma_range": (3.5, 5.5), "magnitude_range": (25, 35)}),
    "low resolution": (0.25, {"zoom_range": (0.5, 1.0)}),
    "gamma": (0.5, {"gamma": (0.5, 3.0)}),
    "bias field": (0.3, {"degree": 3, "coeff_range": (0.0, 0.5)}),
    "noise": (0.1, {"mean": 0.0, "std": 0.1}),
    "blur": (0.3, dict.fromkeys(("sigma_x", "sigma_y", "sigma_z"), (0.0, 2.0))),
    "brightness": (0.15, {"factors": (-0.25, 1.0)}),
    "flip": (0.3, {}),
}
"""The published list in its order: how often each change comes, and between which bounds."""


def test_the_list_that_ran_is_the_published_one_in_order_strength_and_frequency():
    listed = transforms("paper_ran", SHAPES[1])
    assert list(listed) == ["positive intensities", *PUBLISHED, "z-score"]
    for title, (probability, bounds) in PUBLISHED.items():
        transform = listed[title]
        assert transform.prob == probability, title
        # A dictionary transform keeps its bounds itself or in the array transform that it wraps.
        held = [vars(part) for part in vars(transform).values() if hasattr(part, "randomize")]
        found = {key: value for part in (*held, vars(transform)) for key, value in part.items()}
        assert {key: found[key] for key in bounds} == bounds, title


def test_the_flip_that_ran_mirrors_all_axes_or_none():
    index = torch.arange(24, dtype=torch.float32).reshape(1, 2, 3, 4)
    flip = transforms("paper_ran", (2, 3, 4), always=True)["flip"]
    assert torch.equal(
        torch.as_tensor(flip({"image": index, "soft": index})["image"]), index.flip((1, 2, 3))
    )
    flip = transforms("paper_meant", (2, 3, 4), always=True)["flip"]
    seen = set()
    for number in range(12):
        flip.set_random_state(seed=number)
        changed = torch.as_tensor(flip({"image": index, "soft": index})["image"])
        seen |= {a for a in (1, 2, 3) if torch.equal(changed, index.flip(a))}
    assert seen == {1, 2, 3}


def alone(name, title, image, soft, *, seed):
    """One transform of a list, with certainty."""
    listed = transforms(name, image.shape[1:], always=True)
    steps = Compose([listed["positive intensities"], listed[title]])
    return run_transform(steps, image, soft, [seed])


def test_noise_that_ran_is_none_and_noise_that_was_meant_is_seen():
    soft = cords((48, 48), 1)[0]
    image = soft * 2 - 1
    strengths = {}
    for name in ("paper_ran", "paper_meant"):
        noisy = alone(name, "noise", image, soft, seed=5)[0]
        standard = (noisy - noisy.mean()) / noisy.std()
        clean = (image - image.mean()) / image.std()
        strengths[name] = float((standard - clean).std())
    assert strengths["paper_ran"] < 0.002
    assert strengths["paper_meant"] > 10 * strengths["paper_ran"]


@pytest.mark.parametrize("name", ["paper_meant", "paper_ran"])
def test_the_papers_images_end_standardised(name):
    softs = cords((48, 48), 5)
    images, _ = get_augmentation(name)(softs * 3 + 1, softs, seeds(5))
    assert torch.allclose(images.mean(dim=(1, 2, 3)), torch.zeros(5), atol=1e-3)
    assert torch.allclose(images.std(dim=(1, 2, 3)), torch.ones(5), atol=1e-2)


def test_masks_move_with_the_image_and_change_with_nothing_else():
    soft = cords((48, 48), 1)[0]
    listed = [
        title for title in transforms("paper_meant", (48, 48)) if title != "positive intensities"
    ]
    changed = {
        title: alone("paper_meant", title, soft * 2 - 1, soft, seed=1)[1] for title in listed
    }
    moving = {title for title, mask in changed.items() if not torch.allclose(mask, soft)}
    assert moving == {"affine", "elastic", "flip"}


def test_the_light_augmentation_moves_masks_by_its_affine_part_alone():
    soft = cords((48, 48), 1)[0]
    still = LightOptions(rotation_deg=0, scale=0, shift_voxels=0, probability=1.0)
    images, softs = augment_lightly(soft[None] * 2 - 1, soft[None], [[2]], still, mirror=False)
    assert torch.allclose(softs[0], soft, atol=1e-3)
    assert not torch.allclose(images[0], soft * 2 - 1, atol=1e-3)
    with pytest.raises(InputError, match="found 'strong'"):
        get_augmentation("strong")


def test_monai_keeps_its_own_settings():
    from monai.data import get_track_meta

    before = get_track_meta()
    softs = cords((32, 32), 1)
    get_augmentation("paper_ran")(softs, softs, seeds(1))
    assert get_track_meta() == before


def test_an_unknown_augmentation_is_refused():
    with pytest.raises(InputError, match="found 'strong'"):
        get_augmentation("strong")


def test_light_augmentation_and_training_do_without_monai():
    code = (
        "import sys, torch, softseg.training.data\n"
        "from softseg.augmentation.registry import get_augmentation\n"
        "x = torch.rand(1, 1, 16, 16)\nget_augmentation('light')(x, x, [[0]])\n"
        "assert not {'monai', 'lightning'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_light_augmentation_of_a_batch(benchmark):
    softs = cords((64, 64), 24)
    images = softs * 2 - 1
    benchmark(get_augmentation("light"), images, softs, seeds(24))
