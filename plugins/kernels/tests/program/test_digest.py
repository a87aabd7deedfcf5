"""The digest says whether a program of one model serves another."""

import copy
import functools

import pytest
import torch

from equipot_kernels._program import digest as module
from equipot_kernels._program.digest import digest
from equipot_testing.toy import ToyModel


def toy(**options):
    values = {"type_names": ["H", "C"], "r_max": 4.0, "model_dtype": "float64", **options}
    return ToyModel(**values).build()


def test_values_of_weights_do_not_count_but_all_else_does():
    model = toy()
    first = digest(model)
    assert digest(copy.deepcopy(model)) == digest(toy(seed=5)) == first
    frozen = toy()
    frozen.energy.weights.requires_grad_(False)
    assert digest(copy.deepcopy(frozen).eval()) == digest(toy().eval())
    others = [toy(r_max=4.5), toy(model_dtype="float32"), toy(do_derivatives=False), toy().eval(), frozen]
    others.append(toy(type_names=["H", "C", "O"]))
    found = {first, *(digest(one) for one in others)}
    assert len(found) == len(others) + 1


def plus(x, more=0):
    return x + more


def twice(x):
    return 2 * x


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (2.5, 2.5000000000000004),
        ({"a": [1, 2]}, {"a": [1, 3]}),
        (torch.ones(2), torch.zeros(2)),
        (torch.ones(2), torch.ones(2, dtype=torch.float64)),
        (torch.float32, torch.float64),
        (plus, twice),
        (functools.partial(plus, more=1), functools.partial(plus, more=2)),
        (torch.nn.SiLU(), torch.nn.Tanh()),
        (torch.nn.Softplus(beta=1.0), torch.nn.Softplus(beta=2.0)),
        ({"x", "y"}, {"x", "z"}),
    ],
)
def test_every_attribute_counts(one, other):
    models = [toy(), toy(), toy()]
    for model, value in zip(models, (one, copy.deepcopy(one), other), strict=True):
        model.energy.held = value
    first, same, different = (digest(model) for model in models)
    assert first == same
    assert first != different


def test_sources_count(tmp_path, monkeypatch):
    package = tmp_path / "made_up_package"
    package.mkdir()
    (package / "__init__.py").write_text("from made_up_package.part import Held\n")
    (package / "part.py").write_text("class Held:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    from made_up_package import Held

    model = toy()
    model.energy.held = Held()
    module._source_digest.cache_clear()
    first = digest(model)
    (package / "part.py").write_text("class Held:\n    more = 1\n")
    module._source_digest.cache_clear()
    assert digest(model) != first


def test_objects_that_hold_each_other():
    model = toy()
    model.energy.held = held = {}
    held["itself"] = held
    assert digest(model) == digest(copy.deepcopy(model))
