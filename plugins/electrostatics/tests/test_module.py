import pytest
import torch

from equipot_electrostatics._module import Charges, bound


def charges(**options):
    base = {"num_types": 2, "hidden": (5,), "num_channels": 2, "constrained": True, "of_types": True}
    generator = torch.Generator().manual_seed(1)
    return Charges("3x0e+2x1o", dtype=torch.float32, generator=generator, **{**base, **options})


def data():
    generator = torch.Generator().manual_seed(2)
    return {
        "node_features": torch.randn(5, 9, generator=generator),
        "atom_types": torch.tensor([0, 1, 1, 0, 1]),
        "batch": torch.tensor([0, 0, 0, 1, 1]),
        "num_atoms": torch.tensor([3, 2]),
    }


def test_only_scalars_count():
    module, frames = charges(), data()
    turned = {**frames, "node_features": torch.cat([frames["node_features"][:, :3], torch.zeros(5, 6)], dim=1)}
    assert torch.equal(module(turned), module(frames))
    assert not torch.equal(module({**frames, "node_features": frames["node_features"].flip(1)}), module(frames))


@pytest.mark.parametrize("total", [None, [2.0, -1.0]])
def test_sums_are_exact_in_float32_too(total):
    frames = data() | ({} if total is None else {"total_charge": torch.tensor(total, dtype=torch.float64)})
    found = charges()(frames)
    assert found.dtype == torch.float64
    sums = torch.stack([part.sum(0) for part in found.split([3, 2])])
    expected = torch.zeros(2, 2, dtype=torch.float64)
    expected[:, 0] = torch.tensor(total or [0.0, 0.0])
    torch.testing.assert_close(sums, expected, rtol=0, atol=1e-14)


def test_the_difference_is_spread_evenly():
    shift = charges()(data()) - charges(constrained=False)(data())
    torch.testing.assert_close(shift[:3], shift[:1].expand(3, 2))
    torch.testing.assert_close(shift[3:], shift[3:4].expand(2, 2))


def test_atoms_are_bound_by_near_neighbours():
    """An atom with three close ones, one with a single close one, one whose only neighbour is leaving, one alone."""
    edges = torch.tensor([[0, 0, 0, 1, 2], [1, 2, 3, 0, 0]])
    lengths = torch.tensor([0.3, 0.3, 0.3, 0.3, 0.999], dtype=torch.float64)
    found = bound({"atom_types": torch.zeros(4), "edge_index": edges, "normalized_edge_lengths": lengths})
    assert found.tolist() == pytest.approx([0.995, 0.76, 0.0, 0.0], abs=5e-3)
    assert found[3] == 0.0
