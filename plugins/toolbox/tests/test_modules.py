"""Training modules and optimizers: gradients by hand, averages against the packages' own."""

import copy
import functools

import lightning
import numpy as np
import pytest
import torch

from equipot.errors import ConfigError
from equipot.train import EMALightningModule, EnergyForceLoss, EnergyForceStressLoss, LightningModule
from equipot_toolbox import (
    AdamWScheduleFree,
    ConFIGLightningModule,
    EMAConFIGLightningModule,
    MuonParamGroups,
    MuonWithAuxAdam,
    RAdamScheduleFree,
    ScheduleFreeLightningModule,
    SGDScheduleFree,
)
from equipot_toolbox._conflict_free import conflict_free_gradient

SGD = functools.partial(torch.optim.SGD, lr=1e-3)


class Steps(lightning.Callback):
    """Weights and gradients before each optimizer step."""

    def __init__(self):
        self.weights, self.gradients = [], []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        parameters = list(pl_module.model.parameters())
        self.weights.append([one.detach().clone() for one in parameters])
        self.gradients.append(torch.cat([one.grad.flatten() for one in parameters if one.grad is not None]))


# ------------------------------------------------------------------ ConFIG


@pytest.mark.parametrize("least_squares", [True, False])
def test_direction_solves_the_papers_equation(least_squares):
    random = np.random.default_rng(0)
    rows, weights = random.normal(size=(3, 50)), np.array([0.5, 0.3, 0.2])
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    direction = np.linalg.pinv(units) @ weights
    unit = direction / np.linalg.norm(direction)
    expected = (rows @ unit).sum() * unit
    found = conflict_free_gradient(torch.tensor(rows), torch.tensor(weights), least_squares=least_squares).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(units @ found / (units @ found).sum(), weights, rtol=1e-10)


def test_terms_without_gradient_or_weight_are_left_out():
    rows = torch.tensor([[1.0, 0.0], [0.0, 0.0], [-1.0, 1.0]], dtype=torch.float64)
    pair = conflict_free_gradient(rows[[0, 2]], torch.tensor([0.5, 0.5]))
    torch.testing.assert_close(conflict_free_gradient(rows, torch.tensor([0.4, 0.2, 0.4])), pair)
    torch.testing.assert_close(conflict_free_gradient(rows, torch.tensor([0.0, 0.5, 0.5])), rows[2])
    assert conflict_free_gradient(rows[1:2], torch.tensor([1.0])).tolist() == [0.0, 0.0]
    opposite = conflict_free_gradient(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), torch.tensor([0.5, 0.5]))
    assert torch.isfinite(opposite).all()
    assert opposite.norm() < 1e-6, "there is no direction that both like"


def test_gradients_of_conflicting_terms(make_recipe, fit, batches):
    """Half of the frames have a stress; with any coefficients no term's gradient is opposed."""
    loss = EnergyForceStressLoss({"total_energy": 0.2, "forces": 0.3, "stress": 0.5})
    module = ConFIGLightningModule(make_recipe(), loss, optimizer=SGD)
    start = copy.deepcopy(module.model)
    steps = Steps()
    fit(module, [steps], max_epochs=1)
    terms = EnergyForceStressLoss()(start(batches[0]), batches[0])
    parameters = list(start.parameters())
    rows = []
    for name in ("per_atom_energy_mse", "forces_mse", "stress_mse"):
        found = torch.autograd.grad(
            terms[name], parameters, retain_graph=True, materialize_grads=True, allow_unused=True
        )
        rows.append(torch.cat([one.flatten() for one in found]))
    cosines = torch.stack(rows) @ steps.gradients[0] / torch.stack(rows).norm(dim=1) / steps.gradients[0].norm()
    torch.testing.assert_close(cosines / cosines.sum(), torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64))
    assert (cosines > 0).all()


def test_one_term_is_plain_training(make_recipe, fit):
    ends = []
    for kind in (LightningModule, ConFIGLightningModule, EMALightningModule, EMAConFIGLightningModule):
        module = kind(make_recipe(), EnergyForceLoss({"forces": 1.0}), optimizer=SGD)
        fit(module, accumulate_grad_batches=2)
        ends.append([one.detach() for one in (module.model.energy.weights, module.evaluation_model.energy.weights)])
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-12, atol=0)
    torch.testing.assert_close(ends[2], ends[3], rtol=1e-12, atol=0)
    assert not torch.equal(*ends[3])


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("algorithm", ["norm", "value"])
def test_clipping_by_module_or_trainer(make_recipe, fit, own, algorithm):
    clip = {"gradient_clip_val": 1e-3, "gradient_clip_algorithm": algorithm}
    module = ConFIGLightningModule(make_recipe(), EnergyForceLoss(), optimizer=SGD, **(clip if own else {}))
    before = module.model.energy.weights.detach().clone()
    fit(module, max_epochs=1, limit_train_batches=1, **({} if own else clip))
    step = (before - module.model.energy.weights.detach()) / 1e-3
    largest = step.norm() if algorithm == "norm" else step.abs().max()
    assert float(largest) == pytest.approx(1e-3, rel=1e-4)


def test_config_needs_a_loss(make_recipe):
    with pytest.raises(ConfigError, match="ConFIGLightningModule.loss: required option is missing"):
        ConFIGLightningModule(make_recipe(), optimizer=SGD)


def test_config_runs_in_one_process(make_recipe):
    class Two:
        world_size = 2

    module = ConFIGLightningModule(make_recipe(), EnergyForceLoss(), optimizer=SGD)
    module._trainer = Two()
    with pytest.raises(ConfigError, match="ConFIGLightningModule: runs in one process, got 2"):
        module.on_train_start()


# ------------------------------------------------------------------ schedule-free


@pytest.mark.parametrize(
    "optimizer",
    [
        functools.partial(AdamWScheduleFree, lr=0.01, warmup_steps=3),
        functools.partial(RAdamScheduleFree, lr=0.01),
        functools.partial(SGDScheduleFree, lr=0.01),
    ],
    ids=["AdamW", "RAdam", "SGD"],
)
def test_average_is_what_the_optimizer_evaluates_with(make_recipe, fit, optimizer):
    module = ScheduleFreeLightningModule(make_recipe(), EnergyForceLoss(), optimizer=optimizer)

    class Compare(lightning.Callback):
        count = 0

        def on_train_batch_end(self, trainer, pl_module, *_):
            one, model = copy.deepcopy((trainer.optimizers[0], pl_module.model))
            swapped = copy.deepcopy(trainer.optimizers[0])
            swapped.eval()
            expected = [parameter for group in swapped.param_groups for parameter in group["params"]]
            averaged = dict(pl_module.ema.named_parameters())
            for name, value in zip(swapped.param_groups[0]["param_names"], expected, strict=True):
                torch.testing.assert_close(averaged[name].data, value.data, rtol=1e-12, atol=1e-15)
            assert one.param_groups[0]["train_mode"]
            assert model is not None
            self.count += 1

    compare = Compare()
    fit(module, [compare])
    assert compare.count == 8
    assert module.evaluation_model is module.ema
    assert not torch.equal(module.ema.energy.weights, module.model.energy.weights)


def test_other_optimizers_are_refused(make_recipe, fit):
    module = ScheduleFreeLightningModule(make_recipe(), EnergyForceLoss(), optimizer=SGD)
    with pytest.raises(ConfigError, match="is not schedule-free, got 'SGD'; take equipot_toolbox.AdamWScheduleFree"):
        fit(module)


# ------------------------------------------------------------------ Muon


class Layers(torch.nn.Module):
    """Parameters of each kind."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        shapes = {
            "type_embedding": (3, 4), "linear": (4, 4), "radial": (8, 4), "column": (4, 1), "bias": (4,),
            "mixing": (2, 2, 2), "readout": (4, 4),
        }  # fmt: skip
        self.values = torch.nn.ParameterDict({name: torch.nn.Parameter(torch.randn(shapes[name])) for name in shapes})

    def step(self, number):
        """Gradients that depend on the step only."""
        for name, one in self.values.items():
            one.grad = torch.sin(torch.arange(one.numel()) * (number + 1.0) + len(name)).reshape(one.shape)


def test_matrices_inside_go_to_muon():
    named = list(Layers().named_parameters())
    muon, adam = MuonParamGroups(named, {"lr": 0.02}, {"lr": 0.01})
    assert [name for name, _ in muon["params"]] == ["values.linear", "values.radial"]
    assert {name.split(".")[1] for name, _ in adam["params"]} == {
        "type_embedding", "column", "bias", "mixing", "readout",
    }  # fmt: skip
    assert (muon["lr"], adam["lr"]) == (0.02, 0.01)
    (only,) = MuonParamGroups(named, exclude=["*"])
    assert not only["use_muon"]


def test_steps_are_those_of_torchs_optimizers():
    ours, theirs = Layers(), Layers()
    muon, adam = {"lr": 0.02, "weight_decay": 0.01}, {"lr": 0.01, "betas": (0.8, 0.9)}
    optimizer = MuonWithAuxAdam(None, MuonParamGroups(ours.named_parameters(), muon, adam))
    matrices = [theirs.values[name] for name in ("linear", "radial")]
    others = [theirs.values[name] for name in theirs.values if name not in ("linear", "radial")]
    parts = [torch.optim.Muon(matrices, **muon), torch.optim.AdamW(others, **adam)]
    schedules = [torch.optim.lr_scheduler.StepLR(one, 1, 0.5) for one in (optimizer, *parts)]
    for number in range(4):
        ours.step(number)
        theirs.step(number)
        assert optimizer.step(lambda number=number: float(number)) == number
        for one in parts:
            one.step()
        for schedule in schedules:
            schedule.step()
    for name in ours.values:
        assert torch.equal(ours.values[name], theirs.values[name]), name


def test_stored_state_goes_on():
    whole, broken = Layers(), Layers()
    optimizers = [MuonWithAuxAdam(one.named_parameters()) for one in (whole, broken)]
    for number in range(2):
        for one, optimizer in zip((whole, broken), optimizers, strict=True):
            one.step(number)
            optimizer.step()
    resumed = MuonWithAuxAdam(broken.named_parameters())
    resumed.load_state_dict(copy.deepcopy(optimizers[1].state_dict()))
    for one, optimizer in zip((whole, broken), (optimizers[0], resumed), strict=True):
        one.step(2)
        optimizer.step()
    for name in whole.values:
        assert torch.equal(whole.values[name], broken.values[name]), name


def test_options_of_muon_that_are_wrong():
    named = list(Layers().named_parameters())
    with pytest.raises(ConfigError, match="MuonParamGroups.muon: invalid options for Muon: .*betas"):
        MuonWithAuxAdam(named, MuonParamGroups(named, muon={"betas": (0.9, 0.9)}))
    with pytest.raises(ConfigError, match="MuonParamGroups.adam: invalid options for AdamW: Invalid learning rate"):
        MuonWithAuxAdam(named, MuonParamGroups(named, adam={"lr": -1.0}))
    with pytest.raises(ConfigError, match="must be pairs of name and parameter"):
        MuonWithAuxAdam([one for _, one in named])
