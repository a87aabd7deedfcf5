import json
import os
import stat
from pathlib import Path

import pytest

from equipot.errors import ArtifactError
from equipot.files import (
    atomic,
    cache_folder,
    code_folder,
    file_digest,
    no_code,
    open_regular,
    require_regular,
    stream_digest,
    write_json,
    write_text,
)
from equipot_test_support.mounts import mounted_tmpfs


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole(tmp_path):
    path = tmp_path / "a file.txt"
    with atomic(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        assert temporary.suffix == path.suffix
    assert path.read_text() == "half"
    assert names(tmp_path) == ["a file.txt"]


def test_a_failure_leaves_the_old_contents(tmp_path):
    path = tmp_path / "model.zip"
    write_text(path, "old")
    with pytest.raises(TypeError), atomic(path) as temporary:
        temporary.write_text(None)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["model.zip"]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ArtifactError, match=r"none/a.txt: cannot be written: .*; choose an existing folder"):
        write_text(tmp_path / "none" / "a.txt", "text")


def test_files_have_the_usual_rights(tmp_path):
    ours, usual = tmp_path / "ours", tmp_path / "usual"
    write_text(ours, "")
    usual.write_text("")
    assert stat.S_IMODE(ours.stat().st_mode) == stat.S_IMODE(usual.stat().st_mode)


def test_json_is_indented_and_keeps_its_letters(tmp_path):
    write_json(tmp_path / "a.json", {"Å": [1]})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"Å": [1]}
    assert text.startswith('{\n  "Å"')
    assert text.endswith("}\n")


def test_the_cache_folder_is_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("EQUIPOT_CACHE_DIR", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.delenv("EQUIPOT_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "equipot"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    assert cache_folder() == tmp_path / "home" / ".cache" / "equipot"


def test_a_pipe_or_a_folder_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(ArtifactError, match="is not a regular file"):
            require_regular(path)


def test_links_are_followed_unless_they_are_refused(tmp_path):
    write_text(tmp_path / "file", "text")
    (tmp_path / "link").symlink_to("file")
    with open_regular(tmp_path / "link") as file:
        assert file.read() == b"text"
    with pytest.raises(ArtifactError, match="link: cannot be read"):
        open_regular(tmp_path / "link", follow_links=False)


def test_without_a_home_folder_the_cache_must_be_named(monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("EQUIPOT_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(ArtifactError, match="there is no home folder to keep it in; set EQUIPOT_CACHE_DIR to"):
        cache_folder()


def test_the_digest_of_an_open_file_is_that_of_the_file(tmp_path):
    write_text(tmp_path / "a", "text")
    with open_regular(tmp_path / "a") as file:
        file.read(2)
        assert stream_digest(file) == file_digest(tmp_path / "a")


def test_the_folder_for_code_is_the_one_for_temporary_files(tmp_path, monkeypatch):
    for name in ("TMPDIR", "TMP", "TEMP"):
        monkeypatch.delenv(name, raising=False)
    assert code_folder() == Path("/tmp")  # noqa: S108 - where torch puts its files
    for name in ("TEMP", "TMP", "TMPDIR"):
        folder = tmp_path / name
        folder.mkdir()
        monkeypatch.setenv(name, str(folder))
        assert code_folder() == folder


@pytest.mark.parametrize("options", [("noexec",), ("ro",)])
def test_a_folder_that_does_not_allow_code(tmp_path, monkeypatch, options):
    what = {"noexec": "does not allow execution .it is mounted with noexec.", "ro": "cannot be written"}[options[0]]
    with mounted_tmpfs(tmp_path / "folder", "1m", *options) as path:
        monkeypatch.setenv("TMPDIR", str(path))
        with pytest.raises(ArtifactError, match=f"TMPDIR: .* {what}, .*; set TMPDIR to a folder that allows it, e.g. "):
            code_folder()


def test_a_folder_for_temporary_files_that_is_missing(tmp_path, monkeypatch):
    assert not no_code(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "none"))
    with pytest.raises(ArtifactError, match=r"TMPDIR: .* does not exist, .*none'; set TMPDIR to a folder"):
        code_folder()
