"""The label contract: units, conventions, and the one line that a message offers."""

import pytest
import torch
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator

from equipot.data import ASEDataModule
from equipot.data._collection import collect_frames
from equipot.data._frames import frame_from_atoms
from equipot.data._label_contract import label_contract
from equipot.data._label_hints import labels_line, suggest_keys
from equipot.data._label_units import EXAMPLES, unit_value
from equipot.errors import ConfigError, DataError
from equipot.units import KCAL_PER_MOL_IN_EV

FORCES = [[1.0, 0.0, 0.5], [-1.0, 0.0, -0.5]]


def crystal(info=None, **results):
    atoms = Atoms("MgO", positions=[[0, 0, 0], [2, 0.1, 0]], cell=[4, 4, 4], pbc=True, info=info or {})
    atoms.calc = SinglePointCalculator(atoms, **(results or {"energy": -2.0, "forces": FORCES, "stress": [1.0] * 6}))
    return atoms


@pytest.mark.parametrize(
    ("text", "dimension", "value"),
    [
        ("eV", "energy", 1.0),
        ("Hartree", "energy", units.Hartree),
        ("Ha", "energy", units.Hartree),
        ("Ry", "energy", units.Rydberg),
        ("kcal/mol", "energy", KCAL_PER_MOL_IN_EV),
        ("kJ mol⁻¹", "energy", KCAL_PER_MOL_IN_EV / 4.184),
        ("a.u.", "energy", units.Hartree),
        ("Hartree/Bohr", "forces", units.Hartree / units.Bohr),
        ("au", "forces", units.Hartree / units.Bohr),
        ("kcal/(mol Å)", "forces", KCAL_PER_MOL_IN_EV),
        ("kcal mol^-1 A^-1", "forces", KCAL_PER_MOL_IN_EV),
        ("kJ/mol/nm", "forces", KCAL_PER_MOL_IN_EV / 41.84),
        ("meV / Angstrom", "forces", 1e-3),
        ("GPa", "stress", units.GPa),
        ("kbar", "stress", units.GPa / 10),
        ("kB", "stress", units.GPa / 10),
        ("eV/Ang**3", "stress", 1.0),
        ("eV/Ang3", "stress", 1.0),
        ("eV/Å³", "stress", 1.0),
        ("Ha/a0^3", "stress", units.Hartree / units.Bohr**3),
        ("bohr", "length", units.Bohr),
        ("kcal", "energy", None),
        ("eV/mol", "energy", None),
        ("eV/Å", "energy", None),
        ("eV", "forces", None),
        ("eV/Å^2", "stress", None),
        ("eV/Å/Å", "forces", None),
        ("furlong", "length", None),
        ("", "energy", None),
    ],
)
def test_named_units(text, dimension, value):
    found = unit_value(text, dimension)
    assert found == (value if value is None else pytest.approx(value, rel=1e-14))


@pytest.mark.parametrize("dimension", EXAMPLES)
def test_units_that_messages_name_are_known(dimension):
    assert all(unit_value(one, dimension) for one in EXAMPLES[dimension].split(", "))


def test_labels_are_converted():
    labels = {
        "total_energy": {"key": "energy", "unit": "Hartree"},
        "forces": {"key": "forces", "unit": "Hartree/Bohr"},
        "stress": {"key": "stress", "unit": "GPa"},
    }
    frame, _ = frame_from_atoms(crystal(), label_contract(labels))
    assert frame["total_energy"].item() == pytest.approx(-2.0 * units.Hartree, rel=1e-14)
    expected = torch.tensor(FORCES, dtype=torch.float64) * (units.Hartree / units.Bohr)
    torch.testing.assert_close(frame["forces"], expected, rtol=1e-14, atol=0)
    assert frame["stress"][0, 0, 1].item() == pytest.approx(units.GPa, rel=1e-14)


def test_units_of_a_virial():
    labels = {"stress": {"key": "stress", "convention": "virial", "unit": "Hartree"}}
    frame, _ = frame_from_atoms(crystal(), label_contract(labels))
    assert frame["stress"][0, 0, 0].item() == pytest.approx(-units.Hartree / 64.0, rel=1e-14)
    with pytest.raises(
        ConfigError, match=r"stress.unit: is not a known unit of stress, got 'GPa'; for example eV, meV"
    ):
        label_contract({"stress": {**labels["stress"], "unit": "GPa"}})


def test_units_of_the_unit_system_real():
    labels = {"total_energy": {"key": "energy", "unit": "eV"}, "forces": {"key": "forces", "unit": "kcal/mol/Å"}}
    frame, _ = frame_from_atoms(crystal(), label_contract(labels, units="real"))
    assert frame["total_energy"].item() == pytest.approx(-2.0 / KCAL_PER_MOL_IN_EV, rel=1e-14)
    assert frame["forces"].tolist() == FORCES, "the same unit changes nothing, to the last bit"


def test_unknown_units_are_refused():
    with pytest.raises(
        ConfigError, match=r"labels.forces.unit: is not a known unit of forces, got 'N'; for example eV/Å"
    ):
        label_contract({"forces": {"key": "forces", "unit": "N"}}, "labels")
    with pytest.raises(ConfigError, match=r"unit: is for labels with a unit, not for total_charge, got 'e'"):
        label_contract({"total_energy": "energy", "total_charge": {"key": "charge", "unit": "e"}})


def test_the_census_prints_and_stores_the_unit(write):
    path = write("a.xyz", [crystal()])
    data = ASEDataModule(1, train_file_path=path, labels={"total_energy": {"key": "energy", "unit": "Ry"}})
    assert "eV (file:" in str(data.census())
    assert data.census().to_dict()["sets"]["train"]["labels"]["total_energy"]["unit"] == "Ry"
    assert data.dataset().raw(0)["total_energy"].item() == pytest.approx(-2 * units.Rydberg, rel=1e-12)


def test_a_virial_needs_its_convention():
    with pytest.raises(ConfigError, match=r"labels.stress: the key 'REF_virial' names a virial .* convention: virial}"):
        label_contract({"stress": "REF_virial"}, "labels")
    with pytest.raises(ConfigError, match="names a virial"):
        label_contract({"stress": {"key": "info:virials"}}, "labels")
    assert label_contract({"stress": {"key": "virial", "convention": "stress"}})["stress"].convention == "stress"
    assert label_contract({"stress": "virial_stress"})["stress"].key == "virial_stress"
    assert label_contract({"virial": "virial"})["virial"].key == "virial"


def test_what_a_contract_states_gives_it_again():
    labels = {"total_energy": "info:E", "stress": {"key": "virial", "convention": "virial", "unit": "Ry"}}
    contract = label_contract(labels)
    stated = {label: source.stated() for label, source in contract.items()}
    assert stated["stress"] == labels["stress"]
    assert label_contract(stated) == contract


# ------------------------------------------------------------------ units that files state


def read(info, labels=None, **options):
    place = "a.xyz, frame 3"
    return collect_frames([(place, crystal(info))], label_contract(labels, **options))


@pytest.mark.parametrize(
    ("info", "message"),
    [
        (
            {"energy-unit": "Hartree"},
            "energy-unit says Hartree, but total_energy would be read as eV: a factor of 27.211",
        ),
        ({"energy_unit": "kcal/mol"}, "total_energy would be read as eV: a factor of 0.0433641"),
        ({"energy_units": "Ry"}, "labels: {total_energy: {key: energy, unit: Ry}}"),
        ({"unit_of_forces": "Hartree/Bohr"}, "forces would be read as eV/Å: a factor of 51.4221"),
        ({"stress-unit": "GPa"}, "stress would be read as eV/Å³: a factor of 0.00624151"),
        ({"units": "kcal/mol"}, "total_energy would be read as eV: a factor of 0.0433641"),
        ({"units": "real"}, "total_energy would be read as eV: a factor of 0.0433641"),
        ({"units": "eV, Bohr"}, "positions and cell would be read as Å: a factor of 0.529177"),
        ({"length-unit": "nm"}, "positions and cell would be read as Å: a factor of 10; convert them to Å"),
        (
            {"units": {"forces": "meV/Å"}},
            "forces_units says meV/Å, but forces would be read as eV/Å: a factor of 0.001",
        ),
    ],
)
def test_a_unit_that_differs(info, message):
    with pytest.raises(DataError, match="a.xyz, frame 3: ") as caught:
        read(info)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "info",
    [
        {"energy-unit": "eV", "forces_unit": "eV/A", "stress_unit": "eV/A^3", "length_unit": "Angstrom"},
        {"units": "metal"},
        {"units": "eV"},
        {"units": "eV, Å"},
        {"unit": "eV/Å"},
        {"dft_energy": 3.0, "dft_energy_unit": "Hartree"},
        {"unit_cell": "cubic"},
        {"dipole_unit": "Debye"},
        {"formula_units": 4},
    ],
)
def test_units_that_agree_or_are_of_other_values(info):
    assert read(info).notes == [()]


def test_a_unit_of_another_energy():
    labels = {"total_energy": "REF_energy"}
    assert read({"REF_energy": -3.0, "energy_unit": "Hartree"}, labels).notes == [()], "energy itself is in the file"
    with pytest.raises(DataError, match="REF_energy_unit says Ry, but total_energy"):
        read({"REF_energy": -3.0, "REF_energy_unit": "Ry"}, labels)


def test_a_unit_that_is_honoured():
    labels = {"total_energy": {"key": "energy", "unit": "Ha"}}
    found = read({"energy_unit": "Hartree", "forces_unit": "Hartree/Bohr"}, labels)
    assert found.notes == [()], "forces are not read"
    assert found.frames[0]["total_energy"].item() == pytest.approx(-2 * units.Hartree)
    with pytest.raises(DataError, match="would be read as Ha: a factor of 0.0367493"):
        read({"energy_unit": "eV"}, labels)
    with pytest.raises(DataError, match="would be read as kcal/mol: a factor of 23.06"):
        read({"energy_unit": "eV"}, units="real")
    assert read({"energy_unit": "kcal/mol"}, units="real").notes == [()]


def test_a_unit_that_is_not_understood_is_noted():
    found = read({"energy_unit": "Kelvin"})
    assert [(one.code, one.text) for one in found.notes[0]] == [("unit-tag", "energy_unit='Kelvin' is not understood")]


# ------------------------------------------------------------------ hints


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (
            ["info:REF_energy", "arrays:REF_forces", "info:REF_stress", "info:REF_virial"],
            "labels: {total_energy: REF_energy, forces: REF_forces, stress: REF_stress}",
        ),
        (
            ["info:energy", "arrays:force", "info:virial"],
            "labels: {total_energy: energy, forces: force, stress: {key: virial, convention: virial}}",
        ),
        (
            ["info:mace_energy", "info:dft_energy", "arrays:mace_forces", "arrays:dft_forces", "arrays:max_force"],
            "labels: {total_energy: dft_energy, forces: dft_forces}",
        ),
        (["info:E", "arrays:F"], "labels: {total_energy: E, forces: F}"),
        (
            ["info:energy_U0", "info:free_energy", "info:enthalpy_H", "info:energy_U"],
            "labels: {total_energy: energy_U0}",
        ),
        (["info:free_energy", "info:zpve", "info:homo", "info:enthalpy_H"], ""),
        (["info:config_energy_weight", "arrays:forces_weight", "info:formation_energy_per_atom"], ""),
        (["arrays:local_energy", "info:net_force"], ""),
    ],
)
def test_one_complete_line(keys, line):
    assert labels_line(keys) == line


def test_the_line_can_be_used_as_it_is():
    from yaml import safe_load

    line = labels_line(["info:REF_energy", "arrays:REF_forces", "info:REF_virial"])
    assert label_contract(safe_load(line)["labels"])["stress"].convention == "virial"


def test_the_line_keeps_what_is_read_already():
    kept = {"total_energy": "{key: E0, unit: Ry}"}
    line = labels_line(["info:energy", "arrays:force"], kept)
    assert line == "labels: {total_energy: {key: E0, unit: Ry}, forces: force}"
    assert labels_line(["info:energy"], kept) == "", "nothing new"


def test_values_per_atom_are_no_energies_of_frames():
    assert suggest_keys("total_energy", ["arrays:energy", "info:my_energy"]) == ["my_energy"]
    assert suggest_keys("atomic_energy", ["arrays:energies", "info:energies"]) == ["energies"]


def test_ref_files_take_one_try(write):
    frames = [crystal({"REF_energy": -2.0, "REF_virial": [1.0] * 9}, energy=-2.0)]
    frames[0].calc = None
    frames[0].arrays["REF_forces"] = frames[0].positions.copy()
    path = write("a.xyz", frames)
    with pytest.raises(DataError) as caught:
        ASEDataModule(1, train_file_path=path).setup()
    from yaml import safe_load

    line = str(caught.value).split("write ")[1].split("; keys")[0]
    data = ASEDataModule(1, train_file_path=path, **safe_load(line))
    assert {"total_energy", "forces", "stress"} <= data.dataset().raw(0).keys()
