import zipfile

import pytest
import torch

from equipot._cli.main import main
from equipot.artifacts import _archive as archive
from equipot.artifacts import _golden as golden
from equipot.artifacts import load_model, read_manifest, read_package, verify, write_package
from equipot.ase import EquipotCalculator
from equipot.errors import ArtifactError, PluginError
from equipot.graph import collate
from equipot.model import apply_modifier
from equipot_test_support.forgery import Forgery, members_of
from equipot_testing.toy import ToyModel


def rewrite(path, changes):
    """Change members, and nothing else."""
    archive.write_members(path, {**members_of(path), **changes})


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_round_trip_is_bit_equal(make_model, tmp_path, dtype):
    model = make_model(model_dtype=dtype)
    write_package(model, tmp_path / "a.equipot.zip")
    loaded = load_model(tmp_path / "a.equipot.zip")
    assert not loaded.training
    assert loaded.config == model.config
    batch = collate(list(golden.random_frames(model.info, 5).values()))
    expected, found = model(batch), loaded(batch)
    assert expected.keys() == found.keys()
    for key, value in expected.items():
        assert torch.equal(value, found[key]), key


def test_packaging_changes_nothing_in_the_model(make_model, tmp_path):
    model = make_model().train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    write_package(model, tmp_path / "a.equipot.zip")
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_a_package_has_four_stored_members(package_file):
    with zipfile.ZipFile(package_file) as file:
        assert [info.filename for info in file.infolist()] == [
            "manifest.json",
            "config.json",
            "weights.safetensors",
            "golden.safetensors",
        ]
        assert {info.compress_type for info in file.infolist()} == {zipfile.ZIP_STORED}


def test_golden_frames_are_a_crystal_a_molecule_and_an_atom(package_file):
    frames = {frame.name: frame for frame in read_package(package_file).golden}
    assert frames.keys() == {"triclinic", "molecule", "atom"}
    assert bool(frames["triclinic"].inputs["pbc"].all())
    assert bool(frames["triclinic"].outputs["stress_mask"][0])
    assert not bool(frames["molecule"].inputs["pbc"].any())
    assert not bool(frames["molecule"].outputs["stress_mask"][0])
    assert frames["atom"].inputs["edge_index"].shape == (2, 0)
    assert float(frames["atom"].outputs["total_energy"][0]) == -2041.8
    for frame in (frames["triclinic"], frames["molecule"]):
        assert frame.inputs["edge_index"].shape[1] > 4
        assert float(frame.outputs["forces"].abs().max()) > 1e-2


def test_verify_replays_exactly(package_file):
    assert set(verify(package_file).values()) == {0.0}


def test_heads_are_stored_with_the_model(make_model, tmp_path, heads_plugin, capsys):
    model = apply_modifier(make_model(), "add_Charges", {"seed": 9})
    path = tmp_path / "model.equipot.zip"
    write_package(model, path)
    loaded = load_model(path)
    assert loaded.info == model.info
    batch = collate(list(golden.random_frames(model.info, 5).values()))
    assert torch.equal(loaded(batch)["dipole"], model(batch)["dipole"])
    assert "dipole" in read_package(path).golden[0].outputs
    assert main(["inspect", str(path)]) == 0
    shown = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert shown["outputs"][-2:] == ["charges", "dipole"]
    assert "equipot-heads" in " ".join(shown["plugins"])


def test_limits_of_boundary_conditions_are_stored(make_model, tmp_path, capsys):
    model = make_model()
    model.energy_terms["pair_potential"].boundary = ("molecule",)
    path = tmp_path / "model.equipot.zip"
    write_package(model.replace(), path)
    assert read_manifest(path).model["boundary"] == [["pair_potential", ["molecule"]]]
    assert all(not frame.inputs["pbc"].any() for frame in read_package(path).golden)
    assert main(["inspect", str(path)]) == 0
    assert "pair_potential for molecule only" in capsys.readouterr().out
    with pytest.raises(ArtifactError, match="the model built is not the one described: boundary is"):
        load_model(path)  # the class itself states none


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_changed_weight_is_seen_when_the_package_is_loaded(make_model, tmp_path, dtype):
    path = tmp_path / "a.equipot.zip"
    write_package(make_model(model_dtype=dtype), path)
    forgery = Forgery(path)
    forgery.weights["energy.weights"][0, 0, 0] += 0.02
    forgery.write(mark=False)
    with pytest.raises(ArtifactError, match="fingerprint: is not that of its options and weights"):
        read_package(path)
    forgery.write()
    with pytest.raises(ArtifactError, match=r"a.equipot.zip: does not reproduce its golden frames"):
        verify(path)
    forgery.weights["energy.weights"][0, 0, 0] += 0.2
    forgery.write()
    for use in (load_model, EquipotCalculator):
        with pytest.raises(ArtifactError, match=r"a.equipot.zip: does not reproduce its golden frames .*'forces'"):
            use(path)


def test_a_shift_off_by_a_millielectronvolt_is_seen(package_file):
    forgery = Forgery(package_file)
    forgery.weights["scale_shift.shifts"] += 1e-3
    forgery.write()
    with pytest.raises(ArtifactError, match="stored with other energies of isolated atoms than the model has"):
        load_model(package_file)


def test_only_one_frame_is_replayed_on_load_and_all_by_verify(package_file, monkeypatch):
    replayed, replay = [], golden.replay

    def recorded(call, frames, allowed):
        replayed.append([frame.name for frame in frames])
        return replay(call, frames, allowed)

    monkeypatch.setattr(golden, "replay", recorded)
    assert not load_model(package_file).training
    assert replayed == [["molecule"]]
    verify(package_file)
    assert replayed[1:] == [["molecule"], ["atom", "molecule", "triclinic"]]


def test_a_changed_frame_that_is_not_replayed_on_load_makes_verify_fail(package_file):
    forgery = Forgery(package_file)
    forgery.golden["triclinic/out/forces"][0, 0] += 1e-3
    forgery.write()
    load_model(package_file)
    with pytest.raises(ArtifactError, match="does not reproduce its golden frames"):
        verify(package_file)


def test_frames_from_large_data_get_a_small_one(make_model, tmp_path, monkeypatch):
    monkeypatch.setattr(golden, "_MAX_EDGES", 20)
    model = make_model()
    frames = golden.random_frames(model.info)
    write_package(model, tmp_path / "a.equipot.zip", golden_inputs={"large": frames["triclinic"]})
    assert [frame.name for frame in read_package(tmp_path / "a.equipot.zip").golden] == ["large", "molecule"]


@pytest.mark.parametrize("member", ["config.json", "weights.safetensors", "golden.safetensors"])
def test_one_changed_byte_is_noticed(package_file, member):
    raw = bytearray(members_of(package_file)[member])
    raw[-2] ^= 1
    rewrite(package_file, {member: bytes(raw)})
    with pytest.raises(ArtifactError):
        verify(package_file)


def test_an_edited_option_is_named_even_when_signed(package_file):
    forgery = Forgery(package_file)
    forgery.config["avg_num_neighbors"] = 24.0
    forgery.config["pair_potential"]["polynomial_cutoff_p"] = 5.0
    forgery.write(options=False)
    with pytest.raises(
        ArtifactError,
        match=r"saved with other values of \['model.avg_num_neighbors', 'model.pair_potential.polynomial_cutoff_p'\]",
    ):
        read_package(package_file)


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "functools.partial",
        "hydra.utils.get_method",
        "logging.os.system",
        "equipot.artifacts._rebuild.rebuild_model",
        "equipot.modifiers.modify_PerTypeScaleShift",
        "equipot_invariant.builder.InvariantModel",
        "",
    ],
)
def test_a_package_cannot_name_code(package_file, target, tmp_path):
    canary = tmp_path / "canary"
    config = {"_target_": target, "command": f"touch {canary}", "_args_": [f"touch {canary}"]}
    resign_options(package_file, config)
    with pytest.raises(ArtifactError, match="must name a registered component"):
        load_model(package_file)
    assert not canary.exists()


def resign_options(path, config):
    """Replace the config and all digests that belong to it."""
    forgery = Forgery(path)
    forgery.config = config
    forgery.write()


def test_an_unknown_builder_says_what_is_missing(package_file):
    resign_options(package_file, {"_target_": "equipot.model.CubeModel"})
    with pytest.raises(PluginError, match="no model builder named 'CubeModel'"):
        load_model(package_file)


def test_weights_that_do_not_fit_are_described(package_file):
    forgery = Forgery(package_file)
    forgery.weights["energy.out"] = forgery.weights["energy.out"][:, :3].contiguous()
    forgery.weights["other"] = forgery.weights.pop("energy.weights")
    forgery.write()
    with pytest.raises(
        ArtifactError,
        match=r"missing: \['energy.weights'\]; unknown: \['other'\]; of another shape or type: \['energy.out \(3, 3\)",
    ):
        load_model(package_file)


# ------------------------------------------------------------------ hostile and damaged files


@pytest.mark.parametrize("size", [0, 10, 100, 1000, -1, -30])
def test_truncated_files(package_file, size):
    raw = package_file.read_bytes()
    package_file.write_bytes(raw[:size])
    with pytest.raises(ArtifactError, match="truncated"):
        read_package(package_file)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(ArtifactError, match="there is no such file"):
        read_package(tmp_path / "none.equipot.zip")
    folder = tmp_path / "folder.equipot.zip"
    folder.mkdir()
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_package(folder)


@pytest.mark.parametrize("name", ["../evil.json", "/etc/evil", "a/../../evil", "a\\..\\evil"])
def test_path_traversal(package_file, name, tmp_path):
    with zipfile.ZipFile(package_file, "a") as file:
        file.writestr(zipfile.ZipInfo(name), b"evil")
    with pytest.raises(ArtifactError, match="forbidden name"):
        read_package(package_file)
    assert {item.name for item in tmp_path.iterdir()} == {package_file.name}


def test_duplicate_members(package_file):
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(package_file, "a") as file:
        file.writestr("config.json", b"{}")
    with pytest.raises(ArtifactError, match="forbidden name"):
        read_package(package_file)


def test_compressed_bombs_are_never_unpacked(package_file):
    with zipfile.ZipFile(package_file, "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr("bomb", b"\0" * 50_000_000)
    assert package_file.stat().st_size < 200_000
    with pytest.raises(ArtifactError, match="is compressed or encrypted"):
        read_package(package_file)


def test_too_many_members(package_file):
    with zipfile.ZipFile(package_file, "a") as file:
        for number in range(archive.MAX_MEMBERS):
            file.writestr(f"m{number}", b"")
    with pytest.raises(ArtifactError, match="must have at most"):
        read_package(package_file)


def test_unknown_members(package_file):
    with zipfile.ZipFile(package_file, "a") as file:
        file.writestr("code.py", b"print()")
    with pytest.raises(ArtifactError, match=r"unknown members \['code.py'\]"):
        read_package(package_file)


def test_a_missing_member(package_file):
    members = members_of(package_file)
    del members["weights.safetensors"]
    archive.write_members(package_file, members)
    with pytest.raises(ArtifactError, match="has no member 'weights.safetensors'"):
        read_package(package_file)


def test_a_manifest_larger_than_allowed(package_file, monkeypatch):
    monkeypatch.setattr(archive, "MAX_JSON_BYTES", 100)
    with pytest.raises(ArtifactError, match="must be at most 100 bytes"):
        read_package(package_file)


def test_damaged_tensors(package_file):
    rewrite(package_file, {"weights.safetensors": b"\xff" * 64})
    with pytest.raises(ArtifactError, match="weights.safetensors: is damaged"):
        read_package(package_file)


# ------------------------------------------------------------------ writing


def test_the_name_must_end_in_the_suffix(make_model, tmp_path):
    for name in ("a.zip", "a.equipot.pt2", ".equipot.zip"):
        with pytest.raises(ArtifactError, match=r"must end in .equipot.zip"):
            write_package(make_model(), tmp_path / name)


def test_a_failed_write_leaves_the_old_file(package_file, make_model, monkeypatch):
    before = package_file.read_bytes()

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", fail)
    with pytest.raises(ArtifactError, match="cannot be written: disk full"):
        write_package(make_model(seed=2), package_file)
    assert package_file.read_bytes() == before
    assert list(package_file.parent.iterdir()) == [package_file]


def test_a_folder_that_does_not_exist(make_model, tmp_path):
    with pytest.raises(ArtifactError, match="cannot be written"):
        write_package(make_model(), tmp_path / "none" / "a.equipot.zip")


def test_a_builder_that_no_plugin_declares(tmp_path):
    model = ToyModel(type_names=["H"], r_max=3.0).build()
    with pytest.raises(ArtifactError, match="'equipot_testing.toy.ToyModel' is not declared by an installed plugin"):
        write_package(model, tmp_path / "a.equipot.zip")


def test_a_model_that_gives_nan_is_not_packaged(make_model, tmp_path):
    model = make_model()
    with torch.no_grad():
        model.energy.out[0] = float("nan")
    with pytest.raises(ArtifactError, match="the model gives non-finite"):
        write_package(model, tmp_path / "a.equipot.zip")
    assert not any(tmp_path.iterdir())
