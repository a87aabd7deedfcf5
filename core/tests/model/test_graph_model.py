import pytest
import torch

from equipot.errors import ConfigError, DataError
from equipot.graph import collate
from equipot.model import GraphModel, ScaleShift
from equipot.model._context import ModelInfo
from equipot_test_support.terms import ChargeTerm, ChargeTermModule
from equipot_testing.frames import batch_of, bulk, lone_atom, molecule
from equipot_testing.toy import ToyEnergy, ToyModel


def toy(**options):
    base = {"type_names": ["H", "C"], "r_max": 4.0, "model_dtype": "float64"}
    return ToyModel(**{**base, **options}).build().eval()


class Charged(ToyEnergy):
    """Provides charges, for terms that want them."""

    provides = ("total_charge",)

    def forward(self, data):
        return {**super().forward(data), "total_charge": torch.tensor([0.5], dtype=torch.float64)}


def assembled(model, **slots):
    """The model with other slots, made from scratch."""
    current = {"energy": model.energy, "scale_shift": model.scale_shift, "derivatives": model.derivatives}
    return GraphModel(info=model.info, **{**current, **slots})


# ------------------------------------------------------------------------------ slots


def test_state_dict_has_the_slots_names():
    model = toy(per_type_energy_shifts={"H": 1.0, "C": 2.0})
    assert list(model.state_dict()) == ["energy.weights", "scale_shift.scales", "scale_shift.shifts"]


def test_replace_changes_one_slot_and_shares_the_rest():
    model = toy()
    other = model.replace(scale_shift=ScaleShift(["H", "C"], shifts=-1.0))
    assert other is not model
    assert other.energy is model.energy
    assert other.derivatives is model.derivatives
    assert other.modifiers == model.modifiers
    assert other.config == model.config
    assert other.config is not model.config
    graph = bulk(2).graph(model.info)
    torch.testing.assert_close(other(graph)["atomic_energy"], model(graph)["atomic_energy"] - 1.0)


@pytest.mark.parametrize("training", [True, False])
def test_replace_keeps_the_mode(training):
    model = toy().train(training)
    other = model.replace(scale_shift=ScaleShift(["H", "C"]), derivatives=None)
    assert {part.training for part in other.modules()} == {training}


def test_replace_refuses_unknown_slots():
    with pytest.raises(TypeError, match=r"no slots \['energie'\]"):
        toy().replace(energie=None)


def test_outputs_follow_the_slots():
    model = toy()
    assert set(model.info.outputs) == {"atomic_energy", "total_energy", "forces", "stress", "virial"}
    assert model.replace(derivatives=None).info.outputs == ("atomic_energy", "total_energy")


def test_a_component_that_requires_what_nothing_provides_is_refused():
    class Demanding(ToyEnergy):
        requires = (*ToyEnergy.requires, "dipole")

    model = toy()
    demanding = Demanding.__new__(Demanding)
    torch.nn.Module.__init__(demanding)
    with pytest.raises(ConfigError, match=r"model.energy: requires the fields \['dipole'\] that nothing provides"):
        assembled(model, energy=demanding)


def test_a_term_gets_what_the_energy_module_provides():
    model = toy()
    energy = model.energy
    energy.__class__ = Charged
    joined = assembled(model, energy=energy, energy_terms={"charge": ChargeTermModule()})
    graph = bulk(2).graph(model.info)
    torch.testing.assert_close(joined(graph)["atomic_energy"], model(graph)["atomic_energy"] + 0.5)


def test_a_term_without_what_it_needs_asks_for_it_in_the_batch():
    model = toy(energy_terms={"charge": ChargeTerm()})
    assert "total_charge" in model.info.inputs
    graph = lone_atom().graph(model.info)
    with_charge = model({**graph, "total_charge": torch.tensor([2.0], dtype=torch.float64)})
    assert with_charge["total_energy"].tolist() == [2.0]


def test_locality_is_that_of_the_least_local_component():
    class Far(ChargeTermModule):
        requires = ("atom_types",)
        locality = "hops(2)"

    class Farther(Far):
        locality = "hops(4)"

    class Everywhere(Far):
        locality = "global"

    model = toy()
    assert model.info.locality == "strict"
    assert assembled(model, energy_terms={"a": Far(), "b": Farther()}).info.locality == "hops(4)"
    assert assembled(model, energy_terms={"a": Everywhere(), "b": Farther()}).info.locality == "global"


# ---------------------------------------------------------------------------- forward


def test_energies_are_summed_by_frame_in_float64():
    model = toy(model_dtype="float32", per_type_energy_shifts={"H": -13.6, "C": -1027.6})
    batch = batch_of([bulk(2), lone_atom(1), molecule(2)], model.info)
    output = model(batch)
    assert output["total_energy"].dtype == output["atomic_energy"].dtype == torch.float64
    sums = [part.sum() for part in output["atomic_energy"].split(batch["num_atoms"].tolist())]
    torch.testing.assert_close(output["total_energy"], torch.stack(sums))
    assert output["total_energy"][1] == -1027.6


def test_forces_are_of_all_atoms_also_without_edges():
    model = toy()
    output = model(batch_of([lone_atom(), lone_atom()], model.info))
    assert output["forces"].shape == (2, 3)


def test_positions_in_single_precision_give_energies_in_double():
    model = toy()
    graph = bulk(2).graph(model.info)
    single = model({**graph, "positions": graph["positions"].float()})
    assert single["total_energy"].dtype == torch.float64
    torch.testing.assert_close(single["total_energy"], model(graph)["total_energy"], rtol=1e-5, atol=1e-5)


def test_cutoffs_are_no_part_of_the_state():
    model = toy(per_edge_type_cutoff={"H": {"C": 2.5}})
    assert model.cutoffs.tolist() == [[4.0, 2.5], [4.0, 4.0]]
    assert "cutoffs" not in model.state_dict()
    assert model.info.cutoffs == ((4.0, 2.5), (4.0, 4.0))
    assert toy().info.cutoffs is None


def test_normalised_lengths_take_the_radius_of_centre_and_neighbour_in_this_order():
    class Probe(ToyEnergy):
        def forward(self, data):
            seen.append((data["normalized_edge_lengths"].detach().clone(), data["edge_lengths"].detach().clone()))
            return super().forward(data)

    seen = []
    model = toy(per_edge_type_cutoff={"H": {"C": 2.5}, "C": 3.5})
    model.energy.__class__ = Probe
    graph = bulk(2).graph(model.info)
    model(graph)
    types, (centre, neighbour) = graph["atom_types"], graph["edge_index"]
    radii = torch.tensor([[4.0, 2.5], [3.5, 3.5]], dtype=torch.float64)[types[centre], types[neighbour]]
    torch.testing.assert_close(seen[0][0] * radii, seen[0][1])
    assert seen[0][0].max() < 1.0


def test_model_works_on_part_of_a_collated_batch_in_any_mode():
    model = toy().train()
    graph = collate([bulk(2).graph(model.info), molecule(2).graph(model.info)])
    loss = model(graph)["forces"].square().sum()
    (gradient,) = torch.autograd.grad(loss, [model.energy.weights])
    assert torch.isfinite(gradient).all()
    assert gradient.abs().max() > 0


def test_info_given_to_the_constructor_is_completed():
    model = toy()
    bare = ModelInfo(type_names=("H", "C"), chemical_species=("H", "C"), r_max=4.0, cutoffs=None, model_dtype="float64")
    again = GraphModel(info=bare, energy=model.energy, scale_shift=model.scale_shift)
    assert again.info.inputs == model.info.inputs
    assert again.info.outputs == ("atomic_energy", "total_energy")


BROKEN = {
    "edge_index: must be a tensor, got 'nothing'": lambda batch: batch.pop("edge_index"),
    "positions: must be a tensor, got 'list'": lambda batch: batch.update(positions=batch["positions"].tolist()),
    "atom_types: must be of dtype int64, got 'float64'": lambda batch: batch.update(
        atom_types=batch["atom_types"].double()
    ),
    "positions: must have the shape [n_atoms, 3]": lambda batch: batch.update(positions=batch["positions"][:, :2]),
    "positions: must have the shape [n_atoms, 3] with {'atom': 6, 'frame': 1}": lambda batch: batch.update(
        atom_types=batch["atom_types"][:-1]
    ),
    "edge_index: must be from 0 to 6": lambda batch: batch.update(edge_index=batch["edge_index"] + 1),
    "atom_types: must be from 0 to 1": lambda batch: batch.update(atom_types=batch["atom_types"] + 1),
}


@pytest.mark.parametrize("message", BROKEN)
def test_a_malformed_batch_is_not_blamed_on_a_plugin(message):
    model = toy()
    batch = batch_of([bulk(2)], model.info)
    BROKEN[message](batch)
    with pytest.raises(DataError) as found:
        model(batch)
    assert str(found.value).startswith(message)
