"""Molecular dynamics and relaxations of CP2K: positions, forces and cells in files of their own."""

import gzip
import logging

import numpy as np
import pytest
from ase.units import Bohr, Hartree

from equipot.data import ASEDataModule
from equipot.data._collection import NOTES
from equipot.data._outputs._cp2k_trajectory import companions
from equipot.data._outputs._step import UNCONVERGED
from equipot.data._readers import read_atoms
from equipot.errors import DataError
from equipot_test_support import data_files


def change(path, *pairs):
    text = path.read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)


@pytest.mark.parametrize("relaxation", [False, True])
def test_positions_energies_forces_and_cells(tmp_path, relaxation):
    frames = read_atoms(data_files.cp2k_run(tmp_path, relaxation=relaxation))
    for ours, theirs in zip(frames, data_files.frames(), strict=True):
        assert str(ours.symbols) == str(theirs.symbols)
        assert ours.positions == pytest.approx(theirs.positions, abs=1e-9)
        assert ours.cell.array == pytest.approx(theirs.cell.array, abs=1e-9)
        assert ours.pbc.all()
        energy, forces = theirs.calc.results["energy"], theirs.calc.results["forces"]
        assert ours.calc.results["energy"] == ours.calc.results["free_energy"] == pytest.approx(energy, abs=1e-8)
        assert ours.calc.results["forces"] == pytest.approx(forces, abs=1e-8 * Hartree / Bohr)


def test_a_constant_cell_is_that_of_the_main_output(tmp_path):
    path = data_files.cp2k_run(tmp_path, cells=False)
    assert read_atoms(path)[2].cell.array == pytest.approx(data_files.frames()[2].cell.array, abs=1e-6)
    change(tmp_path / "run.out", ("Periodicity                                    XYZ", "Periodicity  NONE"))
    assert not read_atoms(path)[0].pbc.any()


@pytest.mark.parametrize(
    "line", [" MD_PAR| Ensemble type                NPT_I", " GLOBAL| Run type              CELL_OPT"]
)
def test_a_cell_that_changes_needs_its_file(tmp_path, line):
    path = data_files.cp2k_run(tmp_path, cells=False)
    change(tmp_path / "run.out", (" CELL| Periodicity", f"{line}\n CELL| Periodicity"))
    with pytest.raises(DataError, match=r"the cell of the run changes; put run-1.cell into its folder"):
        read_atoms(path)
    data_files.cp2k_run(tmp_path, output=False)
    assert len(read_atoms(path)) == 3


def test_no_cell_is_no_cell(tmp_path):
    path = data_files.cp2k_run(tmp_path, cells=False, output=False)
    (tmp_path / "other.out").write_text(" CP2K| a\n GLOBAL| Project name              other\n")
    with pytest.raises(DataError, match=r"put run-1.cell or the main output \(run.out\) into its folder"):
        read_atoms(path)


def test_cycles_that_did_not_converge_are_found_by_their_energy(tmp_path):
    frames = read_atoms(data_files.cp2k_run(tmp_path, failed=[1]))
    assert [NOTES in one.info for one in frames] == [False, True, False]
    assert frames[1].info[NOTES] == [(UNCONVERGED, '"SCF run NOT converged"')]


def test_without_forces_there_are_energies(tmp_path):
    frames = read_atoms(data_files.cp2k_run(tmp_path, forces=False))
    assert all("forces" not in one.calc.results and "energy" in one.calc.results for one in frames)


def test_forces_of_some_steps(tmp_path, caplog):
    """Printed less often than positions: the others have none, which is said; more often: the others are skipped."""
    path = data_files.cp2k_run(tmp_path)
    forces, lines = tmp_path / "run-frc-1.xyz", (tmp_path / "run-frc-1.xyz").read_text().splitlines(keepends=True)
    forces.write_text("".join(lines[:5] + lines[10:]))
    with caplog.at_level(logging.WARNING):
        frames = read_atoms(path)
    assert ["forces" in one.calc.results for one in frames] == [True, False, True]
    assert frames[2].calc.results["forces"] == pytest.approx(data_files.frames()[2].calc.results["forces"], abs=1e-7)
    assert f"{path}: 1 of 3 geometries have no forces in run-frc-1.xyz" in caplog.text
    forces.write_text("".join(lines))
    positions = path.read_text().splitlines(keepends=True)
    path.write_text("".join(positions[:5] + positions[10:]))
    frames = read_atoms(path)
    assert frames[1].calc.results["forces"] == pytest.approx(data_files.frames()[2].calc.results["forces"], abs=1e-7)


def test_files_of_different_runs_are_refused(tmp_path):
    path = data_files.cp2k_run(tmp_path)
    text = (tmp_path / "run-frc-1.xyz").read_text()
    energy = text.splitlines()[1].split("=")[-1].strip()
    change(tmp_path / "run-frc-1.xyz", (energy, "-1.5"))
    with pytest.raises(DataError, match=r"run-frc-1.xyz: step 0 has other atoms or another energy in run-pos-1.xyz"):
        read_atoms(path)
    (tmp_path / "run-frc-1.xyz").write_text(text.replace("  O ", "  H ", 1))
    with pytest.raises(DataError, match="step 0 has other atoms"):
        read_atoms(path)


def test_faults_of_the_file_of_cells(tmp_path):
    path = data_files.cp2k_run(tmp_path)
    cells = tmp_path / "run-1.cell"
    lines = cells.read_text().splitlines(keepends=True)
    for text, message in (
        ("".join(lines[:2]), "run-1.cell: has no cell of step 5 of run-pos-1.xyz"),
        ("".join([*lines, lines[1].replace("5.0000000000", "6.0000000000")]), "has different cells of step 0"),
        ("".join(lines).replace("Angstrom", "bohr"), "is not a file of cells of CP2K in Å"),
        ("".join([*lines, " 15 7.5 1 2\n"]), "has a line that is not step, time, cell, volume"),
    ):
        cells.write_text(text)
        with pytest.raises(DataError, match=message):
            read_atoms(path)


def test_a_run_that_goes_on_is_read_up_to_its_last_whole_step(tmp_path, caplog):
    path = data_files.cp2k_run(tmp_path)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    assert len(read_atoms(path)) == 2
    assert "ends within a step, which is left out" in caplog.text


@pytest.mark.parametrize("fault", ["x", "1.0 2.0 3.0 4.0"])
def test_a_line_that_is_no_atom_is_refused(tmp_path, fault):
    path = data_files.cp2k_run(tmp_path)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:3], f"H {fault}\n", *lines[4:]]))
    with pytest.raises(DataError, match="frame 0 .*has a line that is not an atom and three numbers"):
        read_atoms(path)


def test_forces_alone_are_not_positions(tmp_path):
    data_files.cp2k_run(tmp_path)
    with pytest.raises(DataError, match=r"run-frc-1.xyz.*: is not the file with the positions.*give run-pos-1.xyz"):
        read_atoms(tmp_path / "run-frc-1.xyz")


def test_the_main_output_says_which_file_to_give(tmp_path):
    path = data_files.cp2k(tmp_path)
    energy = next(line for line in path.read_text().splitlines() if "ENERGY|" in line)
    change(path, (energy, f"{energy}\n{energy}"))
    with pytest.raises(DataError, match=r"several energies for one geometry; .*give NAME-pos-1.xyz"):
        read_atoms(path)


def test_kinds_are_mapped_and_files_may_be_compressed(tmp_path):
    path = data_files.cp2k_run(tmp_path)
    for name in ("run-pos-1.xyz", "run-frc-1.xyz"):
        file = tmp_path / name
        packed = file.read_text().replace("  O ", "  OW ").encode()
        file.with_name(f"{name}.gz").write_bytes(gzip.compress(packed))
        file.unlink()
    packed = path.with_name("run-pos-1.xyz.gz")
    with pytest.raises(DataError, match="for example species: {OW: O}"):
        read_atoms(packed)
    frames = read_atoms(packed, None, {"OW": "O"})
    assert frames[2].calc.results["forces"] == pytest.approx(data_files.frames()[2].calc.results["forces"], abs=1e-7)


def test_other_files_of_the_run_are_part_of_the_data(tmp_path):
    """Their digests are stored with the run, and frames from the cache depend on them."""
    path = data_files.cp2k_run(tmp_path)
    names = ["run-frc-1.xyz", "run-1.cell", "run.out"]
    assert companions(str(path)) == [str(tmp_path / name) for name in names]
    assert companions(str(tmp_path / "run-frc-1.xyz")) == companions(str(tmp_path / "missing-pos-1.xyz")) == []
    data = ASEDataModule(1, train_file_path=str(path), cache_dir=None)
    assert [file.rpartition("/")[2] for file in data.file_hashes()] == ["run-pos-1.xyz", *names]
    assert np.isfinite([float(frame["total_energy"][0]) for frame in data.read([str(path)]).frames]).all()


def test_frames_from_the_cache_depend_on_the_other_files(tmp_path, monkeypatch):
    monkeypatch.setattr("equipot.data._frames_cache.FROM_BYTES", 0)
    path = data_files.cp2k_run(tmp_path)
    data = ASEDataModule(1, train_file_path=str(path), cache_dir=str(tmp_path / "cache"))
    before = data.read([str(path)]).frames[0]["forces"].clone()
    lines = (tmp_path / "run-frc-1.xyz").read_text().splitlines(keepends=True)
    (tmp_path / "run-frc-1.xyz").write_text("".join([*lines[:2], " O 1.0 2.0 3.0\n", *lines[3:]]))
    after = data.read([str(path)]).frames[0]["forces"]
    assert not np.allclose(before[0], after[0])
    assert after[0] == pytest.approx(np.array([1.0, 2.0, 3.0]) * Hartree / Bohr)
