"""Errors by element, group, file and frame, and without the composition: against sums over the frames by hand."""

import numpy as np
import pytest

from equipot.artifacts import load_model
from equipot.evaluate import evaluate


@pytest.fixture
def found(package_file, labelled, keys):
    return evaluate(load_model(package_file), labelled[0], labels=keys, batch_size=3)


def assert_errors(errors, values):
    values = np.concatenate([np.ravel(one) for one in values])
    assert errors["rmse"] == pytest.approx(np.sqrt(np.mean(values**2)), rel=1e-6)
    assert errors["mae"] == pytest.approx(np.mean(np.abs(values)), rel=1e-6)
    assert errors["max"] == pytest.approx(np.max(np.abs(values)), rel=1e-6)
    assert errors["values"] == len(values)


def per_atom(rows):
    return [row["energy"] / len(row["numbers"]) for row in rows]


def test_totals_leave_isolated_atoms_out(found, by_hand):
    rows = [row for row in by_hand if row["group"] != "IsolatedAtom"]
    assert (found.n_frames, len(rows)) == (10, 9)
    energy, forces, stress = found.compared
    assert_errors(energy.errors(), per_atom(rows))
    assert_errors(forces.errors(), [row["forces"] for row in rows])
    assert_errors(stress.errors(), [row["stress"] for row in rows if "stress" in row])
    (lone,) = found.isolated_atoms()
    assert (lone["element"], lone["label_ev"]) == ("H", -12.6)
    assert lone["prediction_ev"] == pytest.approx(-13.6, abs=1e-9)
    assert lone["place"].endswith("two.extxyz, frame 5")


def test_isolated_atoms_count_when_there_is_nothing_else(tmp_path, package_file, labelled, keys):
    from ase.io import write

    write(tmp_path / "lone.extxyz", labelled[1][-1])
    found = evaluate(load_model(package_file), tmp_path / "lone.extxyz", labels=keys)
    assert found.compared[0].errors()["max"] == pytest.approx(1000.0, abs=1e-6)


def test_errors_by_element(found, by_hand):
    groups = found.by_element()
    assert list(groups) == ["H", "C", "O"]
    for symbol, number in (("H", 1), ("C", 6), ("O", 8)):
        parts = [row["forces"][row["numbers"] == number] for row in by_hand if "forces" in row]
        assert_errors(groups[symbol].errors["forces"], parts)
        assert groups[symbol].n_frames == sum(len(part) > 0 for part in parts)


def test_errors_by_config_type(found, by_hand):
    groups = found.by_config_type()
    assert {name: group.n_frames for name, group in groups.items()} == {"gas": 5, "solid": 4}
    for name, group in groups.items():
        rows = [row for row in by_hand if row["group"] == name]
        assert_errors(group.errors["per_atom_energy"], per_atom(rows))
        assert_errors(group.errors["forces"], [row["forces"] for row in rows])
    assert "stress" not in groups["gas"].errors
    assert_errors(groups["solid"].errors["stress"], [row["stress"] for row in by_hand if row["group"] == "solid"])


def test_errors_by_file(found, by_hand, labelled):
    groups = found.by_file()
    assert list(groups) == [str(file) for file in labelled[0]]
    for file, group in groups.items():
        rows = [row for row in by_hand if row["file"] == file and "forces" in row]
        assert_errors(group.errors["per_atom_energy"], per_atom(rows))
        assert_errors(group.errors["forces"], [row["forces"] for row in rows])


def test_worst_frames_with_their_places(found, by_hand):
    worst = found.worst(count=3)
    rows = sorted((row for row in by_hand if "forces" in row), key=lambda row: -np.abs(row["forces"]).max())
    assert [one.place for one in worst["forces"]] == [row["place"] for row in rows[:3]]
    largest = np.unravel_index(np.abs(rows[0]["forces"]).argmax(), rows[0]["forces"].shape)
    assert worst["forces"][0].error == pytest.approx(rows[0]["forces"][largest], rel=1e-6)
    assert worst["forces"][0].atom == largest[0]
    rows.sort(key=lambda row: -abs(row["energy"] / len(row["numbers"])))
    assert [one.place for one in worst["per_atom_energy"]] == [row["place"] for row in rows[:3]]
    assert worst["per_atom_energy"][0].atom is None


def test_energies_without_the_composition(found, by_hand):
    rows = [row for row in by_hand if row["group"] != "IsolatedAtom"]
    shares = np.array([[np.mean(row["numbers"] == number) for number in (1, 6, 8)] for row in rows])
    errors = np.array(per_atom(rows))
    offsets = np.linalg.solve(shares.T @ shares, shares.T @ errors)
    left = found.without_composition
    assert_errors(left.errors, [errors - shares @ offsets])
    assert left.offsets == pytest.approx(dict(zip(("H", "C", "O"), offsets, strict=True)), rel=1e-5)
    assert left.offsets["H"] == pytest.approx(300, abs=15)  # what was taken from the labels, but for the noise
    assert left.rank == 3
    assert left.errors["rmse"] < 0.05 * found.compared[0].errors()["rmse"]


def test_one_composition_determines_one_number(tmp_path, package_file, labelled, keys):
    from ase.io import write

    write(tmp_path / "solid.extxyz", [one for one in labelled[1] if one.info["config_type"] == "solid"])
    found = evaluate(load_model(package_file), tmp_path / "solid.extxyz", labels=keys)
    left = found.without_composition
    assert left.rank == 1
    assert left.offsets["C"] == pytest.approx(left.offsets["O"])  # the shortest of all solutions
    errors = (found.compared[0].predictions - found.compared[0].labels).numpy()
    assert_errors(left.errors, [errors - errors.mean()])


def test_no_fit_to_as_many_frames_as_numbers(tmp_path, package_file, labelled, keys):
    from ase.io import write

    write(tmp_path / "one_frame.extxyz", labelled[1][0])
    found = evaluate(load_model(package_file), tmp_path / "one_frame.extxyz", labels=keys)
    assert found.without_composition is None
    assert found.energy_left_over() == {}


def test_keys_behind_the_numbers(found):
    labels = found.labels()
    assert labels["total_energy"]["sources"] == {"info:REF_energy": 10}
    assert labels["forces"] | {"sources": None} == {
        "key": "REF_forces",
        "convention": "stress",
        "sources": None,
        "frames": 9,
        "ignored": {},
        "weights": {},
        "zero_weights": 0,
        "compared": True,
    }
    assert labels["stress"]["sources"] == {"info:REF_virial": 4}
    assert labels["stress"]["convention"] == "virial"


def test_the_dictionary_has_all_of_it_in_plain_containers(found):
    import json

    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["n_frames"] == 10
    assert plain["forces_rmse_mev_per_angstrom"] == found.compared[1].errors()["rmse"]
    assert plain["by_element"]["H"]["errors"]["forces"]["rmse"] == found.by_element()["H"].errors["forces"]["rmse"]
    assert plain["by_config_type"]["gas"]["n_frames"] == 5
    assert len(plain["by_file"]) == 2
    assert plain["worst"]["forces"][0]["place"] == found.worst()["forces"][0].place
    assert plain["without_composition"]["offsets"] == found.without_composition.offsets
    assert plain["isolated_atoms"][0]["element"] == "H"
    assert plain["labels"]["stress"]["convention"] == "virial"
