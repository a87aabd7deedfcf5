"""What is served by programs, and what is left to the model; the programs themselves are replaced by the model."""

import copy
import functools
import logging
import pickle
import threading
import warnings

import pytest
import torch

from equipot.model import apply_modifier
from equipot_kernels._modifier import enable_FusedKernels
from equipot_kernels._program import made
from equipot_kernels._program.evaluator import FIRST_CALL, ProgramEvaluator
from equipot_testing.frames import batch_of, bulk, lone_atom, molecule, standard_structures
from equipot_testing.toy import ToyModel


class Replayed:
    """As ``Runner``: computes by a copy of the model, whose results can be falsified."""

    def __init__(self, model, made_of):
        self.model, self.made_of = copy.deepcopy(model), made_of
        self.calls, self.wrong, self.wrong_gradient, self.fails = 0, 0.0, 0.0, None

    def forward(self, inputs):
        if self.fails:
            raise self.fails
        self.calls += 1
        named = dict(zip(self.made_of["inputs"], inputs, strict=True))
        data = {name[5:]: one for name, one in named.items() if name.startswith("data:")}
        tensors = {name.split(":", 1)[1]: one.detach() for name, one in named.items() if not name.startswith("data:")}
        trained = {name for name, one in self.model.named_parameters() if one.requires_grad}
        for name in trained:
            tensors[name].requires_grad_()
        with torch.enable_grad():
            run = copy.deepcopy(self.model)  # as it was when the program was made
            outputs = torch.func.functional_call(run, tensors, (data,))
        state = (
            [outputs[name] for name in self.made_of["differentiated"]],
            [tensors[one] for one in self.made_of["gradients"]],
        )
        found = [outputs[name].detach().clone() for name in self.made_of["outputs"]]
        found[0] = found[0] + self.wrong
        return found, state

    def backward(self, state, cotangents):
        outputs, weights = state
        found = torch.autograd.grad(outputs, weights, cotangents, allow_unused=True, materialize_grads=True)
        state[0].clear()  # as the real one, which can go backward once
        return [one + self.wrong_gradient for one in found]


@pytest.fixture
def programs(monkeypatch):
    """Programs are the model itself; gives the list of those that were made."""
    found = []

    def make(model, extra=(), num_edges=0):
        depends = made._dependencies(model) if model.training else {}
        kinds = (("param", model.named_parameters()), ("buffer", model.named_buffers()))
        facts = {
            "inputs": (
                *(f"data:{key}" for key in (*model.info.inputs, *extra)),
                *(f"{kind}:{name}" for kind, pairs in kinds for name, _ in pairs),
            ),
            "outputs": tuple(model.replace(evaluator=None)(batch_of([bulk(3)], model.info))),
            "differentiated": tuple(depends),
            "gradients": tuple(name for name, one in model.named_parameters() if one.requires_grad and depends),
        }
        found.append(Replayed(model.replace(evaluator=None), facts))
        return made.Made(found[-1], depends=depends, **facts)

    monkeypatch.setattr("equipot_kernels._program.made.make", make)
    return found


@pytest.fixture
def model():
    options = {"type_names": ["H", "C", "O"], "r_max": 4.0, "model_dtype": "float64", "per_type_energy_shifts": -3.0}
    made = ToyModel(**options, per_type_energy_shifts_trainable=True).build().replace(evaluator=ProgramEvaluator())
    made.evaluator.begin_training()
    return made


@pytest.fixture
def batch(model):
    return batch_of(standard_structures(3).values(), model.info)


def gradients(model, batch, *, outputs=("total_energy", "forces"), **options):
    found = model(batch)
    loss = sum(found[name].square().mean() for name in outputs)
    return torch.autograd.grad(loss, list(model.parameters()), allow_unused=True, **options)


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        if one is None or other is None:
            assert one is other
        else:
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


# ------------------------------------------------------------------------------ training


def test_training_is_served_from_the_first_step(programs, model, batch):
    model.train()
    plain = model.replace(evaluator=None)
    for _ in range(3):
        assert_same(gradients(model, batch), gradients(plain, batch))
    (program,) = programs
    assert program.calls == 3
    for key, value in plain(batch).items():
        assert torch.equal(model(batch)[key], value)


def test_gradients_of_what_an_output_does_not_depend_on_stay_none(programs, model, batch):
    found = gradients(model.train(), batch, outputs=("forces",))
    assert_same(found, gradients(model.replace(evaluator=None), batch, outputs=("forces",)))
    names = [name for name, _ in model.named_parameters()]
    assert found[names.index("scale_shift.shifts")] is None


def test_frozen_parameters_have_a_program_of_their_own(programs, model, batch):
    model.train()
    model(batch)
    model.scale_shift.shifts.requires_grad_(False)
    model(batch)["total_energy"].sum().backward()
    assert len(programs) == 2
    assert model.scale_shift.shifts.grad is None
    assert model.energy.weights.grad is not None
    model.requires_grad_(requires_grad=False)
    assert torch.equal(model(batch)["forces"], model.replace(evaluator=None)(batch)["forces"])
    assert len(programs) == 2


def test_several_backward_passes_of_one_step(programs, model, batch):
    """As combinations of the gradients of a loss's terms make them."""
    model.train()
    found, expected = model(batch), model.replace(evaluator=None)(batch)
    for name in ("total_energy", "forces", "total_energy"):
        left, right = (
            torch.autograd.grad(
                one[name].square().mean(), list(model.parameters()), retain_graph=True, allow_unused=True
            )
            for one in (found, expected)
        )
        assert_same(left, right)


def test_gradients_of_gradients_come_from_the_model(programs, model, batch):
    model.train()
    found = [gradients(one, batch, create_graph=True) for one in (model, model.replace(evaluator=None))]
    assert_same(*found)
    again = [torch.autograd.grad(one[0].square().sum(), model.energy.weights)[0] for one in found]
    torch.testing.assert_close(*again)


def test_parameters_changed_before_the_backward_pass_are_noticed(programs, model, batch):
    loss = model.train()(batch)["forces"].square().sum()
    with torch.no_grad():
        model.energy.weights.mul_(2.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_steps_use_the_weights_of_the_moment(programs, model, batch):
    plain = copy.deepcopy(model.replace(evaluator=None))
    for one in (model.train(), plain.train()):
        optimizer = torch.optim.SGD(one.parameters(), lr=1e-3)
        for _ in range(3):
            optimizer.zero_grad()
            one(batch)["forces"].square().mean().backward()
            one(batch)["total_energy"].square().mean().backward()  # accumulated
            optimizer.step()
    assert_same(list(model.parameters()), list(plain.parameters()))
    assert programs[0].calls == 6


# ------------------------------------------------------------------------------ evaluation


def test_single_points_need_no_program(programs, model, batch):
    model = model.eval().replace(evaluator=ProgramEvaluator())
    plain = model.replace(evaluator=None)
    for _ in range(FIRST_CALL - 1):
        model(batch)
    assert programs == []
    assert torch.equal(model(batch)["forces"], plain(batch)["forces"])
    assert programs[0].calls == 1
    with torch.inference_mode():
        assert not model(batch)["forces"].is_inference()
    assert programs[0].calls == 2


def test_a_training_serves_its_validation_from_the_first_call(programs, model, batch):
    model.eval()(batch)
    assert programs[0].calls == 1


def test_copies_share_the_evaluator_and_serve_their_own_weights(programs, model, batch):
    other = copy.deepcopy(model.eval())
    with torch.no_grad():
        other.energy.weights.mul_(1.5)
    assert torch.equal(other(batch)["forces"], other.replace(evaluator=None)(batch)["forces"])
    assert torch.equal(model(batch)["forces"], model.replace(evaluator=None)(batch)["forces"])


def test_pickled_without_programs(programs, model, batch):
    model.eval()(batch)
    arrived = pickle.loads(pickle.dumps(model))  # noqa: S301 - our own
    for _ in range(FIRST_CALL):
        found = arrived(batch)
    assert torch.equal(found["forces"], model(batch)["forces"])
    assert len(programs) == 2


def test_threads(programs, model, batch):
    model.eval()
    expected, found = model.replace(evaluator=None)(batch)["forces"], []
    threads = [
        threading.Thread(target=lambda: found.extend(model(batch)["forces"] for _ in range(10))) for _ in range(4)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(found) == 40
    assert all(torch.equal(one, expected) for one in found)
    assert len(programs) == 1


def test_left_to_the_model(programs, model, batch):
    model.train()
    moved = {**batch, "positions": batch["positions"].clone().requires_grad_()}
    (gradient,) = torch.autograd.grad(model(moved)["total_energy"].sum(), moved["positions"])
    assert gradient.abs().max() > 0
    with torch.no_grad():
        model(batch)
    handle = model.energy.register_forward_hook(lambda *_: None)
    model(batch)
    handle.remove()
    assert programs == []
    assert model.to("meta")({key: value.to("meta") for key, value in batch.items()})["forces"].device.type == "meta"
    assert programs == []


def test_owned_atoms_have_a_program_of_their_own(programs, model, batch):
    owned = {**batch, "owned": torch.ones(len(batch["batch"]), dtype=torch.float64)}
    owned["owned"][0] = 0.0
    assert torch.equal(model.eval()(owned)["forces"], model.replace(evaluator=None)(owned)["forces"])
    model(batch)
    assert len(programs) == 2


# ------------------------------------------------------------------------------ faults


def falsified(programs, model, batch, caplog, **wrong):
    """Train once right, then with a program that is wrong; gives outputs, gradients and warnings of the second time."""
    model.train()
    model(batch)
    for name, value in wrong.items():
        setattr(programs[0], name, value)
    caplog.clear()
    small = batch_of([molecule(3)], model.info)  # of one frame: another kind of size, which is verified too
    assert_same(gradients(model, small), gradients(model.replace(evaluator=None), small))
    return [record.message for record in caplog.records if record.levelno == logging.WARNING]


def test_wrong_outputs_are_noticed(programs, model, batch, caplog):
    (text,) = falsified(programs, model, batch, caplog, wrong=1e-3)
    assert "a program for this model is not used: atomic_energy differs by 1.0e-03 (accepted: " in text
    calls = programs[0].calls
    model(batch)
    assert programs[0].calls == calls


def test_wrong_gradients_are_noticed(programs, model, batch, caplog):
    (text,) = falsified(programs, model, batch, caplog, wrong_gradient=1e-2)
    assert "the gradient of " in text
    assert "differs by 1.0e-02" in text


def test_verified_again_after_a_while(programs, model, batch, caplog, monkeypatch):
    monkeypatch.setattr("equipot_kernels._program.evaluator.CHECK_EVERY", 5)
    model.train()
    for _ in range(4):
        gradients(model, batch)
    programs[0].wrong = 1.0
    gradients(model, batch)
    assert [record.levelno for record in caplog.records] == []
    gradients(model, batch)
    assert "atomic_energy differs" in caplog.text


class Ageing(torch.nn.Module):
    """An energy module whose result depends on how often it was called, which no program can know."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.calls = inner, 0
        for name in ("requires", "provides", "features", "has_last_layer_features", "locality"):
            setattr(self, name, getattr(inner, name))

    def forward(self, data):
        self.calls += 1
        found = self.inner(data)
        return {"atomic_energy": found["atomic_energy"] * (1.0 + 0.01 * self.calls)}


def test_hidden_state_is_noticed(programs, model, batch, caplog, monkeypatch):
    monkeypatch.setattr("equipot_kernels._program.evaluator.CHECK_EVERY", 3)
    model = model.replace(energy=Ageing(model.energy), evaluator=model.evaluator).train()
    for _ in range(4):
        model(batch)
    model.energy.calls += 1  # as by what another part of a program does
    for _ in range(4):
        model(batch)
    assert "a program for this model is not used" in caplog.text
    assert model(batch)["forces"].requires_grad


def test_a_program_that_fails_leaves_the_model_to_itself(programs, model, batch, caplog):
    caplog.set_level(logging.INFO)
    model.train()
    expected = gradients(model, batch)
    programs[0].fails = RuntimeError("program: out of registers")
    assert_same(gradients(model, batch), expected)
    assert_same(gradients(model, batch), expected)
    lines = [record.message for record in caplog.records if record.levelno == logging.INFO]
    assert lines == ["the model is evaluated without a program: program: out of registers"]


def test_what_cannot_be_traced_is_said_once(model, batch, caplog, monkeypatch):
    def make(*_):
        raise ValueError("program: draws random numbers")

    monkeypatch.setattr("equipot_kernels._program.made.make", make)
    caplog.set_level(logging.INFO)
    model.train()
    for _ in range(3):
        gradients(model, batch)
    lines = [record.message for record in caplog.records]
    assert lines == ["the model is evaluated without a program: program: draws random numbers"]


def test_a_batch_that_is_wrong_is_no_fault_of_the_program(programs, model, batch):
    from equipot.errors import DataError

    model.train()
    model(batch)
    with pytest.raises(DataError, match="positions"):
        model({**batch, "positions": batch["positions"][:, :2]})
    calls = programs[0].calls
    model(batch)
    assert programs[0].calls == calls + 1


# ------------------------------------------------------------------------------ the modifier


def test_the_modifier_brings_it(make_model):
    model = make_model(do_derivatives=True)
    fused = enable_FusedKernels(model)
    assert isinstance(fused.evaluator, ProgramEvaluator)
    assert enable_FusedKernels(fused) is fused
    without = enable_FusedKernels(fused, programs=False)
    assert without.evaluator is None
    assert enable_FusedKernels(without, programs=False) is without
    assert apply_modifier(fused, "train_with_RadialSplines", {"num_knots": 33}).evaluator is fused.evaluator


def test_random_numbers_are_not_used_up(programs, model, batch):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    model.train()(batch)
    assert torch.equal(torch.rand(2), expected)


def test_small_batches_of_every_kind(programs, model, caplog):
    model.train()
    for structures in ([lone_atom(1)], [molecule(3)], [lone_atom(1), bulk(3)]):
        batch = batch_of(structures, model.info)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert_same(gradients(model, batch), gradients(model.replace(evaluator=None), batch))
    assert caplog.records == []
    assert functools.reduce(lambda total, one: total + one.calls, programs, 0) == 3
