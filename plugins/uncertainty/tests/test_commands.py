import json
from pathlib import Path

import pytest
from ase.io import write

from equipot.artifacts import load_model, read_manifest, write_package
from equipot_uncertainty._data import frames_of_files, load_stored
from equipot_uncertainty._evaluate import judge


@pytest.fixture
def files(tmp_path, monkeypatch, model, make_model, water, labelled):
    """Labelled files and a model without uncertainties."""
    monkeypatch.chdir(tmp_path)
    for seed, (name, count) in enumerate((("train", 30), ("val", 60), ("test", 60))):
        write(f"{name}.extxyz", labelled(model, count, seed))
    write("hot.extxyz", water(30, 5, spread=0.3))
    write_package(model, "bare.equipot.zip")
    write_package(make_model(seed=2), "second.equipot.zip")


ADD = ("uncertainty", "add", "bare.equipot.zip", "--train", "train.extxyz", "--validation", "val.extxyz", "-o")


def test_add_and_eval(files, equipot):
    code, out, err = equipot(*ADD, "with_std.equipot.zip", "--force-directions", "4", "--force-frames", "5")
    assert (code, err) == (0, "")
    assert "4 features of the last layer; energies of 30 training frames, forces of 5" in out
    assert "calibrated on 60 validation frames and training frames; of the former, energy errors are" in out
    assert out.endswith("wrote with_std.equipot.zip\n")
    kept = read_manifest("with_std.equipot.zip").provenance["uncertainty"]
    assert kept["energy"]["rms_z"] == pytest.approx(1.0, abs=0.1)
    assert (kept["validation_frames"], kept["calibrated_with_training"]) == (60, True)
    assert load_model("with_std.equipot.zip").info.outputs[-3:] == ("energy_std", "atomic_energy_std", "forces_std")

    words = ("uncertainty", "eval", "with_std.equipot.zip", "test.extxyz", "--out-of-domain", "hot.extxyz")
    code, out, err = equipot(*words, "--out", "found.json")
    assert (code, err) == (0, "")
    assert "in domain, energy per atom" in out
    assert "out of domain" not in out  # it has no labels
    found = json.loads(Path("found.json").read_text())
    assert found["in_domain"]["energy"]["rms_z"] == pytest.approx(1.0, abs=0.3)
    assert found["in_domain"]["forces"]["rms_z"] == pytest.approx(1.0, abs=0.3)
    assert set(found["auroc"]) == {"energy_std per atom", "atomic_energy_std", "forces_std"}
    assert found["auroc"]["energy_std per atom"] > 0.6
    assert json.loads(equipot(*words, "--json")[1]) == found


def test_a_committee_is_judged(files, equipot):
    words = ("uncertainty", "eval", "bare.equipot.zip", "test.extxyz", "--committee", "second.equipot.zip", "--json")
    code, out, _ = equipot(*words)
    assert code == 0
    model, manifest = load_stored(Path("bare.equipot.zip"))
    second, _ = load_stored(Path("second.equipot.zip"))
    expected = judge([model, second], frames_of_files(model, manifest, ["test.extxyz"]), None, where="here")
    assert json.loads(out) == json.loads(json.dumps(expected.to_dict()))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("add", "bare.equipot.zip", "-o", "a.equipot.zip"), "--train, --validation: both are needed with a file"),
        ((*ADD[1:], "bare.equipot.zip"), "--output: would overwrite the model"),
        (("add", ".", "-o", "a.equipot.zip"), "has no model: none of model.equipot.zip, best.ckpt, last.ckpt"),
        (("eval", "bare.equipot.zip", "test.extxyz"), "has no uncertainties; add them with 'equipot uncertainty add'"),
        (("eval", "bare.equipot.pt2", "test.extxyz"), "is a compiled file, which does not show its features"),
    ],
)
def test_refusals(files, equipot, words, message):
    code, _, err = equipot("uncertainty", *words)
    assert code == 2
    assert message in err
