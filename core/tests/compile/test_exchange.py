"""Which models exchange features between layers, and that those which would be wrong do not."""

import dataclasses

import pytest
import torch

from equipot.artifacts import _golden as golden
from equipot.compile import export_model, with_exchange
from equipot.graph import collate
from equipot.model import EnergyTerm, EnergyTermModule, apply_modifier
from equipot.nn.exchange import CalledExchange, GhostExchange
from equipot_testing.toy import ToyFeatures, ToyMessages, ToyMessagesEnergy, ToyModel

OPTIONS = {"type_names": ["H", "C"], "r_max": 4.0, "model_dtype": "float64"}


def toy(recipe=ToyMessages, **options):
    return recipe(**{**OPTIONS, **options}).build().eval()


class Deaf(ToyMessagesEnergy):
    """Calls the exchange, but neighbours read the features from before it."""

    def __init__(self, context):
        super().__init__(context)
        self.exchange = Unheard()


class Unheard(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = GhostExchange()

    def forward(self, features):
        self.inner(features)
        return features


class Unasked(ToyMessagesEnergy):
    """Has no exchange at all."""

    def __init__(self, context):
        super().__init__(context)
        self.exchange = torch.nn.Identity()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Broken(ToyModel):
    energy: type = Deaf

    def build_energy(self, context):
        return self.energy(context)


class CountModule(EnergyTermModule):
    """Half the number of neighbours of neighbours, smoothly counted."""

    locality = "hops(2)"
    requires = ("edge_lengths", "edge_index", "atom_types")

    def __init__(self, r_max, exchange):
        super().__init__()
        self.r_max, self.exchange = r_max, exchange

    def forward(self, data):
        centre, neighbour = data["edge_index"]
        weights = (1.0 - data["edge_lengths"] / self.r_max).square()
        zeros = torch.zeros(data["atom_types"].shape[0], dtype=torch.float64)
        counts = self.exchange(zeros.index_add(0, centre, weights).unsqueeze(1)).squeeze(1)
        return zeros.index_add(0, centre, 0.5 * weights * counts.index_select(0, neighbour))


class TellingEnergy(ToyMessagesEnergy):
    """Gives a term something to read."""

    provides = ("told",)

    def forward(self, data):
        found = super().forward(data)
        return {**found, "told": found["atomic_energy"]}


class AskModule(EnergyTermModule):
    """Reads of neighbours what the energy module made of them."""

    requires = ("edge_lengths", "edge_index", "atom_types", "told")

    def __init__(self, exchange):
        super().__init__()
        self.exchange = exchange

    def forward(self, data):
        centre, neighbour = data["edge_index"]
        told = self.exchange(data["told"].to(torch.float64).unsqueeze(1)).squeeze(1)
        weights = (1.0 - data["edge_lengths"] / 4.0).square()
        zeros = torch.zeros(data["atom_types"].shape[0], dtype=torch.float64)
        return zeros.index_add(0, centre, weights * told.index_select(0, neighbour))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ask(EnergyTerm):
    exchanging: bool = True

    def build(self, context):
        return AskModule(GhostExchange() if self.exchanging else torch.nn.Identity())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Count(EnergyTerm):
    exchanging: bool = True

    def own_r_max(self):
        return 5.0

    def build(self, context):
        return CountModule(5.0, GhostExchange() if self.exchanging else torch.nn.Identity())


def calls(model):
    return sum(isinstance(module, CalledExchange) for module in model.modules())


@pytest.mark.parametrize("model_dtype", ["float64", "float32"])
def test_the_exchange_is_called_in_layers_and_terms(model_dtype):
    model = toy(energy_terms={"count": Count()}, model_dtype=model_dtype)
    found = with_exchange(model)
    assert (calls(found), calls(model)) == (2, 0)
    assert found.info == model.info
    batch = collate(list(golden.random_frames(model.info).values()))
    for key, value in model(batch).items():
        assert torch.equal(found(batch)[key], value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: toy(ToyModel),
        lambda: toy(Broken),
        lambda: toy(Broken, energy=Unasked),
        lambda: toy(energy_terms={"count": Count(exchanging=False)}),
        lambda: toy(ToyModel, energy_terms={"count": Count(exchanging=False)}),
    ],
    ids=["strict", "result not used", "not called", "a term does not call it", "of a term alone"],
)
def test_models_that_need_edges_of_ghosts_stay_as_they_are(make):
    model = make()
    assert with_exchange(model) is model


def test_what_a_term_reads_of_neighbours_is_exchanged_once_more():
    telling = {"energy": TellingEnergy}
    model = toy(Broken, **telling, energy_terms={"ask": Ask()})
    assert model.info.locality == "hops(3)"
    assert calls(with_exchange(model)) == 2
    model = toy(Broken, **telling, energy_terms={"ask": Ask(exchanging=False)})
    assert with_exchange(model) is model


@pytest.mark.usefixtures("heads_plugin")
def test_a_head_that_reads_of_neighbours_needs_edges_of_ghosts():
    model = apply_modifier(toy(ToyFeatures, energy_terms={"count": Count()}), "add_Charges")
    assert calls(with_exchange(model)) == 1
    head = model.outputs["charges"]
    head.requires = (*type(head).requires, "edge_index")
    assert with_exchange(model) is model


def test_a_term_alone_may_pass_messages():
    assert calls(with_exchange(toy(ToyModel, energy_terms={"count": Count()}))) == 1


@pytest.mark.slow
def test_the_exported_program_says_what_it_exchanges():
    model = toy(energy_terms={"count": Count()})
    assert export_model(with_exchange(model)).exchanges == (1, 1)
