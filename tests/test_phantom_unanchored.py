"""What can be seen beside the cord's edge tells no more about its area than in real people."""

import numpy as np
import pytest

from softseg.phantom.anatomy import random_anatomy

PEOPLE = 160


def sights(seed):
    """What an observer sees of a participant at C2-C3, by name, and the areas of truth and pia."""
    anatomy = random_anatomy(np.random.default_rng([41, seed]))
    profiles = anatomy.profiles
    s_mm = np.linspace(profiles.disc_mm[4], profiles.disc_mm[2], 40)
    here = {name: values.mean() for name, values in anatomy.profiles_at(s_mm).items()}
    half = np.array([here["half_rl"], here["half_ap"]])
    unit = (anatomy.outline.radius**2).mean()
    seen = half + here["pia"]
    width, depth = half * anatomy.butterfly.stretch
    grid = np.linspace(-1, 1, 101)
    u, v = np.meshgrid(grid * half[0], grid * half[1], indexing="ij")
    grey = (anatomy.butterfly.distance(u, v, *half) < here["grey"]).mean() * 4 * half.prod()
    vessels, rootlets = anatomy.surroundings.vessels, anatomy.surroundings.rootlets
    front = vessels[np.argmax(np.sin(vessels[:, 0]))]
    found = {
        "canal_rl": here["sac_rl"],
        "canal_ap": here["sac_ap"],
        "sac_front": here["sac_front"],
        "grey_width": width,
        "grey_depth": depth,
        "grey_mm2": grey,
        "artery": (seen[1] + front[1]) * np.sin(front[0]),
        "artery_radius": front[1],
        "rootlets": 0.96 * np.abs(seen[0] * np.cos(rootlets[:, 0])).mean(),
        "vertebra": anatomy.participant.vertebra_mm[3],
        "height": anatomy.participant.height_cm,
    }
    area = np.pi * unit * half.prod()
    return found, area, np.pi * unit * seen.prod(), here["pia"]


@pytest.fixture(scope="module")
def people():
    found, area, visible, pia = zip(*(sights(k) for k in range(PEOPLE)), strict=True)
    table = {name: np.array([f[name] for f in found]) for name in found[0]}
    return table, np.array(area), np.array(visible), np.array(pia)


def explained(target, *columns):
    """Share of the variance that a linear predictor explains, adjusted for its columns."""
    given = np.column_stack([np.ones(len(target)), *columns])
    left = target - given @ np.linalg.lstsq(given, target, rcond=None)[0]
    count = given.shape[1]
    return 1 - left @ left / (len(target) - count) / target.var(ddof=1)


def test_a_canal_tells_a_cord_s_area_as_well_as_it_does_in_real_people(people):
    seen, area, _, _ = people
    for name in ("canal_rl", "canal_ap"):  # r .43 to .64 in 203 people
        assert 0.35 < np.corrcoef(seen[name], area)[0, 1] < 0.7
    assert explained(area, seen["canal_rl"], seen["canal_ap"]) < 0.64**2


def test_nothing_but_the_visible_surface_tells_where_the_cord_ends_below_its_pia(people):
    seen, area, visible, pia = people
    # Vessels, rootlets and ligaments lie on that surface: they show it, and nothing behind it.
    surface = explained(area, visible)
    assert explained(area, visible, *seen.values()) - surface < 0.1 * (1 - surface)
    assert explained(pia, *seen.values()) < 0.12


def test_a_butterfly_leaves_most_of_a_cord_s_size_open_that_the_edge_shows(people):
    seen, area, visible, _ = people
    butterfly = explained(area, *(seen[k] for k in ("grey_width", "grey_depth", "grey_mm2")))
    assert 1 - butterfly > 10 * (1 - explained(area, visible))
