import pickle
import zipfile

import pytest
import torch

from equipot.artifacts import _golden as golden
from equipot.artifacts import load, load_model, read_checkpoint
from equipot.artifacts._inspect import inspect_file
from equipot.ase import EquipotCalculator
from equipot.errors import ArtifactError, ConfigError


def energy(model):
    return float(model(golden.random_frames(model.info)["molecule"])["total_energy"][0])


def test_averaged_weights_are_the_default(make_model, make_checkpoint):
    model = make_model()
    path = make_checkpoint(model)
    raw, averaged = load_model(path, weights="raw"), load_model(path)
    assert energy(raw) == energy(model)
    assert torch.equal(averaged.energy.weights, model.energy.weights * 1.01)
    assert energy(averaged) != energy(model)
    assert read_checkpoint(path).manifest.provenance["weights"] == "ema"
    assert not averaged.training


def test_without_averages_the_raw_weights_are_taken(make_model, make_checkpoint):
    model = make_model()
    stored = read_checkpoint(make_checkpoint(model, ema=False))
    assert stored.manifest.provenance["weights"] == "raw"
    assert energy(stored.build().eval()) == energy(model)


def test_the_manifest_of_a_checkpoint(make_model, make_checkpoint):
    manifest = read_checkpoint(make_checkpoint(make_model())).manifest
    assert manifest.kind == "checkpoint"
    assert set(manifest.plugins) == {"equipot-invariant", "equipot-zbl", "equipot-force-stress"}
    assert manifest.provenance["step"] == 40


def test_load_picks_the_loader_by_suffix(make_model, make_checkpoint, package_file, tmp_path):
    model = make_model()
    assert energy(load(package_file)) == energy(model)
    assert energy(load(make_checkpoint(model), weights="raw")) == energy(model)
    with pytest.raises(ArtifactError, match="unknown file type"):
        load(tmp_path / "model.pth")
    with pytest.raises(ArtifactError, match="cannot become an eager model again"):
        load_model(tmp_path / "model.equipot.pt2")


def test_weights_are_ema_or_raw(make_model, make_checkpoint):
    with pytest.raises(ArtifactError, match="must be 'ema' or 'raw', got 'average'"):
        read_checkpoint(make_checkpoint(make_model()), weights="average")


class Payload:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_that_runs_code_is_refused(tmp_path, legacy):
    canary, path = tmp_path / "canary", tmp_path / "evil.ckpt"
    torch.save({"state_dict": {}, "evil": Payload(canary)}, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ArtifactError, match="File is not a zip file" if legacy else "is not a plain checkpoint"):
        read_checkpoint(path)
    if not legacy:
        report = inspect_file(path)
        assert report.verdict == "contains unsafe pickle"
        assert "io open" in report.advice
        assert report.manifest is None
    assert not canary.exists()


def test_names_made_at_run_time_are_unsafe(tmp_path):
    path = tmp_path / "evil.ckpt"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("evil/data.pkl", pickle.dumps(Payload(tmp_path / "canary"), protocol=4))
    assert inspect_file(path).verdict == "contains unsafe pickle"
    assert not (tmp_path / "canary").exists()


def test_inspecting_a_good_checkpoint(make_model, make_checkpoint):
    report = inspect_file(make_checkpoint(make_model()))
    assert report.verdict == "safe"
    assert report.manifest is not None
    assert report.manifest.model["type_names"] == ["C", "H", "O"]


@pytest.mark.parametrize("size", [0, 20, 1000, -100])
def test_truncated_checkpoints(make_model, make_checkpoint, size):
    path = make_checkpoint(make_model())
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ArtifactError, match=r"cannot be read as a checkpoint|is not a plain checkpoint"):
        read_checkpoint(path)


def test_a_changed_weight_is_seen(make_model, make_checkpoint):
    path = make_checkpoint(make_model())
    with zipfile.ZipFile(path) as file:
        member = max((info for info in file.infolist() if "/data/" in info.filename), key=lambda info: info.file_size)
        content = file.read(member)
    raw = bytearray(path.read_bytes())
    raw[raw.index(content) + len(content) // 2] ^= 1
    path.write_bytes(raw)
    with pytest.raises(ArtifactError, match=rf"cannot be read as a checkpoint \(.*{member.filename}"):
        read_checkpoint(path)


def test_a_package_is_no_checkpoint(package_file, tmp_path):
    with pytest.raises(ArtifactError, match=r"model.equipot.zip: is not a checkpoint but a package; give a .ckpt file"):
        read_checkpoint(package_file)
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(other, "w") as file:
        file.writestr("hello.txt", "hello")
    with pytest.raises(ArtifactError, match="is not a checkpoint but a zip file of another kind"):
        read_checkpoint(other)


@pytest.mark.parametrize("device", ["gpu", "xpu:77"])
def test_a_device_that_is_not_there(package_file, device):
    with pytest.raises(ConfigError, match=rf"device: cannot be used here \(.*\), got '{device}'; use 'cpu'"):
        load(package_file, device)
    with pytest.raises(ConfigError, match="device: cannot be used here"):
        EquipotCalculator(package_file, device)


def test_files_that_are_no_checkpoint(tmp_path):
    with pytest.raises(ArtifactError, match="there is no such file"):
        read_checkpoint(tmp_path / "none.ckpt")
    path = tmp_path / "a.ckpt"
    torch.save({"weights": torch.zeros(3)}, path)
    with pytest.raises(ArtifactError, match="it has no state_dict"):
        read_checkpoint(path)
    torch.save({"state_dict": {}}, path)
    with pytest.raises(ArtifactError, match="it lacks the entry 'equipot'"):
        read_checkpoint(path)


def test_newer_and_damaged_checkpoints(make_model, make_checkpoint):
    model = make_model()
    with pytest.raises(ArtifactError, match="pip install --upgrade equipot"):
        read_checkpoint(make_checkpoint(model, format_version=2))
    with pytest.raises(ArtifactError, match=r"equipot.model.info: is missing"):
        read_checkpoint(make_checkpoint(model, model={"config": 3}))


def test_a_checkpoint_of_a_missing_plugin(make_model, make_checkpoint):
    stored = read_checkpoint(make_checkpoint(make_model(), plugins={"equipot-nowhere": "2.0"}))
    with pytest.raises(ArtifactError, match=r"pip install --upgrade 'equipot-nowhere>=2.0'"):
        stored.build()


def altered(path, change):
    """A checkpoint with something else in it."""
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)
    return path


def without_average(content):
    content["state_dict"] = {k: v for k, v in content["state_dict"].items() if not k.startswith("ema.")}


def test_missing_averages_are_an_error_and_the_others_can_still_be_had(make_model, make_checkpoint):
    model = make_model()
    path = altered(make_checkpoint(model), without_average)
    with pytest.raises(ArtifactError, match="has no averaged weights, although its record says that it has some"):
        read_checkpoint(path)
    assert energy(load_model(path, weights="raw")) == energy(model)


def record(**changes):
    return lambda content: content["equipot"].update(changes)


def info(**changes):
    return lambda content: content["equipot"]["model"]["info"].update(changes)


def tensor(value):
    return lambda content: content["state_dict"].update({"ema.energy.out": value})


DAMAGE = {
    "weights": (record(weights="raw"), "has averaged weights that its record does not know"),
    "unknown weights": (record(weights="mean"), "equipot.weights: must be one of"),
    "units": (info(units="real"), r"written with other values of \['units'\]"),
    "no units": (info(units=None), "equipot.model.info.units: must be one of"),
    "order of types": (info(type_names=["H", "C", "O"]), "the model built is not the one described: type_names"),
    "r_max": (info(r_max=5.0), "the model built is not the one described: r_max is 4.0, stored 5.0"),
    "types that are no names": (info(type_names=[1, 2, 3]), "info.type_names.0: must be a string, got 1"),
    "species": (info(chemical_species=["C", "H", "Q"]), "'Q' is not an element"),
    "option": (
        lambda content: content["equipot"]["model"]["config"].update(avg_num_neighbors=3.0),
        r"written with other values of \['model.avg_num_neighbors'\]",
    ),
    "option of a wrong type": (
        lambda content: (
            content["equipot"].pop("hyperparameters"),
            content["equipot"]["model"]["config"].update(num_channels="many"),
        ),
        "num_channels: must be an integer, got 'many'",
    ),
    "unknown option": (
        lambda content: (
            content["equipot"].pop("hyperparameters"),
            content["equipot"]["model"]["config"].update(num_chanels=2),
        ),
        "num_chanels: unknown option; did you mean 'num_channels'",
    ),
    "modifiers": (
        lambda content: content["equipot"]["model"].update(modifiers=[3]),
        "modifiers.0: must be a mapping, got 3",
    ),
    "keys": (lambda content: content["equipot"]["model"]["config"].update({3: 4}), "must have names that are text"),
    "versions": (record(versions={"torch": 2}), "versions.torch: must be a string"),
    "plugins": (record(plugins=["a"]), "plugins: must be a mapping"),
    "data": (record(data=torch.zeros(3)), "is damaged, got tensor"),
    "epoch": (lambda content: content.update(epoch="last"), "epoch: must be an integer, got 'last'"),
    "names of tensors": (lambda content: content["state_dict"].update({7: torch.zeros(1)}), "tensors by name, got 7"),
    "no tensor": (tensor(3), "must hold tensors by name, got 'ema.energy.out'"),
    "nan": (tensor(torch.full((3, 2), float("nan"), dtype=torch.float64)), "weights do not fit|out: is not finite"),
    "stride 0": (tensor(torch.zeros(1).expand(10**9)), "but fewer numbers are stored"),
    "sparse": (tensor(torch.eye(3).to_sparse()), "must be a dense tensor|the sizes of its members"),
    "bfloat16": (tensor(torch.zeros(3, 2, dtype=torch.bfloat16)), "of another shape or type: .*bfloat16"),
    "nothing": (lambda content: content["state_dict"].clear(), "has no averaged weights"),
}


@pytest.mark.parametrize(("change", "message"), DAMAGE.values(), ids=DAMAGE)
def test_damaged_records_and_tensors_are_refused(make_model, make_checkpoint, change, message):
    path = altered(make_checkpoint(make_model()), change)
    with pytest.raises(ArtifactError, match=message) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(make_model, make_checkpoint, value):
    def spoil(content):
        content["state_dict"]["ema.energy.out"][0, 0] = value

    with pytest.raises(ArtifactError, match="energy.out: is not finite; its weights are unusable"):
        load_model(altered(make_checkpoint(make_model()), spoil))


def test_a_pickle_with_very_many_operations_is_not_unpickled(tmp_path, monkeypatch):
    monkeypatch.setattr("equipot.artifacts._checkpoint._MAX_OPERATIONS", 1000)
    path = tmp_path / "a.ckpt"
    torch.save({"state_dict": {}, "many": [[] for _ in range(1000)]}, path)
    for use in (read_checkpoint, inspect_file):
        with pytest.raises(ArtifactError, match="its pickle has more than 1000 operations"):
            use(path)
