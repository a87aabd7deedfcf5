import pytest
import torch

from equipot.nn.exchange import NAMESPACE, CalledExchange, GhostExchange, exchange, exchange_reverse


def test_without_an_engine_features_stay_as_they_are():
    features = torch.rand(3, 4)
    assert GhostExchange()(features) is features
    assert list(GhostExchange().state_dict()) == []


def test_the_ops_copy_in_python():
    features = torch.rand(4, 3).T
    for op in (exchange, exchange_reverse, CalledExchange()):
        found = op(features)
        assert torch.equal(found, features)
        assert found.is_contiguous()
        assert found.data_ptr() != features.data_ptr()


@pytest.fixture
def owners():
    """Owners of three atoms and two ghosts, in an engine that has registered the ops."""
    table, library = torch.tensor([0, 1, 2, 0, 2]), torch.library.Library(NAMESPACE, "IMPL")
    library.impl("exchange", lambda features: features.index_select(0, table), "CPU")
    library.impl("exchange_reverse", lambda g: torch.zeros_like(g).index_add(0, table, g), "CPU")
    yield table
    library._destroy()


def test_an_engine_gives_the_ops_that_are_derivatives_of_each_other(owners):
    features = torch.rand(5, 4, dtype=torch.float64, requires_grad=True)
    found, expected = exchange(features), features.index_select(0, owners)
    assert torch.equal(found, expected)
    grads = [
        torch.autograd.grad(one.pow(3).sum(), features, create_graph=True)[0].square().sum()
        for one in (found, expected)
    ]
    assert torch.equal(*grads)
    assert torch.equal(*(torch.autograd.grad(one, features)[0] for one in grads))


@pytest.mark.slow
def test_the_ops_are_what_torch_expects_of_ops():
    features = torch.rand(3, 4, dtype=torch.float64, requires_grad=True)
    for op in (exchange, exchange_reverse):
        torch.library.opcheck(op.default, (features,))
