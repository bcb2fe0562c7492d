"""The script that changes images in known ways, and the changes that weights are judged by."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from softseg.phantom.acquisition import acquire
from softseg.phantom.anatomy import random_anatomy
from softseg_study.phantom.metamorphic import CHANGES


@pytest.fixture(scope="module")
def image():
    rng = np.random.default_rng(3)
    return acquire(random_anatomy(rng), "T2star", rng=rng, severity="mild").image


def run(project_root, *words):
    command = [sys.executable, project_root / "notebooks/metamorphic.py", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_help_names_every_change(project_root):
    done = run(project_root, "--help")
    assert done.returncode == 0, done.stderr
    shown = " ".join(done.stdout.split())
    assert [name for name in CHANGES if name not in shown] == []


def test_a_lab_gets_a_row_for_each_change_of_its_own_image(project_root, image, tmp_path):
    path, table = tmp_path / "mine.nii.gz", tmp_path / "changes.csv"
    image.save(path)
    done = run(project_root, path, "--only", "size 1.1", "brightness × 7", "--output", table)
    assert done.returncode == 0, done.stderr
    assert "Median of 1 image\n" in done.stdout
    found = pd.read_csv(table).set_index("change")
    assert found.loc["size 1.1", "response"] == pytest.approx(1, abs=0.3)
    assert found.loc["brightness × 7", "deviation_percent"] == pytest.approx(0, abs=0.1)


def test_what_is_no_image_is_said_in_one_line_and_nothing_is_written(project_root, tmp_path):
    wrong = tmp_path / "notes.txt"
    wrong.write_text("no image")
    done = run(project_root, wrong, "--output", tmp_path / "changes.csv")
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "changes.csv").exists()


def test_the_mirror_image_of_a_mirror_image_is_the_image_again(image):
    for name in ("left–right", "front–back"):
        change = CHANGES[name][0]
        again = change(change(image, image), image)
        np.testing.assert_array_equal(again.data, image.data)


def test_noise_is_a_share_of_the_cord_it_is_put_on(image):
    mask = image.like((np.indices(image.data.shape)[0] < 5).astype(np.float32))
    noise = CHANGES["noise 10 %"][0](image, mask).data - image.data
    assert noise.std() == pytest.approx(0.1 * image.data[:5].mean(), rel=0.02)
