"""Files of predictions and tables by frame hold the numbers of the evaluation, and replace nothing by halves."""

import csv
import dataclasses

import numpy as np
import pytest
from ase import units
from ase.io import read

from equipot.artifacts import load_model
from equipot.errors import ArtifactError
from equipot.evaluate import evaluate, parity_plot, write_csv, write_predictions


@pytest.fixture
def found(package_file, labelled, keys):
    return evaluate(load_model(package_file), labelled[0], labels=keys)


def test_predictions_and_labels_under_the_stated_keys(found, by_hand, tmp_path):
    write_predictions(found, tmp_path / "pred.extxyz")
    frames = read(tmp_path / "pred.extxyz", ":")
    assert len(frames) == len(by_hand)
    for atoms, row in zip(frames, by_hand, strict=True):
        assert f"{atoms.info['source_file']}, frame {atoms.info['source_frame']}" == row["place"]
        assert atoms.info["config_type"] == row["group"]
        error = atoms.info["equipot_energy"] - atoms.info["label_energy"]
        assert 1000 * error == pytest.approx(row["energy"], abs=1e-6)
        assert ("label_forces" in atoms.arrays, "label_stress" in atoms.info) == ("forces" in row, "stress" in row)
        if "forces" in row:
            errors = atoms.arrays["equipot_forces"] - atoms.arrays["label_forces"]
            np.testing.assert_allclose(1000 * errors, row["forces"], atol=3e-5)
        if "stress" in row:
            errors = atoms.info["equipot_stress"] - atoms.info["label_stress"]
            np.testing.assert_allclose(1000 * errors, row["stress"], atol=3e-5)


def test_a_label_that_is_missing_for_an_atom_is_nan(package_file, labelled, keys, tmp_path):
    from ase.io import write

    frames = [frame.copy() for frame in labelled[1]]
    frames[0].arrays["REF_forces"][1] = np.nan
    write(tmp_path / "nan.extxyz", frames)
    found = evaluate(load_model(package_file), tmp_path / "nan.extxyz", labels=keys, mask_nan=True)
    write_predictions(found, tmp_path / "pred.extxyz")
    forces = read(tmp_path / "pred.extxyz", 0).arrays["label_forces"]
    assert np.isnan(forces[1]).all()
    np.testing.assert_allclose(forces[0], frames[0].arrays["REF_forces"][0], atol=1e-8)


def test_other_units_are_written_in_ev(package_file, labelled, keys, tmp_path):
    model = load_model(package_file)

    class InKcal:
        info = dataclasses.replace(model.info, units="real")

        def __call__(self, batch):
            return model(batch)

    found = evaluate(InKcal(), labelled[0], labels=keys)
    write_predictions(found, tmp_path / "pred.extxyz")
    first, given = read(tmp_path / "pred.extxyz", 0), labelled[1][0]
    assert first.info["label_energy"] == pytest.approx(given.info["REF_energy"] * units.kcal / units.mol, rel=1e-6)
    expected = given.arrays["REF_forces"] * units.kcal / units.mol
    np.testing.assert_allclose(first.arrays["label_forces"], expected, rtol=1e-6, atol=2e-8)
    np.testing.assert_allclose(first.positions, given.positions, atol=1e-8)


def test_the_table_has_a_row_for_each_frame(found, by_hand, tmp_path):
    write_csv(found, tmp_path / "frames.csv")
    with (tmp_path / "frames.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(by_hand)
    for row, expected in zip(rows, by_hand, strict=True):
        assert f"{row['file']}, frame {row['frame']}" == expected["place"]
        assert int(row["n_atoms"]) == len(expected["numbers"])
        error = 1000 * (float(row["energy_prediction_ev"]) - float(row["energy_label_ev"]))
        assert error == pytest.approx(expected["energy"], abs=1e-6)
        if expected["group"] == "IsolatedAtom":
            assert (row["isolated_atom"], row["per_atom_energy_error_mev"]) == ("1", "")
            continue
        assert float(row["per_atom_energy_error_mev"]) == pytest.approx(expected["energy"] / len(expected["numbers"]))
        rmse = np.sqrt(np.mean(expected["forces"] ** 2))
        assert float(row["forces_rmse_mev_per_angstrom"]) == pytest.approx(rmse, rel=1e-6)
        assert (row["stress_max_mev_per_angstrom3"] == "") == ("stress" not in expected)
    left = [float(row["per_atom_energy_error_without_composition_mev"]) for row in rows[:-1]]
    assert np.sqrt(np.mean(np.square(left))) == pytest.approx(found.without_composition.errors["rmse"])
    assert rows[0]["formula"] == "H2O"


@pytest.mark.parametrize(
    "writer", [write_predictions, write_csv, lambda found, path: parity_plot(found.compared, path, "")]
)
def test_nothing_is_left_of_a_file_that_cannot_be_written(found, tmp_path, writer):
    with pytest.raises(ArtifactError, match="cannot be written"):
        writer(found, tmp_path / "none" / "file.png")
    assert not list(tmp_path.rglob("*file*"))


def test_an_older_file_stays_whole_when_writing_fails(found, tmp_path, monkeypatch):
    path = tmp_path / "pred.extxyz"
    path.write_text("older")

    def fail(*_, **__):
        raise RuntimeError("no")

    monkeypatch.setattr("ase.io.extxyz.write_xyz", fail)
    with pytest.raises(RuntimeError):
        write_predictions(found, path)
    assert path.read_text() == "older"
    assert [one.name for one in tmp_path.iterdir() if "pred" in one.name] == ["pred.extxyz"]
