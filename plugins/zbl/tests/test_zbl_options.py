"""What ZBL refuses, word for word."""

import pytest

from equipot.errors import ConfigError
from equipot_testing.toy import ToyModel
from equipot_zbl import ZBL


def toy(potential, **options):
    return ToyModel(**{"type_names": ["C", "H"], "r_max": 4.0, "pair_potential": potential, **options})


def message_of(action):
    with pytest.raises(ConfigError) as caught:
        action()
    return str(caught.value)


def test_units_of_the_data_must_be_the_same():
    text = message_of(lambda: toy(ZBL(units="metal")).build_energy_model("real"))
    assert text == "pair_potential.units: must equal data.units = 'real', got 'metal'"


def test_units_are_required_and_named():
    assert message_of(lambda: ZBL(units="electron")).startswith("ZBL.units: must be 'metal' or 'real', got 'electron'")
    with pytest.raises(TypeError, match="units"):
        ZBL()


def test_species_must_be_in_the_order_of_the_types():
    text = message_of(lambda: toy(ZBL(units="metal", chemical_species=["H", "C"])))
    assert text == (
        "ToyModel.pair_potential.chemical_species: must be the species of the types, ['C', 'H'], got ['H', 'C']"
    )


def test_species_must_be_elements():
    text = message_of(lambda: ZBL(units="metal", chemical_species=["C", "Qq"]))
    assert text == "ZBL.chemical_species: 'Qq' is not an element, got ['C', 'Qq']; list chemical symbols"


def test_species_are_needed_when_the_types_are_no_elements():
    text = message_of(lambda: toy(ZBL(units="metal"), type_names=["carbon", "water"]).build_energy_model())
    assert text == (
        "pair_potential.chemical_species: needed because the types ['carbon', 'water'] are not elements; "
        "list one chemical symbol per type"
    )


def test_types_that_are_no_elements_take_the_given_species():
    potential = ZBL(units="metal", chemical_species=["C", "C"])
    model = toy(potential, type_names=["ca", "cb"], chemical_species=["C", "C"]).build_energy_model()
    assert model.energy_terms["pair_potential"].pair_energy.charges.tolist() == [6.0, 6.0]


def test_types_without_species_take_those_of_the_potential():
    potential = ZBL(units="metal", chemical_species=["C", "O"])
    model = toy(potential, type_names=["ca", "ob"]).build_energy_model()
    assert model.energy_terms["pair_potential"].pair_energy.charges.tolist() == [6.0, 8.0]


def test_exponent_of_the_cutoff_is_at_least_two():
    assert "polynomial_cutoff_p" in message_of(lambda: ZBL(units="metal", polynomial_cutoff_p=1.0))


def test_the_covalent_range_is_positive():
    assert "covalent_range: must be greater than 0" in message_of(lambda: ZBL(units="metal", covalent_range=0.0))


def test_charges_are_not_stored_with_the_weights():
    model = toy(ZBL(units="metal")).build_energy_model()
    assert not [key for key in model.state_dict() if key.startswith("energy_terms")]


def test_pair_potential_and_the_energy_term_of_that_name_exclude_each_other():
    text = message_of(lambda: toy(ZBL(units="metal"), energy_terms={"pair_potential": ZBL(units="metal")}))
    assert text == "ToyModel.energy_terms.pair_potential: also given as pair_potential; keep one of them"
