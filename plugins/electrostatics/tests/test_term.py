"""The term in a tiny model: sums of charges, refusals, training. See also tests/test_electrostatics_road.py."""

import math

import pytest
import torch

from equipot.energy_terms import LatentElectrostatics
from equipot.errors import ConfigError, DataError
from equipot.graph import collate
from equipot.model import apply_modifier
from equipot_testing.frames import Structure, batch_of, bulk, cluster, lone_atom, molecule, slab, wire
from equipot_testing.toy import ToyFeatures, ToyModel

BASE = {"type_names": ["H", "C", "O"], "r_max": 4.0, "model_dtype": "float64"}


def model(builder=ToyFeatures, **options):
    return builder(**BASE, energy_terms={"electrostatics": LatentElectrostatics(**options)}).build().eval()


def frames(info):
    return batch_of([bulk(3), molecule(3), lone_atom(), bulk(3, n_atoms=4, seed=3)], info)


def charges_of(model, batch):
    return apply_modifier(model, "enable_LatentCharges")(batch)["latent_charges"]


def sums(charges, batch):
    zeros = torch.zeros(len(batch["num_atoms"]), charges.shape[1], dtype=torch.float64)
    return zeros.index_add(0, batch["batch"], charges)


# ------------------------------------------------------------------------------ charges


def test_neutral_frames():
    neutral = model(num_channels=2)
    batch = frames(neutral.info)
    charges = charges_of(neutral, batch)
    assert charges.shape == (17, 2)
    assert charges.abs().max() > 0.1
    assert sums(charges, batch).abs().max() < 1e-14
    assert "total_charge" not in neutral.info.inputs


def test_given_total_charges():
    given = model(constraint="total_charge", num_channels=2)
    assert "total_charge" in given.info.inputs
    batch = {**frames(given.info), "total_charge": torch.tensor([2.0, -1.0, 1.0, 0.0], dtype=torch.float64)}
    charges = charges_of(given, batch)
    expected = torch.stack([batch["total_charge"], torch.zeros(4)], dim=1)
    torch.testing.assert_close(sums(charges, batch), expected, rtol=0, atol=1e-14)
    energy = given(batch)["total_energy"]
    changed = given({**batch, "total_charge": torch.zeros(4, dtype=torch.float64)})["total_energy"]
    assert (energy - changed).abs()[:2].min() > 1e-3
    assert energy[2] == changed[2]  # alone, an ion has nothing to act on


def test_free_charges():
    free = model(constraint="none")
    batch = frames(free.info)
    assert sums(charges_of(free, batch), batch).abs().min() > 1e-3


def test_without_constants_of_types_an_atom_alone_has_no_charge():
    free = model(constraint="none", per_type_charges=False)
    assert [name for name, _ in free.named_parameters() if "of_types" in name] == []
    far = batch_of([cluster([[0.0, 0.0, 0.0], [9.0, 0.0, 0.0]], [0, 1])], free.info)
    assert not charges_of(free, far).any()


def test_the_constant_is_that_of_the_units():
    def part(units):
        with_term, without = (
            ToyFeatures(**BASE, energy_terms=terms).build(units).eval()
            for terms in ({"electrostatics": LatentElectrostatics()}, {})
        )
        batch = frames(with_term.info)
        return (with_term(batch)["total_energy"] - without(batch)["total_energy"])[0]

    assert float(part("real") / part("metal")) == pytest.approx(332.06371 / 14.399645)


# ------------------------------------------------------------------------------ the cost of charges


@pytest.mark.parametrize("constraint", ["neutral", "total_charge", "none"])
def test_atoms_without_neighbours_pay_nothing_for_their_charges(constraint):
    charged = model(constraint=constraint, sigma=1.5)
    far = [cluster([[0.0, 0.0, 0.0]], [0]), cluster([[0.0, 0.0, 0.0], [5.0, 0.0, 0.0]], [0, 1])]
    batch = batch_of(far, charged.info) | {"total_charge": torch.tensor([1.0, 0.0], dtype=torch.float64)}
    q = charges_of(charged, batch)[:, 0]
    expected = 14.399645 * float(q[1] * q[2]) * math.erf(5.0 / (math.sqrt(2.0) * 1.5)) / 5.0
    assert charged(batch)["total_energy"].tolist() == pytest.approx([0.0, expected], abs=1e-12)
    assert abs(expected) > 1e-3


def test_ions_that_screen_each_other_have_no_mean_energy():
    """Rock salt: charges of any size have about the energy 0, of which larger ones would otherwise have eV per atom."""
    kinds = torch.tensor([0, 1, 1, 0, 1, 0, 0, 1])
    places = 2.8 * torch.stack(torch.meshgrid(*[torch.arange(2.0)] * 3, indexing="ij"), -1).reshape(8, 3).double()
    crystal = Structure(places, kinds, 5.6 * torch.eye(3, dtype=torch.float64), (True, True, True))
    ionic = model(sigma=2.0)
    with torch.no_grad():
        ionic.energy_terms["electrostatics"].charges.network.last_weights.zero_()
        ionic.energy_terms["electrostatics"].charges.of_types.copy_(torch.tensor([[1.0], [-1.0], [0.0]]) / 0.3)
    batch = batch_of([crystal], ionic.info)
    torch.testing.assert_close(charges_of(ionic, batch)[:, 0], 1.0 - 2.0 * kinds.double(), rtol=1e-6, atol=1e-6)
    short = ToyFeatures(**BASE).build().eval()(batch)["total_energy"]
    energy = float(ionic(batch)["total_energy"] - short) / 8.0
    assert abs(energy) < 0.05
    itself = 14.399645 / (math.sqrt(2.0 * math.pi) * 2.0)
    assert itself > 50.0 * abs(energy)


# ------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sigma": 0.0}, "LatentElectrostatics.sigma: "),
        ({"accuracy": 0.5}, "LatentElectrostatics.accuracy: "),
        ({"constraint": "charged"}, "LatentElectrostatics.constraint: must be 'neutral', 'total_charge' or 'none'"),
        ({"num_channels": 0}, "LatentElectrostatics.num_channels: "),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ConfigError) as error:
        LatentElectrostatics(**options)
    assert message in str(error.value)


def test_a_builder_without_features():
    with pytest.raises(
        ConfigError, match="LatentElectrostatics: needs scalar node_features, of which it makes charges"
    ):
        model(ToyModel)


@pytest.mark.parametrize("structure", [slab(3), wire(3)], ids=["slab", "wire"])
def test_slabs_and_wires_are_refused_by_name(structure):
    with pytest.raises(DataError, match="'electrostatics' is for molecule or bulk only, but frame 1 has the pbc of a"):
        model()(batch_of([bulk(3), structure], model().info))


# ------------------------------------------------------------------------------ training


def test_charges_are_learned_from_energies_and_forces():
    """Two ions beyond each other's cutoff radius, of which the short-ranged model sees nothing."""
    distances = torch.linspace(5.0, 10.0, 11, dtype=torch.float64)
    info = model().info
    graphs = [cluster([[0.0, 0.0, 0.0], [float(r), 0.0, 0.0]], [0, 1]).graph(info) for r in distances]
    batch = collate(graphs)
    energy = -14.399645 * 0.64 / distances  # charges of 0.8 e
    pull = (energy / distances).neg()
    trained = model().train()
    optimizer = torch.optim.LBFGS(trained.parameters(), max_iter=30, line_search_fn="strong_wolfe")

    def loss():
        outputs = trained(batch)
        value = (outputs["total_energy"] - energy).square().mean()
        value = value + (outputs["forces"][0::2, 0] - pull).square().mean()
        optimizer.zero_grad()
        value.backward()
        return value

    optimizer.step(loss)
    errors = trained.eval()(batch)["total_energy"] - energy
    assert errors.abs().max() < 2e-3
    charges = charges_of(trained, batch)[:2, 0]
    assert charges.abs().tolist() == pytest.approx([0.8, 0.8], abs=2e-3)
    assert charges.sum() == 0.0
    short = ToyFeatures(**BASE).build().eval()(batch)["total_energy"]
    assert short.std() == 0.0
