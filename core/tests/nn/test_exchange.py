import torch

from equipot.nn.exchange import GhostExchange


def test_without_an_engine_features_stay_as_they_are():
    features = torch.rand(3, 4)
    assert GhostExchange()(features) is features
    assert list(GhostExchange().state_dict()) == []
