"""What a fit prints at its end."""

from types import SimpleNamespace

import pytest
import torch

from equipot.quantities import REPORTED
from equipot_fit import _finish as finish


def test_the_last_lines_name_files_and_calculator(tmp_path, capsys):
    for name in ("model.equipot.zip", "plan.yaml"):
        (tmp_path / name).touch()
    record = {"used_seconds": 90.0, "asked_minutes": 2.0}
    finish.shown(tmp_path, None, record, tmp_path / "report.html")
    text = capsys.readouterr().out
    assert f"{tmp_path / 'model.equipot.zip'}: the model" in text
    assert "pt2" not in text
    assert f"{tmp_path / 'report.html'}: the report" in text
    assert "used 1.50 of 2 min" in text
    assert f"EquipotCalculator('{tmp_path / 'model.equipot.zip'}')" in text


@pytest.mark.parametrize(("refit", "said"), [(None, ""), ({"kept": False}, ""), ({"kept": True}, " after the refit")])
def test_errors_say_of_which_model_and_set_they_are(tmp_path, capsys, refit, said):
    """The training prints errors of the validation set, too: those before the refit."""
    energy = SimpleNamespace(quantity=REPORTED[0], errors=lambda: {"rmse": 2.0, "mae": 1.0})
    evaluation = finish.SetErrors("val0", SimpleNamespace(n_frames=7, compared=[energy]), 7)
    record = {"used_seconds": 90.0, "asked_minutes": 2.0, "refit": refit}
    finish.shown(tmp_path, evaluation, record, None)
    text = capsys.readouterr().out
    assert f"errors of model.equipot.zip{said} on the validation set, 7 frames:\n" in text
    assert "energy: RMSE 2, MAE 1 meV/atom\n" in text


def test_what_the_model_has_not_learnt_is_said(capsys):
    """Forces that are worse than none would otherwise look like a number as any."""
    numbers = torch.tensor([8, 1, 1])
    quantities = {one.name: one for one in REPORTED}
    labels = {"forces": torch.tensor([0.1, -0.1]), "per_atom_energy": torch.tensor([-900.0])}

    def warnings(forces, energy):
        errors = {"forces": forces, "per_atom_energy": energy}
        compared = [
            SimpleNamespace(
                name=name,
                quantity=quantities[name],
                labels=labels[name],
                frames=torch.tensor([0]),
                errors=lambda error=errors[name]: {"mae": error, "rmse": error},
            )
            for name in labels
        ]
        found = SimpleNamespace(
            compared=compared, frames=[SimpleNamespace(numbers=numbers)], energy_in_ev=1.0, n_frames=1
        )
        finish.say_errors(finish.SetErrors("test0", found, 1, 0.0, finish._not_learnt(found, {1: -1.0, 8: -1.0})), {})
        return [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning")]

    assert warnings(0.09, 99.0) == []
    (forces,) = warnings(0.2, 99.0)
    assert forces.startswith("warning: forces: the mean error is 0.2 meV/Å, that of saying zero throughout 0.1. ")
    (energy,) = warnings(0.09, 101.0)
    assert "energy: the mean error is 101 meV/atom, that of a fit of the compositions alone 100. " in energy


def test_a_part_of_the_test_set_is_said_to_be_one(capsys):
    evaluation = finish.SetErrors("test0", SimpleNamespace(n_frames=30, compared=[]), 5000, 750.0)
    finish.say_errors(evaluation, {})
    said = "errors of model.equipot.zip on the test set, 30 random ones of 5000 frames (all take about 12.5 min):\n"
    assert capsys.readouterr().out == said


class Frames:
    """Frames of these numbers of atoms."""

    def __init__(self, sizes):
        self.sizes = self.places = sizes

    def composition(self, index):
        return [(1, self.sizes[index] - 1), (8, 1)]

    def subset(self, indices):
        return Frames([self.sizes[index] for index in indices])


def test_of_a_test_set_as_many_random_frames_are_taken_as_there_is_time_for():
    frames = Frames([10] * 300 + [100] * 300)
    assert finish.affordable(frames, 33.0, 1e-3) is frames
    found = finish.affordable(frames, 3.3, 1e-3)
    assert 0.9 * 3300 <= sum(found.sizes) <= 3300, "by atoms, not by frames"
    assert found.sizes.count(10) > 10
    assert found.sizes.count(100) > 10
    assert finish.affordable(frames, 3.3, 1e-3).sizes == found.sizes
    assert len(finish.affordable(frames, 0.0, 1e-3).sizes) == finish.FEWEST_TESTED
    assert finish.affordable(frames, 0.0, 0.0) is frames, "nothing is known of the time"
