import pytest
import torch

from equipot.data.transforms import (
    ChemicalSpeciesToAtomTypeMapper,
    ModelEdges,
    NeighborListTransform,
    bind_transforms,
    default_transforms,
)
from equipot.errors import ConfigError, DataError


def frame(*numbers):
    n = len(numbers)
    return {
        "positions": torch.arange(3.0 * n, dtype=torch.float64).reshape(n, 3),
        "cell": torch.zeros((1, 3, 3), dtype=torch.float64),
        "pbc": torch.zeros((1, 3), dtype=torch.bool),
        "atomic_numbers": torch.tensor(numbers),
        "batch": torch.zeros(n, dtype=torch.int64),
        "num_atoms": torch.tensor([n]),
    }


class TestMapper:
    def test_types_follow_the_order_of_the_model(self):
        given = frame(1, 8, 6, 1)
        assert ChemicalSpeciesToAtomTypeMapper(["O", "H", "C"])(given)["atom_types"].tolist() == [1, 0, 2, 1]
        assert ChemicalSpeciesToAtomTypeMapper(["C", "H", "O"])(given)["atom_types"].tolist() == [1, 2, 0, 1]
        assert "atom_types" not in given, "the argument is not changed"

    def test_every_element_up_to_118(self):
        from ase.data import chemical_symbols

        mapper = ChemicalSpeciesToAtomTypeMapper(chemical_symbols[1:])
        assert mapper(frame(1, 118))["atom_types"].tolist() == [0, 117]

    def test_map_from_elements_to_types(self):
        mapper = ChemicalSpeciesToAtomTypeMapper(["metal", "anion"], {"Mg": "metal", "Ca": "metal", "O": "anion"})
        assert mapper(frame(12, 8, 20))["atom_types"].tolist() == [0, 1, 0]

    def test_elements_without_type_are_listed(self):
        mapper = ChemicalSpeciesToAtomTypeMapper(["H", "O"])
        message = r"atom types: no type for \['C', 'Og'\]; supported: \['H', 'O'\]"
        with pytest.raises(DataError, match=message):
            mapper(frame(118, 1, 6, 6))
        assert mapper.unsupported(frame(0, 1)) == ["X"]
        assert mapper.unsupported(frame(119, 1)) == ["Z=119"]

    def test_wrong_options(self):
        with pytest.raises(ConfigError) as caught:
            ChemicalSpeciesToAtomTypeMapper(["C", "Xx"])
        assert caught.value.problems == [
            (
                "ChemicalSpeciesToAtomTypeMapper.model_type_names: 'Xx' is not an element; "
                "list chemical symbols or give chemical_species_to_atom_type_map"
            )
        ]
        with pytest.raises(ConfigError, match="unknown type, got 'carbn'; did you mean 'carbon'"):
            ChemicalSpeciesToAtomTypeMapper(["carbon"], {"C": "carbn"})


class TestNeighborList:
    def test_radii_per_pair_of_types(self):
        typed = ChemicalSpeciesToAtomTypeMapper(["H", "O"])(frame(1, 8))  # distance sqrt(27) = 5.196
        transform = NeighborListTransform(6.0, {"O": {"H": 5.0}}, ["H", "O"])
        assert transform(typed)["edge_index"].T.tolist() == [[0, 1]], "O does not see H, H sees O"

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"r_max": -1.0}, r"NeighborListTransform.r_max: must be greater than 0, got -1\.0"),
            (
                {"r_max": 3.0, "backend": "ase"},
                "backend: must be 'vesin' or 'matscipy', got 'ase'",
            ),
            ({"r_max": 3.0, "per_edge_type_cutoff": {"H": 2.0}}, "type_names: is needed with per_edge_type_cutoff"),
            (
                {"r_max": 3.0, "per_edge_type_cutoff": {"H": 4.0}, "type_names": ["H"]},
                r"at most r_max = 3\.0, got 4\.0",
            ),
        ],
    )
    def test_wrong_options(self, options, message):
        with pytest.raises(ConfigError, match=message):
            NeighborListTransform(**options)

    def test_frame_is_extended_with_named_sets_of_the_model(self, make_info):
        info = make_info("H", r_max=3.0, edge_sets=(("far", 6.0),))
        result = frame(1, 1)
        for transform in default_transforms(info):
            result = transform(result)
        assert result["edge_index"].shape == (2, 0)
        assert result["edge_index:far"].shape == (2, 2)


class TestBinding:
    def test_defaults_follow_from_the_model(self, make_info):
        cutoffs = ((3.0, 2.0), (1.0, 3.0))
        mapper, neighbors = bind_transforms(None, make_info("H", "O", cutoffs=cutoffs))
        assert mapper.supported == ["H", "O"]
        assert neighbors.r_max == 3.0
        assert neighbors.cutoffs == cutoffs

    def test_type_names_that_are_no_elements(self, make_info):
        (mapper, _) = bind_transforms(None, make_info("a", "b", chemical_species=("O", "H")))
        assert mapper(frame(1, 8))["atom_types"].tolist() == [1, 0]
        with pytest.raises(ConfigError, match=r"data.transforms: the model's types \['a'\] are not all elements; give"):
            bind_transforms(None, make_info("a", chemical_species=None))
        with pytest.raises(ConfigError, match="two of the model's types are the same element, got .*'O', 'O'"):
            bind_transforms(None, make_info("a", "b", chemical_species=("O", "O")))

    def test_missing_ones_are_added_around_others(self, make_info):
        def double(given):
            return {**given, "positions": given["positions"] * 2}

        bound = bind_transforms([double], make_info("H"))
        assert isinstance(bound[0], ChemicalSpeciesToAtomTypeMapper)
        assert bound[1] is double
        assert isinstance(bound[2], ModelEdges)

    def test_given_ones_get_the_radii_of_the_model(self, make_info):
        info = make_info("H", "O", cutoffs=((3.0, 2.0), (1.0, 3.0)), edge_sets=(("far", 5.0),))
        bound = bind_transforms(
            [ChemicalSpeciesToAtomTypeMapper(["H", "O"]), NeighborListTransform(3.0, backend="matscipy")], info
        )
        assert bound[1].backend == "matscipy"
        assert bound[1].cutoffs == ((3.0, 2.0), (1.0, 3.0))
        assert bound[1].edge_sets == (("far", 5.0),)

    def test_contradictions_come_at_once(self, make_info):
        transforms = [ChemicalSpeciesToAtomTypeMapper(["O", "H"]), NeighborListTransform(4.0)]
        with pytest.raises(ConfigError) as caught:
            bind_transforms(transforms, make_info("H", "O"))
        assert caught.value.problems == [
            "data.transforms.0.model_type_names: differ from the model's ['H', 'O'], got ['O', 'H']",
            (
                "data.transforms.1.r_max: differs from the model's r_max = 3.0, got 4.0; "
                "leave data.transforms out: the neighbour list follows from the model"
            ),
        ]

    def test_radii_and_elements_must_be_the_model_s(self, make_info):
        info = make_info("H", "O")
        with pytest.raises(ConfigError, match=r"per_edge_type_cutoff: differs from the model's radii 3\.0"):
            bind_transforms([NeighborListTransform(3.0, {"H": 2.0}, ["H", "O"])], info)
        with pytest.raises(ConfigError, match=r"type_names: differ from the model's \['H', 'O'\], got \['O', 'H'\]"):
            bind_transforms([NeighborListTransform(3.0, type_names=["O", "H"])], info)
        swapped = ChemicalSpeciesToAtomTypeMapper(["H", "O"], {"O": "H", "H": "O"})
        with pytest.raises(ConfigError, match="maps 'O' to the type 'H', but the model uses that type for 'H'"):
            bind_transforms([swapped], info)
