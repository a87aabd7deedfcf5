"""The converter to LMDB files."""

import pytest

from equipot_test_support import data_files
from equipot_toolbox import LMDBDataset
from equipot_toolbox.convert import main as convert


def test_converter_and_frames_that_did_not_converge(tmp_path, capsys):
    path, out = data_files.outcar(tmp_path, failed=[1], smearing=0.02), tmp_path / "a.lmdb"
    assert convert([str(path), str(out)]) == 2
    assert "error: --unconverged: 1 of 3 frames did not converge" in capsys.readouterr().err
    assert not out.exists()
    assert convert([str(path), str(out), "--unconverged", "drop"]) == 0
    stored = LMDBDataset(str(out))
    assert len(stored) == 2
    assert stored.atoms(1).calc.results["free_energy"] == pytest.approx(
        data_files.frames()[2].calc.results["energy"] - 0.02, abs=1e-7
    )


def test_converter_says_what_is_wrong(tmp_path, capsys):
    assert convert([str(tmp_path / "none.extxyz"), str(tmp_path / "a.lmdb")]) == 2
    assert "none.extxyz: no such file" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        convert(["a.extxyz", "a.db"])
    assert "ends in .lmdb" in capsys.readouterr().err


def test_converter_with_names_of_atoms(tmp_path, capsys):
    path, out = tmp_path / "a.xyz", tmp_path / "a.lmdb"
    path.write_text("1\nProperties=species:S:1:pos:R:3 energy=-1\nOW 0 0 0\n" * 3)
    assert convert([str(path), str(out)]) == 2
    assert "for example --species OW=O" in capsys.readouterr().err
    assert convert([str(path), str(out), "--species", "OW=O", "--ase-args", "index=:2"]) == 0
    assert [atoms.get_chemical_formula() for atoms in map(LMDBDataset(str(out)).atoms, range(2))] == ["O", "O"]
    assert convert([str(path), str(out), "--ase-args", "frames=0"]) == 2
    assert "error: --ase-args.frames: unknown argument" in capsys.readouterr().err
