import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from softseg.losses.overlap_entropy import soft_cross_entropy, soft_dice_loss, tversky
from softseg.losses.registry import LOSSES, deep_supervision
from softseg.losses.regression import adaptive_wing, weighted_adaptive_wing


def of_the_page() -> dict:
    """What somebody else might add: the page's code adds its loss to the table."""
    page = Path(__file__).resolve().parents[1] / "book/extend.md"
    section = page.read_text(encoding="utf-8").partition("## A loss\n")[2]
    before, told = dict(LOSSES), {}
    exec(section.partition("```python\n")[2].partition("```")[0], told)
    added = {name: loss for name, loss in LOSSES.items() if loss is told.get(loss.__name__)}
    LOSSES.clear()
    LOSSES.update(before)
    return added


EVERY = LOSSES | of_the_page()
every_loss = pytest.mark.parametrize("name", EVERY)
fractions = st.floats(0, 1, width=32)


def soft_square(size=12) -> torch.Tensor:
    """A cord with a soft edge, `(1, 1, size, size)`."""
    target = torch.zeros(1, 1, size, size)
    target[..., 3:9, 3:9] = 0.4
    target[..., 4:8, 4:8] = 1.0
    return target


@pytest.mark.parametrize(
    ("target", "prediction", "expected"),
    [
        (0, 0.1, 0.063295),
        (0, 0.5, 1.677277),
        (0, 1, 4.854826),
        (0, -3, 17.565022),
        (1, 0.9, 0.611486),
        (1, 0.5, 3.063119),
        (1, 0, 5.862504),
        (0.5, 0.4, 0.198469),
        (0.5, 0, 2.280692),
        (0.5, 1.2, 3.550711),
    ],
)
def test_adaptive_wing_gives_the_published_formulas_values(target, prediction, expected):
    value = adaptive_wing(
        torch.tensor([prediction], dtype=torch.float64), torch.tensor([target], dtype=torch.float64)
    )
    assert value.item() == pytest.approx(expected, abs=1e-6)


def reference_adaptive_wing(p, y, theta, alpha, omega, epsilon):
    """Equation 5 of the paper in plain Python, one voxel."""
    d, e = abs(y - p), alpha - y
    if d < theta:
        return omega * math.log(1 + (d / epsilon) ** e)
    a = omega / (1 + (theta / epsilon) ** e) * e * (theta / epsilon) ** (e - 1) / epsilon
    return a * d - (theta * a - omega * math.log(1 + (theta / epsilon) ** e))


@given(
    p=st.floats(-2, 3),
    y=st.floats(0, 1),
    theta=st.floats(0.1, 1),
    alpha=st.floats(2.01, 3),
    omega=st.floats(1, 20),
    epsilon=st.floats(0.3, 3),
)
def test_adaptive_wing_agrees_with_plain_python(p, y, theta, alpha, omega, epsilon):
    parameters = {"theta": theta, "alpha": alpha, "omega": omega, "epsilon": epsilon}
    value = adaptive_wing(
        torch.tensor([p], dtype=torch.float64), torch.tensor([y], dtype=torch.float64), **parameters
    )
    assert value.item() == pytest.approx(reference_adaptive_wing(p, y, **parameters), abs=1e-9)


@pytest.mark.parametrize("target", [0.0, 0.3, 1.0])
def test_adaptive_wing_has_no_step_in_value_or_slope_where_it_turns_linear(target):
    y = torch.full((2,), target, dtype=torch.float64)
    p = (y + torch.tensor([0.5 - 1e-9, 0.5 + 1e-9], dtype=torch.float64)).requires_grad_()
    values = adaptive_wing(p, y, reduction="none")
    (slopes,) = torch.autograd.grad(values.sum(), p)
    assert values[0].item() == pytest.approx(values[1].item(), abs=1e-7)
    assert slopes[0].item() == pytest.approx(slopes[1].item(), rel=1e-6)


@every_loss
@given(values=st.lists(st.tuples(fractions, fractions), min_size=2, max_size=12))
@settings(max_examples=50)
def test_no_prediction_beats_the_target_itself(name, values):
    prediction, target = torch.tensor(values).T.reshape(2, 1, 1, 1, -1)
    loss = EVERY[name]
    assert loss(target, target) <= loss(prediction, target) + 1e-6


@every_loss
@pytest.mark.parametrize("value", [0.0, 0.05, 0.3, 0.5, 0.9, 1.0])
def test_the_minimum_over_a_constant_prediction_is_the_soft_target(name, value):
    target = torch.full((1, 1, 4, 4), value)
    candidates = torch.linspace(0, 1, 201)
    values = torch.stack([EVERY[name](torch.full_like(target, c), target) for c in candidates])
    assert candidates[values.argmin()].item() == pytest.approx(value, abs=1e-6)
    assert values.min().item() == pytest.approx(0, abs=1e-6)


@every_loss
def test_descending_its_gradient_leads_to_the_soft_target(name):
    target = soft_square()
    prediction = torch.full_like(target, 0.5).requires_grad_()
    optimiser = torch.optim.Adam([prediction], lr=0.02, betas=(0.5, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 150)
    for _ in range(150):
        optimiser.zero_grad()
        EVERY[name](prediction, target).backward()
        optimiser.step()
        schedule.step()
    # A modulated loss is flat near its minimum.
    tolerance = 0.08 if name == "focal" else 0.03
    assert (prediction.detach().clamp(0, 1) - target).abs().max() < tolerance


@every_loss
def test_gradients_are_finite_on_all_of_the_unit_interval(name):
    grid = torch.linspace(0, 1, 41)
    prediction, target = (
        g.reshape(1, 1, 41, 41) for g in torch.meshgrid(grid, grid, indexing="ij")
    )
    prediction = prediction.clone().requires_grad_()
    for reduction in ("mean", "sum"):
        (gradient,) = torch.autograd.grad(
            EVERY[name](prediction, target, reduction=reduction), prediction
        )
        assert torch.isfinite(gradient).all()


@every_loss
@pytest.mark.parametrize("raw", [-50.0, -0.2, 1.3, 50.0])
def test_a_raw_output_beyond_the_unit_interval_is_pulled_back(name, raw):
    target = torch.full((1, 1, 4, 4), 0.5)
    prediction = torch.full_like(target, raw).requires_grad_()
    (gradient,) = torch.autograd.grad(EVERY[name](prediction, target), prediction)
    assert torch.isfinite(gradient).all()
    assert (gradient.sign() == math.copysign(1, raw - 0.5)).all()


@every_loss
def test_reductions_are_the_mean_and_the_sum_of_the_values(name):
    generator = torch.Generator().manual_seed(0)
    prediction, target = torch.rand(2, 3, 1, 6, 5, generator=generator)
    values = EVERY[name](prediction, target, reduction="none")
    assert values.shape in ((3,), target.shape)
    assert (values >= 0).all()
    torch.testing.assert_close(EVERY[name](prediction, target, reduction="mean"), values.mean())
    torch.testing.assert_close(EVERY[name](prediction, target, reduction="sum"), values.sum())


@every_loss
@pytest.mark.parametrize("axes", [(2,), (3,), (2, 3)])
def test_mirroring_both_changes_nothing(name, axes):
    generator = torch.Generator().manual_seed(1)
    prediction, target = torch.rand(2, 2, 1, 6, 5, generator=generator)
    torch.testing.assert_close(
        EVERY[name](prediction, target), EVERY[name](prediction.flip(axes), target.flip(axes))
    )


@every_loss
def test_sixteen_bit_predictions_are_scored_at_thirty_two(name):
    target = soft_square()
    value = EVERY[name]((target + 0.25).bfloat16(), target)
    assert value.dtype == torch.float32


@every_loss
def test_wrong_use_is_refused(name):
    with pytest.raises(ValueError, match="one shape"):
        EVERY[name](torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 5))
    with pytest.raises(ValueError, match="reduction"):
        EVERY[name](torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4), reduction="average")


def test_the_weighted_form_counts_the_dilated_cord_eleven_times():
    from scipy import ndimage

    target = soft_square()
    prediction = target + 0.1
    plain = adaptive_wing(prediction, target, reduction="none")
    ratio = weighted_adaptive_wing(prediction, target, reduction="none") / plain
    rim = ndimage.grey_dilation(target[0, 0].numpy(), size=3) >= 0.2
    np.testing.assert_allclose(ratio[0, 0].numpy(), 1 + 10 * rim, rtol=1e-4)
    assert 0 < rim.sum() < rim.size
    assert weighted_adaptive_wing(prediction, target, weight=0) == plain.mean()


def test_weights_need_spatial_axes():
    with pytest.raises(ValueError, match="spatial axes"):
        weighted_adaptive_wing(torch.zeros(4), torch.zeros(4))


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_on_binary_masks_soft_dice_is_dice(pairs):
    a, b = np.array(pairs).T
    if not (a.any() or b.any()):
        return
    dice = 2 * (a & b).sum() / (a.sum() + b.sum())
    value = soft_dice_loss(
        *(torch.tensor(m[None], dtype=torch.float64) for m in (a, b)), smooth=0.0
    )
    assert value.item() == pytest.approx(1 - dice)


def test_tversky_with_equal_prices_is_soft_dice():
    generator = torch.Generator().manual_seed(2)
    prediction, target = torch.rand(2, 3, 50, generator=generator)
    torch.testing.assert_close(
        tversky(prediction, target, too_much=0.5, too_little=0.5, smooth=0.0),
        soft_dice_loss(prediction, target, smooth=0.0),
    )


def test_behind_a_sigmoid_a_voxel_of_cord_that_was_lost_still_pulls():
    def pull(edge: float) -> float:
        raw = torch.full((1, 1), -11.0, requires_grad=True)  # p = 1.7e-5
        soft_cross_entropy(torch.sigmoid(raw), torch.ones(1, 1), edge=edge).backward()
        return -raw.grad.item()

    assert pull(1e-3) < 0.05  # the default is for outputs that are cut, where p = 0 has no slope
    assert pull(1e-6) == pytest.approx(1.0, abs=0.1)


def test_soft_cross_entropy_is_the_usual_one_less_the_targets_entropy():
    generator = torch.Generator().manual_seed(3)
    prediction, target = torch.rand(2, 200, generator=generator, dtype=torch.float64) * 0.9 + 0.05
    usual = functional.binary_cross_entropy(prediction, target, reduction="none")
    entropy = functional.binary_cross_entropy(target, target, reduction="none")
    torch.testing.assert_close(
        soft_cross_entropy(prediction, target, reduction="none"), usual - entropy, atol=0.02, rtol=0
    )


def test_an_empty_slice_with_no_prediction_costs_nothing():
    nothing = torch.zeros(2, 1, 8, 8)
    for loss in LOSSES.values():
        assert loss(nothing, nothing).item() == pytest.approx(0, abs=1e-6)


@every_loss
def test_deep_supervision_of_one_output_is_the_loss(name):
    target = soft_square()
    output = target * 0.5
    expected = EVERY[name](output, target)
    assert deep_supervision(EVERY[name], [output], target) == expected


def test_deep_supervision_halves_each_level_and_averages_targets():
    target = soft_square()
    outputs = [torch.zeros(1, 1, n, n) for n in (12, 6, 3)]
    halves = functional.avg_pool2d(target, 2)  # what bilinear interpolation to half is
    quarter = functional.interpolate(target, size=(3, 3), mode="bilinear")
    expected = sum(
        0.5**level * (coarse**2).mean() for level, coarse in enumerate((target, halves, quarter))
    )
    value = deep_supervision(LOSSES["mean_squared_error"], outputs, target)
    torch.testing.assert_close(value, expected / 3)


def test_deep_supervision_with_sums_is_the_papers():
    target = torch.rand(1, 1, 8, 8, 8, generator=torch.Generator().manual_seed(4))
    outputs = [torch.zeros(1, 1, n, n, n) for n in (8, 4)]
    coarse = functional.avg_pool3d(target, 2)
    expected = (
        adaptive_wing(outputs[0], target, reduction="sum")
        + 0.5 * adaptive_wing(outputs[1], coarse, reduction="sum")
    ) / 2
    summed = partial(adaptive_wing, reduction="sum")
    torch.testing.assert_close(deep_supervision(summed, outputs, target), expected)
