"""The build, without compiling: what it says when it cannot, and when it believes what is there."""

import json
import re

import pytest

from equipot_lammps import LammpsError, _build


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("EQUIPOT_CACHE_DIR", str(folder))
    return folder


def made(folder):
    folder.mkdir(parents=True, mode=0o700)
    (folder / _build.LIBRARY).write_bytes(b"library")
    (folder / _build.LIBRARY).chmod(0o700)
    _build._seal(folder)
    return folder


def test_without_a_compiler_one_line_says_what_to_install(cache, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(LammpsError, match=re.escape("found no C++ compiler, got 'no-such-compiler'; install one")):
        _build.build(say=lambda line: None)


def test_an_old_compiler_is_named(cache, monkeypatch, tmp_path):
    compiler = tmp_path / "cxx"
    compiler.write_text("#!/bin/sh\necho 'error: unrecognized -std=c++20' >&2; exit 1\n")
    compiler.chmod(0o700)
    monkeypatch.setenv("CXX", str(compiler))
    said = []
    with pytest.raises(LammpsError, match=r"failed: error: unrecognized -std=c\+\+20; it must know C\+\+20"):
        _build.build(say=said.append)
    assert "1-2 minutes" in said[0]
    assert list((cache / "lammps").iterdir()) == []


def test_a_whole_build_is_recognised(tmp_path):
    assert _build.is_complete(made(tmp_path / "whole"))
    assert not _build.is_complete(tmp_path / "nothing")


@pytest.mark.parametrize("damage", ["library", "gone", "record", "other record"])
def test_a_damaged_build_is_not_believed(tmp_path, damage, caplog):
    folder = made(tmp_path / "build")
    if damage == "library":
        (folder / _build.LIBRARY).write_bytes(b"other")
    elif damage == "gone":
        (folder / _build.LIBRARY).unlink()
    else:
        text = "[1]" if damage == "record" else json.dumps({"x.so": ""})
        (folder / _build.RECORD).write_text(text)
    assert not _build.is_complete(folder)


def test_libraries_of_kernels_are_put_beside_it(cache, monkeypatch, tmp_path):
    """Those of every modifier that declares one; only new ones are copied."""
    folder = made(cache / "lammps" / "build")
    calls = []

    def library(kept):
        calls.append(kept)
        path = kept / "ops.so"
        path.write_bytes(b"ops")
        return path

    monkeypatch.setattr(_build, "import_module", lambda name: type("module", (), {"native_library": library}))
    for _ in range(2):
        _build._add_kernels(folder)
    found = folder / "libequipot_ops_enable_FusedKernels.so"
    assert found.read_bytes() == b"ops"
    assert set(calls) == {cache / "lammps" / "kernels"}
    assert _build.is_complete(folder)
    record = json.loads((folder / _build.RECORD).read_text())
    assert set(record) == {_build.LIBRARY, found.name}


def test_a_failed_build_leaves_the_old_one(cache):
    folder = made(cache / "lammps" / "build")
    with pytest.raises(RuntimeError), _build._replaced(folder):
        raise RuntimeError
    assert _build.is_complete(folder)
    with _build._replaced(folder) as new:
        (new / "new.so").write_bytes(b"")
    assert [path.name for path in folder.iterdir()] == ["new.so"]
