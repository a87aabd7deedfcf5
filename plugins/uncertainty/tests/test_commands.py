import json
from pathlib import Path

import pytest
from ase.io import write

from equipot.artifacts import load_model, read_manifest, write_package
from equipot.evaluate import evaluate
from equipot_uncertainty import Committee


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


@pytest.mark.slow
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

    words = ("eval", "with_std.equipot.zip", "test.extxyz", "hot.extxyz")
    code, out, err = equipot(*words, "--out", "found")  # noisy forces have a torque, of which data checks warn
    assert code == 0, err
    assert "test.extxyz  per_atom_energy" in out
    assert "hot.extxyz   per_atom_energy" not in out  # it has no labels
    assert Path("found/calibration.png").stat().st_size > 10_000
    found = json.loads(Path("found/metrics.json").read_text())["uncertainties"]
    inside = found["by_file"]["test.extxyz"]
    assert inside["per_atom_energy"]["rms_z"] == pytest.approx(1.0, abs=0.3)
    assert inside["forces"]["rms_z"] == pytest.approx(1.0, abs=0.3)
    assert set(found["auroc"]["hot.extxyz"]) == {"energy_std", "atomic_energy_std", "forces_std"}
    assert found["auroc"]["hot.extxyz"]["energy_std"] > 0.6
    assert json.loads(equipot(*words, "--json")[1])["uncertainties"] == found


@pytest.mark.slow
def test_a_committee_is_judged(files, equipot):
    words = ("uncertainty", "committee", "bare.equipot.zip", "second.equipot.zip", "--data", "test.extxyz")
    code, out, err = equipot(*words)
    assert (code, err) == (0, "")
    assert out.startswith("2 models, 60 frames\nper_atom_energy: RMSE ")
    assert "test.extxyz  forces" in out
    found = json.loads(equipot(*words, "--out", "found.json", "--json")[1])
    assert found == json.loads(Path("found.json").read_text())
    together = Committee([load_model(name) for name in ("bare.equipot.zip", "second.equipot.zip")])
    expected = evaluate(together, "test.extxyz").uncertainties.to_dict()["by_file"]["test.extxyz"]
    assert found["uncertainties"]["by_file"]["test.extxyz"] == json.loads(json.dumps(expected))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("add", "bare.equipot.zip", "-o", "a.equipot.zip"), "--train, --validation: both are needed with a file"),
        ((*ADD[1:], "bare.equipot.zip"), "--output: would overwrite the model"),
        (("add", ".", "-o", "a.equipot.zip"), "has no model: none of model.equipot.zip, best.ckpt, last.ckpt"),
        (
            (*ADD[1:], "new.equipot.zip", "--labels", "total_energy=enrgy"),
            "no frame has the label total_energy; name its",
        ),
        (
            (*ADD[1:], "new.equipot.zip", "--labels", "total_energy=energy", "forces=f"),
            "no frame has the label forces;",
        ),
        (("committee", "bare.equipot.zip", "--data", "test.extxyz"), "committee: models: must be at least two, got 1"),
        (("committee", "bare.equipot.pt2", "--data", "test.extxyz"), "compiled file, which does not show its features"),
    ],
)
def test_refusals(files, equipot, words, message):
    code, _, err = equipot("uncertainty", *words)
    assert code == 2
    assert message in err
