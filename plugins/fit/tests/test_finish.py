"""What a fit prints at its end."""

from types import SimpleNamespace

import pytest

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
    evaluation = SimpleNamespace(n_frames=7, compared=[energy])
    record = {"used_seconds": 90.0, "asked_minutes": 2.0, "refit": refit}
    finish.shown(tmp_path, ("val0", evaluation), record, None)
    text = capsys.readouterr().out
    assert f"errors of model.equipot.zip{said} on the validation set, 7 frames:\n" in text
    assert "energy: RMSE 2, MAE 1 meV/atom\n" in text
