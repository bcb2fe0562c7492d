"""Public data sets: Spine Generic through DataLad and git-annex, small archives through pooch.

Both are optional (`pip install "softseg[fetch]"`). Only the files that are needed are downloaded,
what is there already is kept, and contents are checked: by git-annex against the checksum that is
part of each file's key, by pooch against SHA-256.
"""

import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from softseg.archives import unpack
from softseg.dataset.names import match_contrast, parse_contrasts
from softseg.errors import InputError, brief
from softseg.files import remove_empty, replacing, sha256
from softseg.provenance.records import MANIFEST, read_json, write_record

SPINE_GENERIC = "https://github.com/spine-generic/data-multi-subject"
RELEASE = "r20250310"
"""Today's names, images on the training grid, and T2w masks that no later model has replaced."""

DERIVATIVES = ("labels", "labels_softseg", "labels_softseg_bin")
_LABELS = re.compile(r"_(label-SC_seg|label-SC_softseg|label-discs(_desc-warp)?_dlabel)\.nii\.gz$")
_OFFLINE = re.compile(r"resolve|network is unreachable", re.IGNORECASE)
"""What urllib3, curl and git say where names of machines cannot be looked up."""

_SCT = "https://github.com/spinalcordtoolbox"
ARCHIVES = {
    "sct-testing": f"{_SCT}/sct_testing_data/releases/download/r20250506/"
    "sct_testing_data-r20250506.zip",
    "sct-example": f"{_SCT}/sct_example_data/releases/download/r20180525/"
    "20180525_sct_example_data.zip",
    "pam50": f"{_SCT}/PAM50/releases/download/r20201104/PAM50-r20201104.zip",
}
"""Addresses of small public sets: the Spinal Cord Toolbox's images for its own tests, one volunteer
in seven contrasts, and the PAM50 template. Their publisher states no checksums."""


@dataclass(frozen=True)
class Fetched:
    """What came.

    Attributes:
        path: The data set's folder.
        new: Files fetched now.
        there: Files that were there already.
        failed: Files that could not be fetched, with the reason.
        origin: Where from: address, and release and commit or the archive's SHA-256.
    """

    path: Path
    new: tuple[str, ...]
    there: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]
    origin: dict[str, str] = field(default_factory=dict)

    def record(self, *, since: float, **parameters: Any) -> Path:
        """List what is there with its checksums, for `softseg verify`.

        What came earlier keeps the checksum of then. Another release or archive begins a new list.

        Args:
            since: When the fetching began, as of `time.time`.
            **parameters: What was asked for.
        """
        path = self.path / MANIFEST
        if path.exists() and _origin(path) != self.origin:
            path.unlink()
        return write_record(
            path,
            [self.path / name for name in (*self.new, *self.there)],
            step="fetch",
            parameters=parameters | {"origin": self.origin},
            since=since,
        )


def _origin(record: Path) -> Any:
    try:
        return read_json(record)["GeneratedBy"][0]["Parameters"]["origin"]
    except (LookupError, TypeError):
        return None


def fetch_spine_generic(
    out: Path | str,
    *,
    subjects: Iterable[str] | None = None,
    contrasts: Iterable[str] | None = None,
    release: str = RELEASE,
    source: str = SPINE_GENERIC,
    jobs: int = 2,
) -> Fetched:
    """Clone the Spine Generic database and fetch the images and masks that the book needs.

    The clone holds names only; then come the six contrasts' images and the cord and disc labels of
    the participants asked for. Run again, it goes on where it stopped.

    Args:
        out: Folder of the data set: new, empty, or an earlier clone.
        subjects: Participants, with or without `sub-`; all by default (26 GB).
        contrasts: Names; the six by default.
        release: Tag to check out.
        source: Where to clone from, an address or a folder.
        jobs: Files at once.

    Raises:
        InputError: If DataLad or git-annex is absent, the source cannot be reached, the release or
            a participant is unknown, or `out` holds something else.
    """
    for option, value in (("--source", source), ("--release", release)):
        if not str(value) or str(value).startswith("-") or "::" in str(value):
            raise InputError(f"{option}: an address or a tag is needed, found {value!r}")
    datalad = _datalad()
    out = Path(out).expanduser().absolute()
    _clone(datalad, source, out)
    _check_out(out, release)
    wanted = _choose(out, subjects, contrasts)
    results = datalad.get(
        path=[str(out / name) for name in wanted],
        dataset=str(out),
        jobs=jobs,
        on_failure="ignore",
        result_renderer="disabled",
        return_type="list",
    )
    by_status: dict[str, list] = {}
    for result in results:
        if result.get("type") == "file":
            name = Path(result["path"]).relative_to(out).as_posix()
            by_status.setdefault(result["status"], []).append((name, _reason(result)))
    new = tuple(sorted(name for name, _ in by_status.pop("ok", [])))
    by_status.pop("notneeded", None)
    failed = tuple(sorted(item for items in by_status.values() for item in items))
    there = set(wanted) - set(new) - {name for name, _ in failed}
    commit = _git(out, "rev-parse", "HEAD").stdout.strip()
    origin = {"source": str(source), "release": release, "commit": commit}
    return Fetched(out, new, tuple(sorted(there)), failed, origin)


def fetch_archive(
    name: str,
    out: Path | str,
    *,
    url: str | None = None,
    known_sha256: str | None = None,
    progress: bool = False,
) -> Fetched:
    """Download a small public set, check its SHA-256 and unpack it.

    Args:
        name: A key of `ARCHIVES`, or any name if `url` is given.
        out: Folder to unpack into.
        url: Another address.
        known_sha256: What its SHA-256 must be. Where nobody states one, the first download's is
            written beside the archive and demanded from then on.
        progress: Show a progress bar.

    Raises:
        InputError: If pooch is absent, the name unknown, the address not HTTPS or unreachable, the
            checksum another, or the archive damaged or unsafe to unpack.
    """
    if name not in ARCHIVES and url is None:
        raise InputError(f"fetch {name}: not one of spine-generic, {', '.join(ARCHIVES)}")
    url = url or ARCHIVES[name]
    _check_url(url)
    try:
        import pooch
    except ImportError as error:
        raise InputError('fetch: pooch is needed; pip install "softseg[fetch]"') from error
    out = Path(out).expanduser().absolute()
    file = urlsplit(url).path.rstrip("/").rsplit("/", 1)[-1]
    file = file if re.fullmatch(r"\w[\w.+-]*", file) else f"{name}.zip"
    pinned = out / f"{file}.sha256"
    known = known_sha256 or (pinned.read_text().strip() if pinned.is_file() else None)
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    there = (out / file).is_file() and known == sha256(out / file)
    pooch.get_logger().setLevel("ERROR")
    try:
        wanted = f"sha256:{known}" if known else None
        pooch.retrieve(url, wanted, fname=file, path=out, progressbar=progress)
    except Exception as error:  # pooch passes on whatever its downloader raises
        remove_empty(made)
        raise InputError(f"{url}: could not be fetched ({_why(error)})") from error
    try:
        files = unpack(out / file, out, again=not there) if file.endswith(".zip") else (file,)
    except InputError:
        if not there:  # what came is of no use
            (out / file).unlink(missing_ok=True)
            remove_empty(made)
        raise
    # Last: only what could be unpacked is demanded again.
    came = sha256(out / file)
    with replacing(pinned) as temporary:
        temporary.write_text(came + "\n")
    origin = {"source": url, "sha256": came}
    return Fetched(out, () if there else files, files if there else (), (), origin)


def _check_url(url: str) -> None:
    """Refuse what could be changed on its way; a server on this machine may speak plainly."""
    parts = urlsplit(url)
    here = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if parts.scheme != "https" and not (parts.scheme == "http" and here):
        raise InputError(f"{url}: downloads come over https only; give an https:// address")


def _datalad():
    """DataLad's interface, with git-annex on the path.

    Raises:
        InputError: If either is absent.
    """
    # Installed by pip, git-annex lies beside this interpreter, which need not be on the path.
    beside = str(Path(sys.executable).parent)
    if beside not in os.environ.get("PATH", "").split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join([beside, os.environ.get("PATH", "")])
    for tool in ("git", "git-annex"):
        if shutil.which(tool) is None:
            raise InputError(f'fetch: {tool} is needed; pip install "softseg[fetch]" (and git)')
    if not _git(Path.cwd(), "config", "user.name").stdout.strip():
        for role in ("AUTHOR", "COMMITTER"):  # git-annex notes in the clone who made it
            os.environ.setdefault(f"GIT_{role}_NAME", "softseg")
            os.environ.setdefault(f"GIT_{role}_EMAIL", "softseg@localhost")
    try:
        import datalad.api as datalad
    except ImportError as error:
        raise InputError('fetch: datalad is needed; pip install "softseg[fetch]"') from error
    bars = sys.stderr.isatty()
    for handler in logging.getLogger("datalad").handlers:  # INFO is 20; bars are records, too
        handler.addFilter(lambda r: r.levelno > 20 or (bars and hasattr(r, "dlm_progress")))
    return datalad


def _clone(datalad, source: str, out: Path) -> None:
    if (out / ".git").exists() and _git(out, "rev-parse", "HEAD").returncode == 0:
        origin = _git(out, "remote", "get-url", "origin").stdout.strip()
        if origin.rstrip("/") != str(source).rstrip("/"):
            raise InputError(f"{out}: a clone of {origin}, not of {source}; choose another folder")
        return
    if out.exists() and any(out.iterdir()):
        raise InputError(f"{out}: holds something that is no clone; choose a new folder")
    try:
        datalad.clone(source=str(source), path=str(out), result_renderer="disabled")
    except Exception as error:  # DataLad wraps what git and git-annex say
        raise InputError(f"{source}: could not be cloned ({_why(error)})") from error


def _why(error: Exception) -> str:
    """What a downloader says, in a few words where nothing at all can be reached."""
    return "no network" if _OFFLINE.search(str(error)) else brief(error, 300)


def _check_out(out: Path, release: str) -> None:
    if _git(out, "rev-parse", "--verify", f"{release}^{{commit}}").returncode != 0:
        _git(out, "fetch", "--tags", "origin")
    if _git(out, "rev-parse", "--verify", f"{release}^{{commit}}").returncode != 0:
        tags = _git(out, "tag", "--sort=-creatordate").stdout.split()
        raise InputError(f"release {release}: unknown; the latest are {', '.join(tags[:5])}")
    done = _git(out, "checkout", "--quiet", release)
    if done.returncode != 0:
        raise InputError(f"{out}: {release} could not be checked out ({done.stderr.strip()[:300]})")


def _choose(
    out: Path, subjects: Iterable[str] | None, contrasts: Iterable[str] | None
) -> list[str]:
    """Names below `out` of the images and labels wanted, fetched or not."""
    present = sorted(path.name for path in out.glob("sub-*"))
    asked = present if subjects is None else subjects
    chosen = [s if s.startswith("sub-") else f"sub-{s}" for s in asked]
    unknown = [s for s in chosen if s not in present]
    if unknown:
        raise InputError(f"{out}: no participant {', '.join(unknown)} in this release")
    known = list(parse_contrasts(contrasts).values())
    names = []
    for subject in chosen:
        for folder in (out, *(out / "derivatives" / name for name in DERIVATIVES)):
            for path in (folder / subject).rglob("*.nii.gz"):
                name = _LABELS.sub(".nii.gz", path.name).replace("_desc-softseg", "")
                is_label = bool(_LABELS.search(path.name))
                found = match_contrast(name, known) if is_label == (folder != out) else None
                if found is not None and found[1] < 2:
                    names.append(path.relative_to(out).as_posix())
    if not names:
        raise InputError(f"{out}: no images of {', '.join(c.name for c in known)}")
    return sorted(names)


def _reason(result: dict) -> str:
    message = result.get("message") or result.get("error_message") or "unknown"
    if isinstance(message, Sequence) and not isinstance(message, str):
        message = message[0] % tuple(message[1:])
    return " ".join(str(message).split())[:200]


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(  # noqa: S603 (a list of arguments, no shell)
        ["git", "-C", str(folder), *arguments],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
