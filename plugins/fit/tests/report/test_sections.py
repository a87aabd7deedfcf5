"""Numbers and pictures of single sections."""

import dataclasses
import math
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ase import Atoms
from matplotlib.backends.backend_agg import FigureCanvasAgg

from equipot.data import FrameCollection
from equipot.evaluate import Calibration, Uncertainties
from equipot_fit._report import _curves as curves
from equipot_fit._report import _dynamics as dynamics
from equipot_fit._report import _physics as physics
from equipot_fit._report import _speed as speed
from equipot_fit._report import _usage as usage
from equipot_fit._report import _worst as worst
from equipot_fit._report._baseline import decimal_places, element_energies
from equipot_fit._report._breakdown import SIZES
from equipot_fit._report._calibration import SECTION as CALIBRATION
from equipot_fit._report._citations import BIBTEX
from equipot_fit._report._dimers import SECTION as DIMERS
from equipot_fit._report._dynamics import SECTION as DYNAMICS
from equipot_fit._report._geometry import outputs_of
from equipot_fit._report._headline import SECTION as HEADLINE
from equipot_fit._report._html import Markup, cell, escaped, table
from equipot_fit._report._origin import machine
from equipot_fit._report._parity import SECTION as PARITY
from equipot_fit._report._pictures import density, encoded, panel, picture, style
from equipot_fit._report._run_folder import RunFolder
from equipot_fit._report._section import NotShownError
from equipot_fit._report._subject import Subject
from equipot_fit._report._training_data import SECTION as DATA
from equipot_fit._report._volume import SECTION as VOLUME
from equipot_testing.toy import ToyModel


@pytest.fixture(scope="module")
def subject(made_run):
    return Subject(RunFolder.read(made_run))


# ------------------------------------------------------------------------------ pieces


def test_cells_are_escaped_and_markup_is_not():
    found = table(("a", "b"), [("<i>", 1.23456), (Markup("<b>x</b>"), None)])
    assert "&lt;i&gt;" in found
    assert "<b>x</b>" in found
    assert "1.235" in found
    assert cell(None) == ""
    assert escaped(escaped("&")) == "&amp;"


def test_pictures_are_small_and_escaped():
    figure, axes = panel()
    axes.plot([1, 2], [3, 4])
    axes.set_title("<script>'\"")
    address = encoded(figure)
    assert address.startswith("data:image/svg+xml,")
    assert '"' not in address
    assert "<" not in address
    assert len(address) < 24_000
    assert 'alt="&quot;&gt;&lt;script&gt;"' in picture(figure, '"><script>')


def test_a_crowded_picture_becomes_a_png():
    figure, axes = panel()
    axes.scatter(*np.random.default_rng(0).normal(size=(2, 5000)))
    assert encoded(figure).startswith("data:image/png;base64,")


# ------------------------------------------------------------------------------ numbers


def test_curves_leave_out_the_stages_after_the_training():
    rows = [
        {"epoch": "0", "val0_epoch/forces_rmse": "2.0", "train_loss_epoch/forces_mse": ""},
        {"epoch": "0", "val0_epoch/forces_rmse": "", "train_loss_epoch/forces_mse": "9.0"},
        {"epoch": "1", "val0_epoch/forces_rmse": "7.0", "train_loss_epoch/forces_mse": ""},
    ]
    rows = [row | {"val0_epoch/weighted_sum": row["val0_epoch/forces_rmse"]} for row in rows]
    run = SimpleNamespace(rows=rows, log="epoch 1/2  val0 MAE  lr 0.01  best\nepoch 2/2 lr 0.005  x", config={})
    manifest = SimpleNamespace(provenance={"epoch": 1})
    found = curves.data(SimpleNamespace(run=run, manifest=manifest))
    assert found["curves"]["forces"]["val"] == [(1.0, 2000.0)]
    assert found["curves"]["forces"]["train"] == [(1.0, 3000.0)]
    assert (found["best_epoch"], found["kept_epoch"]) == (1.0, 2.0)
    assert "is epoch 1, and the weights of epoch 2 are kept" in curves.draw(found)
    assert "is epoch 1, whose weights are kept" in curves.draw(found | {"kept_epoch": 1.0})
    assert found["learning_rate"] == [(1.0, 0.01), (2.0, 0.005)]
    assert "learning rate" in curves.draw(found)


def test_the_trivial_predictor_knows_compositions():
    def frame(symbols, energy):
        numbers = torch.tensor(Atoms(symbols).numbers)
        return {
            "atomic_numbers": numbers,
            "total_energy": torch.tensor([energy]),
            "positions": torch.zeros(len(numbers), 3),
        }

    frames = [frame("H2O", -17.0), frame("H4O", -19.0), frame("O2", -30.0), frame("H", -100.0)]
    places = [f"x, frame {index}" for index in range(4)]
    train = FrameCollection(frames=frames, places=places, isolated=[False, False, False, True], reports=[{}] * 4)
    found = element_energies(train)
    assert found[1] == pytest.approx(-1.0)
    assert found[8] == pytest.approx(-15.0)
    assert element_energies(None) == {}


def test_a_quantity_that_was_not_learnt_is_warned_of():
    row = {"title": "forces", "unit": "meV/Å", "mae": 186.0, "rmse": 483.0, "max": 900.0, "values": 6, "label_std": 1.0}
    row |= {"trivial_mae": 108.0, "trivial_rmse": 352.0, "not_learnt": "forces: the mean error is 186 meV/Å"}
    found = {"headline": ["test0"], "changed_files": [], "sets": {"test0": {"frames": 1, "of": 1}}}
    found["sets"]["test0"]["quantities"] = {"forces": row}
    assert '<p class="warning">Test set, forces: the mean error is 186 meV/Å</p>' in HEADLINE.draw(found)
    row["not_learnt"] = ""
    assert "warning" not in HEADLINE.draw(found)


def test_rounded_labels_are_seen():
    values = np.random.default_rng(0).normal(size=100)
    assert decimal_places(np.round(values, 3)) == 3
    assert decimal_places(values) is None


def test_sizes_of_forces_cover_everything():
    assert SIZES[0] == 0.0
    assert math.isinf(SIZES[-1])


@pytest.mark.slow
@pytest.mark.parametrize("section", [HEADLINE, PARITY, DATA, DIMERS, worst.SECTION], ids=lambda one: one.name)
def test_sections_are_drawn_from_their_numbers(subject, section):
    found = section.data(subject)
    text = section.draw(found)
    assert "<script" not in text
    assert "nan" not in text.lower().replace("unan", "")


def test_parity_counts_every_value(subject):
    found = PARITY.data(subject)
    assert [one["name"] for one in found["panels"]][:2] == ["per_atom_energy", "forces"]
    for one in found["panels"]:
        assert sum(count for _, _, count in one["counts"]) == one["values"]


@pytest.mark.parametrize("most", [9, 99, 1234, 123456])
def test_numbers_at_the_bar_of_a_density_are_not_cut_off(most):
    counts = np.ones((5, 5))
    counts[2, 2] = most
    with style():
        figure, axes = panel(4.2, 3.4)
        density(axes, counts, (np.linspace(0.0, 1.0, 6), np.linspace(0.0, 1.0, 6)))
        FigureCanvasAgg(figure).draw()
        bar = figure.axes[1]
        right = max(one.get_window_extent().x1 for one in [*bar.get_yticklabels(), bar.yaxis.label])
    assert right <= figure.bbox.x1


def test_dimers_are_compared_with_zbl(subject):
    found = DIMERS.data(subject)
    assert len(found["curves"]) == 6
    first = found["curves"][0]
    assert len(first["energy"]) == len(first["zbl"]) == len(found["distances"])
    assert first["zbl"] == sorted(first["zbl"], reverse=True)
    assert first["shortest"] is None or 0.5 < first["shortest"] < 3.0


def test_worst_frames_name_their_place(subject):
    found = worst.data(subject)["frames"]
    assert [abs(one["error"]) for one in found if one["quantity"] == "forces"] == sorted(
        (abs(one["error"]) for one in found if one["quantity"] == "forces"), reverse=True
    )
    assert all(one["file"].endswith("a<b>&.extxyz") and one["frame"].isdigit() for one in found)


@pytest.mark.parametrize("periodic", [True, False])
def test_worst_frames_are_drawn_with_and_without_a_cell(periodic):
    one = {
        "set": "test0", "quantity": "energy", "unit": "meV/atom", "error": -3.0, "atom": None, "file": "<b>",
        "frame": "1", "formula": "NaCl", "atoms": 2, "numbers": [11, 17],
        "positions": [[0.0, 0.0, 0.0], [2.8, 0.0, 0.0]], "cell": [[5.6, 0.0, 0.0], [0.0, 5.6, 0.0], [0.0, 0.0, 5.6]],
        "pbc": [periodic] * 3, "force_errors": [1.0, 2.0],
    }  # fmt: skip
    text = worst.draw({"frames": [one]})
    assert "&lt;b&gt;, frame 1 (NaCl, test0)" in text
    assert "data:image/" in text


def test_molecules_have_no_volume(subject):
    with pytest.raises(NotShownError, match="periodic"):
        VOLUME.data(subject)


def test_wrong_forces_and_preferred_directions_are_found(subject):
    model = physics.wide(subject.stored_model)
    atoms = Atoms("CHO", [[0.0, 0.0, 0.0], [1.1, 0.0, 0.0], [-0.3, 1.2, 0.0]])

    class Broken:
        info = model.info

        def __call__(self, batch):
            out = dict(model(batch))
            out["forces"] = 1.01 * out["forces"]
            out["atomic_energy"] = out["atomic_energy"] + 0.01 * batch["positions"][:, 0]
            return out

    assert physics._forces(model, atoms, "float64")["kept"]
    assert not physics._forces(Broken(), atoms, "float64")["kept"]
    laws = {one["law"].partition(":")[0]: one["kept"] for one in physics._symmetries(Broken(), atoms, 1e-9)[:3]}
    assert laws == {"E(3) equivariance": False, "permutation of atoms": True, "translation": False}
    assert "BROKEN" in physics.draw(
        {"place": "x", "atoms": 3, "dtype": "float64", "laws": physics._symmetries(Broken(), atoms, 1e-9)}
    )


def test_dynamics_that_break_off_are_said():
    data = {"broken": "EquipotCalculator: <b>", "steps": 2, "time_fs": [], "change_mev": []}
    assert "broke off after 2 steps: EquipotCalculator: &lt;b&gt;" in DYNAMICS.draw(data)


class Moves:
    """Dynamics whose steps take a tenth of a second of a clock."""

    def __init__(self):
        self.now, self.atoms = 0.0, Atoms("H2")

    def run(self, steps):
        self.now += 0.1 * steps


def test_dynamics_fill_the_time_that_is_set_for_the_report(monkeypatch):
    moves = Moves()
    monkeypatch.setattr(dynamics.time, "monotonic", lambda: moves.now)
    for _ in dynamics._steps(moves, 60.0):
        moves.run(1)
    assert 0.95 * 60.0 < moves.now < 60.0


def test_dynamics_without_time_are_not_shown(monkeypatch):
    moves = Moves()
    monkeypatch.setattr(dynamics.time, "monotonic", lambda: moves.now)
    with pytest.raises(NotShownError, match="no time left for 40 steps"):
        next(dynamics._steps(moves, 3.0))


@pytest.mark.filterwarnings("ignore:Use thermalize_momenta:DeprecationWarning")
def test_a_long_run_is_drawn_by_some_of_its_steps(subject, monkeypatch):
    monkeypatch.setattr(dynamics, "_steps", lambda *_: range(25))
    monkeypatch.setattr(dynamics, "MOST", 10)
    found = dynamics.run(subject.model, Atoms("CO", [[0.0, 0.0, 0.0], [1.2, 0.0, 0.0]]), 0.5)
    assert found["steps"] == 25
    assert found["time_fs"] == [0.0, 1.5, 3.0, 4.5, 6.0, 7.5, 9.0, 10.5, 12.0]
    assert len(found["change_mev"]) == 9


def test_a_report_in_a_hurry_makes_no_checks_again(subject, monkeypatch):
    hurried = Subject(subject.run, until=1e9)
    monkeypatch.setattr(type(hurried.data), "verdict", lambda *_, **__: pytest.fail("it does"))
    found = DATA.data(hurried)
    assert found["verdict"] is None
    assert "gave no warning before the training" in DATA.draw(found)


def test_copies_are_far_apart_or_periodic():
    molecule = Atoms("H2", [[0.0, 0.0, 0.0], [0.7, 0.0, 0.0]])
    copies = speed.many(molecule)
    assert len(copies) >= speed.ENOUGH_ATOMS
    distances = copies.get_all_distances()
    assert np.sort(distances[0])[2] > 15.0
    crystal = Atoms("Si", cell=[2.0, 2.0, 2.0], pbc=True)
    assert speed.many(crystal).get_volume() == pytest.approx(8.0 * len(speed.many(crystal)))


def test_batches_give_what_single_structures_give(subject):
    structures = [Atoms("CO", [[0.0, 0.0, 0.0], [distance, 0.0, 0.0]]) for distance in (1.0, 1.2, 1.4)]
    together = outputs_of(subject.stored_model, structures)["total_energy"]
    alone = torch.cat([outputs_of(subject.stored_model, [one])["total_energy"] for one in structures])
    assert torch.allclose(together, alone, rtol=0.0, atol=1e-4)


# ------------------------------------------------------------------------------ commands


def test_the_training_command_is_the_one_that_was_typed(subject, made_run):
    command = usage.training_command(subject.run)
    assert command.startswith("equipot train ")
    assert "config.yaml" in command
    planned = dataclasses.replace(subject.run, hydra={})
    assert usage.training_command(planned) == ""


def test_paths_are_quoted_for_shell_and_python():
    assert usage.quoted("a b;c") == "'a b;c'"
    assert 'EquipotCalculator("it\'s")' in usage.ase_lines("it's", ["forces"])


@pytest.fixture
def lammps(monkeypatch):
    """``lammps(True)`` lets the distribution of the pair style be there, ``lammps(False)`` not."""

    def make(there):
        def version(name):
            if name == "equipot-lammps" and not there:
                raise PackageNotFoundError(name)
            return "0.1.0"

        monkeypatch.setattr(usage.importlib.metadata, "version", version)

    return make


def with_forces():
    """What a model of water that predicts forces says of itself."""
    info = ToyModel(type_names=["O", "H"], r_max=3.0).info()
    return dataclasses.replace(info, outputs=("total_energy", "forces"))


def test_lammps_is_named_where_its_pair_style_is_installed(lammps):
    lammps(there=True)
    info = with_forces()
    lines = usage.lammps_lines(Path("a run/model.equipot.zip"), info).splitlines()
    assert lines == [
        "equipot compile 'a run/model.equipot.zip' model.equipot.pt2 --target lammps",
        "",
        "# in the input of LAMMPS",
        "units metal",
        "pair_style equipot",
        "pair_coeff * * model.equipot.pt2 O H",
    ]
    assert usage.lammps_lines(Path("m.zip"), dataclasses.replace(info, outputs=("total_energy",))) == "", "no forces"
    lammps(there=False)
    assert usage.lammps_lines(Path("m.zip"), info) == ""


@pytest.mark.parametrize("there", [True, False])
def test_the_page_has_lammps_only_if_it_is_installed(lammps, there):
    lammps(there)
    found = {
        "ase": "", "commands": {}, "train": "", "directory": None, "install": ["equipot"],
        "lammps": usage.lammps_lines(Path("m.zip"), with_forces()),
    }  # fmt: skip
    assert ("In LAMMPS" in usage.draw(found)) is there
    assert ("pair_coeff * * model.equipot.pt2 O H" in usage.draw(found)) is there


def test_entries_of_bibtex_are_closed():
    for _, entry in BIBTEX.values():
        assert entry.count("{") == entry.count("}")
        assert entry.startswith("@")


def test_the_machine_has_a_name():
    assert machine()["cores"] >= 1


# ------------------------------------------------------------------------- uncertainties


def test_models_without_uncertainties_have_no_calibration(subject):
    with pytest.raises(NotShownError, match="predicts no standard deviations; 'equipot uncertainty add' gives it some"):
        CALIBRATION.data(subject)


def test_calibrations_have_a_curve_from_corner_to_corner():
    rng = np.random.default_rng(1)
    calibration = Calibration.of(rng.normal(size=200), np.ones(200))
    found = SimpleNamespace(uncertainties=Uncertainties({"a.extxyz": {"forces": calibration}}, {"forces": "meV/Å"}, {}))
    (one,) = CALIBRATION.data(SimpleNamespace(judged=lambda: [("test0", found)]))["panels"]
    assert (one["set"], one["quantity"], one["curve"][0], one["curve"][-1]) == ("test0", "forces", [0, 0], [1, 1])
    assert f"rms z {calibration.rms_z:.2f}" in CALIBRATION.draw({"panels": [one]})
