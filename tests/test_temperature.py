"""Soft values at a temperature: what stays, what changes, and that the fit finds it."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softseg.errors import InputError
from softseg.network.config import PRESETS
from softseg.network.unet import build_network
from softseg.network.weights import save_weights
from softseg.segmentation.engine import Model, segment
from softseg.segmentation.temperature import at_temperature
from softseg.volume import Volume
from softseg_study.evaluation.temperature_fit import fit_temperature

temperatures = st.floats(0.2, 5.0)
fractions = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=30).map(
    lambda values: np.array(values, np.float32)
)


@given(fractions, temperatures)
def test_values_stay_fractions_and_keep_their_order_and_side(soft, temperature):
    changed = at_temperature(soft, temperature)
    assert ((changed >= 0) & (changed <= 1)).all()
    order = np.argsort(soft, kind="stable")
    assert (np.diff(changed[order]) >= -1e-6).all()
    np.testing.assert_array_equal(changed[soft == 0.5], 0.5)
    assert (changed[soft > 0.51] > 0.5).all()
    assert (changed[soft < 0.49] < 0.5).all()


def test_it_divides_the_log_odds():
    soft = np.linspace(0.01, 0.99, 50)
    logit = np.log(soft / (1 - soft))
    np.testing.assert_allclose(at_temperature(soft, 0.7), 1 / (1 + np.exp(-logit / 0.7)))


def test_one_changes_nothing_and_what_was_given_stays():
    soft = np.array([0.0, 0.3, 1.0])
    assert at_temperature(soft, 1.0) is soft
    at_temperature(soft, 0.5)
    np.testing.assert_array_equal(soft, [0.0, 0.3, 1.0])


@pytest.mark.parametrize("temperature", [0.4, 0.8, 1.0, 2.5])
def test_the_fit_finds_the_temperature_that_undoes_another(temperature):
    rng = np.random.default_rng(1)
    truth = rng.uniform(0, 1, 4000)
    soft = at_temperature(truth, 1 / temperature)
    assert fit_temperature(soft, truth) == pytest.approx(temperature, rel=1e-2)


def test_the_fit_refuses_what_has_no_edge_or_another_shape():
    with pytest.raises(ValueError, match="no edge"):
        fit_temperature(np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    with pytest.raises(ValueError, match="shape"):
        fit_temperature(np.zeros(3), np.zeros(4))


@pytest.fixture(scope="module")
def picture():
    rng = np.random.default_rng(0)
    return Volume(rng.random((40, 40, 6)).astype(np.float32), np.diag([1.0, 1.0, 5.0, 1.0]))


def with_temperature(tmp_path, **card):
    network = build_network(PRESETS["axial"], seed=3)
    path = tmp_path / "model.safetensors"
    save_weights(path, network, PRESETS["axial"], card)
    return path


def test_a_model_applies_the_temperature_of_its_card(tmp_path, monkeypatch, picture):
    # Whatever an untrained network calls cord is kept, so that there are values to compare.
    import softseg.segmentation.engine as engine

    monkeypatch.setattr(engine, "find_cord", lambda *_: np.full((6, 2), 40.0))
    model = Model.load(with_temperature(tmp_path, temperature=0.5))
    plain = dataclasses.replace(model, card={})
    whole = {"keep": True, "largest_component": False}
    soft = segment(picture, weights=plain, **whole).soft.data
    assert ((soft > 0.01) & (soft < 0.99)).any()
    sharp = segment(picture, weights=model, **whole).soft.data
    np.testing.assert_allclose(sharp, at_temperature(soft, 0.5), atol=1e-6)


@pytest.mark.parametrize("temperature", [0, -1, "hot", float("nan"), float("inf"), None])
def test_a_card_with_an_impossible_temperature_is_refused(tmp_path, temperature):
    path = with_temperature(tmp_path, temperature=temperature)
    with pytest.raises(InputError, match="temperature in its card"):
        Model.load(path)
