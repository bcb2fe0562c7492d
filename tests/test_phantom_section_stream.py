"""Manually drawn outlines under random contrasts."""

import numpy as np
import pytest

from softseg.errors import InputError
from softseg.phantom.section_stream import STEP_MM, SectionStream, find_sections
from softseg.phantom.stream import PhantomStream, StreamOptions
from softseg.volume import Volume

SPACING_MM = (0.5, 0.4, 5.0)
CENTRED = StreamOptions(
    centred=1.0, absent=0.0, narrow=0.0, tight=0.0, pathological=0.0, mirrored=0.0, above=0.0,
    below=0.0, void=0.0, padded=0.0, hidden=0.0, resized=0.0, tilted=0.0, echo_planar=0.0,
)  # fmt: skip


def ellipse(half_x_mm, half_y_mm, *, slices=3, shape=(80, 90)):
    axes = [(np.arange(n) - (n - 1) / 2) * h for n, h in zip(shape, SPACING_MM, strict=False)]
    x, y = np.meshgrid(*axes, indexing="ij")
    inside = (x / half_x_mm) ** 2 + (y / half_y_mm) ** 2 <= 1
    data = np.repeat(inside[..., None], slices, axis=2).astype(np.uint8)
    return Volume(data, np.diag([*SPACING_MM, 1.0]))


@pytest.fixture(scope="module")
def sections():
    return find_sections(ellipse(6.0, 4.0), grey=ellipse(3.0, 1.5), fluid=ellipse(10.0, 8.0))


def test_a_section_keeps_the_area_and_shape_that_were_drawn(sections):
    assert len(sections) == 3
    for section in sections:
        assert (section.cord < 0).sum() * STEP_MM**2 == pytest.approx(np.pi * 24, rel=0.02)
        middle = section.cord.shape[0] // 2
        along_x, along_y = section.cord[:, middle], section.cord[middle]
        step_mm = 32.0 / (len(along_x) - 1)
        assert (along_x < 0).sum() * step_mm == pytest.approx(12.0, abs=0.6)
        assert (along_y < 0).sum() * step_mm == pytest.approx(8.0, abs=0.6)
        assert (section.grey < 0).sum() < (section.cord < 0).sum() < (section.canal < 0).sum()


def test_distances_from_the_edge_are_millimetres(sections):
    middle = sections[0].cord.shape[0] // 2
    assert sections[0].cord[middle, middle] == pytest.approx(-4.0, abs=0.4)
    assert sections[0].cord[0, middle] == pytest.approx(10.0, abs=0.4)


def test_the_tip_of_a_mask_and_an_empty_mask_give_no_section():
    assert find_sections(ellipse(1.5, 1.5)) == []
    assert find_sections(ellipse(0.01, 0.01)) == []


def test_masks_of_another_grid_are_refused():
    other = Volume(np.zeros((80, 90, 3)), np.diag([0.6, 0.4, 5.0, 1.0]))
    with pytest.raises(ValueError, match="does not lie on the grid"):
        find_sections(ellipse(6, 4), fluid=other)


def test_without_a_section_there_is_no_stream():
    with pytest.raises(InputError, match="no manual mask"):
        SectionStream(1, [])


def test_the_truth_is_the_outline_that_was_drawn(sections):
    stream = SectionStream(2, sections, options=CENTRED)
    areas = np.array([stream.sample(index)[1].sum() * 0.25 for index in range(40)])
    shown = areas[areas > 15]
    # Sections are stretched by up to 14 % along each axis.
    assert len(shown) > 20
    assert np.median(shown) == pytest.approx(np.pi * 24, rel=0.15)
    own = PhantomStream(2, size_mm=(48, 48), spacing_mm=(0.5, 0.5), options=CENTRED)
    theirs = np.array([own.sample(index)[1].sum() * 0.25 for index in range(40)])
    assert shown.std() < theirs[areas > 15].std()


def test_a_sample_is_a_function_of_seed_and_index_alone(sections):
    first, second = (SectionStream(5, sections, options=CENTRED) for _ in range(2))
    for index in (7, 0, 7):
        for one, other in zip(first.sample(index), second.sample(index), strict=True):
            np.testing.assert_array_equal(one, other)


def test_where_there_is_no_cord_the_phantom_is_shown_as_it_is(sections):
    away = StreamOptions(centred=0.0, absent=1.0, tight=0.0, resized=0.0)
    drawn = SectionStream(4, sections, options=away)
    plain = PhantomStream(4, size_mm=(48, 48), spacing_mm=(0.5, 0.5), options=away)
    for index in range(6):
        for one, other in zip(drawn.sample(index), plain.sample(index), strict=True):
            np.testing.assert_array_equal(one, other)


def test_fluid_that_was_drawn_surrounds_the_cord_in_the_image(sections):
    """Where the fluid is brightest of all, the drawn sac is brighter than the drawn cord."""
    stream = SectionStream(9, sections, options=CENTRED)
    ratios = []
    for index in range(60):
        image, soft = stream.sample(index)
        cord = soft > 0.99
        ring = (soft == 0) & (np.hypot(*_from_centre(soft)) < 7.0)
        if cord.sum() > 50 and ring.sum() > 50:
            ratios.append(np.median(image[ring]) / max(np.median(image[cord]), 1e-6))
    ratios = np.array(ratios)
    assert (ratios > 1.3).sum() > 5
    assert (ratios < 0.7).sum() > 5


def _from_centre(soft):
    x, y = np.indices(soft.shape) * 0.5
    total = max(float(soft.sum()), 1e-6)
    return x - (x * soft).sum() / total, y - (y * soft).sum() / total


def test_a_section_without_grey_matter_or_fluid_is_drawn_too():
    plain = find_sections(ellipse(6.0, 4.0))
    assert plain[0].grey is None
    assert plain[0].canal is None
    image, soft = SectionStream(1, plain, options=CENTRED).sample(0)
    assert np.isfinite(image).all()
    assert 0 <= soft.min() <= soft.max() <= 1


def test_a_speck_of_grey_matter_is_no_grey_matter():
    speck = np.zeros((80, 90, 3))
    speck[40, 45] = 1
    grey = Volume(speck, np.diag([*SPACING_MM, 1.0]))
    section = find_sections(ellipse(6.0, 4.0), grey=grey)[0]
    assert (section.grey > 0).all()
