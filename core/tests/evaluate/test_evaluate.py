"""What ``evaluate`` reads, refuses and warns about."""

import numpy as np
import pytest
from ase.io import read, write

from equipot.artifacts import load_model
from equipot.data import ASEDataModule
from equipot.errors import DataError
from equipot.evaluate import evaluate, evaluate_frames


def test_a_path_and_a_list_of_it_are_the_same(package_file, labelled, keys):
    model = load_model(package_file)
    one, listed = (evaluate(model, given, labels=keys).to_dict() for given in (labelled[0][0], [str(labelled[0][0])]))
    assert one == listed


def test_frames_that_are_read_already_give_the_same(package_file, labelled, keys):
    model = load_model(package_file)
    module = ASEDataModule(seed=1, train_file_path=[str(one) for one in labelled[0]], labels=keys)
    found = evaluate_frames(model, module.read_sets()["train"], module.label_contract)
    expected = evaluate(model, labelled[0], labels=keys).to_dict()
    assert found.to_dict() | {"warnings": []} == expected | {"warnings": []}


def test_a_file_given_twice_is_refused(package_file, labelled, keys, tmp_path):
    link = tmp_path / "link.extxyz"
    link.symlink_to(labelled[0][0])
    with pytest.raises(DataError, match=r"link.extxyz: is given twice \(as .*one.extxyz\)"):
        evaluate(load_model(package_file), [labelled[0][0], link], labels=keys)


def test_the_wrong_convention_is_another_stress(package_file, labelled, keys):
    model = load_model(package_file)
    right = evaluate(model, labelled[0], labels=keys).to_dict()["stress_rmse_mev_per_angstrom3"]
    wrong = evaluate(model, labelled[0], labels={**keys, "stress": {"key": "REF_virial", "convention": "stress"}})
    assert right < 5 < wrong.to_dict()["stress_rmse_mev_per_angstrom3"]


def test_forces_under_other_keys_are_named(package_file, labelled, keys):
    found = evaluate(load_model(package_file), labelled[0], labels={"total_energy": "REF_energy"})
    (warning,) = found.warnings
    assert warning == (
        "keys that look like forces are not used: REF_forces (9 of 10 frames); to use one: --labels forces=REF_forces"
    )
    assert evaluate(load_model(package_file), labelled[0], labels=keys).warnings == ()


def test_a_label_that_is_nowhere_suggests_what_is_there(package_file, labelled, keys):
    found = evaluate(load_model(package_file), labelled[0], labels={**keys, "total_energy": "energy"})
    (warning,) = found.warnings
    assert warning.startswith("keys that look like total energy are not used: REF_energy (10 of 10 frames)")
    assert [one.name for one in found.compared] == ["forces", "stress"]


def test_labels_are_judged(package_file, labelled, keys, tmp_path):
    frames = [frame.copy() for frame in labelled[1]]
    frames[3].positions[1] = frames[3].positions[0] + [0.0, 0.0, 0.1]
    write(tmp_path / "near.extxyz", frames)
    found = evaluate(load_model(package_file), tmp_path / "near.extxyz", labels=keys)
    assert any(one.startswith("contact: ") and "near.extxyz, frame 3" in one for one in found.warnings), found.warnings


def test_numbers_about_forces_are_no_forces(package_file, labelled, keys, tmp_path):
    frames = [frame.copy() for frame in labelled[1]]
    for frame in frames:
        frame.info["force_rms"] = 0.3
    write(tmp_path / "rms.extxyz", frames)
    assert evaluate(load_model(package_file), tmp_path / "rms.extxyz", labels=keys).warnings == ()


def test_masked_nan_counts_as_missing(package_file, labelled, keys, tmp_path):
    frames = [frame.copy() for frame in labelled[1]]
    frames[0].arrays["REF_forces"][1] = np.nan
    write(tmp_path / "nan.extxyz", frames)
    model = load_model(package_file)
    with pytest.raises(DataError, match="nan.extxyz, frame 0: the label forces is nan"):
        evaluate(model, tmp_path / "nan.extxyz", labels=keys)
    found = evaluate(model, tmp_path / "nan.extxyz", labels=keys, mask_nan=True).compared[1]
    whole = evaluate(model, labelled[0], labels=keys).compared[1]
    assert found.labels.numel() == whole.labels.numel() - 3
    atoms = found.atoms[found.frames == 0].unique().tolist()
    assert atoms == [index for index in range(len(frames[0])) if index != 1]


def test_a_frame_whose_prediction_is_no_number_is_named(package_file, labelled, keys):
    model = load_model(package_file)

    class Broken:
        info = model.info

        def __call__(self, batch):
            outputs = model(batch)
            spoilt = batch["num_atoms"] == 1
            energy = outputs["total_energy"].masked_fill(spoilt, float("nan"))
            return {**outputs, "total_energy": energy}

    with pytest.raises(DataError, match=r"two.extxyz, frame 5: the model gives non-finite total_energy"):
        evaluate(Broken(), labelled[0], labels=keys)


def test_an_unknown_element_is_named_with_its_frame(package_file, labelled, keys, tmp_path):
    frames = read(labelled[0][0], ":")
    frames[2].numbers[0] = 79
    write(tmp_path / "gold.extxyz", frames)
    with pytest.raises(DataError, match=r"gold.extxyz, frame 2: .*Au"):
        evaluate(load_model(package_file), tmp_path / "gold.extxyz", labels=keys)


def test_predictions_belong_to_their_frames(package_file, labelled, keys):
    from equipot.ase import EquipotCalculator

    calculator = EquipotCalculator(package_file)
    found = evaluate(load_model(package_file), labelled[0], labels=keys, batch_size=4)
    frames = [atoms for file in labelled[0] for atoms in read(file, ":")]
    for one, atoms in zip(found.frames, frames, strict=True):
        assert float(one.predictions["total_energy"][0]) == pytest.approx(
            calculator.get_potential_energy(atoms), rel=1e-9
        )
        np.testing.assert_allclose(one.predictions["forces"], calculator.get_forces(atoms), atol=1e-8)
