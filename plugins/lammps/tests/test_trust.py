"""pair_style equipot runs the code of a compiled file only if this user built it, or if the script allows it."""

import hashlib
import shutil
import subprocess

import pytest

from equipot._cli.main import main
from equipot.artifacts import _trust as trust
from equipot.caches import write_entry
from equipot_lammps import LammpsError
from equipot_lammps._programs import run_script
from equipot_lammps._wheels import SOURCES
from equipot_test_support.lammps import script_for

pytestmark = pytest.mark.slow

PROGRAM = """#include "facts.h"
#include "trust.h"
#include <iostream>
int main(int, char **arguments) {
  try {
    equipot::OpenFile file(arguments[1]);
    std::cout << file.sha256() << "\\n" << equipot::unknown_origin(file.sha256()) << "\\n";
  } catch (const equipot::Problem &problem) {
    std::cout << problem.what() << "\\n";
  }
}
"""


@pytest.fixture(scope="module")
def examined(tmp_path_factory):
    """What the pair style makes of a file: ``examined(path)`` gives its digest, and why it is not known."""
    folder = tmp_path_factory.mktemp("trust")
    (folder / "main.cpp").write_text(PROGRAM)
    parts = [str(folder / "main.cpp"), str(SOURCES / "trust.cpp")]
    subprocess.run(["g++", "-std=c++17", "-I", str(SOURCES), *parts, "-o", str(folder / "trust")], check=True)

    def found(path):
        done = subprocess.run([folder / "trust", str(path)], capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    return found


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("EQUIPOT_CACHE_DIR", str(folder))
    return folder / "compiled"


@pytest.fixture
def built(tmp_path, cache):
    """A file with the record that ``equipot compile`` makes, and its digest."""
    path = tmp_path / "a.equipot.pt2"
    path.write_bytes(b"code")
    digest = hashlib.sha256(b"code").hexdigest()
    trust.remember(digest, built=True)
    return path, digest


@pytest.mark.parametrize("size", [0, 1, 55, 56, 63, 64, 65, 119, 120, 65536, 1000003])
def test_the_digest_is_that_of_python(examined, cache, tmp_path, size):
    raw = bytes(k * k % 251 for k in range(size))
    (tmp_path / "a").write_bytes(raw)
    assert examined(tmp_path / "a")[0] == hashlib.sha256(raw).hexdigest()


def test_the_record_is_that_of_python(examined, built, cache, tmp_path, monkeypatch):
    path, digest = built
    assert examined(path) == [digest, ""]
    path.write_bytes(b"other code")
    assert examined(path)[1] == f"{cache} has no record"
    path.write_bytes(b"code")
    monkeypatch.delenv("EQUIPOT_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert examined(path)[1] == f"{tmp_path}/xdg/equipot/compiled does not exist, so there is no record"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert examined(path)[1] == f"{tmp_path}/home/.cache/equipot/compiled does not exist, so there is no record"
    trust.remember(digest, built=True)
    assert examined(path) == [digest, ""]


def test_a_file_that_was_only_replayed_was_not_built(examined, cache, tmp_path):
    (tmp_path / "a").write_bytes(b"code")
    trust.remember(hashlib.sha256(b"code").hexdigest(), built=False)
    assert examined(tmp_path / "a")[1] == f"{cache} has no record"


@pytest.mark.parametrize("wrong", ["folder", "record", "link", "pipe", "other", "verified"])
def test_only_our_own_records_count(examined, built, cache, tmp_path, wrong):
    path, digest = built
    record = cache / f"{digest}.json"
    expected = f"{cache} has no record"
    if wrong == "folder":
        cache.chmod(0o777)
        expected = f"{cache} is not believed, as other users can write to it, so there is no record"
    elif wrong == "record":
        record.chmod(0o666)
        expected = f"{record} is not believed, as other users can write to it, so there is no record"
    elif wrong == "link":
        record.rename(tmp_path / "moved.json")
        record.symlink_to(tmp_path / "moved.json")
    elif wrong == "pipe":
        record.unlink()
        subprocess.run(["mkfifo", "-m", "600", str(record)], check=True)
        expected = f"{record} is not believed, as it is not a regular file, so there is no record"
    elif wrong == "other":
        write_entry(record, "0" * 64, {"built": True, "verified": []})
    else:  # a name of a machine that looks like the fact
        write_entry(record, digest, {"built": False, "verified": ['"built": true']})
    assert examined(path)[1] == expected


def test_what_is_no_file_is_said(examined, tmp_path):
    assert examined(tmp_path / "gone") == [f"{tmp_path}/gone: there is no such file"]
    assert examined(tmp_path) == [f"{tmp_path}: is not a regular file; a folder, pipe or device cannot be read"]


# ---------------------------------------------------------------------------------- LAMMPS


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_file_from_elsewhere_does_not_run_in_lammps(style, files, cache, tmp_path, ranks):
    """One that was edited is another file: its code must not run either."""
    script = script_for("cubic", files("hops"), tmp_path)
    with pytest.raises(LammpsError) as caught:
        run_script(script, tmp_path, ranks=ranks, plugins=style)
    text = str(caught.value)
    assert f"{files('hops')}: holds native code, and {cache} does not exist, so there is no record that" in text
    assert "compile it here with 'equipot compile'" in text
    assert "if you trust its source, write: pair_style equipot allow_native yes" in text
    allowed = script.replace("pair_style equipot", "pair_style equipot allow_native yes")
    assert "Loop time" in run_script(allowed, tmp_path, ranks=ranks, plugins=style)


def test_an_edited_file_does_not_run_in_lammps(kept, style, files, tmp_path):
    edited = tmp_path / "edited.equipot.pt2"
    shutil.copy(files("strict"), edited)
    script = script_for("cubic", edited, tmp_path)
    assert "Loop time" in run_script(script, tmp_path, plugins=style)
    with edited.open("ab") as file:
        file.write(b"\0")
    with pytest.raises(LammpsError, match="has no record that you built it"):
        run_script(script, tmp_path, plugins=style)


def test_an_option_does_not_outlive_its_line(style, files, cache, tmp_path):
    """LAMMPS keeps a style that is given again."""
    script = script_for("cubic", files("strict"), tmp_path)
    twice = script.replace("pair_style equipot", "pair_style equipot allow_native yes\npair_style equipot")
    with pytest.raises(LammpsError, match="so there is no record that you built it"):
        run_script(twice, tmp_path, plugins=style)


def test_check_allows_what_its_option_allows(style, files, monkeypatch, cache, capsys):
    monkeypatch.setattr("equipot_lammps._check.built_pair_style", lambda: style)
    monkeypatch.setattr("equipot_lammps._check.build_folder", lambda: style)
    assert main(["lammps", "check", str(files("strict"))]) == 2
    assert "pass --allow-native" in capsys.readouterr().err
    assert main(["lammps", "check", str(files("strict")), "--allow-native"]) == 0
    assert "reproduces the golden frames" in capsys.readouterr().out
