"""Figures as files."""

import numpy as np

from equipot_simulate._eos import EquationOfState
from equipot_simulate._eos import draw as draw_eos
from equipot_simulate._figures import panels, save
from equipot_simulate._md import COLUMNS
from equipot_simulate._md_results import draw, summary


def test_a_figure_is_a_png(figures, tmp_path):
    figure, (left, right) = panels(2)
    left.plot([0, 1], [1, 2])
    save(figure, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG\r\n")
    assert right is not left


def test_what_is_drawn_of_a_run(tmp_path):
    rows = 8
    times = [0.01 * index for index in range(rows)]
    log = {name: [None] * rows for name in COLUMNS} | {"step": list(range(rows)), "time_ps": times}
    log |= {"temperature_k": [300.0 + index for index in range(rows)], "potential_energy_ev": [-1.0] * rows}
    draw(log, tmp_path / "md.png", "without drift and pressure")
    found = summary(log)
    assert found["averages"]["temperature_k"]["mean"] == 305.5
    assert "drift_mev_per_atom_per_ps" not in found
    log["drift_mev_per_atom"] = [3.0 * time for time in times]
    draw(log, tmp_path / "md.png", "with drift")
    assert np.isclose(summary(log)["drift_mev_per_atom_per_ps"], 3.0)
    assert summary({name: [] for name in COLUMNS}) == {}


def test_an_equation_of_state_is_drawn(figures, tmp_path, make_crystal):
    volumes = [45.0, 46.0, 47.0, 48.0, 49.0]
    fit = EquationOfState(volumes, [0.1, 0.02, 0.0, 0.02, 0.08], [make_crystal()] * 5, (0.0, 0.6, 4.0, 47.0))
    draw_eos(fit, tmp_path / "eos.png", "copper")
    assert (tmp_path / "eos.png").read_bytes().startswith(b"\x89PNG\r\n")
    assert fit.record(4)["volume_a3_per_atom"] == 47.0 / 4
