"""What is applied unasked is never slower than core by more than 3 %: CPU time, one thread, in turns.

The rule that is checked: kernels and programs serve every model that has a slot for kernels, at any size; other models
are left alone. The first step of a training and the first ten calls, which make a program, are not counted.
"""

import statistics
import time

import pytest
import torch

from equipot.model import AllegroModel, InvariantModel, NequIPGNNModel, PaiNNModel, apply_automatic
from equipot_allegro import TwoBodyBesselScalarEmbed
from equipot_kernels._program.evaluator import FIRST_CALL
from equipot_testing.frames import batch_of, molecule, random_structure

SLOWER = 1.03
ATTEMPTS = 3
TURNS, SECONDS = 21, 0.03
COMMON = {"type_names": ["C", "H", "O"], "r_max": 4.0, "seed": 1, "avg_num_neighbors": 10.0}
MODELS = {
    "tiny": lambda: NequIPGNNModel(**COMMON, num_layers=1, l_max=0, num_features=2, radial_mlp_width=2).build(),
    "nequip": lambda: NequIPGNNModel(**COMMON).build(),
    "allegro": lambda: AllegroModel(**COMMON, l_max=2, radial_chemical_embed=TwoBodyBesselScalarEmbed()).build(),
}
BATCHES = {
    "molecule": lambda: [molecule(3)],
    "batch": lambda: [structure(12, 5.0, seed=seed) for seed in range(5)],
    "crystal": lambda: [structure(60, 11.0, seed=1, pbc=(True, True, True))],
}


def structure(n_atoms, length, *, seed, pbc=(False, False, False)):
    """Atoms in a cube of a length in Å."""
    return random_structure(n_atoms, 3, seed=seed, pbc=pbc, cell=length * torch.eye(3, dtype=torch.float64))


@pytest.fixture(autouse=True)
def _alone(kernel_folder, monkeypatch):
    monkeypatch.setenv("EQUIPOT_CACHE_DIR", str(kernel_folder))
    monkeypatch.setenv("EQUIPOT_AUTOMATIC_MODIFIERS", "1")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def step(model, batch):
    """A training step without optimizer."""
    outputs = model(batch)
    loss = outputs["total_energy"].square().mean() + outputs["forces"].square().mean()
    torch.autograd.grad(loss, [one for one in model.parameters() if one.requires_grad], allow_unused=True)


def call(model, batch):
    """Energies and forces."""
    model(batch)


def seconds(deed, count, *given):
    """CPU seconds of one time of so many."""
    start = time.process_time()
    for _ in range(count):
        deed(*given)
    return (time.process_time() - start) / count


def times_slower(deed, core, default, batch):
    """CPU time with what is applied unasked, over that of core: the median of turns."""
    for model in (core, default):
        for _ in range(FIRST_CALL + 2):
            deed(model, batch)
    count = max(1, round(SECONDS / seconds(deed, 2, core, batch)))
    turns = [[seconds(deed, count, model, batch) for model in (core, default)] for _ in range(TURNS)]
    return statistics.median(with_default / plain for plain, with_default in turns)


@pytest.mark.slow
@pytest.mark.parametrize("size", BATCHES)
@pytest.mark.parametrize("deed", [step, call], ids=["step", "call"])
@pytest.mark.parametrize("name", MODELS)
def test_never_slower_than_core(name, deed, size):
    core = MODELS[name]().train(deed is step)
    default, chosen = apply_automatic(core)
    assert "enable_FusedKernels" in chosen.applied
    if deed is step:
        default.evaluator.begin_training()
    batch = batch_of(BATCHES[size](), core.info)
    # Other processes on the machine can disturb a measurement: the best of three counts.
    found: list[float] = []
    while len(found) < ATTEMPTS and (not found or min(found) > SLOWER):
        found.append(times_slower(deed, core, default, batch))
    assert default.evaluator.fallbacks == ()
    assert min(found) <= SLOWER, found


@pytest.mark.parametrize("make", [InvariantModel, PaiNNModel])
def test_models_without_slots_for_kernels_are_left_alone(make):
    model = make(type_names=["C", "H"], r_max=4.0).build()
    result, chosen = apply_automatic(model)
    assert result is model
    assert "enable_FusedKernels" not in chosen.applied
