"""Fetching public sets, from a data set and a web server on this machine."""

import hashlib
import importlib.util
import io
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from softseg.cli import main
from softseg.errors import InputError
from softseg.fetch import ARCHIVES, RELEASE, fetch_archive, fetch_spine_generic
from softseg.provenance.checking import verify
from softseg.provenance.records import MANIFEST


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


needs_datalad = pytest.mark.skipif(
    importlib.util.find_spec("datalad") is None
    or not (shutil.which("git-annex") or (Path(sys.executable).parent / "git-annex").exists()),
    reason='DataLad and git-annex are not installed (pip install "softseg[fetch]")',
)


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "served"
    folder.mkdir()
    web = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    threading.Thread(target=web.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{web.server_port}"
    web.shutdown()
    web.server_close()


def archive_bytes(text: str = "content") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("data/t2/t2.txt", text)
        file.writestr("data/README", "read me")
    return buffer.getvalue()


def test_an_archive_is_fetched_checked_and_unpacked(server, tmp_path):
    folder, url = server
    content = archive_bytes()
    (folder / "small.zip").write_bytes(content)
    known = hashlib.sha256(content).hexdigest()
    out = tmp_path / "out"
    fetched = fetch_archive("small", out, url=f"{url}/small.zip", known_sha256=known)
    assert (out / "data/t2/t2.txt").read_text() == "content"
    assert set(fetched.new) == {"data/t2/t2.txt", "data/README"}
    # A second time nothing is downloaded: the server may be gone.
    (folder / "small.zip").unlink()
    again = fetch_archive("small", out, url=f"{url}/small.zip", known_sha256=known)
    assert again.new == ()
    assert set(again.there) == set(fetched.new)


def test_another_checksum_is_refused(server, tmp_path):
    folder, url = server
    (folder / "small.zip").write_bytes(archive_bytes())
    with pytest.raises(InputError, match=r"small\.zip: could not be fetched .*hash"):
        fetch_archive("small", tmp_path / "out", url=f"{url}/small.zip", known_sha256="0" * 64)
    assert not (tmp_path / "out/data").exists()


def test_without_a_published_checksum_the_first_downloads_holds(server, tmp_path):
    folder, url = server
    content = archive_bytes()
    (folder / "small.zip").write_bytes(content)
    out = tmp_path / "out"
    fetch_archive("small", out, url=f"{url}/small.zip")
    pinned = (out / "small.zip.sha256").read_text().strip()
    assert pinned == hashlib.sha256(content).hexdigest()
    (out / "small.zip").unlink()
    (folder / "small.zip").write_bytes(archive_bytes("tampered"))
    with pytest.raises(InputError, match="could not be fetched"):
        fetch_archive("small", out, url=f"{url}/small.zip")


def test_what_is_not_there_or_damaged_is_named(server, tmp_path):
    folder, url = server
    with pytest.raises(InputError, match=r"absent\.zip: could not be fetched"):
        fetch_archive("small", tmp_path / "a", url=f"{url}/absent.zip")
    (folder / "broken.zip").write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"broken\.zip: could not be fetched"):
        fetch_archive("small", tmp_path / "b", url=f"{url}/broken.zip")
    with pytest.raises(InputError, match="not one of spine-generic, sct-testing"):
        fetch_archive("unknown", tmp_path / "c")


@pytest.mark.skipif(shutil.which("unshare") is None, reason="takes a namespace without a network")
@pytest.mark.parametrize("name", ["pam50", pytest.param("spine-generic", marks=needs_datalad)])
def test_without_a_network_one_line_says_so(tmp_path, name):
    alone = ["unshare", "--map-root-user", "--net"]
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no namespaces here")
    words = [*alone, sys.executable, "-m", "softseg", "fetch", name, str(tmp_path / "out")]
    run = subprocess.run(words, capture_output=True, text=True, check=False)
    (line,) = run.stderr.strip().splitlines()
    assert run.returncode == 2
    assert line.endswith("(no network)")
    assert not (tmp_path / "out").exists()


def test_the_named_archives_have_addresses():
    assert all(url.startswith("https://") for url in ARCHIVES.values())


def test_the_command_fetches_and_says_how_much(server, tmp_path):
    folder, url = server
    (folder / "small.zip").write_bytes(archive_bytes())
    words = ["fetch", "sct-testing", str(tmp_path / "out"), "--source", f"{url}/small.zip"]
    run = subprocess.run(
        [sys.executable, "-m", "softseg", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "2 files fetched" in run.stdout
    assert verify(tmp_path / "out").findings == []


def test_what_came_is_verified_and_a_second_run_hides_no_damage(server, tmp_path, capsys):
    folder, url = server
    (folder / "small.zip").write_bytes(archive_bytes())
    out = tmp_path / "out"
    words = ["fetch", "pam50", str(out), "--source", f"{url}/small.zip"]
    for _ in range(2):
        with pytest.raises(SystemExit) as left:
            main(words)
        assert not left.value.code
        capsys.readouterr()
    record = json.loads((out / MANIFEST).read_text())
    (entry,) = record["GeneratedBy"]
    assert entry["Name"] == "softseg fetch"
    origin = {"source": f"{url}/small.zip", "sha256": hashlib.sha256(archive_bytes()).hexdigest()}
    assert entry["Parameters"]["origin"] == origin
    assert set(record["SHA256"]) == {"../data/t2/t2.txt", "../data/README"}
    victim, long_ago = out / "data/t2/t2.txt", time.time() - 3600
    victim.write_text("damaged")
    os.utime(victim, (long_ago, long_ago))
    with pytest.raises(SystemExit):
        main(words)
    assert [(f.file, f.status) for f in verify(out).findings] == [("data/t2/t2.txt", "changed")]


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """A miniature of the database: annexed images and labels, two releases."""
    from softseg.fetch import _datalad

    for role in ("AUTHOR", "COMMITTER"):
        os.environ.setdefault(f"GIT_{role}_NAME", "test")
        os.environ.setdefault(f"GIT_{role}_EMAIL", "test@localhost")
    datalad = _datalad()
    root = tmp_path_factory.mktemp("published") / "data"
    datalad.create(path=str(root), result_renderer="disabled")
    names = [
        f"{{0}}/anat/{{0}}_{suffix}.nii.gz"
        for suffix in ("T1w", "T2w", "T2star", "flip-1_mt-on_MTS", "flip-1_mt-off_MTS")
    ]
    names += [
        "{0}/dwi/{0}_dwi.nii.gz",
        "{0}/dwi/{0}_rec-average_dwi.nii.gz",
        "derivatives/labels/{0}/anat/{0}_T2w_label-SC_seg.nii.gz",
        "derivatives/labels/{0}/anat/{0}_T2w_label-discs_dlabel.nii.gz",
        "derivatives/labels/{0}/anat/{0}_T2w_label-rootlets_dseg.nii.gz",
        "derivatives/labels_softseg/{0}/anat/{0}_T2w_label-SC_softseg.nii.gz",
        "derivatives/labels_softseg_bin/{0}/anat/{0}_T2w_desc-softseg_label-SC_seg.nii.gz",
    ]
    for subject in ("sub-amu01", "sub-unf05"):
        for name in names:
            path = root / name.format(subject)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(os.urandom(64) + name.format(subject).encode())
    datalad.save(dataset=str(root), message="first", result_renderer="disabled")
    subprocess.run(["git", "-C", str(root), "tag", RELEASE], check=True)
    (root / "later.txt").write_text("not in the release")
    datalad.save(dataset=str(root), message="second", result_renderer="disabled")
    subprocess.run(["git", "-C", str(root), "tag", "r29990101"], check=True)
    return root


@needs_datalad
def test_only_the_needed_files_of_the_release_come(published, tmp_path):
    out = tmp_path / "clone"
    fetched = fetch_spine_generic(out, subjects=["amu01"], source=str(published))
    assert not (out / "later.txt").exists()
    assert fetched.failed == ()
    assert set(fetched.new) == {
        "sub-amu01/anat/sub-amu01_T1w.nii.gz",
        "sub-amu01/anat/sub-amu01_T2w.nii.gz",
        "sub-amu01/anat/sub-amu01_T2star.nii.gz",
        "sub-amu01/anat/sub-amu01_flip-1_mt-on_MTS.nii.gz",
        "sub-amu01/dwi/sub-amu01_rec-average_dwi.nii.gz",
        "derivatives/labels/sub-amu01/anat/sub-amu01_T2w_label-SC_seg.nii.gz",
        "derivatives/labels/sub-amu01/anat/sub-amu01_T2w_label-discs_dlabel.nii.gz",
        "derivatives/labels_softseg/sub-amu01/anat/sub-amu01_T2w_label-SC_softseg.nii.gz",
        "derivatives/labels_softseg_bin/sub-amu01/anat/"
        "sub-amu01_T2w_desc-softseg_label-SC_seg.nii.gz",
    }
    for name in fetched.new:
        assert (out / name).read_bytes() == (published / name).read_bytes()
    assert not (out / "sub-unf05/anat/sub-unf05_T2w.nii.gz").exists()


@needs_datalad
def test_a_second_run_goes_on_where_the_first_stopped(published, tmp_path):
    out = tmp_path / "clone"
    first = fetch_spine_generic(
        out, subjects=["sub-amu01"], contrasts=["T2w"], source=str(published)
    )
    first.record(since=time.time())
    assert verify(out).findings == []
    more = fetch_spine_generic(out, contrasts=["T2w"], source=str(published))
    assert more.origin["release"] == RELEASE
    more.record(since=time.time())
    checked = verify(out)
    assert (checked.files, checked.findings) == (10, [])
    assert len(more.there) == 5
    assert len(more.new) == 5
    assert all("unf05" in name for name in more.new)


@needs_datalad
def test_a_fetched_release_is_indexed_and_the_rest_said_to_be_missing(published, tmp_path):
    from softseg.dataset.index import Dataset

    out = tmp_path / "clone"
    fetch_spine_generic(out, subjects=["sub-amu01"], source=str(published))
    dataset = Dataset.index(out)
    assert dataset.subjects == ["sub-amu01"]
    reasons = dataset.missing.query("subject == 'sub-unf05'")["reason"]
    assert (reasons == "not fetched yet (datalad get)").sum() == 5


@needs_datalad
def test_content_that_is_not_what_its_key_says_does_not_come(published, tmp_path):
    source = tmp_path / "source"
    subprocess.run(["cp", "-r", str(published), str(source)], check=True)
    victim = (source / "sub-amu01/anat/sub-amu01_T1w.nii.gz").resolve()
    victim.chmod(0o644)
    victim.write_bytes(bytes(len(victim.read_bytes())))
    fetched = fetch_spine_generic(
        tmp_path / "clone", subjects=["amu01"], contrasts=["T1w", "T2w"], source=str(source)
    )
    assert [name for name, _ in fetched.failed] == ["sub-amu01/anat/sub-amu01_T1w.nii.gz"]
    assert "sub-amu01/anat/sub-amu01_T2w.nii.gz" in fetched.new


@needs_datalad
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"subjects": ["sub-nobody"]}, "no participant sub-nobody"),
        ({"release": "r1"}, "release r1: unknown; the latest are r29990101|release r1: unknown"),
        ({"contrasts": ["T3w"]}, "contrast 'T3w'"),
    ],
)
def test_what_is_not_in_the_database_is_named(published, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        fetch_spine_generic(tmp_path / "clone", source=str(published), **options)


@needs_datalad
def test_another_folder_is_not_overwritten(published, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="holds something that is no clone"):
        fetch_spine_generic(tmp_path / "mine", source=str(published))
    with pytest.raises(InputError, match="could not be cloned"):
        fetch_spine_generic(tmp_path / "new", source=str(tmp_path / "absent"))


def test_without_datalad_the_remedy_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(InputError, match=r"is needed; pip install .softseg\[fetch\]"):
        fetch_spine_generic(tmp_path / "clone")
