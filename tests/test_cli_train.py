"""`softseg train`: a data set and a truth in; weights, card and a report on others out."""

import json
import subprocess
import sys

import pandas as pd
import pytest
from tube_cohort import write_tubes

from softseg import cli
from softseg.network.onnx_session import OnnxNetwork
from softseg.segmentation.engine import Model
from softseg.training.history import History

SIX = [f"sub-{number:02d}" for number in range(1, 7)]
FAST = ("--contrasts", "mine=T1w,T2w", "--steps", "60")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return write_tubes(tmp_path_factory.mktemp("tubes"), SIX)


@pytest.fixture
def softseg(capsys):
    def run(*arguments) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            cli.main(["train", *map(str, arguments)])
        captured = capsys.readouterr()
        return left.value.code or 0, captured.out, captured.err

    return run


@pytest.mark.slow
def test_six_participants_give_weights_a_card_an_export_and_a_report(cohort, tmp_path, softseg):
    out = tmp_path / "mine"
    code, printed, said = softseg(cohort, "-o", out, *FAST)
    assert code == 0, said
    assert "softseg: 4 participants to train on, 1 to test on" in said
    assert "too few to trust: scores rest on 1 participant; 25 or more leave 5" in said
    assert {path.name for path in out.iterdir()} >= {
        "model.onnx", "model.safetensors", "model.json", "history.csv", "test.csv", "test.csv.json",
    }  # fmt: skip
    assert not (out / "prepared").exists()
    config = History.load(out).config
    table = pd.read_csv(out / "test.csv")
    assert not set(table["subject"]) & {*config.training_subjects, *config.validation_subjects}
    assert table["contrast"].tolist() == ["T2w", "mine"]
    assert table["soft_dice"].min() > 0.8
    assert f"soft Dice {table['soft_dice'].mean():.3f} in 2 images" in printed
    page = (out / "report/index.html").read_text()
    assert all(f"{name}_T1w" in page for name in table["subject"])
    assert isinstance(Model.load(str(out)).network, OnnxNetwork)
    record = json.loads((out / "test.csv.json").read_text())
    assert record["GeneratedBy"][0]["Parameters"]["steps"] == 60
    assert str(tmp_path) not in (out / "test.csv.json").read_text() + page
    code, _, said = softseg(cohort, "-o", out, *FAST)
    assert (code, len(said.strip().splitlines())) == (2, 1)
    assert "holds a trained model; --overwrite replaces it" in said


@pytest.mark.parametrize(
    ("more", "finding"),
    [
        (("--subjects", ",".join(SIX[:5])), "5 participants have an image with labels_softseg/"),
        (("--truth", "elsewhere:mask"), "with elsewhere/…_mask; make that truth first"),
        (("--truth", "wrong"), "truth: must be soft, soft_bin, hard, truth or folder:ending"),
        (("--network", "large"), "network: must be one of small, axial, volume, paper"),
        (("--loss", "best"), "loss: must be one of adaptive_wing"),
    ],
)
def test_what_cannot_be_trained_is_one_line_and_nothing_written(
    cohort, tmp_path, softseg, more, finding
):
    code, _, said = softseg(cohort, "-o", tmp_path / "out", *FAST, *more)
    assert code == 2
    assert finding in said.strip().splitlines()[-1]
    assert not (tmp_path / "out" / "model.safetensors").exists()
    if "participants" in finding:
        assert "and 6 are the fewest" in said


def test_without_the_extra_one_line_names_it(tmp_path):
    code = (
        "import sys; sys.modules['torch'] = None\n"
        f"from softseg.cli import main; main(['train', 'x', '-o', {str(tmp_path / 'o')!r}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.strip().endswith('is needed; pip install "softseg[train]"')
