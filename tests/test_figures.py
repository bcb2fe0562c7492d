"""Every figure on small tables: drawn twice the same, readable, labelled, and robust to gaps."""

import io
import re

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import seaborn as sns
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from softseg.contrasts import CONTRASTS
from softseg.volume import Volume
from softseg_study.figures.gallery import Case, case_gallery, contrast_gallery
from softseg_study.figures.ground_truth import soft_truth_explained
from softseg_study.figures.profile import along_the_cord, area_profile
from softseg_study.figures.style import method_colors, new_figure, use_style
from softseg_study.figures.titled import titled_points

METHODS = ["labels", "labels_softseg", "unet"]


def profile_table(with_position=True):
    rows = [
        (f"sub-{s}", contrast, method, level, position, 80 - 2 * level + s)
        for s in range(2)
        for contrast in ("T1w", "T2w")
        for method in ("unet", "truth")
        for level in (2, 3, 4)
        for position in (0.1, 0.9)
    ]
    columns = ["subject", "contrast", "method", "level", "position", "area_mm2"]
    table = pd.DataFrame(rows, columns=columns)
    return table if with_position else table.drop(columns="position")


def phantom(contrasts=tuple(CONTRASTS)):
    images, hard, soft = {}, {}, {}
    for i, name in enumerate(contrasts):
        dx, dy, dz = CONTRASTS[name].spacing_mm
        shape = [round(40 / d) for d in (dx, dy, dz)]
        x, y, _ = (index * d for index, d in zip(np.indices(shape), (dx, dy, dz), strict=True))
        radius = np.hypot((x - 20) / 6, (y - 20) / 4)
        affine = np.diag([-dx, dy, dz, 1.0])
        soft[name] = Volume(np.clip(1.5 - radius, 0, 1), affine)
        hard[name] = Volume((radius < 0.9 + 0.04 * i).astype(float), affine)
        images[name] = Volume(soft[name].data + 0.1 * i, affine)
    return images, hard, soft


def gallery():
    images, hard, soft = phantom()
    return contrast_gallery(images, {"labels": hard, "labels_softseg": soft})


def explanation(contrasts=tuple(CONTRASTS)):
    images, hard, soft = phantom(contrasts)
    areas = {c: 65.0 + 2 * i for i, c in enumerate(contrasts)}
    equal = {c: 70 + 0.1 * i for i, c in enumerate(contrasts)}
    return soft_truth_explained(images, hard, soft[contrasts[-1]], areas, equal, true_area_mm2=70.2)


def cases():
    images, hard, soft = phantom(("T1w", "T2w"))
    found = [
        Case(f"{name}: 3.1 mm² too large", images[name], {"labels": hard[name], "u": soft[name]})
        for name in images
    ]
    return case_gallery([*found, Case("no mask", images["T1w"])])


FIGURES = {
    "area_profile": lambda: area_profile(profile_table()),
    "contrast_gallery": gallery,
    "soft_truth_explained": explanation,
    "case_gallery": cases,
}
PICTURES_OR_SHARES = {
    "contrast_gallery",
    "case_gallery",
}


@pytest.fixture(scope="module", params=list(FIGURES))
def drawn(request):
    use_style()
    figure = FIGURES[request.param]()
    return request.param, figure, png(figure)


def png(figure):
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def texts(figure):
    found = figure.findobj(lambda a: isinstance(a, Text) and a.get_visible() and a.get_text())
    return [t for t in found if t.get_text().strip()]


def test_drawing_again_gives_the_same_bytes(drawn):
    name, _, first = drawn
    assert png(FIGURES[name]()) == first


def test_text_is_eight_points_or_more_at_the_width_of_a_page(drawn):
    _, figure, _ = drawn
    assert figure.get_size_inches()[0] == pytest.approx(7)
    small = {t.get_text(): t.get_fontsize() for t in texts(figure) if t.get_fontsize() < 8}
    assert not small


def test_nothing_hangs_out_of_the_figure(drawn):
    _, figure, _ = drawn
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    box = figure.get_tightbbox(canvas.get_renderer())  # inches
    width, height = figure.get_size_inches()
    assert min(box.x0, box.y0) > -0.03
    assert box.x1 < width + 0.03
    assert box.y1 < height + 0.03


def test_axes_name_a_unit(drawn):
    name, figure, _ = drawn
    said = " ".join(t.get_text() for t in texts(figure))
    if name not in PICTURES_OR_SHARES:
        assert re.search(r"mm²|mm\)|%|atrophy", said)


def test_figures_do_not_pile_up_in_pyplot(drawn):
    assert not plt.get_fignums()


def lightness_and_hue(color):
    """CIE 1976 L*, a*, b* of an sRGB colour."""
    value = np.array(matplotlib.colors.to_rgb(color))
    linear = np.where(value > 0.04045, ((value + 0.055) / 1.055) ** 2.4, value / 12.92)
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = to_xyz @ linear / [0.9505, 1.0, 1.089]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_no_method_looks_like_a_contrast_or_like_another_method():
    contrasts = [lightness_and_hue(c.color) for c in CONTRASTS.values()]
    names = ["labels", "labels_softseg", "soft_all", "hard_all", "soft_per_contrast",
             "hard_per_contrast", "contour_following"]  # fmt: skip
    colors = [lightness_and_hue(color) for color in method_colors(names).values()]
    for i, color in enumerate(colors):
        others = [*contrasts, *colors[:i]]
        assert min(np.linalg.norm(color - other) for other in others) > 25, names[i]


def test_methods_keep_apart_in_colour_and_marker_and_truths_keep_their_colour():
    names = ["truth", "a", "b", "c", "labels"]
    colors = method_colors(names)
    assert len(set(colors.values())) == 5
    assert colors["truth"] == method_colors(["truth"])["truth"]


@pytest.mark.parametrize("n_slices", [3, 5, 40])
def test_a_profile_is_found_again_however_its_slices_fall(n_slices):
    place = np.linspace(2.05, 4.95, n_slices)
    table = pd.DataFrame(
        {
            "subject": "s", "contrast": "T2w", "method": "m", "level": np.floor(place).astype(int),
            "position": place % 1, "area_mm2": 80 - 3 * place,
        }
    )  # fmt: skip
    found = along_the_cord(table)
    np.testing.assert_allclose(found["area_mm2"], 80 - 3 * found["place"], atol=0.4)
    assert found["place"].between(2, 5).all()


def test_truth_without_positions_takes_those_of_the_same_slices():
    measured = pd.DataFrame(
        {
            "subject": "s", "contrast": "T2w", "method": "m", "slice": [3, 2, 1, 0], "level": 2,
            "position": [0.05, 0.35, 0.65, 0.95], "area_mm2": [80.0, 77.0, 74.0, 71.0],
        }
    )  # fmt: skip
    truth = measured.drop(columns="position").assign(method="truth")
    found = along_the_cord(pd.concat([measured, truth]))
    areas = found.pivot_table(index="place", columns="method", values="area_mm2")
    np.testing.assert_allclose(areas["truth"], areas["m"])


def test_the_outline_of_a_binary_mask_runs_along_voxel_edges():
    from softseg_study.figures.gallery import _voxel_edges

    hard = np.zeros((4, 4), bool)
    hard[1:3, 1] = True
    x, y = _voxel_edges(hard, 2.0, 1.0)
    assert (np.nanmin(x), np.nanmax(x)) == (1.0, 5.0)
    assert (np.nanmin(y), np.nanmax(y)) == (0.5, 1.5)
    assert np.isnan(x).sum() == 6  # the perimeter of two voxels has six edges


def test_points_of_a_titled_figure_tell_who_they_are():
    rng = np.random.default_rng(0)
    who, method = [f"sub-{i}" for i in range(8)] * 2, ["a"] * 8 + ["b"] * 8
    table = pd.DataFrame({"subject": who, "method": method, "sd_mm2": rng.gamma(2, 1, 16)})
    table.loc[3, "sd_mm2"] = np.nan

    def made():
        use_style()
        figure, ((ax,),) = new_figure(height_in=2)
        sns.stripplot(table, x="sd_mm2", y="method", order=["b", "a"], ax=ax, jitter=0.2)
        options = {"x": "sd_mm2", "y": "method", "order": ["b", "a"], "alt": "Points < & >"}
        return titled_points(figure, ax, table, **options).html

    page = made()
    titles = re.findall("<title>(.*?)</title>", page)
    b, a = table.iloc[8:], table.iloc[:8].dropna()
    expected = [f"{r.subject}: {r.sd_mm2:.2f}" for one in (b, a) for r in one.itertuples()]
    assert titles == expected
    assert page == made(), "the same bytes every time"
    assert 'aria-label="Points &lt; &amp; &gt;"' in page
    assert "<style" not in page, "a style of one figure would be that of the page"
    assert not re.search(r"<g[^>]* id=", page)
