"""The slot ``evaluator``: when it is asked, what becomes of it."""

import copy
import logging
import pickle

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from equipot.compile import export_model
from equipot.model import Evaluator
from equipot.model._evaluator import is_plain
from equipot_testing.frames import batch_of, bulk
from equipot_testing.toy import ToyModel


class Noting(Evaluator):
    """Notes each call, and answers with what it is told to."""

    def __init__(self, answer=None):
        self.answer, self.calls, self.cache = answer, [], object()

    def evaluate(self, model, data):
        self.calls.append((model, sorted(data)))
        return self.answer

    def __getstate__(self):
        return {**self.__dict__, "cache": None, "calls": []}


def toy(**options):
    return ToyModel(**{"type_names": ["H", "C"], "r_max": 4.0, "model_dtype": "float64", **options}).build().eval()


@pytest.fixture
def batch():
    return batch_of([bulk(2)], toy().info)


def test_it_is_asked_first(batch):
    answer = {"total_energy": torch.ones(1, requires_grad=True)}
    evaluator = Noting(answer)
    model = toy().replace(evaluator=evaluator)
    found = model({**batch, "labels_of_others": torch.ones(1)})
    assert found["total_energy"] == 1
    assert not found["total_energy"].requires_grad
    assert evaluator.calls == [(model, sorted(model.info.inputs))]
    assert model.train()(batch) is answer


def test_without_an_answer_the_model_computes(batch):
    model = toy()
    found = model.replace(evaluator=Noting())(batch)
    for key, value in model(batch).items():
        assert torch.equal(found[key], value)


def test_kept_by_replace_unless_the_energy_changes():
    model = toy()
    evaluator = Noting()
    made = model.replace(evaluator=evaluator)
    assert model.evaluator is None
    assert made.replace(derivatives=None).evaluator is evaluator
    for name in ("energy", "scale_shift", "energy_terms"):
        assert made.replace(**{name: getattr(made, name)}).evaluator is None
    assert made.replace(energy=made.energy, evaluator=evaluator).evaluator is evaluator


def test_shared_by_copies_and_pickled_without_caches():
    model = toy().replace(evaluator=Noting())
    assert copy.deepcopy(model).evaluator is model.evaluator
    arrived = pickle.loads(pickle.dumps(model))  # noqa: S301 - our own
    assert arrived.evaluator is not model.evaluator
    assert arrived.evaluator.cache is None
    assert model.state_dict().keys() == toy().state_dict().keys()


def test_falling_back_is_said_once(caplog):
    caplog.set_level(logging.INFO, "equipot.model")
    evaluator, told = Noting(), []
    for text in ("slow", "slow", "wrong"):
        evaluator.fall_back(text, level=logging.WARNING if text == "wrong" else logging.INFO)
    assert [(one.message, one.levelname) for one in caplog.records] == [("slow", "INFO"), ("wrong", "WARNING")]
    evaluator.tell = told.append
    for text in ("wrong", "again"):
        evaluator.fall_back(text)
    assert told == ["again"]
    assert evaluator.fallbacks == ("slow", "wrong", "again")
    assert len(caplog.records) == 2


class Looking(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


@pytest.mark.slow
def test_not_asked_while_somebody_looks_on(batch):
    evaluator = Noting()
    model = toy().replace(evaluator=evaluator)
    with Looking():
        model(batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not is_plain(batch)
    with torch.autograd.set_detect_anomaly(True, check_nan=False):
        model(batch)
    seen = []
    torch.func.vmap(lambda shift: seen.append(is_plain(batch)) or shift)(torch.zeros(2))
    assert seen == [False]
    assert is_plain(batch)
    assert evaluator.calls == []
    export_model(model)
    assert len(evaluator.calls) == 1  # the sample that shows the names of the outputs is an ordinary call
