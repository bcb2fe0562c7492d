"""Executing notebooks: parameters checked, nothing half-written, the same bytes twice."""

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat import v4


@pytest.fixture(scope="module")
def tools(project_root):
    """The two helper modules beside the notebooks."""
    sys.path.insert(0, str(project_root / "notebooks"))
    import dependencies
    import execute

    yield dependencies, execute
    sys.path.remove(str(project_root / "notebooks"))


@pytest.fixture
def source(tmp_path):
    """A small notebook with a parameter; it fails where the parameter is negative."""
    cells = [
        v4.new_code_cell("number: int = 1", metadata={"tags": ["parameters"]}),
        v4.new_code_cell("import warnings\nwarnings.warn('mind the step')"),
        v4.new_code_cell("import softseg_study.statistics\nassert number > 0, 'too small'"),
        v4.new_code_cell("print(number * 2)"),
    ]
    path = tmp_path / "01_small.ipynb"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


@pytest.fixture
def scale(tmp_path):
    path = tmp_path / "tiny.yml"
    path.write_text("run: tiny\n")
    return path


def elsewhere() -> dict[str, str]:
    """The environment of a process that knows of the checkout by the installation alone."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def run(project_root, source, chapter, scale, **parameters):
    return subprocess.run(
        [
            sys.executable, project_root / "notebooks" / "execute.py", source, chapter,
            "--scale", scale, "--parameters", json.dumps(parameters),
            "--times", chapter.with_suffix(".json"),
        ],
        cwd=chapter.parents[1], capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_parameter_changes_the_result_and_two_runs_are_the_same_bytes(
    project_root, tmp_path, source, scale
):
    first, second = tmp_path / "a" / "c.ipynb", tmp_path / "b" / "c.ipynb"
    for chapter in (first, second):
        done = run(project_root, source, chapter, scale, number=21)
        assert done.returncode == 0, done.stderr
    assert first.read_bytes() == second.read_bytes()
    chapter = nbformat.read(first, as_version=4)
    assert "42" in chapter.cells[-1].outputs[0]["text"]
    assert chapter.metadata["softseg"]["parameters"] == {"number": 21}
    assert json.loads(first.with_suffix(".json").read_text())["seconds"] > 0


def test_an_unknown_parameter_is_an_error_that_lists_the_known(
    project_root, tmp_path, source, scale
):
    done = run(project_root, source, tmp_path / "c.ipynb", scale, nmuber=2)
    assert done.returncode != 0
    assert "nmuber" in done.stderr
    assert "number" in done.stderr
    assert not (tmp_path / "c.ipynb").exists()


def test_a_failed_cell_shows_its_traceback_and_leaves_no_chapter(
    project_root, tmp_path, source, scale
):
    done = run(project_root, source, tmp_path / "c.ipynb", scale, number=-1)
    assert done.returncode != 0
    assert "too small" in done.stderr
    assert not (tmp_path / "c.ipynb").exists()


@pytest.fixture(scope="module")
def installed():
    try:
        distribution("softseg-study")
    except PackageNotFoundError:
        pytest.skip("the study is not installed here; `make env` does it")


@pytest.mark.usefixtures("installed")
def test_package_and_study_are_found_from_any_folder(tmp_path):
    """On a cluster's node and in a pod nothing but the environment's Python is known."""
    code = "import softseg.volume, softseg_study.statistics as s; print(s.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=elsewhere(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).parts[-4:-2] == ("notebooks", "softseg_study")


@pytest.mark.usefixtures("installed")
def test_a_kernel_that_nbval_starts_in_any_folder_finds_package_and_study(source):
    words = ["--nbval-lax", "-o", "addopts=", "-p", "no:cacheprovider", source.name]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        cwd=source.parent, env=elsewhere(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_a_scales_comments_do_not_count_but_its_values_do(tools, tmp_path):
    _, execute = tools
    first, second, third = (tmp_path / f"{name}.yml" for name in "abc")
    first.write_text("run: tiny\nseeds: [1]\n")
    second.write_text("# a remark\nseeds: [1]\nrun: tiny\n")
    third.write_text("run: tiny\nseeds: [2]\n")
    assert execute.scale_digest(first) == execute.scale_digest(second)
    assert execute.scale_digest(first) != execute.scale_digest(third)


def test_imports_are_followed_into_functions_and_through_packages(tools, tmp_path):
    dependencies, _ = tools
    files = {
        "softseg/__init__.py": "",
        "softseg/a.py": "def f():\n    from softseg.pack import thing\n",
        "softseg/pack/__init__.py": "from softseg.pack.inner import thing\n",
        "softseg/pack/inner.py": "import numpy\nthing = 1\n",
        "softseg/unused.py": "",
    }
    write_files(tmp_path, files)
    found = dependencies.closure({tmp_path / "softseg/a.py"}, tmp_path)
    names = {str(path.relative_to(tmp_path)) for path in found}
    assert names == set(files) - {"softseg/unused.py"}


def test_only_the_training_notebook_depends_on_the_training(tools, project_root):
    dependencies, _ = tools
    training = project_root / "softseg" / "training" / "fitting.py"
    users = {
        path.stem
        for path in (project_root / "notebooks").glob("[0-9]*.ipynb")
        if training in dependencies.notebook_modules(path)
    }
    assert users == {"03_training"}


def write_files(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("line", "used"),
    [
        ("from softseg_study import wording", {"wording.py"}),
        ("from softseg_study.figures.bars import plot", {"figures/__init__.py", "figures/bars.py"}),
        ("import softseg_study.wording as w", {"wording.py"}),
        ("import numpy", None),
    ],
)
def test_a_notebook_depends_on_the_modules_of_the_study_that_it_imports(
    tools, tmp_path, line, used
):
    study = "notebooks/softseg_study"
    files = {
        "softseg/__init__.py": "", "softseg/volume.py": "", "softseg/network.py": "",
        f"{study}/__init__.py": "", f"{study}/wording.py": "",
        f"{study}/figures/__init__.py": "",
        f"{study}/figures/bars.py": "def plot():\n    from softseg import volume\n",
        f"{study}/figures/lines.py": "from softseg import network\n",
    }  # fmt: skip
    write_files(tmp_path, files)
    nbformat.write(v4.new_notebook(cells=[v4.new_code_cell(line)]), tmp_path / "01_a.ipynb")
    found = tools[0].notebook_modules(tmp_path / "01_a.ipynb", tmp_path)
    names = {str(path.relative_to(tmp_path)) for path in found}
    expected = {f"{study}/{name}" for name in used or ()} | (
        {f"{study}/__init__.py"} if used else set()
    )
    if "bars" in line:  # what the study imports of the package counts, too
        expected |= {"softseg/__init__.py", "softseg/volume.py"}
    assert names == expected


def test_every_module_of_the_study_is_used_and_not_every_one_by_all_chapters(tools, project_root):
    """So that a change of it executes the chapters that it changes, and no others."""
    study = project_root / "notebooks" / "softseg_study"
    notebooks = sorted((project_root / "notebooks").glob("[0-9]*.ipynb"))
    used = [{p for p in tools[0].notebook_modules(n) if study in p.parents} for n in notebooks]
    scripts = set(tools[0].closure(set((project_root / "notebooks").glob("*.py"))))
    page = (project_root / "book" / "extend.md").read_text(encoding="utf-8")
    told = {
        study.parent.joinpath(*name.split(".")).with_suffix(".py")
        for name in re.findall(r"(softseg_study(?:\.\w+)+)\.\w+", page)
    }
    assert set(study.rglob("*.py")) <= set.union(scripts, told, *used)
    alone = [path for path in set.union(*used) if sum(path in some for some in used) == 1]
    assert len(alone) > 10


def test_a_command_depends_on_what_it_runs_on_and_not_on_other_commands(tools, project_root):
    dependencies, _ = tools
    names = {
        str(path.relative_to(project_root)) for path in dependencies.command_modules("phantom")
    }
    assert {"softseg/cli/phantom.py", "softseg/phantom/cohort.py", "softseg/volume.py"} <= names
    assert "softseg/cli/segment.py" not in names
    assert not [name for name in names if name.startswith("softseg/training")]


def snakemake(project_root, scale: str, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [
            sys.executable, "-m", "snakemake", "-s", "notebooks/Snakefile",
            "--configfile", f"notebooks/scales/{scale}.yml", "--cores", "1", "--dry-run",
            "--quiet", "host", "--nolock", *arguments,
        ],
        cwd=project_root, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("scale", "shards"), [("tiny", 0), ("demo", 0), ("book", 0), ("spine-generic", 3)]
)
def test_the_graph_of_every_scale_is_whole_and_has_a_job_for_every_shard(
    project_root, scale, shards
):
    option = ["--config", f"shards={shards}"] if shards else []
    done = snakemake(project_root, scale, "--forceall", *option, "--", "everything")
    assert done.returncode == 0, done.stdout + done.stderr
    jobs = dict(line.split()[:2] for line in done.stdout.splitlines() if len(line.split()) == 2)
    assert {"cohort", "ground_truth", "model", "csa_variability", "book"} <= set(jobs)
    assert int(jobs.get("ground_truth_shard", 0)) == shards


def test_the_main_comparison_can_be_trained_before_the_rest_of_the_grid(project_root):
    files = [f"notebooks/scales/{name}.yml" for name in ("book", "grid")]
    trained = []
    for option in ([], ["--config", "factors=truth,models"]):
        done = snakemake(
            project_root, "book", "--forceall", "--configfile", *files, *option, "--", "models"
        )
        assert done.returncode == 0, done.stdout + done.stderr
        jobs = dict(line.split() for line in done.stdout.splitlines() if len(line.split()) == 2)
        trained.append(int(jobs["model"]))
    grid = yaml.safe_load((project_root / files[1]).read_text("utf-8"))["models"]
    main = [m for m in grid.values() if m.get("factor") in (None, "truth", "models")]
    assert trained[1] == sum(len(m.get("seeds", [1, 2, 3])) for m in main) < trained[0]


def test_what_has_run_is_not_run_again(project_root):
    if not (project_root / "runs/tiny/chapters/run.json").exists():
        pytest.skip("the tiny scale has not run here; `make tiny` runs it")
    done = snakemake(project_root, "tiny", "chapters")
    assert "Nothing to be done" in done.stdout + done.stderr, done.stdout


def test_another_parameter_runs_its_notebook_and_what_follows_again(project_root, tmp_path):
    if not (project_root / "runs/tiny/chapters/run.json").exists():
        pytest.skip("the tiny scale has not run here; `make tiny` runs it")
    done = snakemake(
        project_root, "tiny", "chapters",
        "--config", 'notebooks={"04_csa_variability": {"threshold": 0.3}}',
    )  # fmt: skip
    again = {line.split()[0] for line in done.stdout.splitlines() if line.split()[1:] == ["1"]}
    assert {"csa_variability", "run_record"} <= again
    assert not {"cohort", "dataset", "ground_truth", "model", "your_images"} & again


@pytest.fixture
def made(project_root, tmp_path):
    """Starts what `make tiny` calls, on a scale of a single step, in a folder of its own."""
    shown = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "--assume-old=.venv/.installed", "tiny"],
        cwd=project_root, capture_output=True, text=True, check=True,
    )  # fmt: skip
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/dataset_description.json").write_text("{}")
    (tmp_path / "notebooks/scales").mkdir(parents=True)
    scale = yaml.safe_load((project_root / "notebooks/scales/tiny.yml").read_text())
    scale |= {"run": "mine", "dataset": {"kind": "bids", "path": "mine"}}
    (tmp_path / "notebooks/scales/tiny.yml").write_text(yaml.safe_dump(scale))
    recipe = next(line for line in shown.stdout.splitlines() if "workflow.py" in line)
    for old, new in {
        ".venv/bin/": f"{Path(sys.executable).parent}/",
        " notebooks/workflow.py -s notebooks/": f" {project_root}/notebooks/workflow.py -s "
        f"{project_root}/notebooks/",
        "-- chapters": "-- runs/mine/data.done",
    }.items():
        recipe = recipe.replace(old, new)

    def start() -> subprocess.Popen:
        return subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", recipe], cwd=tmp_path, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    return start


needs_flock = pytest.mark.skipif(shutil.which("flock") is None, reason="no `flock` here")


@needs_flock
def test_a_make_whose_workflow_was_killed_goes_on_without_unlocking(made, tmp_path):
    """With the list of files that Snakemake itself would stop at."""
    (tmp_path / ".snakemake/locks").mkdir(parents=True)
    (tmp_path / ".snakemake/locks/0.output.lock").write_text("runs/mine/data.done\n")
    process = made()
    said = process.communicate()[0]
    assert process.returncode == 0, said
    assert (tmp_path / "runs/mine/data.done").exists()


@needs_flock
def test_a_second_make_on_the_same_scale_waits_for_the_first(made, tmp_path):
    with (tmp_path / "notebooks/scales/tiny.yml").open() as scale:
        fcntl.flock(scale, fcntl.LOCK_EX)
        process = made()
        try:
            assert "Waiting: another make works on" in process.stdout.readline()
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(timeout=0.5)
        finally:
            process.kill()
            process.communicate()
    assert not (tmp_path / "runs").exists()


@pytest.fixture
def two_steps(project_root, tmp_path):
    """Starts a workflow whose second step takes some seconds, or fails, where no terminal is."""
    (tmp_path / "Snakefile").write_text(
        """
rule second_step:
    input: "a.txt"
    output: "b.txt"
    log: "second.log"
    shell: "echo trouble > {log}; sleep {config[seconds]}; (({config[seconds]})); touch {output}"

rule first:
    message: "chapter 01: who?"
    output: "a.txt"
    shell: "touch {output}"
"""
    )

    def start(seconds: int) -> subprocess.Popen:
        words = ["--cores", "1", "--quiet", "host", "--config", f"seconds={seconds}"]
        return subprocess.Popen(
            [sys.executable, project_root / "notebooks/workflow.py", *words], cwd=tmp_path,
            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    return start


def test_a_log_has_a_line_a_step_with_its_name_number_and_time(two_steps):
    process = two_steps(1)
    said = process.communicate()[0].splitlines()
    assert process.returncode == 0
    said = [re.sub(r"\d+:\d\d", "m:ss", line).strip() for line in said]
    assert said == [
        "m:ss [0/2] 2 steps", "m:ss [0/2] begun: chapter 01: who?",
        "m:ss [1/2] done in m:ss: chapter 01: who?", "m:ss [1/2] begun: second step",
        "m:ss [2/2] done in m:ss: second step",
    ]  # fmt: skip


def test_a_step_that_fails_shows_its_log(two_steps):
    process = two_steps(0)
    said = process.communicate()[0]
    assert process.returncode == 1
    assert re.search(r"\[1/2\] failed in 0:\d\d: second step\ntrouble\n", said)


def test_an_interrupted_workflow_says_one_line(two_steps, tmp_path):
    process = two_steps(60)
    for line in process.stdout:
        if "begun: second step" in line:
            break
    while not (tmp_path / "second.log").exists():
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal's Ctrl-C
    said = process.communicate()[0].splitlines()
    assert process.returncode == 130
    assert said == [
        "interrupted; what was finished is kept, and the same command goes on from there"
    ]
    assert not (tmp_path / "b.txt").exists()
