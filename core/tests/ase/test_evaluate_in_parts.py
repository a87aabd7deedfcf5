import dataclasses

import pytest
import torch

from equipot.ase._evaluate_in_parts import evaluate
from equipot.graph import collate
from equipot.model import apply_modifier
from equipot.model._graph_model import GraphModel
from equipot_testing.frames import batch_of, standard_structures
from equipot_testing.toy import ToyModel


def model(**options):
    made = ToyModel(type_names=["H", "C", "O"], r_max=4.0, model_dtype="float64", **options)
    return made.build().eval()


def counted(model):
    """The model, and the numbers of edges and atoms that it is called with."""
    calls = []

    class Counted:
        info = model.info

        def __call__(self, data):
            calls.append((data["edge_index"].shape[1], data["batch"].shape[0]))
            return model(data)

    return Counted(), calls


def frame(model, name="bulk"):
    structure = standard_structures(3)[name]
    return batch_of([structure.repeated((2, 1, 1)) if any(structure.pbc) else structure], model.info)


@pytest.mark.parametrize("name", ["bulk", "molecule"])
def test_parts_give_the_same_as_the_whole(name):
    pytest.importorskip("equipot_force_stress")
    whole = apply_modifier(model(do_derivatives=False), "enable_ForceStressOutput")
    data = frame(whole, name)
    n_edges = data["edge_index"].shape[1]
    for max_edges in (1, n_edges // 3, n_edges // 2):
        called, calls = counted(whole)
        found, expected = evaluate(called, data, max_edges), whole(data)
        assert len(calls) > 1
        assert sum(edges for edges, _ in calls) == n_edges
        assert list(found.keys() ^ expected.keys()) == []
        for key, value in expected.items():
            torch.testing.assert_close(found[key], value, rtol=1e-12, atol=1e-12)


def test_small_frames_and_other_localities_are_evaluated_as_a_whole():
    local = model(do_derivatives=False)
    data = frame(local)
    n_edges = data["edge_index"].shape[1]
    called, calls = counted(local)
    evaluate(called, data, n_edges)
    assert calls == [(n_edges, data["batch"].shape[0])]
    for info in (
        dataclasses.replace(local.info, locality="hops(2)"),
        dataclasses.replace(local.info, locality="global"),
        dataclasses.replace(local.info, outputs=(*local.info.outputs, "dipole")),
        dataclasses.replace(local.info, inputs=(*local.info.inputs, "total_charge")),
    ):
        called, calls = counted(local)
        called.info = info
        evaluate(called, data, 1)
        assert len(calls) == 1


def test_batches_are_evaluated_as_a_whole():
    local = model(do_derivatives=False)
    data = collate([frame(local), frame(local)])
    called, calls = counted(local)
    evaluate(called, data, 1)
    assert len(calls) == 1


def test_what_reads_positions_itself_is_not_local():
    local = model(do_derivatives=False)
    local.energy.requires = (*local.energy.requires, "positions")
    again = GraphModel(info=local.info, energy=local.energy, scale_shift=local.scale_shift)
    assert again.info.locality == "global"
    assert local.info.locality == "strict"
