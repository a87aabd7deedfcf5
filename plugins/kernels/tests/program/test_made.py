"""Programs are made once, kept on disk, and believed only if nothing has touched them."""

import copy
import logging
import time

import pytest
import torch

from equipot import caches
from equipot_kernels._modifier import enable_FusedKernels
from equipot_kernels._program import made
from equipot_kernels._program.digest import digest
from equipot_testing.frames import batch_of, standard_structures


@pytest.fixture
def folder(tmp_path, monkeypatch, kernel_folder):
    """The folder of the programs; kernels are those of the other tests."""
    (tmp_path / "cache").mkdir(mode=0o700)
    (tmp_path / "cache/kernels").symlink_to(kernel_folder / "kernels")
    monkeypatch.setenv("EQUIPOT_CACHE_DIR", str(tmp_path / "cache"))
    caches._say.cache_clear()
    return tmp_path / "cache/programs"


@pytest.fixture
def forgotten(monkeypatch):
    """As in another process."""

    def forget():
        made._known.clear()

    return forget


@pytest.fixture
def model(make_model):
    return enable_FusedKernels(make_model(do_derivatives=True)).train()


@pytest.fixture(scope="module")
def of_models():
    """Programs of the models of all tests, since to trace one takes seconds."""
    return {}


@pytest.fixture
def traces(monkeypatch, of_models):
    """Modes of the models whose programs were asked for; the same model need not be traced in every test."""
    found, original = [], made._traced

    def traced(model, *rest):
        found.append(model.training)
        key = (digest(model), *rest)
        if key not in of_models:
            of_models[key] = original(model, *rest)
        return of_models[key]

    monkeypatch.setattr(made, "_traced", traced)
    return found


def gradients(model, batch):
    model.evaluator.begin_training()
    loss = model(batch)["forces"].square().sum()
    return torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)


def assert_same_bits(found, expected):
    assert all(
        (one is None and other is None) or torch.equal(one, other) for one, other in zip(found, expected, strict=True)
    )


@pytest.mark.slow
def test_kept_and_found_again_with_the_same_bits(model, traces, folder, forgotten):
    batch = batch_of(standard_structures(3).values(), model.info)
    expected = gradients(copy.deepcopy(model), batch)
    assert traces == [True]
    assert sorted(path.suffix for path in folder.iterdir()) == [".json", ".program"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir())
    forgotten()
    start = time.process_time()
    assert_same_bits(gradients(copy.deepcopy(model), batch), expected)
    assert traces == [True]
    assert time.process_time() - start < 2.0
    model.eval()
    for _ in range(2):
        model(batch)
    assert traces == [True, False]


@pytest.mark.slow
def test_one_program_for_other_weights_and_another_for_another_model(model, make_model, traces, folder):
    first = made.make(model)
    with torch.no_grad():
        next(model.parameters()).mul_(2.0)
    assert made.make(copy.deepcopy(model)) is first
    next(model.parameters()).requires_grad_(False)
    assert made.make(model) is not first
    assert made.make(enable_FusedKernels(make_model(do_derivatives=True, r_max=4.5)).train()) is not first
    assert made.make(model, ("owned",)).inputs != first.inputs
    assert len(traces) == 4


@pytest.mark.slow
@pytest.mark.parametrize("spoil", ["cut", "edited", "writable", "record"])
def test_what_was_touched_is_not_believed(model, traces, folder, forgotten, caplog, spoil):
    first = made.make(model)
    (program,), (record,) = folder.glob("*.program"), folder.glob("*.json")
    content = program.read_bytes()
    if spoil == "cut":
        program.write_bytes(content[:-10])
    elif spoil == "edited":
        program.write_bytes(content.replace(b"mul", b"add", 1))
    elif spoil == "writable":
        program.chmod(0o666)
    else:
        record.write_text(record.read_text().replace("energy", "enemy"))
    forgotten()
    again = made.make(model)
    assert traces == [True, True]
    assert again.gradients == first.gradients
    assert "is not believed" in caplog.text
    assert program.read_bytes() == content
    assert program.stat().st_mode & 0o077 == 0


def test_a_folder_that_cannot_be_used_is_done_without(model, traces, folder, forgotten, caplog):
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    caplog.set_level(logging.INFO)
    made.make(model)
    forgotten()
    made.make(model)
    assert traces == [True, True]
    assert list(folder.iterdir()) == []


def test_dependencies(model):
    depends = made._dependencies(model)
    names = {name for name, _ in model.named_parameters()}
    assert set(depends) == {"atomic_energy", "total_energy", "forces", "virial", "stress"}
    assert depends["total_energy"] == names
    assert depends["forces"] < names or depends["forces"] == names
