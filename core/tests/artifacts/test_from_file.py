import dataclasses

import pytest
import torch

from equipot.artifacts import _archive as archive
from equipot.artifacts import load_model, write_package
from equipot.artifacts._manifest import Manifest
from equipot.errors import ConfigError
from equipot.model import ModelFromCheckpoint, ModelFromPackage, apply_modifier, modify
from equipot.validation import check_options


def test_zero_steps_leave_energies_bit_equal(make_model, package_file, make_checkpoint, batch):
    model = make_model()
    expected = model(batch)["atomic_energy"]
    for recipe in (
        ModelFromPackage(package_path=str(package_file)),
        ModelFromCheckpoint(checkpoint_path=str(make_checkpoint(model)), weights="raw"),
    ):
        built = recipe.build()
        assert built.training
        assert all(parameter.requires_grad for parameter in built.parameters())
        assert built.config == model.config
        assert torch.equal(built.eval()(batch)["atomic_energy"], expected)


def test_averaged_weights_by_default(make_model, make_checkpoint):
    model = make_model()
    built = ModelFromCheckpoint(checkpoint_path=str(make_checkpoint(model))).build()
    assert torch.equal(built.energy.weights, model.energy.weights * 1.01)


def test_info_is_read_from_the_manifest_alone(make_model, package_file, make_checkpoint):
    """The weights of the package are cut off; its manifest still tells types and cutoffs."""
    model = make_model()
    members = {"manifest.json": write_package(model, package_file).to_json()}
    archive.write_members(package_file, members)
    assert ModelFromPackage(package_path=str(package_file)).info() == model.info
    assert ModelFromCheckpoint(checkpoint_path=str(make_checkpoint(model))).info() == model.info


def test_forces_for_an_energy_only_package_and_training_them(make_model, tmp_path, batch):
    """The road of fine-tuning: same energies at first, and the loss on forces falls."""
    model = make_model(do_derivatives=False)
    write_package(model, tmp_path / "energy_only.equipot.zip")
    inner = ModelFromPackage(package_path=str(tmp_path / "energy_only.equipot.zip"))
    tuned = modify(model=inner, modifiers=[{"modifier": "enable_ForceStressOutput"}]).build()
    before = model(batch)
    after = tuned.eval()(batch)
    assert "forces" not in before
    assert torch.equal(before["atomic_energy"], after["atomic_energy"])
    labels = apply_modifier(make_model(seed=2, do_derivatives=False), "enable_ForceStressOutput").eval()(batch)[
        "forces"
    ]
    optimizer, losses = torch.optim.Adam(tuned.parameters(), lr=0.01), []
    tuned.train()
    for _ in range(12):
        loss = (tuned(batch)["forces"] - labels).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]
    write_package(tuned.eval(), tmp_path / "tuned.equipot.zip")
    assert torch.equal(load_model(tmp_path / "tuned.equipot.zip")(batch)["forces"], tuned(batch)["forces"])


def test_problems_are_found_when_the_config_is_checked(tmp_path, package_file):
    missing = str(tmp_path / "none.equipot.zip")
    with pytest.raises(ConfigError) as caught:
        ModelFromPackage(package_path=missing)
    assert caught.value.problems == [f"ModelFromPackage.package_path: {missing}: there is no such file"]
    with pytest.raises(ConfigError, match=r"ModelFromCheckpoint.checkpoint_path: .*none.ckpt: there is no such file"):
        ModelFromCheckpoint(checkpoint_path=str(tmp_path / "none.ckpt"))
    problems = check_options(ModelFromPackage, {"package": "a"}, "model")[1]
    assert "model.package: unknown option; did you mean 'package_path'?" in problems
    manifest = Manifest.from_json(archive_member(package_file), "x")
    newer = dataclasses.replace(manifest, plugins={"equipot-nowhere": "3.1"})
    archive.write_members(package_file, {"manifest.json": newer.to_json()})
    with pytest.raises(ConfigError, match=r"pip install --upgrade 'equipot-nowhere>=3.1'"):
        ModelFromPackage(package_path=str(package_file))


def archive_member(path):
    with archive.opened(path) as file:
        return archive.read_member(path, file, "manifest.json")


def test_units_must_be_those_of_the_data(package_file):
    recipe = ModelFromPackage(package_path=str(package_file))
    for ask in (recipe.info, recipe.build):
        with pytest.raises(ConfigError, match="the model was trained in 'metal' units, but data.units is 'real'"):
            ask("real")
