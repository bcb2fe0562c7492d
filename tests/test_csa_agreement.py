"""Areas beside the standard tool's definition: tubes, and real masks where they are."""

import numpy as np
import pandas as pd
import pytest
from csa_agreement import LIMIT_PERCENT, MASKS, compared, exceptions, in_short, softened
from tubes import STANDARD, sample

from softseg.volume import Volume


@pytest.mark.parametrize("binary", [False, True])
def test_on_a_straight_tube_both_definitions_agree(binary):
    tube = sample(STANDARD["20° forward"](), (0.8, 0.8, 5.0))
    both = compared(tube.binary if binary else tube.soft)
    assert len(both) == tube.soft.data.shape[2]
    assert abs(both["area_mm2"].mean() / both["tool_mm2"].mean() - 1) < 0.003
    np.testing.assert_allclose(both["tool_deg"], 20, atol=1.5)


def test_on_a_wave_the_tool_misses_the_bend_and_the_table_says_so():
    tube = sample(STANDARD["wave of 6 mm"](), (0.8, 0.8, 0.8), length_mm=100)
    named = exceptions(compared(tube.binary))
    assert named["Reason"].str.startswith("tool: its one cubic").mean() > 0.5
    assert (named["Largest difference (%)"].abs() > LIMIT_PERCENT).all()


def test_the_summary_names_the_mask_whose_means_differ_most():
    every = pd.DataFrame(
        {
            "mask": ["a", "b", "a"], "kind": ["binary", "binary", "soft"], "slices": [10, 30, 5],
            "mean_percent": [0.1, -0.3, 0.0], "angle_deg": [1.0, -2.0, 0.0],
            "exceptions": [1, 3, 0],
        }
    )  # fmt: skip
    binary = in_short(every).iloc[0].tolist()
    assert binary == ["binary", 2, pytest.approx(0.2), -0.3, "b", 1.5, 10.0]


def test_a_softened_mask_keeps_its_volume_and_place():
    mask = sample(STANDARD["upright"](), (0.5, 0.5, 5.0)).binary
    soft = softened(mask)
    assert soft.data.sum() * 4 == mask.data.sum()
    assert set(np.unique(soft.data)) > {0.0, 1.0}
    centres = [v.affine @ [*np.argwhere(v.data > 0.99).mean(axis=0), 1] for v in (mask, soft)]
    np.testing.assert_allclose(*centres, atol=0.3)


@pytest.mark.skipif(not MASKS.is_dir(), reason="needs the masks of ../shared/data")
def test_means_of_drawn_masks_agree_with_the_definition():
    paths = sorted((MASKS / "labels").rglob("sub-sgmask*_T2w_label-SC_seg.nii.gz"))
    assert paths
    for path in paths:
        both = compared(Volume.load(path))
        assert abs(both["area_mm2"].mean() / both["tool_mm2"].mean() - 1) < 0.003
