"""Labels that a plugin declares have errors, rows in tables and columns in files, like those of core."""

import csv
import dataclasses

import numpy as np
import pytest
import torch
from ase.build import molecule
from ase.io import read, write

from equipot._cli._eval_tables import print_evaluation
from equipot.evaluate import evaluate, write_csv, write_predictions
from equipot.units import KCAL_PER_MOL_IN_EV

pytestmark = pytest.mark.usefixtures("own_labels")

LABELS = {"total_energy": "energy", "dipole": "mu", "charges": "q", "work_function": "phi"}


class WithHeads:
    """Stands in for a model with heads: known numbers besides those of a model of core."""

    def __init__(self, model):
        own = ("dipole", "charges", "work_function")
        self.model, self.info = model, dataclasses.replace(model.info, outputs=(*model.info.outputs, *own))

    def __call__(self, batch):
        n_frames, n_atoms = len(batch["num_atoms"]), len(batch["batch"])
        dipole = torch.arange(3.0, dtype=torch.float64).repeat(n_frames, 1)
        charges = torch.full((n_atoms,), 0.25, dtype=torch.float64)
        phi = torch.full((n_frames,), 4.5, dtype=torch.float64)
        return {**self.model(batch), "dipole": dipole, "charges": charges, "work_function": phi}


@pytest.fixture
def found(make_model, tmp_path):
    """An evaluation of four molecules, of which the last has no dipole."""
    rng, frames = np.random.default_rng(4), []
    for index in range(4):
        atoms = molecule("H2O" if index % 2 else "CH3OH")
        atoms.info |= {"energy": -1000.0 + rng.random(), "phi": 4.5 + 0.001 * index}
        atoms.info |= {} if index == 3 else {"mu": np.arange(3.0) + rng.normal(size=3)}
        atoms.arrays["q"] = rng.normal(size=len(atoms))
        frames.append(atoms)
    write(tmp_path / "a.extxyz", frames)
    return evaluate(WithHeads(make_model()), tmp_path / "a.extxyz", labels=LABELS), frames


def test_errors_are_in_the_units_of_the_fields(found):
    evaluation, frames = found
    plain = evaluation.to_dict()
    dipoles = np.concatenate([np.arange(3.0) - atoms.info["mu"] for atoms in frames[:3]])
    charges = np.concatenate([0.25 - atoms.arrays["q"] for atoms in frames])
    assert plain["dipole_rmse_e_angstrom"] == pytest.approx(np.sqrt((dipoles**2).mean()), rel=1e-6)
    assert plain["dipole_values"] == 9
    assert plain["charges_mae_e"] == pytest.approx(np.abs(charges).mean(), rel=1e-6)
    assert plain["work_function_max_mev_per_e"] == pytest.approx(3.0, rel=1e-6)
    assert plain["units"]["charges"] == "e"
    assert plain["labels"]["dipole"]["frames"] == 3
    assert plain["labels"]["dipole"]["compared"]
    hydrogen = np.concatenate([0.25 - atoms.arrays["q"][atoms.numbers == 1] for atoms in frames])
    assert plain["by_element"]["H"]["errors"]["charges"]["mae"] == pytest.approx(np.abs(hydrogen).mean(), rel=1e-6)
    worst = plain["worst"]["charges"][0]
    assert abs(worst["error"]) == pytest.approx(np.abs(charges).max(), rel=1e-6)


def test_tables_have_a_row_for_each(found, capsys):
    print_evaluation(found[0], "a test")
    text = capsys.readouterr().out
    assert "by element: charges, e" in text
    for line in ("dipole ", "charges ", "work_function "):
        assert any(row.startswith(line) for row in text.splitlines()), line
    assert max(map(len, text.splitlines())) <= 80


def test_files_have_labels_and_predictions(found, tmp_path):
    evaluation, frames = found
    write_predictions(evaluation, tmp_path / "p.extxyz")
    written = read(tmp_path / "p.extxyz", ":")
    assert written[0].info["equipot_dipole"].tolist() == [0.0, 1.0, 2.0]
    assert written[0].info["label_dipole"] == pytest.approx(frames[0].info["mu"])
    assert written[1].arrays["equipot_charges"].tolist() == [0.25] * 3
    assert written[1].arrays["label_charges"] == pytest.approx(frames[1].arrays["q"])
    assert "label_dipole" not in written[3].info
    assert written[2].info["label_work_function"] == pytest.approx(4.502)
    write_csv(evaluation, tmp_path / "t.csv")
    rows = list(csv.DictReader((tmp_path / "t.csv").read_text().splitlines()))
    assert float(rows[2]["work_function_max_mev_per_e"]) == pytest.approx(2.0)
    assert rows[3]["dipole_rmse_e_angstrom"] == ""


def test_only_units_with_energy_are_converted(make_model, found, tmp_path):
    standin = WithHeads(make_model())
    standin.info = dataclasses.replace(standin.info, units="real")
    evaluation = evaluate(standin, tmp_path / "a.extxyz", labels={**LABELS, "total_energy": "phi"})
    plain, metal = evaluation.to_dict(), found[0].to_dict()
    assert plain["dipole_rmse_e_angstrom"] == metal["dipole_rmse_e_angstrom"]
    expected = metal["work_function_max_mev_per_e"] * KCAL_PER_MOL_IN_EV
    assert plain["work_function_max_mev_per_e"] == pytest.approx(expected, rel=1e-6)
