"""Budgets of time by a clock that tests move, and of steps."""

import itertools
import json
from pathlib import Path

import lightning
import pytest
import torch

from equipot.errors import ConfigError
from equipot_fit import StepBudget, TimeBudget
from equipot_fit.callbacks import BUDGET, FEWEST_STEPS, counted_from


def by_clock(clock, minutes=10.0, **options):
    budget = TimeBudget(minutes, **options)
    budget.clock = budget.speed.worked = clock
    return budget


@pytest.mark.parametrize("seconds", [0.4, 6.0])
def test_it_ends_on_time_with_a_learning_rate_that_came_down(simulated, clock, seconds):
    run = simulated(lambda _: seconds, warmup_steps=5)
    found = run.run(by_clock(clock, decay=0.25))
    assert 0.98 * 600 <= clock.now - 100.0 <= 1.01 * 600
    assert found["steps"] == run.global_step == len(run.rates)
    assert found["decay_by"] == "time"
    assert found["seconds"] == pytest.approx(clock.now - 100.0, abs=0.01)
    [(start, end)] = found["decays"]
    assert start == pytest.approx(0.75 * run.global_step, rel=0.05)
    assert run.rates[-1] == pytest.approx(0.01 / (end - start))
    assert max(run.rates) == 0.01


def test_time_for_validations_and_for_what_follows_is_kept(simulated, clock):
    simulated(lambda _: 2.0, validation=5.0).run(by_clock(clock, reserve=100.0))
    assert 0.97 * 500 <= clock.now - 100.0 <= 1.01 * 500


def test_a_busy_machine_keeps_more_time_for_what_follows(simulated, clock):
    budget = by_clock(clock, reserve=50.0)
    budget.speed.worked = lambda: clock.now / 3.0
    simulated(lambda _: 2.0, validation=5.0).run(budget)
    assert clock.now - 100.0 == pytest.approx(450.0, rel=0.02)


def test_a_machine_that_gets_busy_during_the_decay_ends_earlier(simulated, clock):
    budget = by_clock(clock, reserve=50.0)
    budget.speed.worked = lambda: min(clock.now, 500.0) + max(clock.now - 500.0, 0.0) / 3.0
    simulated(lambda _: 2.0).run(budget)
    assert clock.now - 100.0 == pytest.approx(450.0, rel=0.04)


def test_time_for_frames_that_are_evaluated_later_is_kept_by_that_of_validations(simulated, clock, monkeypatch):
    monkeypatch.setattr("equipot_fit.callbacks._sizes", lambda trainer: (50, 5.0))
    budget = by_clock(clock, reserve_frames=1000)
    simulated(lambda _: 2.0, validation=5.0).run(budget)
    assert budget.frame_seconds == pytest.approx(0.1)
    assert clock.now - 100.0 == pytest.approx(500.0, rel=0.02)


def test_before_the_first_validation_a_frame_costs_a_part_of_a_step(simulated, clock, monkeypatch):
    monkeypatch.setattr("equipot_fit.callbacks._sizes", lambda trainer: (50, 5.0))
    budget = by_clock(clock, reserve_frames=10**9)
    simulated(lambda _: 2.0, every=10**6).run(budget)
    assert clock.now - 100.0 == pytest.approx(420.0, rel=0.02)


@pytest.mark.parametrize("change", [0.2, 1 / 3, 3.0, 5.0])
@pytest.mark.parametrize("part", [0.3, 0.65, 0.75, 0.9])
def test_a_machine_that_changes_its_speed_still_ends_on_time(simulated, clock, change, part):
    run = simulated(lambda _: 1.0 if clock.now - 100.0 < part * 600 else change)
    found = run.run(by_clock(clock))
    assert 0.95 * 600 <= clock.now - 100.0 <= 1.03 * 600
    assert run.rates[-1] <= 0.1 * 0.01
    assert len(found["decays"]) < 10


def test_noise_moves_the_end_seldom(simulated, clock):
    random = torch.Generator().manual_seed(1)
    run = simulated(lambda _: float(torch.rand((), generator=random)) ** 3, warmup_steps=5)
    found = run.run(by_clock(clock))
    assert 0.96 * 600 <= clock.now - 100.0 <= 1.02 * 600
    assert len(found["decays"]) <= 8


def test_the_first_step_compiles_and_counts_for_nothing_later(simulated, clock):
    run = simulated(lambda step: 60.0 if step == 0 else 1.0)
    run.run(by_clock(clock))
    assert 0.97 * 600 <= clock.now - 100.0 <= 1.01 * 600


def test_time_that_is_up_ends_the_training_at_the_next_step(simulated, clock):
    run = simulated(lambda step: 2.0 if step != 250 else 1000.0)
    assert run.run(by_clock(clock))["steps"] == run.global_step == 251


def test_with_no_time_at_all_it_takes_some_steps(simulated, clock):
    run = simulated(lambda _: 1000.0, warmup_steps=4)
    assert run.run(by_clock(clock, minutes=0.001))["steps"] == run.global_step == FEWEST_STEPS
    assert run.rates[-1] < 0.1 * max(run.rates)


def test_time_counts_from_the_moment_that_is_given(simulated, clock):
    with counted_from(clock.now - 300.0):
        simulated(lambda _: 2.0).run(by_clock(clock))
    assert clock.now - 100.0 == pytest.approx(300.0, rel=0.02)


def test_without_progress_the_decay_begins_early(simulated, clock):
    run = simulated(lambda _: 1.0, progress=False)
    found = run.run(by_clock(clock, patience=0.4))
    assert found["decay_by"] == "validation"
    [(start, end)] = found["decays"]
    assert start < 150
    assert end == found["steps"]
    assert clock.now - 100.0 == pytest.approx(600.0, rel=0.02), "it gets all the time that is left"
    assert run.rates[-1] < 0.001


def test_progress_or_patience_1_ends_nothing_early(simulated, clock):
    assert simulated(lambda _: 1.0, progress=False).run(by_clock(clock, patience=1.0))["decay_by"] == "time"


def test_an_interrupted_training_goes_on_with_the_rest_of_its_time(simulated, clock):
    first = simulated(lambda step: 1.0)
    budget = by_clock(clock)
    budget.setup(first, None, "fit")
    budget.on_train_start(first, None)
    clock.now += 250.0
    state = budget.state_dict()
    clock.now += 1e6  # the pause between two parts of a run
    later, rest = simulated(lambda _: 1.0), by_clock(clock)
    begun = clock.now
    setup = rest.setup

    def with_state(*arguments):
        setup(*arguments)
        rest.load_state_dict(state)

    rest.setup = with_state
    assert later.run(rest)["seconds"] == pytest.approx(600.0, rel=0.02)
    assert clock.now - begun == pytest.approx(350.0, rel=0.03)


@pytest.mark.parametrize("decays", [[], [[360, 600]]])
@pytest.mark.parametrize("used", [560.0, 588.0, 599.9, 630.0])
def test_a_training_that_is_resumed_late_still_lets_the_learning_rate_decline(simulated, clock, decays, used):
    """Its first step takes long, as the first one of a process does."""
    state = {"steps": 600 if decays else None, "used": used, "first": 2.0, "why": "time", "final": False}
    state |= {"best": [0.5, 10.0], "unimproved": 0}
    run, budget = simulated(lambda step: 4.0 if step == 400 else 0.2, decays=decays), by_clock(clock)
    run.global_step = run.lr_scheduler_configs[0].scheduler.last_epoch = 400
    setup = budget.setup

    def with_state(*arguments):
        setup(*arguments)
        budget.load_state_dict(state)

    budget.setup = with_state
    found = run.run(budget)
    assert found["seconds"] <= max(1.03 * 600, used + 4.0 + 1.05 * 0.03 * 600)
    assert len(run.rates) >= 40
    rates = run.rates[1:]  # the first is that of a new optimizer
    assert rates[-1] < 0.1 * rates[0]
    assert max(one - other for one, other in itertools.pairwise(rates)) < 0.05 * rates[0], "it declines smoothly"


class Ticking(lightning.Callback):
    """Moves a clock by two seconds for each step; keeps learning rates and a weight of the loss."""

    def __init__(self, clock):
        self.clock, self.rates, self.weights = clock, [], []

    def on_train_batch_start(self, trainer, *_):
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])
        self.clock.now += 2.0

    def on_train_batch_end(self, trainer, pl_module, *_):
        self.weights.append(pl_module.loss.coefficients["per_atom_energy_mse"])


@pytest.mark.slow
def test_steps_repeat_a_training_by_time_bit_by_bit(fit, clock):
    final = {"per_atom_energy_mse": 9.0, "forces_mse": 1.0}
    ticking = Ticking(clock)
    budget = by_clock(clock, minutes=1.0, final_coeffs=final)
    trainer, module = fit([ticking, budget], schedule={"warmup_steps": 5})
    found = json.loads((Path(trainer.default_root_dir) / BUDGET).read_text(encoding="utf-8"))
    start = found["decays"][0][0]
    assert ticking.weights == [0.5] * start + [0.9] * (len(ticking.weights) - start)
    assert "val0_epoch/weighted_sum" in trainer.callback_metrics
    again = Ticking(clock)
    schedule = {"warmup_steps": 5, "decays": found["decays"]}
    repeated, other = fit([again, StepBudget(found["steps"], final)], schedule=schedule)
    assert repeated.global_step == trainer.global_step
    assert (again.rates, again.weights) == (ticking.rates, ticking.weights)
    assert all(torch.equal(one, two) for one, two in zip(module.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("budget", [StepBudget, TimeBudget])
def test_final_weights_of_other_terms_are_refused(budget):
    from equipot.train import EnergyForceLoss

    callback = budget(3, final_coeffs={"per_atom_energy_mse": 1.0, "force_mse": 1.0})
    with pytest.raises(ConfigError, match=rf"{budget.__name__}.final_coeffs.force_mse: unknown"):
        callback.check_loss(EnergyForceLoss())
    with pytest.raises(ConfigError, match=r"needs a loss with coefficients, got 'NoneType'"):
        callback.check_loss(None)


def test_a_schedule_of_another_kind_is_refused(simulated, clock):
    run = simulated(lambda _: 1.0)
    run.lr_scheduler_configs[0].interval = "epoch"
    with pytest.raises(ConfigError, match=r"training_module.lr_scheduler: TimeBudget needs equipot_fit.WarmupDecay"):
        run.run(by_clock(clock))


def test_several_processes_are_refused(simulated, clock):
    run = simulated(lambda _: 1.0)
    run.world_size = 2
    with pytest.raises(ConfigError, match=r"trainer.devices: TimeBudget works in one process, got 2"):
        run.run(by_clock(clock))
