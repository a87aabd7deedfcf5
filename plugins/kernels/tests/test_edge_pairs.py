"""Both directions of an edge share a row of the radial networks."""

import dataclasses

import pytest
import torch

from equipot.artifacts import random_frames
from equipot.graph import collate
from equipot.model import GraphModel, apply_modifier
from equipot_kernels._build.errors import KernelError
from equipot_kernels._edge_pairs import PairedRadial, edge_pairs, given
from equipot_kernels._spline.radial import SplineRadial


@pytest.fixture
def batch(make_model):
    """Molecules, a periodic cell smaller than the cutoff, and an atom without edges."""
    frames = random_frames(make_model().info, 3)
    return collate(list(frames.values()))


def pairs_of(batch):
    return edge_pairs(batch["edge_index"], batch["edge_cell_shift"], len(batch["atom_types"]))


def directed(batch):
    return [
        (*ends, *shift)
        for ends, shift in zip(batch["edge_index"].T.tolist(), batch["edge_cell_shift"].tolist(), strict=True)
    ]


def test_pairs_join_an_edge_and_its_reverse(batch):
    first, pair = pairs_of(batch)
    edges = directed(batch)
    assert len(edges) == 2 * len(first) > 0
    assert sorted(pair.tolist()) == sorted([*range(len(first))] * 2)
    assert pair[first].tolist() == list(range(len(first)))
    assert first.tolist() == sorted(first.tolist())
    for number, (i, j, *shift) in enumerate(edges):
        other = next(e for e in range(len(edges)) if pair[e] == pair[number] and e != number)
        assert edges[other] == (j, i, *(-one for one in shift))


def test_an_edge_without_a_reverse_is_alone(batch):
    keep = torch.arange(batch["edge_index"].shape[1]) % 3 > 0
    batch = {**batch, "edge_index": batch["edge_index"][:, keep], "edge_cell_shift": batch["edge_cell_shift"][keep]}
    first, pair = pairs_of(batch)
    edges = directed(batch)
    alone = [edge for edge in edges if (edge[1], edge[0], *(-one for one in edge[2:])) not in edges]
    counts = torch.bincount(pair, minlength=len(first))
    assert int((counts == 1).sum()) == len(alone) > 0
    assert int((counts == 2).sum()) * 2 + len(alone) == len(edges)


def test_no_edges():
    first, pair = edge_pairs(torch.zeros((2, 0), dtype=torch.int64), torch.zeros((0, 3)), 4)
    assert (first.tolist(), pair.tolist()) == ([], [])


def test_an_atom_that_does_not_exist():
    with pytest.raises(KernelError, match="must hold atoms from 0 to 1"):
        edge_pairs(torch.tensor([[0, 1], [1, 2]]), torch.zeros((2, 3)), 2)


def test_results_are_the_same_and_networks_see_half_of_the_edges(make_model, batch, monkeypatch):
    plain = make_model(do_derivatives=True).train()
    paired = apply_modifier(plain, "enable_FusedKernels").train()
    networks = [part for part in paired.modules() if isinstance(part, PairedRadial)]
    assert len(networks) == 2
    assert list(paired.state_dict()) == list(plain.state_dict())
    seen = []
    for one in networks:
        original = one.reference.apply_layers
        monkeypatch.setattr(one.reference, "apply_layers", lambda x, f=original: (seen.append(len(x)), f(x))[1])
    with given(*pairs_of(batch)):
        found = paired.evaluate_directly(dict(batch))
    assert seen == [batch["edge_index"].shape[1] // 2] * 2
    expected = plain(batch)
    results = []
    for outputs, model in ((found, paired), (expected, plain)):
        loss = outputs["forces"].square().sum() + outputs["virial"].square().sum() + outputs["total_energy"].sum()
        gradients = torch.autograd.grad(loss, [one for one in model.parameters() if one.requires_grad])
        results.append([*(outputs[name] for name in expected if outputs[name].is_floating_point()), *gradients])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("cutoffs", "joined"), [([[4.0, 3.0], [3.0, 2.0]], True), ([[4.0, 3.0], [4.0, 2.0]], False)])
def test_lengths_that_differ_by_direction_are_not_joined(make_model, cutoffs, joined):
    model = make_model(type_names=["H", "O"])
    info = dataclasses.replace(model.info, cutoffs=cutoffs)
    model = GraphModel(info=info, energy=model.energy, scale_shift=model.scale_shift)
    modified = apply_modifier(model, "enable_FusedKernels")
    assert any(isinstance(part, PairedRadial) for part in modified.modules()) == joined


def test_splines_take_the_place_of_the_networks(make_model):
    model = apply_modifier(apply_modifier(make_model(), "enable_FusedKernels"), "train_with_RadialSplines")
    splines = [part for part in model.modules() if isinstance(part, SplineRadial)]
    assert len(splines) == 2
    assert not any(isinstance(part.source, PairedRadial) for part in splines)
