import json

import numpy as np
import pytest

from equipot.data._census import Census
from equipot.data._collection import collect_frames
from equipot.data._frames import label_contract
from equipot.data._readers import read_placed


@pytest.fixture
def take(write):
    def make(frames, labels=None, units="metal", set_name="train"):
        contract = label_contract(labels)
        census = Census(contract, units)
        one = collect_frames(read_placed([write("a.extxyz", frames)]), contract)
        census.add(set_name, one)
        return census

    return make


def test_counts(take, water):
    frames = water(4)
    del frames[2].calc.results["forces"]
    frames[3].calc.results["forces"][:] = 0.0
    census = take(frames)
    counted = census.sets["train"]
    assert (counted.frames, counted.atoms) == (4, 12)
    assert counted.elements == {"O": 4, "H": 8}
    forces = counted.labels["forces"]
    assert (forces.present, forces.missing, forces.all_zero) == (3, 1, 1)
    values = np.concatenate([frame.calc.results["forces"] for frame in frames if "forces" in frame.calc.results])
    assert forces.minimum == pytest.approx(values.min(), abs=1e-8)
    assert forces.maximum == pytest.approx(values.max(), abs=1e-8)
    assert forces.sources == {"results:forces": 3}
    assert (counted.labels["stress"].present, counted.labels["stress"].missing) == (0, 4)
    assert census.problems({"total_energy": "a", "forces": "b"}) == []


def test_constant_labels_are_marked(take, water):
    frames = water(3, energy=-1.5)
    assert take(frames).sets["train"].labels["total_energy"].constant
    assert not take(water(3)).sets["train"].labels["total_energy"].constant


def test_table(take, water):
    frames = water(2)
    text = str(take(frames, units="real"))
    assert "kcal/mol/Å" in text
    assert "train: 2 frames, 6 atoms (H:4 O:2)" in text
    row = next(line for line in text.splitlines() if "forces" in line)
    assert [cell.strip() for cell in row.split("│")][1:7] == ["train", "forces", "results:forces", "2", "0", "0"]
    assert max(map(len, text.splitlines())) <= 118


def test_record_is_plain(take, water):
    census = take(water(2))
    record = census.to_dict()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["sets"]["train"]["labels"]["stress"]["minimum"] is None


def test_required_label_that_is_nowhere(take, water):
    frames = water(3)
    for frame in frames:
        frame.arrays["dft_forces"] = frame.calc.results.pop("forces")
    where = "training_module.loss.coeffs.forces"
    assert take(frames).problems({"forces": where}) == [
        (
            f"{where}: forces is in none of the 3 train frames; read from the key 'forces'; "
            "write labels: {total_energy: energy, forces: dft_forces}; keys found: dft_forces, energy"
        )
    ]


def test_required_label_that_no_key_resembles(take, water):
    assert take(water(2)).problems({"stress": "loss.stress"}) == [
        "loss.stress: stress is in none of the 2 train frames; read from the key 'stress'; keys found: energy, forces"
    ]


def test_required_label_outside_the_contract(take, water):
    assert take(water(2), {"total_energy": "energy"}).problems({"forces": "loss.forces"}) == [
        (
            "loss.forces: forces is in none of the 2 train frames: data.labels does not name it; "
            "write labels: {total_energy: energy, forces: forces}; keys found: energy, forces"
        )
    ]


def test_stress_of_molecules_is_reported_as_ignored(take, water):
    (message,) = take(water(2, stress=np.ones(6))).problems({"stress": "loss.stress"})
    assert message.startswith("loss.stress: stress is in none of the 2 train frames (2 ignored: not periodic)")


def test_all_zero_forces(take, water):
    frames = water(3, forces=np.zeros((3, 3)))
    assert take(frames).problems({"forces": "loss.forces"}) == [
        (
            "loss.forces: forces is zero in all 3 train frames of more than one atom; "
            "read the label from another key, or give it no weight"
        )
    ]
    assert take(frames).problems({"total_energy": "loss.energy"}) == []


def test_zero_forces_of_single_atoms_are_right(take, water):
    frames = [frame[:1] for frame in water(2)]
    for frame, whole in zip(frames, water(2), strict=True):
        frame.calc = type(whole.calc)(frame, energy=-1.0, forces=np.zeros((1, 3)))
    assert take(frames).problems({"forces": "loss.forces"}) == []


def test_nan_is_named_with_file_and_frame(take, water):
    frames = water(8)
    for index in (1, 3, 4, 5, 6, 7):
        frames[index].calc.results["forces"][0, 0] = np.nan
    (message,) = take(frames).problems({"forces": "data.labels"})
    assert message.startswith("data.labels: forces is NaN or inf in ")
    assert "a.extxyz, frame 1 (nan), " in message
    assert "frame 6 (nan) and 1 more; correct the data, or mask_nan_labels: true" in message


def test_sets_are_checked_by_name(take, water):
    census = take(water(2), {"total_energy": "energy"}, set_name="val0")
    assert census.problems({"total_energy": "x"}, ["val0"]) == []
    assert census.problems({"forces": "x"}) == [], "there is no train set"
    assert len(census.problems({"forces": "x"}, ["val0"])) == 1
