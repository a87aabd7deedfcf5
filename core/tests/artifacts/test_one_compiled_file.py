"""One file from the command line: the same numbers as in Python, in ASE, in other processes and in dynamics."""

import os
import subprocess
import zipfile
from pathlib import Path

import ase
import numpy as np
import pytest
import torch
from ase import units
from ase.build import molecule
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.md.verlet import VelocityVerlet

from equipot.artifacts import _archive as archive
from equipot.artifacts import _golden as golden
from equipot.artifacts import load, load_model
from equipot.artifacts._inspect import inspect_file
from equipot.ase import EquipotCalculator
from equipot.compile import compile_model
from equipot.errors import ArtifactError, DataError
from equipot.graph import collate
from equipot.model import apply_modifier, with_edge_forces
from equipot_test_support.crystals import crystal
from equipot_test_support.engines import record_capability


@pytest.fixture(scope="session")
def road(tmp_path_factory):
    """An energy-only checkpoint and what ``equipot-compile … --modifiers enable_ForceStressOutput`` makes of it."""
    from equipot.artifacts._checkpoint import checkpoint_record
    from equipot.model import InvariantModel
    from equipot.pair_potentials import ZBL

    folder = tmp_path_factory.mktemp("road")
    recipe = InvariantModel(
        type_names=["C", "H", "O"],
        r_max=4.0,
        model_dtype="float64",
        avg_num_neighbors=12.0,
        do_derivatives=False,
        per_type_energy_shifts={"C": -10.0, "H": -13.6, "O": -20.0},
        per_edge_type_cutoff={"H": 3.0, "C": {"H": 3.4}},
        pair_potential=ZBL(units="metal"),
    )
    model = recipe.build()
    state = {f"{prefix}.{key}": value for prefix in ("model", "ema") for key, value in model.state_dict().items()}
    torch.save({"state_dict": state, "equipot": checkpoint_record(model, "ema", {}, {})}, folder / "energy_only.ckpt")
    environment = {**os.environ, "EQUIPOT_CACHE_DIR": str(tmp_path_factory.getbasetemp() / "cache")}
    command = [
        "equipot-compile",
        "energy_only.ckpt",
        "forces.equipot.pt2",
        "--compile-mode",
        "aotinductor",
        "--modifiers",
        "enable_ForceStressOutput",
    ]
    executable = Path(os.sys.executable).with_name(command[0])
    done = subprocess.run(
        [str(executable), *command[1:]], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "its outputs equal those of the eager model" in done.stdout
    return folder


@pytest.fixture
def eager(road):
    return apply_modifier(load_model(road / "energy_only.ckpt"), "enable_ForceStressOutput").eval()


@pytest.fixture
def pt2(road):
    return road / "forces.equipot.pt2"


@pytest.mark.slow
def test_forces_and_stress_are_derivatives_of_the_energy(pt2):
    atoms = crystal()
    atoms.calc = EquipotCalculator(pt2)
    forces, stress = atoms.get_forces(), atoms.get_stress()
    assert np.abs(forces).max() > 0.1
    assert np.abs(stress).max() > 1e-3
    assert np.abs(calculate_numerical_forces(atoms, eps=1e-4) - forces).max() < 2e-6
    assert np.abs(calculate_numerical_stress(atoms, eps=1e-5) - stress).max() < 2e-7


@pytest.mark.slow
def test_stresses_of_atoms_are_those_of_the_eager_model(pt2, eager):
    atoms = crystal()
    stresses = EquipotCalculator(pt2).get_property("stresses", atoms)
    expected = EquipotCalculator(eager).get_property("stresses", atoms)
    assert np.abs(expected).max() > 1e-3
    assert np.abs(stresses - expected).max() < 1e-14
    command, limit = "atoms.get_stresses()", "1e-14 eV/Å³"
    record_capability(
        "ASE", "compiled file: stresses of atoms", version=ase.__version__, command=command, deviation=limit
    )


@pytest.mark.slow
def test_engines_read_the_same_facts_from_the_file(pt2):
    found = torch._C._aoti.AOTIModelPackageLoader.load_metadata_from_package(str(pt2), "model")
    manifest = inspect_file(pt2).manifest
    facts = {key: value for key, value in found.items() if not key.startswith("AOTI_")}
    assert facts == manifest.compiled["metadata"]
    assert facts["equipot_target"] == "ase"
    assert facts["equipot_cutoffs"] == "4.0 3.4 4.0 3.0 3.0 3.0 4.0 4.0 4.0"


@pytest.mark.slow
def test_calculators_of_all_kinds_of_files_agree(road, pt2, eager, tmp_path):
    from equipot.artifacts import write_package

    write_package(eager, tmp_path / "model.equipot.zip")
    for atoms in (crystal(), molecule("CH3OH")):
        reference = EquipotCalculator(eager)
        energy, forces = reference.get_potential_energy(atoms), reference.get_forces(atoms)
        for path in (tmp_path / "model.equipot.zip", pt2):
            calculator = EquipotCalculator(path)
            assert calculator.get_potential_energy(atoms) == pytest.approx(energy, abs=1e-11)
            assert np.abs(calculator.get_forces(atoms) - forces).max() < 1e-12
        energy_only = EquipotCalculator(road / "energy_only.ckpt")
        assert energy_only.get_potential_energy(atoms) == energy
        with pytest.raises(PropertyNotImplementedError, match="enable_ForceStressOutput"):
            energy_only.get_forces(atoms)
    command = 'EquipotCalculator("model.equipot.pt2")'
    version = ase.__version__
    record_capability("ASE", "compiled file: energy, forces", version=version, command=command, deviation="1e-12 eV/Å")


@pytest.mark.slow
def test_equal_to_eager_at_all_sizes(pt2, eager):
    model = load(pt2)
    frames = golden.random_frames(eager.info, 7)
    batches = {**frames, "atoms": collate([frames["atom"]] * 3), "all": collate([*frames.values()] * 3)}
    worst = golden.replay(model, golden.record(with_edge_forces(eager), batches))
    assert set(worst) == {*golden.record(eager, batches)[0].outputs, "edge_forces"}
    assert max(worst.values()) < 1e-12


@pytest.mark.slow
def test_strides_and_types_of_inputs_do_not_matter(pt2, eager, batch):
    model = load(pt2)
    expected = with_edge_forces(eager)(batch)
    odd = {
        **batch,
        "positions": batch["positions"].t().contiguous().t(),
        "edge_index": batch["edge_index"].t().contiguous().t().to(torch.int32),
        "cell": batch["cell"].transpose(1, 2).contiguous().transpose(1, 2),
        "atom_types": torch.stack([batch["atom_types"]] * 2, dim=1)[:, 1].to(torch.int32),
    }
    for key, value in model(odd).items():
        assert torch.allclose(value.double(), expected[key].double(), rtol=0, atol=1e-12), key
        assert not value.requires_grad
    with torch.inference_mode():
        inside = model(batch)
    # Sums over edges may be in another order in each call, with several threads.
    assert torch.allclose(inside["forces"], model(odd)["forces"], rtol=0, atol=1e-12)


@pytest.mark.slow
def test_files_from_elsewhere_need_a_flag(pt2, tmp_path, monkeypatch):
    monkeypatch.setenv("EQUIPOT_CACHE_DIR", str(tmp_path))
    with pytest.raises(ArtifactError, match="holds native code, and .* that you built it .*--allow-native"):
        load(pt2)
    assert "has no record that you built it" in inspect_file(pt2).advice
    load(pt2, allow_native=True)
    with pytest.raises(ArtifactError, match="has no record that you built it"):
        EquipotCalculator(pt2)


@pytest.mark.slow
def test_golden_frames_are_replayed_once_on_a_machine(pt2, tmp_path, monkeypatch):
    monkeypatch.setenv("EQUIPOT_CACHE_DIR", str(tmp_path))
    replays = []
    original = golden.check
    monkeypatch.setattr(golden, "check", lambda *args: replays.append(args) or original(*args))
    for _ in range(3):
        load(pt2, allow_native=True)
    assert len(replays) == 1


@pytest.mark.slow
def test_a_file_changed_after_building_is_no_longer_ours(pt2, tmp_path):
    load(pt2)
    path = tmp_path / "a.equipot.pt2"
    path.write_bytes(pt2.read_bytes() + b" ")
    with pytest.raises(ArtifactError, match="has no record that you built it"):
        load(path)


@pytest.mark.slow
def test_inspecting_a_compiled_file(pt2):
    report = inspect_file(pt2)
    assert report.verdict == "contains native code"
    assert report.advice == "you built it, as the record in your cache folder says"
    assert report.manifest.compiled["mode"] == "aotinductor"
    outputs = ["atomic_energy", "total_energy", "forces", "stress", "virial", "edge_forces"]
    assert report.manifest.model["outputs"] == outputs
    assert set(report.manifest.compiled["outputs"]) == {*outputs, "stress_mask"}
    assert report.manifest.compiled["inputs"] == report.manifest.model["inputs"]
    assert [item["name"] for item in report.manifest.modifiers] == ["enable_ForceStressOutput"]
    assert report.manifest.provenance["source"] == "energy_only.ckpt"
    code = f"import sys\nfrom equipot.artifacts import inspect_file\ninspect_file({str(pt2)!r})\n"
    code += "assert 'torch' not in sys.modules"
    subprocess.run([os.sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_energy_is_conserved_in_molecular_dynamics(pt2):
    atoms = crystal()
    thermal = np.sqrt(200 * units.kB / atoms.get_masses())[:, None]
    velocities = thermal * np.random.default_rng(1).normal(size=(len(atoms), 3))
    energies = {}
    for step in (1.0, 0.5):
        run = atoms.copy()
        run.calc = EquipotCalculator(pt2)
        run.set_velocities(velocities)
        dynamics, found = VelocityVerlet(run, timestep=step * units.fs), []
        dynamics.attach(lambda: found.append(run.get_total_energy()))  # noqa: B023 - called inside the loop only
        dynamics.run(int(60 / step))
        energies[step] = np.ptp(found)
    assert energies[1.0] < 0.02 * len(atoms)
    assert energies[0.5] < 0.4 * energies[1.0]


@pytest.mark.slow
def test_several_processes_and_threads_at_once(pt2, tmp_path, batch):
    """All load it for the first time, so all replay the golden frames and remember that."""
    torch.save(batch, tmp_path / "batch.pt")
    environment = {**os.environ, "EQUIPOT_CACHE_DIR": str(tmp_path / "cache")}
    command = [os.sys.executable, "-c", MANY, str(pt2), str(tmp_path / "batch.pt")]
    processes = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    printed = [process.communicate(timeout=300)[0] for process in processes]
    assert len(set(printed)) == 1
    assert printed[0].count("energy") == 4
    assert len(set(printed[0].splitlines())) == 1


MANY = """
import sys, threading, torch
from equipot.artifacts import load_compiled

batch, found = torch.load(sys.argv[2], weights_only=True), []

def use():
    found.append(f"energy {load_compiled(sys.argv[1], allow_native=True)(batch)['total_energy'].tolist()}")

threads = [threading.Thread(target=use) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("\\n".join(found))
"""


@pytest.mark.slow
def test_an_edited_file_is_refused_although_it_is_allowed(pt2, tmp_path):
    """The code is whole; only what the manifest says of it is not."""
    with zipfile.ZipFile(pt2) as file:
        members = {name: file.read(name) for name in file.namelist()}
    (name,) = (name for name in members if name.endswith("equipot/manifest.json"))
    members[name] = members[name].replace(b'"units": "metal"', b'"units": "real"')
    archive.write_members(tmp_path / "a.equipot.pt2", members)
    with pytest.raises(ArtifactError, match="manifest.model.units: is not what the golden frames were made with"):
        load(tmp_path / "a.equipot.pt2", allow_native=True)


@pytest.mark.slow
def test_heads_and_limits_of_boundary_conditions_in_a_compiled_file(make_model, tmp_path, heads_plugin):
    """Outputs come by name, under the names of ASE, and frames that a head does not serve are refused."""
    model = apply_modifier(make_model(), "add_Charges")
    model.outputs["charges"].boundary = ("molecule",)
    model = model.replace()
    path = tmp_path / "model.equipot.pt2"
    manifest = compile_model(model, path)
    assert manifest.compiled["outputs"] == list(dict.fromkeys(manifest.compiled["outputs"]))
    assert {"charges", "dipole", "forces"} <= set(manifest.compiled["outputs"])
    loaded = load(path)
    assert loaded.info.boundary == (("charges", ("molecule",)),)
    atoms = molecule("CH3OH")
    atoms.calc = EquipotCalculator(path)
    dipole, charges, forces = atoms.get_dipole_moment(), atoms.get_charges(), atoms.get_forces()
    eager = EquipotCalculator(model)
    assert np.allclose(dipole, eager.get_property("dipole", atoms), rtol=1e-10, atol=1e-12)
    assert np.allclose(charges, eager.get_property("charges", atoms), rtol=1e-10, atol=1e-12)
    assert np.allclose(forces, EquipotCalculator(make_model()).get_forces(atoms), rtol=1e-10, atol=1e-12)
    with pytest.raises(DataError, match="'charges' is for molecule only, but frame 0 has the pbc of a bulk"):
        EquipotCalculator(path).get_potential_energy(crystal())
