"""An archive from elsewhere unpacks whole, inside its folder, or not at all."""

import struct
import zipfile
from pathlib import Path

import pytest

from softseg.archives import unpack
from softseg.errors import InputError
from softseg.fetch import fetch_archive, fetch_spine_generic


def packed(path: Path, members: dict[str, bytes], **attributes: int) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            item = zipfile.ZipInfo(name)
            item.external_attr = attributes.get("mode", 0o100644) << 16
            item.compress_type = zipfile.ZIP_DEFLATED
            file.writestr(item, content)
    return path


@pytest.fixture
def out(tmp_path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def test_what_is_inside_comes_out(tmp_path, out):
    archive = packed(tmp_path / "a.zip", {"t2/t2.txt": b"2", "ünï cödé $(x).txt": b"1"})
    assert unpack(archive, out) == ("t2/t2.txt", "ünï cödé $(x).txt")
    assert (out / "t2/t2.txt").read_bytes() == b"2"
    (out / "t2/t2.txt").write_bytes(b"mine")
    unpack(archive, out, again=False)
    assert (out / "t2/t2.txt").read_bytes() == b"mine"


@pytest.mark.parametrize(
    "name", ["../evil.txt", "a/../../evil.txt", "/tmp/evil.txt", "..\\evil.txt", "C:/evil.txt"]
)
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path, out, name):
    archive = packed(tmp_path / "a.zip", {"good.txt": b"1", name: b"2"})
    with pytest.raises(InputError, match="would leave the folder"):
        unpack(archive, out)
    assert list(out.iterdir()) == []
    assert not (tmp_path / "evil.txt").exists()


def test_a_link_in_an_archive_is_refused(tmp_path, out):
    archive = packed(tmp_path / "a.zip", {"link": b"/etc"}, mode=0o120777)
    with pytest.raises(InputError, match="no plain file"):
        unpack(archive, out)


def test_a_link_in_the_folder_is_not_followed_out_of_it(tmp_path, out):
    (tmp_path / "elsewhere").mkdir()
    (out / "t2").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="a link leads out"):
        unpack(packed(tmp_path / "a.zip", {"t2/t2.txt": b"2"}), out)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, out):
    archive = packed(tmp_path / "a.zip", {"zeros": bytes(2**24)})
    with pytest.raises(InputError, match="would unpack to 16,777,216"):
        unpack(archive, out)
    assert list(out.iterdir()) == []


def test_a_bomb_that_lies_about_its_size_does_not_fill_the_disk(tmp_path, out):
    content = bytearray(packed(tmp_path / "a.zip", {"zeros": bytes(2**24)}).read_bytes())
    for signature, offset in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        at = content.index(signature) + offset
        content[at : at + 4] = struct.pack("<I", 100)
    (tmp_path / "b.zip").write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        unpack(tmp_path / "b.zip", out)
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("damage", ["cut", "flipped", "text", "empty", "encrypted"])
def test_a_damaged_archive_is_one_line_and_leaves_nothing(tmp_path, out, damage):
    content = bytearray(packed(tmp_path / "a.zip", {"a.txt": bytes(range(256)) * 9}).read_bytes())
    if damage == "cut":
        content = content[:-30]
    elif damage == "flipped":
        content[60] ^= 0xFF
    elif damage == "encrypted":
        for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
            content[content.index(signature) + offset] |= 1
    else:
        content = b"no archive" if damage == "text" else b""
    (tmp_path / "b.zip").write_bytes(content)
    with pytest.raises(InputError, match=r"b\.zip: ") as caught:
        unpack(tmp_path / "b.zip", out)
    assert "\n" not in str(caught.value)
    assert list(out.iterdir()) == []


@pytest.mark.parametrize(
    "url", ["http://example.org/a.zip", "ftp://example.org/a.zip", "file:///etc/passwd", "a.zip"]
)
def test_only_https_is_downloaded_from(tmp_path, url):
    with pytest.raises(InputError, match="https"):
        fetch_archive("small", tmp_path / "out", url=url)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "options", [{"source": "--upload-pack=touch x"}, {"source": "ext::sh -c x"}, {"release": "-f"}]
)
def test_an_address_cannot_become_an_option_of_git(tmp_path, options):
    with pytest.raises(InputError, match="an address or a tag is needed"):
        fetch_spine_generic(tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
