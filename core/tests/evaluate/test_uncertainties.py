"""Standard deviations that a plugin declares: against errors that were put in, and between files."""

import dataclasses

import numpy as np
import pytest
import torch
from ase.build import molecule
from ase.io import write

from equipot.artifacts import load_model
from equipot.evaluate import calibration_plot, evaluate

PLUGIN = """
from equipot import hookimpl
from equipot.declarations import FieldEntry

@hookimpl
def equipot_fields():
    yield FieldEntry(
        key="energy_spread", per="frame", shape=("n_frames",), unit="eV", irreps="0e", meaning="of the energy",
        std_of="total_energy",
    )
    yield FieldEntry(
        key="forces_spread", per="atom", shape=("n_atoms",), unit="eV/Å", irreps="0e", meaning="of the forces",
        std_of="forces",
    )
    yield FieldEntry(
        key="stress_spread", per="frame", shape=("n_frames", 3, 3), unit="eV/Å³", irreps=None, meaning="of the stress",
        std_of="stress",
    )
    yield FieldEntry(
        key="atomic_spread", per="atom", shape=("n_atoms",), unit="eV", irreps="0e", meaning="of atoms",
        std_of="atomic_energy",
    )
"""
KEYS = {"total_energy": "REF_energy", "forces": "REF_forces"}


class WithSpread:
    """Stands in for a model with uncertainties that grow with the x coordinate of the first atom."""

    def __init__(self, model):
        own = ("energy_spread", "forces_spread", "atomic_spread")
        self.model, self.info = model, dataclasses.replace(model.info, outputs=(*model.info.outputs, *own))

    def __call__(self, batch):
        number = batch["num_atoms"]
        size = batch["positions"][number.cumsum(0) - number, 0].double()
        of_atoms = size[batch["batch"]]
        spread = {"energy_spread": size * number, "forces_spread": 2.0 * of_atoms, "atomic_spread": of_atoms}
        return {**self.model(batch), **spread}


@pytest.fixture
def spread(install, fresh_plugins):
    install("equipot-spread", "spread", PLUGIN)


def frames(model, sizes, seed, *, labels=True):
    """Molecules of two kinds with errors of ``z`` times their uncertainty: the frames and the ``z`` of each."""
    from equipot.ase import EquipotCalculator

    rng, calculator = np.random.default_rng(seed), EquipotCalculator(model)
    found, z = [], []
    for index, size in enumerate(sizes):
        atoms = molecule("H2O" if index % 2 else "CH3OH")
        atoms.set_initial_magnetic_moments(None)
        atoms.positions[:, 0] += size - atoms.positions[0, 0]
        z.append((rng.normal(), rng.normal(size=(len(atoms), 3))))
        if labels:
            atoms.info["REF_energy"] = calculator.get_potential_energy(atoms) - z[-1][0] * size * len(atoms)
            atoms.arrays["REF_forces"] = calculator.get_forces(atoms) - z[-1][1] * 2.0 * size
        found.append(atoms)
    return found, z


@pytest.fixture
def found(spread, package_file, tmp_path):
    """Two files: 0.1 to 0.2 eV per atom with labels, and 0.15 to 0.4 without."""
    model = load_model(package_file)
    inside, z = frames(model, np.linspace(0.1, 0.2, 9), 1)
    outside, _ = frames(model, np.linspace(0.15, 0.4, 6), 2, labels=False)
    write(tmp_path / "in.extxyz", inside)
    write(tmp_path / "out.extxyz", outside)
    paths = [str(tmp_path / name) for name in ("in.extxyz", "out.extxyz")]
    return evaluate(WithSpread(model), paths, labels=KEYS, batch_size=4), z, paths


def test_errors_are_divided_by_their_own_deviations(found):
    evaluation, z, paths = found
    uncertainties = evaluation.uncertainties
    assert list(uncertainties.by_file) == paths
    assert uncertainties.by_file[paths[1]] == {}
    energy, forces = (uncertainties.by_file[paths[0]][name] for name in ("per_atom_energy", "forces"))
    assert energy.rms_z == pytest.approx(np.sqrt(np.mean([one**2 for one, _ in z])), rel=1e-5)
    components = np.concatenate([one.ravel() for _, one in z])
    assert forces.rms_z == pytest.approx(np.sqrt(np.mean(components**2)), rel=1e-5)
    assert forces.within_1 == pytest.approx(np.mean(np.abs(components) <= 1.0))
    assert energy.rms_std == pytest.approx(1000.0 * np.sqrt(np.mean(np.linspace(0.1, 0.2, 9) ** 2)), rel=1e-5)
    assert uncertainties.units == {"per_atom_energy": "meV/atom", "forces": "meV/Å"}


def test_files_are_compared_with_the_first(found):
    evaluation, _, paths = found
    sizes = np.linspace(0.1, 0.2, 9), np.linspace(0.15, 0.4, 6)
    expected = np.mean([[float(b > a) + 0.5 * float(np.isclose(a, b)) for b in sizes[1]] for a in sizes[0]])
    (auroc,) = evaluation.uncertainties.auroc.items()
    assert auroc[0] == paths[1]
    assert set(auroc[1]) == {"energy_spread", "forces_spread", "atomic_spread"}
    assert auroc[1]["atomic_spread"] == pytest.approx(expected, abs=0.03)  # equal sizes may differ in the last digit


def test_json_and_lines_have_them(found):
    evaluation, _, paths = found
    plain = evaluation.to_dict()["uncertainties"]
    assert plain["by_file"][paths[0]]["forces"]["unit"] == "meV/Å"
    assert len(plain["by_file"][paths[0]]["forces"]["curve"]) == 9
    lines = evaluation.uncertainties.lines()
    assert max(map(len, lines)) <= 80
    assert lines[2].startswith("in.extxyz  per_atom_energy")
    assert lines[-1].startswith("out.extxyz  0.")


def test_the_plot_has_a_panel_for_each_quantity(found, tmp_path):
    calibration_plot(found[0].uncertainties, tmp_path / "a.png", "title")
    assert (tmp_path / "a.png").stat().st_size > 10_000


def test_models_without_have_none(found, package_file):
    evaluation = evaluate(load_model(package_file), found[2][0], labels=KEYS)
    assert evaluation.uncertainties is None
    assert "uncertainties" not in evaluation.to_dict()


def test_deviations_of_components_belong_to_theirs(spread, package_file, tmp_path):
    """A stress with its own deviation for each of nine components."""

    class OfStress(WithSpread):
        def __call__(self, batch):
            outputs = self.model(batch)
            stds = torch.arange(1.0, 10.0, dtype=torch.float64).reshape(1, 3, 3).expand(len(outputs["stress"]), 3, 3)
            return {**outputs, "stress_spread": stds}

    from ase.build import bulk

    from equipot.ase import EquipotCalculator

    model, atoms = load_model(package_file), bulk("CO", "zincblende", a=4.4)
    atoms.calc = EquipotCalculator(model)
    atoms.info["REF_stress"] = atoms.get_stress(voigt=False) - np.diag([1.0, 5.0, 9.0])
    atoms.calc = None
    write(tmp_path / "a.extxyz", atoms)
    found = evaluate(OfStress(model), tmp_path / "a.extxyz", labels={"stress": "REF_stress"})
    (calibration,) = found.uncertainties.by_file[str(tmp_path / "a.extxyz")].values()
    assert calibration.rms_z == pytest.approx(np.sqrt(3.0 / 9.0), rel=1e-6)


@pytest.mark.parametrize("facts", [{"std_of": "here"}, {"std_of": "not a key"}, {"std_of": "forces", "label": True}])
def test_a_deviation_is_one_of_another_field(facts):
    from equipot.declarations import FieldEntry

    with pytest.raises(ValueError, match=r"'here'.std_of: must be the key of another field, and the field not a label"):
        FieldEntry(key="here", per="atom", shape=("n_atoms",), unit="eV/Å", irreps="0e", meaning="spread", **facts)
