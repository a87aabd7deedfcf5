"""Errors of stored predictions are those of the model; frames that differ in any input are told apart."""

import dataclasses

import pytest
from ase import Atoms
from ase.io import read

from equipot.artifacts import load_model
from equipot.ase import EquipotCalculator
from equipot.data._frames import LabelSource, frame_from_atoms
from equipot.errors import ConfigError, DataError
from equipot.evaluate import StoredPredictions, evaluate


def record(calculator, atoms):
    calculator.calculate(atoms)
    kept = {
        key: calculator.results[key].tolist() for key in ("energies", "forces", "stress") if key in calculator.results
    }
    return {"status": "ok", "results": {"energy": calculator.results["energy"], **kept}}


@pytest.fixture
def stored(package_file, labelled):
    """All frames with their records."""
    calculator = EquipotCalculator(package_file)
    frames = [atoms for file in labelled[0] for atoms in read(file, ":")]
    return [(atoms, record(calculator, atoms)) for atoms in frames]


def test_errors_are_those_of_the_model(package_file, labelled, keys, stored):
    model = load_model(package_file)
    expected = evaluate(model, labelled[0], labels=keys).to_dict()
    found = evaluate(StoredPredictions(model.info, stored), labelled[0], labels=keys, batch_size=1).to_dict()
    assert found.keys() == expected.keys()
    numbers = {name: value for name, value in expected.items() if isinstance(value, float)}
    assert len(numbers) == 9
    assert {name: found[name] for name in numbers} == pytest.approx(numbers, rel=1e-9)


def test_frames_without_a_prediction(package_file, labelled, keys, stored):
    info = load_model(package_file).info
    with pytest.raises(DataError, match="a frame has no stored prediction: the file has changed"):
        evaluate(StoredPredictions(info, stored[1:]), labelled[0], labels=keys, batch_size=1)
    failed = [(stored[0][0], {"status": "failed", "reason": "the model knows no He", "results": {}}), *stored[1:]]
    with pytest.raises(DataError, match="a frame could not be computed: the model knows no He"):
        evaluate(StoredPredictions(info, failed), labelled[0], labels=keys, batch_size=1)


def test_every_input_of_a_model_tells_frames_apart(package_file):
    info = load_model(package_file).info
    charged = dataclasses.replace(info, inputs=(*info.inputs, "total_charge"))
    base = Atoms("CO", [[0, 0, 0], [0, 0, 1.1]], cell=[5, 5, 5], pbc=True, info={"total_charge": 0.0})
    others = [base.copy() for _ in range(5)]
    others[0].info["total_charge"] = 1.0
    others[1].pbc = False
    others[2].symbols = "OC"
    others[3].positions[1, 2] += 1e-9
    others[4].cell[0, 0] = 6.0
    results = {"energies": [0.0, 0.0], "forces": [[0.0] * 3] * 2}
    records = [
        (atoms, {"status": "ok", "results": {"energy": float(number), **results}})
        for number, atoms in enumerate([base, *others])
    ]
    found = StoredPredictions(charged, records)
    contract = {"total_charge": LabelSource("total_charge")}
    energies = [float(found(frame_from_atoms(atoms, contract)[0])["total_energy"]) for atoms, _ in records]
    assert energies == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def test_energies_of_atoms_have_the_shape_of_the_models(package_file, stored):
    model = load_model(package_file)
    found = StoredPredictions(model.info, stored)(frame_from_atoms(stored[0][0], {})[0])
    assert found["atomic_energy"].shape == (len(stored[0][0]),)


def test_a_model_with_further_labels_is_refused(package_file, stored):
    info = load_model(package_file).info
    further = dataclasses.replace(info, outputs=(*info.outputs, "dipole"))
    with pytest.raises(ConfigError, match=r"records have no dipole, which the model predicts.*without --workers"):
        StoredPredictions(further, stored)
