"""No code hides in data, no name becomes a command, and nothing leaves the machine."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(
    path
    for folder in ("softseg", "notebooks", "tests", "book")
    for path in (ROOT / folder).rglob("*.py")
    if "_build" not in path.parts
)
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "jsonpickle"}
RUNS_CODE = {"eval", "exec", "compile", "__import__"}
SHELLS = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"}
UNSAFE_YAML = {"yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load"}
STARTS = {"run", "Popen", "call", "check_call", "check_output"}


def dotted(node: ast.AST) -> str:
    """`a.b.c` of a name or attribute, empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""


def findings(code: str, *, tests: bool = False) -> list[str]:
    """What in a file could run code from data, or data as a command."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            named = [alias.name for alias in node.names]
            named += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found += [f"imports {name}" for name in named if name.split(".")[0] in PICKLES]
        elif isinstance(node, ast.Call):
            found += _of_call(node, tests)
    return found


def _of_call(node: ast.Call, tests: bool) -> list[str]:
    name = dotted(node.func)
    options = {word.arg: word.value for word in node.keywords}

    def is_true(option: str) -> bool:
        value = options.get(option)
        return isinstance(value, ast.Constant) and value.value is True

    found = []
    if name in RUNS_CODE and not tests:
        found.append(f"calls {name}")
    if name in SHELLS | UNSAFE_YAML or name == "tempfile.mktemp":
        found.append(f"calls {name}")
    if name == "torch.load" and not is_true("weights_only"):
        found.append("torch.load without weights_only=True")
    if name in ("np.load", "numpy.load") and is_true("allow_pickle"):
        found.append("np.load with pickle")
    if is_true("shell"):
        found.append("a shell")
    if name.split(".")[0] == "subprocess" and name.split(".")[-1] in STARTS and not tests:
        words = node.args[0] if node.args else options.get("args")
        if isinstance(words, ast.Constant | ast.JoinedStr | ast.BinOp):
            found.append("a command that is one string")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_unpickles_evaluates_or_starts_a_shell(path):
    assert findings(path.read_text("utf-8"), tests="tests" in path.parts) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_no_chapter_does_either(path):
    cells = json.loads(path.read_text("utf-8"))["cells"]
    code = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    lines = [line for line in code.splitlines() if not line.lstrip().startswith(("%", "!"))]
    assert len(lines) == len(code.splitlines()), "a chapter runs no shell line"
    assert findings(code) == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle", "from joblib import load", "eval(text)", "torch.load(path)",
        "torch.load(path, weights_only=False)", "np.load(path, allow_pickle=True)",
        "subprocess.run(f'ls {name}')", "subprocess.run('ls', shell=True)", "os.system(name)",
        "yaml.load(text)", "subprocess.check_output('ls ' + name)",
    ],
)  # fmt: skip
def test_each_of_these_would_be_found(code):
    assert len(findings(code)) >= 1


def test_what_is_safe_is_not_found():
    code = "torch.load(p, weights_only=True); model.eval(); subprocess.run(['ls', name])"
    assert findings(code) == []


_WATCHED = """
import sys
seen = []
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto",
                 "socket.sendmsg", "urllib.Request", "http.client.connect"):
        address = arguments[1] if event == "socket.connect" else arguments
        if not isinstance(address, (str, bytes)):  # a socket in the file system is no network
            seen.append((event, repr(address)))
sys.addaudithook(watch)
"""

_COMMANDS = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
import numpy as np
from broken_files import write_whole
from fuzzing import untrained_weights
from softseg.cli import main
here = Path({folder!r})
image = write_whole(here / "in/sub-1_T2w.nii.gz", shape=(12, 14, 9))
stem = "sub-1/anat/sub-1_T2w"
write_whole(here / f"data/{{stem}}.nii.gz", shape=(12, 14, 9))
write_whole(here / f"data/derivatives/labels/{{stem}}_label-SC_seg.nii.gz", shape=(12, 14, 9),
            kind=np.uint8)
weights = untrained_weights(here)
for words in (
    ["segment", image, "-o", here / "out", "--weights", weights, "--qc", here / "page",
     "--csa", here / "a.csv", "--uncertainty"],
    ["csa", image, "-o", here / "c.csv", "--per-slice"],
    ["ground-truth", here / "data"],
    ["phantom", here / "phantom", "--subjects", "1", "--contrasts", "T1w", "--jobs", "1"],
    ["verify", here / "phantom"],
    ["fetch", "unknown", here / "x"],
    ["--version"],
):
    try:
        main([str(word) for word in words])
    except SystemExit as left:
        assert (left.code or 0) == (2 if words[0] == "fetch" else 0), (words, left.code)
"""


def _python(code: str, folder: Path, *before: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"MPLBACKEND": "agg"}
    return subprocess.run(
        [*before, sys.executable, "-c", code],
        capture_output=True, text=True, check=False, env=environment, cwd=folder,
    )  # fmt: skip


def test_every_command_but_fetch_works_without_opening_a_connection(tmp_path):
    code = _WATCHED + _COMMANDS.format(tests=str(ROOT / "tests"), folder=str(tmp_path))
    # Where the kernel allows it, there is no network to connect to at all.
    alone = ["unshare", "--map-root-user", "--net"]
    allowed = (
        shutil.which("unshare")
        and not subprocess.run([*alone, "true"], capture_output=True, check=False).returncode
    )
    done = _python(code + "print('seen', seen)", tmp_path, *(alone if allowed else ()))
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == "seen []"


def test_the_watch_sees_a_connection(tmp_path):
    code = "import socket\ntry:\n    socket.create_connection(('127.0.0.1', 9), timeout=1)\n"
    code += "except OSError:\n    pass\nprint('seen', seen)"
    assert "socket.connect" in _python(_WATCHED + code, tmp_path).stdout


@pytest.mark.slow
def test_loading_the_libraries_of_training_opens_no_connection(tmp_path):
    code = "import softseg.training.module, softseg.augmentation.published\n"
    done = _python(_WATCHED + code + "print('seen', seen)", tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == "seen []"


def test_the_pages_ask_no_server_for_anything():
    for page in (ROOT / "softseg/data").glob("*.html"):
        text = page.read_text("utf-8")
        for wanted in ('src="http', 'href="http', "@import", "fetch(", "XMLHttpRequest", "//cdn"):
            assert wanted not in text, f"{page.name}: {wanted}"


def test_the_linter_checks_security_in_the_package():
    import tomllib

    rules = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["ruff"]["lint"]
    assert "S" in rules["select"]
    assert not [rule for rule in rules["ignore"] if rule.startswith("S") and rule != "S101"]
    for files, ignored in rules["per-file-ignores"].items():
        if not files.startswith("tests/"):
            assert not [rule for rule in ignored if rule.startswith("S")], files


def _auditor(tmp_path: Path, text: str, code: int) -> list[str]:
    program = f"import sys; print({text!r}); print('no route to host', file=sys.stderr)"
    return [sys.executable, "-c", f"{program}; sys.exit({code})"]


def test_the_audit_fails_for_a_known_vulnerability_only(tmp_path):
    from audit_dependencies import audit

    fine = {"name": "numpy", "version": "2.0", "vulns": []}
    bad = fine | {"name": "old", "vulns": [{"id": "CVE-1", "fix_versions": ["2.1"]}]}
    own = {"name": "softseg", "skip_reason": "not found"}
    text = json.dumps({"dependencies": [fine, own]})
    assert audit(_auditor(tmp_path, text, 0)) == (
        0,
        "1 dependencies audited, 0 known vulnerabilities, 1 not in the database",
    )
    code, said = audit(_auditor(tmp_path, json.dumps({"dependencies": [fine, bad]}), 1))
    assert code == 1
    assert "old 2.0: CVE-1, mended in 2.1" in said
    nothing = json.dumps({"dependencies": [own]})
    assert "NOT audited" in audit(_auditor(tmp_path, nothing, 0))[1]
    code, said = audit(_auditor(tmp_path, "", 1))
    assert code == 0
    assert "NOT audited" in said
    assert "no route to host" in said
    assert audit([str(tmp_path / "absent")])[1].startswith("dependencies NOT audited")
    assert "\n" not in said


@pytest.mark.parametrize(("words", "code"), [([], 0), (["--strict"], 2)])
def test_no_database_of_vulnerabilities_stops_a_release_only(monkeypatch, capsys, words, code):
    import audit_dependencies

    said = f"{audit_dependencies.UNKNOWN}: no answer"
    monkeypatch.setattr(audit_dependencies, "audit", lambda command: (0, said))
    monkeypatch.setattr(sys, "argv", ["audit_dependencies.py", *words])
    with pytest.raises(SystemExit) as left:
        audit_dependencies.main()
    assert left.value.code == code
    assert capsys.readouterr().out == f"{said}\n"
