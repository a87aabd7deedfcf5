"""Metrics and losses against plain numpy, torch and core's own; absent labels, types, names, errors."""

import numpy as np
import pytest
import torch
import torchmetrics

import equipot.train as core
import equipot_toolbox as toolbox
from equipot.data import PerAtomModifier
from equipot.errors import ConfigError
from equipot_toolbox import (
    HuberLoss,
    MappedFieldModifier,
    MaximumAbsoluteError,
    MeanAbsoluteError,
    MeanSquaredError,
    MetricsManager,
    RootMeanSquaredError,
    StratifiedHuberForceLoss,
)

TYPES = ["H", "O"]


def batch_of(sizes, seed=0, *, stress=None, forces=None):
    """A batch with labels (NaN where masked), and predictions that require gradients."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    atoms = sum(sizes)
    batch = {
        "num_atoms": torch.tensor(sizes),
        "atom_types": torch.arange(atoms) % 2,
        "total_energy": draw(len(sizes)),
        "forces": draw(atoms, 3),
        "stress": draw(len(sizes), 3, 3),
    }
    for key, mask in (("stress", stress), ("forces", forces)):
        if mask is not None:
            batch[f"{key}_mask"] = torch.tensor(mask)
            batch[key][~batch[f"{key}_mask"]] = torch.nan
    outputs = {key: draw(*batch[key].shape).requires_grad_() for key in ("total_energy", "forces", "stress")}
    return outputs, batch


def number(value):
    return torch.as_tensor(value).detach().item()


def gradients(terms, outputs):
    return torch.autograd.grad(terms["weighted_sum"], list(outputs.values()), allow_unused=True, materialize_grads=True)


@pytest.mark.parametrize("stress", [None, [True, False, True], [False] * 3])
@pytest.mark.parametrize("per_type", [None, {"H": 2.0, "O": 1.0}])
def test_loss_equals_cores(stress, per_type):
    coeffs = {"total_energy": 1.0, "forces": 2.0, "stress": 5.0}
    pair = [home.EnergyForceStressLoss(coeffs, per_type_forces_coeffs=per_type) for home in (core, toolbox)]
    for loss in pair:
        loss.bind(TYPES)
    outputs, batch = batch_of([2, 3, 4], stress=stress)
    ours, theirs = (loss(outputs, batch) for loss in reversed(pair))
    assert ours.keys() == theirs.keys() == set(pair[0].names) == set(ours) & set(pair[1].names)
    torch.testing.assert_close(ours, theirs, rtol=1e-14, atol=0.0)
    torch.testing.assert_close(gradients(ours, outputs), gradients(theirs, outputs), rtol=1e-13, atol=1e-17)
    for loss in pair:
        loss(*batch_of([5, 1], 3))
    epoch = [loss.epoch_values() for loss in pair]
    torch.testing.assert_close({key: epoch[1][key] for key in epoch[0]}, epoch[0], rtol=1e-13, atol=0.0)


@pytest.mark.parametrize("name", ["EnergyForceMetrics", "EnergyForceStressMetrics", "EnergyOnlyMetrics"])
def test_metrics_equal_cores(name):
    values = []
    for home in (core, toolbox):
        metrics = getattr(home, name)()
        metrics.update(*batch_of([2, 3, 4], stress=[True, False, True]))
        metrics.update(*batch_of([5, 1], 3, forces=[True] * 5 + [False]))
        values.append(metrics.epoch_values())
        assert metrics.labels == getattr(core, name)().labels
        assert metrics.names == getattr(core, name)().names
    assert values[0].keys() == values[1].keys()
    torch.testing.assert_close(values[1], values[0], rtol=1e-13, atol=0.0)


def test_energy_only_loss_reads_no_forces():
    outputs, batch = batch_of([2, 3])
    del outputs["forces"], batch["forces"]
    loss = toolbox.EnergyOnlyLoss(per_atom_energy=False)
    assert loss.labels == ("total_energy",)
    expected = np.mean((outputs["total_energy"] - batch["total_energy"]).detach().numpy() ** 2)
    assert number(loss(outputs, batch)["total_energy_mse"].detach()) == pytest.approx(expected, rel=1e-14)


PREDICTED, TRUE = torch.tensor([[3.0, 0.0, -1.0], [0.5, 0.2, 0.0]]), torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]])


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (MeanAbsoluteError(), (2 + 0 + 2 + 0.5 + 0.2 + 0) / 6),
        (MeanSquaredError(), (4 + 0 + 4 + 0.25 + 0.04) / 6),
        (RootMeanSquaredError(), ((4 + 0 + 4 + 0.25 + 0.04) / 6) ** 0.5),
        (MaximumAbsoluteError(), 2.0),
        (HuberLoss(delta=1.0), (2 * 1.5 + 0.125 + 0.02) / 6),
        (HuberLoss(reduction="sum", delta=1.0), 2 * 1.5 + 0.125 + 0.02),
        # |label| is sqrt(2) in the first row: delta 0.5; 0 in the second: delta 0.3
        (StratifiedHuberForceLoss({0.0: 0.3, 1.0: 0.5}), (2 * 0.5 * 1.75 + 0.3 * (0.5 - 0.15) + 0.02) / 6),
        # 0 is below the smallest bound: half the square
        (StratifiedHuberForceLoss({"1.0": 0.5, "2": 0.1}), (2 * 0.5 * 1.75 + 0.125 + 0.02) / 6),
        (StratifiedHuberForceLoss({2.0: 0.1, 1.0: 0.5}, reduction="sum"), 2 * 0.5 * 1.75 + 0.125 + 0.02),
    ],
)
def test_values_by_hand_over_one_and_two_batches(metric, expected):
    assert number(metric(PREDICTED, TRUE)) == pytest.approx(expected, rel=1e-6)
    metric.reset()
    for row in range(2):
        metric.update(PREDICTED[row : row + 1], TRUE[row : row + 1])
    assert number(metric.compute()) == pytest.approx(expected, rel=1e-6)


def test_stratified_huber_is_huber_where_all_ranges_have_one_delta():
    outputs, batch = batch_of([30])
    pair = [HuberLoss(delta=0.7), StratifiedHuberForceLoss({0.0: 0.7, 1.0: 0.7})]
    values = [metric(outputs["forces"], batch["forces"]) for metric in pair]
    torch.testing.assert_close(values[0], values[1], rtol=1e-14, atol=0)
    found = [torch.autograd.grad(value, outputs["forces"])[0] for value in values]
    torch.testing.assert_close(found[0], found[1], rtol=1e-12, atol=1e-18)
    torch.testing.assert_close(
        values[0], torch.nn.HuberLoss(delta=0.7)(outputs["forces"], batch["forces"]), rtol=1e-14, atol=0
    )


def test_gradient_where_prediction_and_label_agree():
    values = torch.ones(2, 3, dtype=torch.float64, requires_grad=True)
    for metric in (RootMeanSquaredError(), StratifiedHuberForceLoss({1.0: 0.5, 2.0: 0.1}), MaximumAbsoluteError()):
        (gradient,) = torch.autograd.grad(metric(values, torch.ones_like(values)), values)
        assert torch.isfinite(gradient).all(), metric


def manager(*entries, types=TYPES):
    made = MetricsManager([dict(entry) for entry in entries])
    made.bind(types)
    return made


FORCES = {"field": "forces", "metric": MeanSquaredError(), "coeff": 1.0}


def test_types_that_do_not_occur_are_left_out():
    outputs, batch = batch_of([2, 3])
    metrics = manager({**FORCES, "per_type": True}, types=["H", "O", "Fe"])
    terms = metrics(outputs, batch)
    squares = (outputs["forces"] - batch["forces"]).detach().square()
    by_type = [squares[batch["atom_types"] == index].mean() for index in range(2)]
    assert number(terms["forces_mse"].detach()) == pytest.approx(number(sum(by_type) / 2), rel=1e-14)
    values = metrics.epoch_values()
    assert set(values) == {"forces_mse", "forces_mse_H", "forces_mse_O", "weighted_sum"}
    assert number(values["forces_mse_O"]) == pytest.approx(number(by_type[1]), rel=1e-14)
    others = manager({**FORCES, "metric": torchmetrics.R2Score(), "per_type": True}, types=["H", "O", "Fe"])
    others.update(outputs, batch)
    assert set(others.epoch_values()) == {"forces_r2_score", "forces_r2_score_H", "forces_r2_score_O", "weighted_sum"}
    assert metrics.names == ("forces_mse", "forces_mse_H", "forces_mse_O", "forces_mse_Fe", "weighted_sum")


def test_nan_labels_are_errors_unless_ignored():
    outputs, batch = batch_of([2, 3])
    batch["forces"][1, 2] = torch.nan
    assert torch.isnan(manager(FORCES)(outputs, batch)["weighted_sum"])
    kept = torch.tensor([0, 2, 3, 4])
    expected = (outputs["forces"] - batch["forces"])[kept].square().mean()
    terms = manager({**FORCES, "ignore_nan": True})(outputs, batch)
    torch.testing.assert_close(terms["weighted_sum"], expected, rtol=1e-14, atol=0)
    assert all(torch.isfinite(one).all() for one in gradients(terms, outputs))


class Ratio(torchmetrics.Metric):
    """Of two fields, to see what a metric without a field gets."""

    def __init__(self):
        super().__init__()
        self.add_state("value", torch.zeros(()), dist_reduce_fx="sum")

    def update(self, preds, target):
        self.value = self.value + preds["stress"].abs().sum() / target["num_atoms"].sum()

    def compute(self):
        return self.value


def test_metrics_of_others():
    outputs, batch = batch_of([2, 3], forces=[True] * 4 + [False])
    metrics = manager(
        FORCES,
        {"field": "forces", "metric": torchmetrics.R2Score(), "name": "r2"},
        {"metric": Ratio()},
        {"field": MappedFieldModifier("total_energy", "total_energy"), "metric": MeanAbsoluteError()},
        {"field": PerAtomModifier("total_energy"), "metric": HuberLoss(), "coeff": 3.0},
    )
    assert metrics.names == (
        "forces_mse", "r2", "ratio", "total_energy_as_total_energy_mae", "per_atom_energy_huber", "weighted_sum",
    )  # fmt: skip
    assert metrics.labels == ("forces", "total_energy")
    assert metrics.coefficients == {"forces_mse": 0.25, "per_atom_energy_huber": 0.75}
    metrics.update(outputs, batch)
    values = metrics.epoch_values()
    kept, target = outputs["forces"][:4].detach().numpy(), batch["forces"][:4].numpy()
    residual = ((kept - target) ** 2).sum(0) / ((target - target.mean(0)) ** 2).sum(0)
    assert number(values["r2"]) == pytest.approx(1 - residual.mean(), rel=1e-6)
    assert number(values["ratio"]) == pytest.approx(number(outputs["stress"].abs().sum() / 5), rel=1e-6)


def test_coefficient_zero_keeps_a_term():
    loss = toolbox.EnergyForceStressLoss({"total_energy": 1.0, "forces": 1.0, "stress": 0.0})
    assert loss.labels == ("total_energy", "forces", "stress")
    outputs, batch = batch_of([2, 3])
    terms = loss(outputs, batch)
    assert number(gradients(terms, outputs)[2].abs().sum()) == 0.0
    loss.set_coefficients({"per_atom_energy_mse": 0.0, "forces_mse": 0.0, "stress_mse": 2.0})
    assert number(loss(outputs, batch)["weighted_sum"]) == number(terms["stress_mse"])


def test_extra_metrics():
    loss = toolbox.EnergyForceLoss(extra_metrics=[{"field": "forces", "metric": MeanAbsoluteError()}])
    assert loss.names == ("per_atom_energy_mse", "forces_mse", "forces_mae", "weighted_sum")
    assert "forces_mae" in loss(*batch_of([2]))


ENTRY = "MetricsManager.metrics.0"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"metric": MeanSquaredError(), "fieldd": "forces"}, f"{ENTRY}.fieldd: unknown option; did you mean 'field'"),
        ({"metric": "mse", "field": "forces"}, f"{ENTRY}.metric: must be a torchmetrics.Metric, got 'mse'"),
        ({"metric": MeanSquaredError(), "field": "force"}, f"{ENTRY}.field: .*did you mean 'forces'"),
        ({**FORCES, "coeff": -1.0}, f"{ENTRY}.coeff: must not be negative"),
        ({**FORCES, "name": "weighted_sum"}, f"{ENTRY}.name: is taken"),
        ({**FORCES, "field": "stress", "per_type": True}, f"{ENTRY}.per_type: needs a field per atom, got stress"),
        ({**FORCES, "per_type_coeffs": {"H": 1.0}}, f"{ENTRY}.per_type_coeffs: needs per_type: true"),
        ({**FORCES, "per_type": True, "per_type_coeffs": {"H": 0.0}}, "must be greater than 0 for every type"),
        ({"metric": MeanSquaredError(), "ignore_nan": True}, f"{ENTRY}.field: per_type and ignore_nan need a field"),
    ],
)
def test_entries_that_are_wrong(entry, message):
    with pytest.raises(ConfigError, match=message):
        MetricsManager([entry])


def test_what_is_wrong_between_entries_and_with_types():
    with pytest.raises(ConfigError, match=r"metrics.1.name: is used twice, got 'forces_mse'"):
        MetricsManager([FORCES, FORCES])
    with pytest.raises(ConfigError, match=r"MetricsManager.metrics: is an empty list"):
        MetricsManager([])
    with pytest.raises(ConfigError, match=r"metrics.0.per_type_coeffs: must name exactly the types \['H', 'O'\]"):
        manager({**FORCES, "per_type": True, "per_type_coeffs": {"H": 1.0, "C": 1.0}})
    with pytest.raises(ConfigError, match=r"MetricsManager.type_names: differ from the model's \['H', 'O'\]"):
        MetricsManager([FORCES], ["O", "H"]).bind(TYPES)
    with pytest.raises(ConfigError, match="no entry has a coeff; a loss needs one"):
        manager({"field": "forces", "metric": MeanSquaredError()})(*batch_of([2]))
    with pytest.raises(ConfigError, match="the types are not known"):
        MetricsManager([{**FORCES, "per_type": True}]).update(*batch_of([2]))
    with pytest.raises(ConfigError, match=r"EnergyForceLoss.coeffs.force: unknown label; did you mean 'forces'"):
        toolbox.EnergyForceLoss({"force": 1.0})
    with pytest.raises(
        ConfigError, match=r"per_atom_energy is per frame|total_energy is per frame and forces per atom"
    ):
        MappedFieldModifier("total_energy", "forces")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HuberLoss(delta=0.0), "HuberLoss.delta: must be greater than 0"),
        (lambda: HuberLoss(reduction="median"), "HuberLoss.reduction: must be 'mean' or 'sum', got 'median'"),
        (lambda: StratifiedHuberForceLoss({0.0: 1.0}), "needs at least two ranges"),
        (lambda: StratifiedHuberForceLoss({"a": 1.0, 0.0: 1.0}), "bounds and deltas must be numbers"),
        (lambda: StratifiedHuberForceLoss({0.0: 0.0, 1.0: 1.0}), "delta_dict.0: .*delta greater than 0, got 0"),
    ],
)
def test_metrics_that_are_wrong(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def numpy_of(outputs, batch, key):
    return (outputs[key] - batch[key]).detach().numpy()


def weighted_batch(sizes, seed=0):
    """A batch whose labels have weights of mean 1, with the weight of each scalar entry of the forces."""
    outputs, batch = batch_of(sizes, seed)
    generator = torch.Generator().manual_seed(7)
    for key in ("total_energy", "forces"):
        drawn = torch.rand(len(batch[key]), dtype=torch.float64, generator=generator) + 0.1
        batch[f"{key}_weight"] = drawn / drawn.mean()
    return outputs, batch, batch["forces_weight"].unsqueeze(1).expand(-1, 3).numpy()


def test_weights_of_the_data():
    outputs, batch, weights = weighted_batch([2, 3, 1])
    difference = numpy_of(outputs, batch, "forces")
    loss = MetricsManager(
        [
            {"field": "forces", "metric": MeanSquaredError(), "coeff": 1.0},
            {"field": "forces", "metric": RootMeanSquaredError()},
            {"field": "forces", "metric": MeanAbsoluteError()},
            {"field": "forces", "metric": HuberLoss(reduction="sum", delta=100.0), "name": "sum"},
            {"field": "forces", "metric": MaximumAbsoluteError()},
        ]
    )
    step = loss(outputs, batch)
    values = {name: number(value) for name, value in loss.epoch_values().items()}
    assert values["forces_mse"] == pytest.approx(np.average(difference**2, weights=weights), rel=1e-13)
    assert values["forces_rmse"] == pytest.approx(np.sqrt(np.average(difference**2, weights=weights)), rel=1e-13)
    assert values["forces_mae"] == pytest.approx(np.average(abs(difference), weights=weights), rel=1e-13)
    assert values["sum"] == number(step["sum"]) == pytest.approx((weights * difference**2).sum() / 2, rel=1e-13)
    assert values["forces_maxabserr"] == abs(difference).max(), "the largest has no weight"
    assert number(step["forces_mse"]) == pytest.approx((weights * difference**2).mean(), rel=1e-13)


def test_weighted_loss_equals_cores():
    """In each step too, where the weights of a batch do not have mean 1."""
    outputs, batch, _ = weighted_batch([2, 3, 1])
    batch["forces_weight"] *= 0.3
    own = MetricsManager([{"field": "forces", "metric": MeanSquaredError(), "coeff": 1.0}])
    cores = core.EnergyForceLoss(coeffs={"forces": 1.0})
    terms = own(outputs, batch), cores(outputs, batch)
    assert number(terms[0]["forces_mse"]) == pytest.approx(number(terms[1]["forces_mse"]), rel=1e-13)
    pairs = zip(gradients(terms[0], outputs), gradients(terms[1], outputs), strict=True)
    for one, other in pairs:
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)
    assert number(own.epoch_values()["forces_mse"]) == pytest.approx(number(cores.epoch_values()["forces_mse"]))


def test_weights_of_one_change_nothing():
    outputs, batch = batch_of([2, 3, 1])
    entries = [
        {"field": "forces", "metric": kind(), "coeff": 1.0}
        for kind in (MeanSquaredError, HuberLoss, RootMeanSquaredError)
    ]
    one, other = (MetricsManager(entries) for _ in range(2))
    plain, weighted = one(outputs, batch), other(outputs, {**batch, "forces_weight": torch.ones(6).double()})
    assert {name: number(value) for name, value in plain.items()} == {
        name: number(value) for name, value in weighted.items()
    }
    assert one.epoch_values() == other.epoch_values()
