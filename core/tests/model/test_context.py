import dataclasses

import pytest
import torch

from equipot.errors import ConfigError
from equipot.model._context import ModelInfo, pair_index, resolve_cutoffs, species_of_types


def test_pair_index_is_centre_major():
    centre, neighbour = torch.tensor([0, 0, 1, 2]), torch.tensor([0, 2, 0, 1])
    assert pair_index(centre, neighbour, 3).tolist() == [0, 2, 3, 7]


def test_cutoffs_by_centre_and_by_pair():
    cutoffs = resolve_cutoffs(["H", "C", "O"], 5.0, {"H": 2.0, "C": {"O": 3.0}})
    assert cutoffs.tolist() == [[2.0, 2.0, 2.0], [5.0, 5.0, 3.0], [5.0, 5.0, 5.0]]
    assert cutoffs.dtype == torch.float64


def test_cutoffs_without_a_mapping():
    assert resolve_cutoffs(["H"], 4.5, None).tolist() == [[4.5]]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"Hh": 3.0}, "per_edge_type_cutoff.Hh: unknown type name; did you mean 'H'?"),
        ({"H": {"X": 3.0}}, "per_edge_type_cutoff.H.X: unknown type name; type names: H, C"),
        ({"H": 6.0}, "per_edge_type_cutoff.H: must be greater than 0 and at most r_max = 5.0, got 6.0"),
        ({"H": {"C": 0.0}}, "per_edge_type_cutoff.H.C: must be greater than 0 and at most r_max = 5.0, got 0.0"),
    ],
)
def test_wrong_cutoffs(given, message):
    with pytest.raises(ConfigError) as caught:
        resolve_cutoffs(["H", "C"], 5.0, given)
    assert caught.value.problems == [message]


def test_species_follow_from_type_names_that_are_elements():
    assert species_of_types(["H", "C"], None) == ("H", "C")
    assert species_of_types(["H", "water"], None) is None
    assert species_of_types(["ca", "cb"], ["C", "C"]) == ("C", "C")


@pytest.mark.parametrize(
    ("types", "species", "message"),
    [
        (["H", "C"], ["H"], "chemical_species: must have one symbol per type name ['H', 'C'], got ['H']"),
        (["ca"], ["Qq"], "chemical_species: 'Qq' is not an element, got ['Qq']; list chemical symbols"),
        (
            ["H", "C"],
            ["C", "H"],
            (
                "chemical_species: type 'H' is an element but its species is 'C', got ['C', 'H']; "
                "use the order of type_names"
            ),
        ),
    ],
)
def test_wrong_species(types, species, message):
    with pytest.raises(ConfigError) as caught:
        species_of_types(types, species)
    assert caught.value.problems[0] == message


def test_info_survives_plain_containers():
    info = ModelInfo(
        type_names=("H", "C"), chemical_species=("H", "C"), r_max=4.0, cutoffs=((4.0, 3.0), (2.0, 4.0)),
        model_dtype="float32", units="real", locality="hops(3)", edge_sets=(("far", 6.0),),
        inputs=("positions",), outputs=("total_energy",),
    )  # fmt: skip
    plain = info.to_dict()
    assert plain["cutoffs"] == [[4.0, 3.0], [2.0, 4.0]]
    assert plain["edge_sets"] == [["far", 6.0]]
    assert ModelInfo.from_dict(plain) == info
    assert info.atomic_numbers == (1, 6)


def test_info_without_species_has_no_atomic_numbers():
    info = ModelInfo(type_names=("a",), chemical_species=None, r_max=4.0, cutoffs=None, model_dtype="float32")
    assert info.atomic_numbers is None
    assert ModelInfo.from_dict(info.to_dict()) == info


def test_cutoffs_and_edge_sets_of_an_info():
    info = ModelInfo(type_names=("H",), chemical_species=None, r_max=3.0, cutoffs=None, model_dtype="float64")
    assert info.cutoff_matrix is None
    assert info.edge_set_names == ("",)
    info = dataclasses.replace(info, cutoffs=((2.0,),), edge_sets=(("far", 6.0),))
    assert info.cutoff_matrix.tolist() == [[2.0]]
    assert info.cutoff_matrix.dtype == torch.float64
    assert info.edge_set_names == ("", "far")
    assert ModelInfo.from_dict(info.to_dict()) == info
