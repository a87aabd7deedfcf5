"""The term LatentElectrostatics with builders that other plugins bring, and in files."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from equipot.artifacts import load_compiled, load_model, write_package
from equipot.compile import compile_model
from equipot.energy_terms import LatentElectrostatics
from equipot.errors import DataError
from equipot.model import AllegroModel, NequIPGNNModel, PaiNNModel, apply_modifier
from equipot_allegro import TwoBodyBesselScalarEmbed
from equipot_test_support.commands import equipot
from equipot_test_support.configs import short_run
from equipot_testing.frames import batch_of, bulk, lone_atom, molecule, slab

BASE = {"type_names": ["H", "C", "O"], "r_max": 4.0, "model_dtype": "float64", "seed": 4, "num_layers": 1}
BUILDERS = {
    "NequIP": (NequIPGNNModel, {"num_features": 4, "radial_mlp_width": 8, "avg_num_neighbors": 6.0}),
    "Allegro": (
        AllegroModel,
        {
            "l_max": 1,
            "num_scalar_features": 4,
            "num_tensor_features": 2,
            "avg_num_neighbors": 6.0,
            "radial_chemical_embed": TwoBodyBesselScalarEmbed(),
        },
    ),
    "PaiNN": (PaiNNModel, {"num_features": 4, "num_bessels": 3}),
}


def model(name, **options):
    builder, changes = BUILDERS[name]
    return builder(**BASE, **changes, energy_terms={"electrostatics": LatentElectrostatics(**options)}).build().eval()


def frames(info):
    return batch_of([bulk(3), molecule(3), lone_atom(), bulk(3, n_atoms=4, seed=3)], info)


@pytest.mark.parametrize("name", BUILDERS)
def test_forces_and_stress_of_builders_are_derivatives_of_the_energy(name):
    with_term = model(name)
    structures, step = [bulk(3), molecule(3)], 1e-4
    generator = torch.Generator().manual_seed(2)
    strain = torch.randn(3, 3, generator=generator, dtype=torch.float64)
    strain = 0.5 * (strain + strain.T)
    moves = [torch.randn(len(one), 3, generator=generator, dtype=torch.float64) for one in structures]

    def energies(scale, *, strained):
        changed = [
            one.mapped(torch.eye(3, dtype=torch.float64) + scale * strain) if strained else one.moved(scale * move)
            for one, move in zip(structures, moves, strict=True)
        ]
        return with_term(batch_of(changed, with_term.info))["total_energy"]

    output = with_term(batch_of(structures, with_term.info))
    slope = (energies(step, strained=False) - energies(-step, strained=False)) / (2.0 * step)
    work = [-(f * m).sum() for f, m in zip(output["forces"].split([7, 5]), moves, strict=True)]
    torch.testing.assert_close(torch.stack(work), slope, rtol=1e-5, atol=1e-5)
    slope = (energies(step, strained=True) - energies(-step, strained=True)) / (2.0 * step)
    torch.testing.assert_close(-(output["virial"] * strain).sum((1, 2)), slope, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", BUILDERS)
def test_a_package_keeps_the_term(name, tmp_path):
    with_term = model(name, num_channels=2)
    write_package(with_term, tmp_path / "model.equipot.zip")
    batch = frames(with_term.info)
    loaded = load_model(tmp_path / "model.equipot.zip")(batch)
    assert all(torch.equal(loaded[key], value) for key, value in with_term(batch).items())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["NequIP", "Allegro"])
def test_kernels_change_nothing(name):
    with_term = model(name)
    batch = frames(with_term.info)
    fast = apply_modifier(with_term, "enable_FusedKernels")
    for _ in range(12):  # later calls may take another way
        found = fast(batch)
    for key, value in with_term(batch).items():
        torch.testing.assert_close(found[key], value, rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_a_compiled_file_serves_molecules_and_crystals(tmp_path):
    with_term = apply_modifier(model("PaiNN"), "enable_LatentCharges")
    path = tmp_path / "model.equipot.pt2"
    compile_model(with_term, path)
    compiled = load_compiled(path, allow_native=True)
    large = bulk(3, n_atoms=4).repeated((3, 1, 2))
    for structures in ([bulk(3)], [molecule(3)], [lone_atom()], [large, molecule(3), bulk(3)]):
        batch = batch_of(structures, with_term.info)
        found = compiled(batch)
        for key, value in with_term(batch).items():
            torch.testing.assert_close(found[key], value, rtol=1e-9, atol=1e-9)
    with pytest.raises(DataError, match="'electrostatics' is for molecule or bulk only"):
        compiled(batch_of([slab(3)], with_term.info))


def test_a_package_gives_the_charges(tmp_path):
    shown = apply_modifier(model("PaiNN"), "enable_LatentCharges")
    write_package(shown, tmp_path / "model.equipot.zip")
    batch = batch_of([bulk(3)], shown.info)
    loaded = load_model(tmp_path / "model.equipot.zip")
    assert torch.equal(loaded(batch)["latent_charges"], shown(batch)["latent_charges"])


@pytest.mark.slow
def test_a_config_trains_on_frames_with_their_charge(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for index in range(12):
        r = 4.5 + 0.3 * index
        pair = Atoms("HC", [[0.0, 0.0, 0.0], [0.0, 0.0, r]], info={"total_charge": 2.0})
        push = 14.399645 / r**2
        forces = [[0.0, 0.0, -push], [0.0, 0.0, push]]
        pair.calc = SinglePointCalculator(pair, energy=14.399645 / r, forces=forces)
        write("ions.extxyz", pair, append=True)
    term = {"_target_": "equipot.energy_terms.LatentElectrostatics", "constraint": "total_charge"}
    options = {**BASE, "type_names": ["H", "C"], "num_features": 4, "num_bessels": 3}
    painn = {"_target_": "equipot.model.PaiNNModel", **options, "energy_terms": {"electrostatics": term}}
    config = short_run("ions.extxyz", painn, batch_size=4, train=8, val=2, test=2)
    config["data"]["labels"] = {key: key for key in ("forces", "total_charge")} | {"total_energy": "energy"}
    config["trainer"]["max_epochs"] = 20
    Path("config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    equipot("train", "config.yaml", "--output", "run")
    results = json.loads(Path("run/results.json").read_text(encoding="utf-8"))
    assert results["test"]["test0_epoch/per_atom_energy_mae"] < 0.1  # eV; the energies range over 1 eV
