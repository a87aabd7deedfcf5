"""Models of nequip, from the stored exports of tests/exports (made by make_exports.py with nequip itself)."""

import ast
import dataclasses
import json
import pickle
from pathlib import Path

import pytest
import torch

import equipot_from_nequip
from equipot._cli.main import main
from equipot.artifacts import load_model, read_manifest, read_package, verify
from equipot.errors import ArtifactError, ConfigError
from equipot_from_nequip._exported import read_export
from equipot_from_nequip._hyperparameters import Choices
from equipot_from_nequip._importer import import_model
from equipot_from_nequip._verify import allowed, graph_of

EXPORTS = Path(__file__).parent / "exports"
CASES = sorted(path.name for path in EXPORTS.iterdir())
PACKAGE = Path(equipot_from_nequip.__file__).parent


def peer(name="nequip_zbl", **changes):
    return dataclasses.replace(read_export(EXPORTS / name), **changes)


def with_options(name="nequip_zbl", **options):
    model = peer(name)
    return dataclasses.replace(model, builder={**model.builder, **options})


# ------------------------------------------------------------------------ same numbers


@pytest.mark.parametrize("name", CASES)
def test_an_imported_model_gives_the_numbers_of_nequip(name):
    model = peer(name)
    imported = import_model(model)
    assert set(imported.deviations) == {"float64", model.model_dtype}
    assert imported.deviations["float64"].keys() == {"atomic_energy", "total_energy", "forces", "stress"}
    assert max(imported.deviations["float64"].values()) <= 1e-10
    assert imported.deviations[model.model_dtype]["forces"] <= (1e-10 if model.model_dtype == "float64" else 5e-6)
    assert imported.model.info.model_dtype == model.model_dtype
    assert list(imported.model.info.type_names) == model.type_names
    frame = model.frames["file_0"]
    found = imported.model(graph_of(frame, imported.model.info))["total_energy"].item()
    assert found == pytest.approx(frame.outputs[model.model_dtype]["total_energy"].item(), rel=1e-7)


def test_the_exports_cover_both_models_and_both_kinds_of_files():
    models = [peer(name) for name in CASES]
    assert {model.builder["_target_"].split(".")[0] for model in models} == {"nequip", "allegro"}
    assert {model.weights_kind for model in models} == {"ema", "raw", "as packaged"}
    assert {model.model_dtype for model in models} == {"float32", "float64"}
    assert any(model.modifiers for model in models)
    assert "packaged" in peer("nequip_everything").frames


def test_trained_and_modified_shifts_are_those_of_the_weights():
    modified = import_model(peer("nequip_modified")).model
    assert modified.scale_shift.values("shifts") == {"H": -13.5, "O": -425.0}
    trained = import_model(peer("nequip_everything")).model
    assert isinstance(trained.scale_shift.shifts, torch.nn.Parameter)
    assert trained.scale_shift.values("shifts")["H"] != -13.5


def test_a_finetuned_model_has_the_hyperparameters_of_its_parent():
    model = peer("nequip_finetuned")
    assert model.notes == ["hyperparameters taken from best.nequip.zip"]
    assert model.builder["_target_"] == "nequip.model.NequIPGNNModel"
    assert import_model(model).model.scale_shift.values("shifts")["H"] == pytest.approx(-14.0, abs=0.1)


def test_types_that_are_no_elements_keep_their_elements():
    info = import_model(peer("nequip_renamed_types")).model.info
    assert (info.type_names, info.chemical_species) == (("Ow", "Hw"), ("O", "H"))
    unknown = peer("nequip_renamed_types", chemical_species=None)
    assert import_model(unknown).model.info.chemical_species is None
    assert import_model(unknown, Choices(chemical_species=["O", "H"])).model.info.chemical_species == ("O", "H")


def test_an_energy_only_model_stays_one():
    model = peer()
    frames = {
        name: dataclasses.replace(
            frame,
            outputs={
                dtype: {key: value for key, value in outputs.items() if key.endswith("energy")}
                for dtype, outputs in frame.outputs.items()
            },
        )
        for name, frame in model.frames.items()
    }
    imported = import_model(dataclasses.replace(model, do_derivatives=False, frames=frames))
    assert "forces" not in imported.model.info.outputs
    assert imported.deviations["float64"].keys() == {"atomic_energy", "total_energy"}


@pytest.mark.parametrize("name", ["nequip_zbl", "allegro_bessel"])
def test_a_wrong_weight_is_found(name):
    model = peer(name)
    key = next(key for key in model.state if key.endswith("mlp.0.weight") and "readout" in key)
    state = {**model.state, key: model.state[key] * (1 + 1e-5)}
    with pytest.raises(ArtifactError, match=r"best.ckpt: gives different results here in float\d\d, relative devi"):
        import_model(dataclasses.replace(model, state=state))


def test_float32_may_differ_as_much_as_nequip_from_itself():
    model = peer()
    ours = import_model(model).model
    exact = allowed(ours, model, "float64")
    assert set(exact.values()) == {1e-10}
    assert min(allowed(ours, model, "float32").values()) >= 5e-6


# ------------------------------------------------------------------------ what cannot be mapped


def test_everything_that_cannot_be_mapped_is_reported_at_once():
    model = with_options(
        readout_mlp_nonlinearity="softplus",
        convnet_resnet=True,
        num_charges=3,
        pair_potential={"_target_": "nequip.nn.pair_potential.LennardJones", "lj_sigma": 1.0},
    )
    model = dataclasses.replace(
        model,
        allow_tf32=True,
        modules={**model.modules, "model.func.charges": "my_package.Charges", "model.func.les": "nequip.nn.misc.Other"},
        modifiers=[{"modifier": "enable_OpenEquivariance"}, {"modifier": "freeze"}],
    )
    with pytest.raises(ConfigError) as caught:
        import_model(model)
    text = "\n".join(caught.value.problems)
    for part in (
        "global_options.allow_tf32: has no counterpart: equipot has no TF32 switch, got True; add --ignore-tf32",
        "model.func.charges: this module has no counterpart, got 'my_package.Charges'",
        "model.func.les: this module has no counterpart, got 'nequip.nn.misc.Other'",
        "modifiers: this modifier has no counterpart, got 'freeze'",
        "model.convnet_resnet: is always False, got True",
        "model.pair_potential: _target_: has no counterpart, got 'nequip.nn.pair_potential.LennardJones'",
        "num_charges: unknown option",
    ):
        assert part in text
    assert "enable_OpenEquivariance" not in text
    with pytest.raises(ConfigError, match=r"readout_mlp_nonlinearity: .*softplus"):
        import_model(with_options(readout_mlp_nonlinearity="softplus"))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (with_options(_target_="my_package.Model"), "this builder has no counterpart, got 'my_package.Model'"),
        (with_options(_target_="nequip.model.FullNequIPGNNModel"), "supported: nequip.model.NequIPGNNModel, nequip"),
        (
            with_options("allegro_bessel", radial_chemical_embed={"_target_": "my_package.Embed"}),
            "model.radial_chemical_embed: _target_: has no counterpart, got 'my_package.Embed'",
        ),
        (peer(chemical_species=["H", "C"]), "--chemical-species: must have one for each of ['H', 'C', 'O']"),
    ],
)  # fmt: skip
def test_refusals(model, message):
    with pytest.raises(ConfigError) as caught:
        import_model(model)
    assert message in str(caught.value)


def test_units_follow_the_repulsion_unless_they_contradict_it():
    assert import_model(peer()).model.info.units == "metal"
    assert import_model(peer("allegro_bessel"), Choices(units="real")).model.info.units == "real"
    with pytest.raises(ConfigError, match="pair_potential.units: must equal data.units = 'real'"):
        import_model(peer(), Choices(units="real"))


def test_tf32_can_be_left_out():
    assert import_model(peer(allow_tf32=True), Choices(ignore_tf32=True)).model.info.type_names == ("H", "C", "O")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: {**state, "model.func.extra": torch.ones(2)}, "not used: ['extra']"),
        (lambda state: {k: v for k, v in state.items() if "type_embed" not in k}, "no such tensor"),
        (lambda state: {k: v[:-1] if "linear_2" in k else v for k, v in state.items()}, "has 47 numbers, expected 48"),
        (lambda state: {k: v[:, :-1] if "edge_mlp" in k else v for k, v in state.items()}, "have different shapes"),
    ],
)
def test_weights_that_do_not_fit_are_refused(change, message):
    model = peer()
    with pytest.raises(ArtifactError) as caught:
        import_model(dataclasses.replace(model, state=change(model.state)))
    assert message in str(caught.value)


# ------------------------------------------------------------------------ the command


class Bomb:
    """Unpickled, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def model_file(tmp_path):
    """A file of nequip, as far as equipot can tell; whoever unpickles it makes ``canary``."""
    path = tmp_path / "best.ckpt"
    path.write_bytes(pickle.dumps(Bomb(tmp_path / "canary")))
    return path


@pytest.fixture
def python(tmp_path):
    """Make an interpreter that does what a shell script says."""

    def make(script):
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)
        return str(path)

    return make


def run(*arguments):
    return main(["import-nequip", *map(str, arguments)])


def test_the_command_writes_a_package_and_never_unpickles(tmp_path, model_file, python, capsys):
    interpreter = python(f'cp {EXPORTS}/nequip_zbl/* "$3"')
    out = tmp_path / "model.equipot.zip"
    assert run(model_file, out, "--i-trust-this-file", "--python", interpreter) == 0
    printed = capsys.readouterr().out
    assert "same numbers as nequip 0.19.1 on 6 frames in float64" in printed
    assert not (tmp_path / "canary").exists()
    assert load_model(out).info.type_names == ("H", "C", "O")
    assert max(verify(out).values()) < 1e-6
    manifest = read_manifest(out)
    assert manifest.provenance["source"] == "best.ckpt"
    assert manifest.provenance["weights"] == "ema"
    assert manifest.provenance["imported_from"]["nequip"] == "0.19.1"
    assert set(manifest.plugins) == {"equipot-nequip", "equipot-zbl", "equipot-force-stress"}
    assert "nequip." not in json.dumps(read_package(out).config)


def test_frames_of_the_training_data_are_not_stored_with_the_package(tmp_path, model_file, python):
    out = tmp_path / "model.equipot.zip"
    assert run(model_file, out, "--i-trust-this-file", "--python", python(f'cp {EXPORTS}/nequip_zbl/* "$3"')) == 0
    assert {frame.name for frame in read_package(out).golden} == {"atom", "crystal", "dense_crystal", "molecule"}


@pytest.mark.parametrize(
    ("arguments", "script", "message"),
    [
        ([], "exit 0", "loading it runs the code in it; add --i-trust-this-file"),
        (["--i-trust-this-file"], "exit 0", "is not an export of a nequip model"),
        (
            ["--i-trust-this-file"],
            "echo \"ModuleNotFoundError: No module named 'nequip'\" >&2; exit 1",
            "this interpreter has no nequip",
        ),
        (["--i-trust-this-file"], "echo 'RuntimeError: bad file' >&2; exit 1", "cannot export it: RuntimeError: bad"),
        (["--i-trust-this-file"], "exit 3", "cannot export it: exit code 3"),
    ],
)
def test_errors_of_the_command(tmp_path, model_file, python, capsys, arguments, script, message):
    out = tmp_path / "model.equipot.zip"
    assert run(model_file, out, "--python", python(script), *arguments) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()
    assert not (tmp_path / "canary").exists()


def test_errors_before_anything_runs(tmp_path, model_file, python, capsys):
    never = python(f"touch {tmp_path}/ran")
    trust = ("--i-trust-this-file", "--python", never)
    (tmp_path / "there.equipot.zip").touch()
    assert run(model_file, tmp_path / "there.equipot.zip", *trust) == 2
    assert "exists already; choose another name, or add --overwrite" in capsys.readouterr().err
    assert run(model_file, tmp_path / "model.zip", *trust) == 2
    assert "must end in .equipot.zip" in capsys.readouterr().err
    assert run(tmp_path / "not_there.ckpt", tmp_path / "o.equipot.zip", *trust) == 2
    assert "no such file" in capsys.readouterr().err
    (tmp_path / "model.nequip.pt2").touch()
    assert run(tmp_path / "model.nequip.pt2", tmp_path / "o.equipot.zip", *trust) == 2
    assert "is not a checkpoint or package of nequip; use a file that ends in .ckpt or" in capsys.readouterr().err
    assert run(model_file, tmp_path / "o.equipot.zip", "--i-trust-this-file", "--python", tmp_path / "nope") == 2
    assert "cannot be run: No such file or directory" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "export.json").write_text("{}"), "must have the format 1"),
        (lambda folder: (folder / "export.json").write_text('{"format": 1}'), "is incomplete"),
        (lambda folder: (folder / "weights.safetensors").write_bytes(b"junk"), "is damaged"),
        (lambda folder: (folder / "frames.safetensors").unlink(), "is not an export of a nequip model"),
    ],
)
def test_damaged_exports_are_refused(tmp_path, change, message):
    for path in (EXPORTS / "nequip_zbl").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    change(tmp_path)
    with pytest.raises(ArtifactError, match=message):
        read_export(tmp_path)


# ------------------------------------------------------------------------ who may unpickle


def test_only_the_script_that_runs_elsewhere_unpickles_or_knows_nequip():
    for path in PACKAGE.glob("*.py"):
        if path.name == "_peer_export.py":
            continue
        names = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add((node.module or "").split(".")[0])
            elif (
                isinstance(node, ast.Attribute)
                and node.attr in ("load", "package")
                and ast.unparse(node.value) == "torch"
            ):
                names.add(f"torch.{node.attr}")
        assert not names & {"pickle", "nequip", "allegro", "dill", "joblib", "torch.load", "torch.package"}, path.name


def test_the_script_is_found_on_no_import_path(tmp_path):
    """It runs alone in a folder, so that nequip's interpreter does not import the modules next to it."""
    from equipot_from_nequip import _exported as exported

    seen = tmp_path / "seen"
    fake = tmp_path / "python"
    fake.write_text(f'#!/bin/sh\nls "$(dirname "$1")" > {seen}; cp {EXPORTS}/nequip_zbl/* "$3"\n', encoding="utf-8")
    fake.chmod(0o755)
    (tmp_path / "m.ckpt").touch()
    exported.export(str(fake), tmp_path / "m.ckpt")
    assert sorted(seen.read_text().split()) == ["_peer_export.py", "export"]
