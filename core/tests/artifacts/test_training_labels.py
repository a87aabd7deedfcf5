"""What files of models say about the labels of the training."""

import pytest
import torch

from equipot.artifacts import write_package
from equipot.artifacts._training_labels import label_facts, training_labels
from equipot.data._frames import DEFAULT_LABELS, label_contract
from equipot.errors import ArtifactError

GIVEN = {"total_energy": "REF_energy", "stress": {"key": "info:virial", "convention": "virial"}}


def census(**labels):
    rows = {label: {"key": key, "present": present} for label, (key, present) in labels.items()}
    return {"census": {"units": "metal", "sets": {"train": {"labels": rows}}}}


def package(tmp_path, model, data):
    write_package(model, tmp_path / "data.equipot.zip", data=data)
    return tmp_path / "data.equipot.zip"


def test_facts_come_back_from_packages_and_checkpoints(tmp_path, make_model, make_checkpoint):
    contract = label_contract(GIVEN)
    facts = label_facts(contract, mask_nan=True)
    for path in (package(tmp_path, make_model(), facts), make_checkpoint(make_model(), data=facts)):
        found = training_labels(path)
        assert (found.contract, found.mask_nan, found.doubt) == (contract, True, "")


def test_how_files_were_read_comes_back_too(tmp_path, make_model, make_checkpoint):
    how = {"weights": {"frame": "w"}, "unconverged": "drop", "species": {1: "H", "OW": "O"}}
    facts = label_facts(label_contract(GIVEN), mask_nan=False, **how)
    by_config = make_checkpoint(make_model(), training_config={"data": {"labels": GIVEN, **how}})
    for path in (package(tmp_path, make_model(), facts), by_config):
        found = training_labels(path)
        expected = ({"frame": "w"}, "drop", {"1": "H", "OW": "O"})
        assert (found.weights, found.unconverged, found.species) == expected
    bare = {name: value for name, value in facts.items() if name in ("labels", "mask_nan_labels")}
    found = training_labels(package(tmp_path, make_model(), bare))
    assert (found.weights, found.unconverged, found.species) == ({}, "error", {}), "of an earlier version"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("weights", 3),
        ("weights", {"energy": "w"}),
        ("weights", {"frame": 2}),
        ("unconverged", "ignore"),
        ("species", ["O"]),
        ("species", {"OW": "Oxygen"}),
        ("species", {"OW": ["O"]}),
    ],
)
def test_other_facts_that_make_no_sense_are_refused(tmp_path, make_model, name, value):
    facts = {**label_facts(label_contract(GIVEN), mask_nan=False), name: value}
    with pytest.raises(ArtifactError, match=rf"data.{name}.*edited or damaged"):
        training_labels(package(tmp_path, make_model(), facts))


def test_an_older_checkpoint_has_the_config_of_its_training(make_model, make_checkpoint):
    path = make_checkpoint(make_model(), training_config={"data": {"labels": GIVEN, "seed": 1}})
    assert training_labels(path).contract == label_contract(GIVEN)
    path = make_checkpoint(make_model(), training_config={"data": {"seed": 1, "mask_nan_labels": True}})
    found = training_labels(path)
    assert (found.contract, found.mask_nan) == (label_contract(DEFAULT_LABELS), True)


def test_an_older_package_has_the_keys_but_not_the_convention(tmp_path, make_model):
    data = census(total_energy=("REF_energy", 3), forces=("forces", 0), stress=("virial", 2))
    found = training_labels(package(tmp_path, make_model(), data))
    assert {label: source.key for label, source in found.contract.items()} == {
        "total_energy": "REF_energy",
        "stress": "virial",
    }
    assert "does not say how the stress was stored under the key 'virial'" in found.doubt
    assert not training_labels(package(tmp_path, make_model(), census(stress=("stress", 2)))).doubt


def test_a_key_alone_meant_a_stress(make_model, make_checkpoint):
    path = make_checkpoint(make_model(), training_config={"data": {"labels": {"stress": "virial"}}})
    assert training_labels(path).contract["stress"].convention == "stress"


def test_files_that_know_nothing(package_file, make_model, make_checkpoint):
    assert training_labels(package_file) is None
    assert training_labels(make_checkpoint(make_model())) is None


@pytest.mark.parametrize(
    "labels", [3, ["forces"], {"forces": 4}, {"charm": "key"}, {"stress": {"key": "s", "convention": "x"}}]
)
def test_facts_that_are_no_labels_are_refused(tmp_path, make_model, labels):
    with pytest.raises(ArtifactError, match=r"data.labels.*(edited or damaged)"):
        training_labels(package(tmp_path, make_model(), {"labels": labels}))


def test_a_census_of_nonsense_is_no_contract(tmp_path, make_model):
    for data in ({"census": 3}, {"census": {"sets": {"train": 4}}}, {"census": {"sets": {"a": {"labels": [1]}}}}):
        assert training_labels(package(tmp_path, make_model(), data)) is None


def test_checkpoints_of_training_state_their_labels(tmp_path, make_model, make_checkpoint):
    path = make_checkpoint(make_model(), data=label_facts(label_contract(GIVEN), mask_nan=False))
    stored = torch.load(path, weights_only=True)["equipot"]["data"]["labels"]
    assert stored["stress"]["key"] == "info:virial"
    assert stored["stress"]["convention"] == "virial"


def test_packages_that_are_built_and_modified_keep_the_facts(tmp_path, monkeypatch, make_model, make_checkpoint):
    from equipot._cli.main import main

    monkeypatch.chdir(tmp_path)
    contract = label_contract(GIVEN)
    make_checkpoint(make_model(), data=label_facts(contract, mask_nan=True))
    assert main(["package", "build", "model.ckpt", "a.equipot.zip"]) == 0
    assert (
        main(["package", "modify", "a.equipot.zip", "b.equipot.zip", "--modifiers", "disable_ForceStressOutput"]) == 0
    )
    for name in ("a.equipot.zip", "b.equipot.zip"):
        found = training_labels(name)
        assert (found.contract, found.mask_nan) == (contract, True)


def test_labels_of_a_plugin_that_is_gone_are_named(tmp_path, make_model):
    facts = label_facts(label_contract(GIVEN), mask_nan=False)
    facts["labels"] = {**facts["labels"], "torque": {"key": "mu"}}
    with pytest.raises(ArtifactError, match=r"data.labels: names the labels torque, which no installed plugin"):
        training_labels(package(tmp_path, make_model(), facts))
