import torch

from equipot.nn.edges import Edges


def test_derived_quantities_are_made_once():
    edges = Edges(torch.tensor([[0, 0, 1], [1, 2, 0]]), torch.rand(3), torch.rand(3, 4))
    made = []

    def make():
        made.append(len(made))
        return made[-1]

    assert [edges.once("radial", make), edges.once("radial", make), edges.once("other", make)] == [0, 0, 1]
    assert edges.centre.tolist() == [0, 0, 1]
    assert edges.neighbour.tolist() == [1, 2, 0]
    assert edges.pair_types is None
