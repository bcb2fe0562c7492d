"""Straightening, the network's arithmetic, the search of the sequence: no weights are needed."""

import numpy as np
import pytest
from scripts import loaded_script

from softseg.csa.disc_search import search_discs
from softseg.csa.level_network import KINDS, DiscHeat, _turned, forward, is_shown, prepared
from softseg.csa.levels import level_lengths_mm
from softseg.csa.straighten import BEHIND_MM, STEP_MM, straighten
from softseg.volume import Volume

TOP = 20
"""Rows between the top of a picture and the top of C1."""


def heat_of(*, rows: int = 200, first: int = 1, scale: float = 1.0, top: float = TOP) -> DiscHeat:
    """What a network that sees every disc would say of a picture from above disc `first`."""
    logits = np.full((rows, len(KINDS)), -5.0)
    places = places_of(rows, first, scale, top)
    for disc, row in places.items():
        near = np.exp(-0.5 * ((np.arange(rows) - row) / 2.5) ** 2) * 10
        for kind in {1: [1], 2: [2], 3: [0, 3]}.get(disc, [0]):
            logits[:, kind] = np.maximum(logits[:, kind], near - 5)
    return DiscHeat(logits, np.full(rows, 8.0), np.ones(rows, bool))


def places_of(rows: int, first: int, scale: float, top: float) -> dict[int, float]:
    place, places = rows - 1 - top, {}
    for disc, length in level_lengths_mm().items():
        if disc < first:
            continue
        if place < 0:
            break
        places[disc] = place
        place -= length * scale / STEP_MM
    return places


@pytest.mark.parametrize("scale", [0.85, 1.0, 1.15])
@pytest.mark.parametrize("first", [1, 2])
def test_every_disc_gets_its_number(first, scale):
    found = search_discs(heat_of(first=first, scale=scale, top=12))
    known = places_of(200, first, scale, 12)
    assert {1, 2, 3, 4, 5, 6, 7} - set(range(first)) <= set(found) | {first}
    for disc, one in found.items():
        assert one.row == pytest.approx(known[disc], abs=1.5)
        assert one.confidence > 0.9


def test_without_the_top_there_is_no_number():
    assert search_discs(heat_of(first=4, top=8)) == {}
    # What looks like C2-C3 may be C3-C4 where C2 is not shown above it.
    assert search_discs(heat_of(first=3, top=6)) == {}
    assert 3 in search_discs(heat_of(first=3, top=25))
    assert 4 in search_discs(heat_of(first=3, top=6), {3: places_of(200, 3, 1.0, 6)[3]})


def test_a_known_disc_gives_the_others_their_numbers():
    known = places_of(200, 5, 1.0, 8)
    found = search_discs(heat_of(first=5, top=8), {6: known[6]})
    assert {5, 6, 7, 8} <= set(found)
    assert all(one.row == pytest.approx(known[disc], abs=1.5) for disc, one in found.items())


def test_lumbar_discs_and_an_empty_picture_get_no_number():
    assert search_discs(heat_of(first=19, top=10)) == {}
    nothing = heat_of()
    nothing.logits[:] = -5
    assert search_discs(nothing) == {}
    nothing.shown[:] = False
    assert search_discs(nothing) == {}


def test_a_disc_that_is_missed_does_not_shift_the_numbers():
    heat = heat_of(top=6)
    known = places_of(200, 1, 1.0, 6)
    row = round(known[5])
    heat.logits[row - 6 : row + 7, 0] = -5
    found = search_discs(heat)
    assert found[6].row == pytest.approx(known[6], abs=2)


def test_a_bent_cord_becomes_straight():
    """Bars across a cord that leans are rows of the picture, at their distance along it."""
    lean = 0.25
    along = (np.arange(120) - 10) / np.cos(np.arctan(lean))
    data = np.broadcast_to(np.sin(along / 4).astype(np.float32), (20, 110, 120))
    image = Volume(data, np.eye(4))
    height = np.arange(10.0, 100.0)
    course = np.stack([np.full(90, 10.0), 40 + lean * (height - 10), height], axis=1)
    band = straighten(image, course)
    column = band.values[:, round(BEHIND_MM / STEP_MM)]
    rows = np.arange(len(column))
    start, _ = band.row_of(course[0])
    inside = (rows > start) & (rows < start + 85)
    assert np.abs(column - np.sin((rows - start) / 4))[inside].max() < 0.1
    np.testing.assert_allclose(band.place(start, 0.0), course[0], atol=0.6)
    ahead = band.place(start, 10.0) - band.place(start, 0.0)
    assert np.linalg.norm(ahead) == pytest.approx(10)
    assert ahead[2] < 0 < ahead[1]


def test_a_turned_view_keeps_the_discs_posterior_points_in_their_rows():
    values = np.random.default_rng(0).normal(size=(60, 60)).astype(np.float32)
    turned = _turned(values, 0.2)
    edge = round((BEHIND_MM + 8) / STEP_MM)
    np.testing.assert_allclose(turned[:, edge], values[:, edge])
    np.testing.assert_allclose(turned[:-2, edge + 5], values[1:-1, edge + 5], atol=1e-5)
    assert np.isnan(turned[-1, -1])


def test_what_lies_outside_the_image_is_not_a_number():
    image = Volume(np.ones((20, 60, 50), np.float32), np.eye(4))
    course = np.stack([np.full(40, 10.0), np.full(40, 45.0), np.arange(5.0, 45.0)], axis=1)
    band = straighten(image, course)
    assert len(band.values) <= 51
    assert np.isfinite(band.values[:, 0]).all()
    assert np.isnan(band.values[:, -1]).all()
    assert not is_shown(band.values).any()
    assert np.isfinite(prepared(band.values)).all()
    assert prepared(band.values).shape[1] % 4 == 0


def test_the_network_in_numpy_is_the_one_that_learns():
    torch = pytest.importorskip("torch")
    train_levels = loaded_script("notebooks/train_levels.py")
    torch.manual_seed(0)
    network = train_levels.LevelNetwork().eval()
    layers = {k: v.astype(np.float32) for k, v in network.arrays().items()}
    picture = np.random.default_rng(0).normal(size=(3, 40, 60)).astype(np.float32)
    with torch.no_grad():
        wanted = network(torch.from_numpy(picture[None]))[0].numpy()
    np.testing.assert_allclose(forward(picture, layers), wanted, atol=2e-3)
