import json
import os
import stat

import pytest

from equipot import caches
from equipot.caches import own_bytes, own_folder, read_entry, write_entry


@pytest.fixture(autouse=True)
def _say_again():
    caches._say.cache_clear()


@pytest.fixture
def entry(tmp_path):
    """An entry whose contents are ``{"built": True}``, in a folder of our own."""
    folder = tmp_path / "cache"
    assert own_folder(folder)
    write_entry(folder / "a.json", "a", {"built": True})
    return folder / "a.json"


def read(path, key="a"):
    return read_entry(path, key, lambda content: isinstance(content, dict))


def given_away(path, monkeypatch):
    """As if another user had made the file or folder."""
    if os.getuid() == 0:
        os.chown(path, 12345, 12345, follow_symlinks=False)
    else:
        monkeypatch.setattr(os, "getuid", lambda: path.lstat().st_uid + 1)


def test_what_was_written_is_read(entry):
    assert read(entry) == {"built": True}
    assert stat.S_IMODE(entry.stat().st_mode) == 0o600
    assert stat.S_IMODE(entry.parent.stat().st_mode) == 0o700


def test_also_where_groups_may_usually_write(tmp_path, monkeypatch):
    before = os.umask(0o002)
    try:
        own_folder(tmp_path / "new")
        write_entry(tmp_path / "new" / "a.json", "a", {})
    finally:
        os.umask(before)
    assert read(tmp_path / "new" / "a.json") == {}


def test_what_is_not_there_is_no_reason_for_a_line(tmp_path, caplog):
    assert read(tmp_path / "a.json") is None
    assert read(tmp_path / "none" / "a.json") is None
    assert not caplog.text


@pytest.mark.parametrize("place", ["file", "folder"])
def test_of_another_user(entry, monkeypatch, caplog, place):
    path = entry if place == "file" else entry.parent
    given_away(path, monkeypatch)
    assert read(entry) is None
    assert read(entry) is None
    assert len(caplog.records) == 1, "one line"
    assert f"{path} is not believed: it belongs to another user" in caplog.text or os.getuid() != 0


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_file_that_others_can_write(entry, caplog, mode):
    entry.chmod(mode)
    assert read(entry) is None
    assert caplog.messages == [
        f"{entry} is not believed: other users can write to it; remove it, or choose another cache folder"
    ]


@pytest.mark.parametrize("mode", [0o770, 0o777, 0o1777])
def test_folder_that_others_can_write(entry, caplog, mode):
    entry.parent.chmod(mode)
    assert read(entry) is None
    assert f"{entry.parent} is not believed: other users can write to it" in caplog.text
    assert not own_folder(entry.parent)
    assert f"{entry.parent} is not used: other users can write to it; choose another cache folder" in caplog.text


def link_to_another_file(path):
    path.rename(path.with_name("b"))
    path.symlink_to("b")


def link_to_nothing(path):
    path.unlink()
    path.symlink_to("none")


def pipe(path):
    path.unlink()
    os.mkfifo(path)


def folder(path):
    path.unlink()
    path.mkdir()


def device(path):
    path.unlink()
    path.symlink_to("/dev/zero")


def large(path):
    with path.open("ab") as file:
        file.truncate(caches._MAX_BYTES + 1)


@pytest.mark.parametrize("change", [link_to_another_file, link_to_nothing, pipe, folder, device, large])
def test_what_is_no_file_of_ours(entry, caplog, change):
    change(entry)
    assert read(entry) is None
    assert f"{entry} is not believed: " in caplog.text
    assert len(caplog.records) == 1


def edited(record):
    record["content"]["built"] = False
    return json.dumps(record)


DAMAGE = {
    "cut": lambda record: json.dumps(record)[:30],
    "empty": lambda _: "",
    "no JSON": lambda _: "\udcff",
    "a list": lambda record: json.dumps([record]),
    "null": lambda _: "null",
    "deep": lambda _: "[" * 100_000,
    "long number": lambda _: "9" * 10_000,
    "edited": edited,
    "no digest": lambda record: json.dumps({"key": "a", "content": record["content"]}),
    "of another key": lambda record: json.dumps({**record, "key": "b"}),
    "of another type": lambda _: json.dumps({"key": "a", "content": 1, "sha256": caches._digest("a", 1)}),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_is_as_if_it_were_not_there(entry, caplog, kind):
    text = DAMAGE[kind](json.loads(entry.read_text()))
    entry.write_bytes(text.encode(errors="surrogateescape"))
    assert read(entry) is None
    assert caplog.messages == [
        f"{entry} is not believed: it is damaged or was edited; remove it, or choose another cache folder"
    ]
    write_entry(entry, "a", {"built": True})
    assert read(entry) == {"built": True}


def test_under_another_name_it_does_not_count(entry):
    write_entry(entry.with_name("b.json"), "b", {})
    assert read(entry.with_name("b.json"), "a") is None


def test_numbers_come_back_bit_for_bit(entry):
    content = {"a": 1 / 3, "b": {"H": 2.0**-1074, "C": 1e308}, "n": 7}
    write_entry(entry, "a", content)
    assert read(entry) == content


def test_folder_that_cannot_be_made(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        assert not own_folder(path)
        assert f"{path} is not used: it cannot be made" in caplog.text


def test_bytes_up_to_a_limit(entry):
    size = entry.stat().st_size
    assert own_bytes(entry, size) == entry.read_bytes()
    assert own_bytes(entry, size - 1) is None
