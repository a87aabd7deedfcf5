"""Losses and metrics against plain numpy, with absent labels."""

import numpy as np
import pytest
import torch

from equipot.errors import ConfigError
from equipot.train import (
    EnergyForceLoss,
    EnergyForceMetrics,
    EnergyForceStressLoss,
    EnergyForceStressMetrics,
    EnergyOnlyLoss,
    EnergyOnlyMetrics,
)


def batch_of(sizes, seed, *, stress=None, forces=None):
    """A batch with labels, and predictions that require gradients."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    frames, atoms = len(sizes), sum(sizes)
    batch = {
        "num_atoms": torch.tensor(sizes),
        "batch": torch.repeat_interleave(torch.arange(frames), torch.tensor(sizes)),
        "atom_types": torch.arange(atoms) % 2,
        "total_energy": draw(frames),
        "forces": draw(atoms, 3),
        "stress": draw(frames, 3, 3),
    }
    if stress is not None:
        batch["stress_mask"] = torch.tensor(stress)
        batch["stress"][~batch["stress_mask"]] = torch.nan  # never read
    if forces is not None:
        batch["forces_mask"] = torch.tensor(forces)
        batch["forces"][~batch["forces_mask"]] = torch.nan
    outputs = {key: draw(*batch[key].shape).requires_grad_() for key in ("total_energy", "forces", "stress")}
    return outputs, batch


def numpy_of(outputs, batch, key):
    return (outputs[key] - batch[key]).detach().numpy()


def test_terms_and_normalised_coefficients():
    outputs, batch = batch_of([2, 3], 0)
    terms = EnergyForceStressLoss(coeffs={"total_energy": 1, "forces": 2, "stress": 5})(outputs, batch)
    energy = np.mean((numpy_of(outputs, batch, "total_energy") / [2, 3]) ** 2)
    forces = np.mean(numpy_of(outputs, batch, "forces") ** 2)
    stress = np.mean(numpy_of(outputs, batch, "stress") ** 2)
    assert terms["per_atom_energy_mse"].item() == pytest.approx(energy, rel=1e-14)
    assert terms["forces_mse"].item() == pytest.approx(forces, rel=1e-14)
    assert terms["weighted_sum"].item() == pytest.approx((energy + 2 * forces + 5 * stress) / 8, rel=1e-14)


def test_total_energy_instead_of_per_atom():
    outputs, batch = batch_of([2, 3], 0)
    terms = EnergyOnlyLoss(per_atom_energy=False)(outputs, batch)
    assert set(terms) == {"total_energy_mse", "weighted_sum"}
    assert terms["weighted_sum"].item() == pytest.approx(np.mean(numpy_of(outputs, batch, "total_energy") ** 2))


def test_loss_and_gradient_equal_those_of_the_labelled_part():
    masks = {"stress": [True, False, True], "forces": [True] * 4 + [False] * 3}
    outputs, batch = batch_of([2, 2, 3], 1, **masks)
    loss = EnergyForceStressLoss()
    loss(outputs, batch)["weighted_sum"].backward()
    part_stress, part_forces = torch.tensor(masks["stress"]), torch.tensor(masks["forces"])
    leaves = {key: value.detach().clone().requires_grad_() for key, value in outputs.items()}
    expected = (
        ((leaves["total_energy"] - batch["total_energy"]) / batch["num_atoms"]).square().mean()
        + (leaves["forces"][part_forces] - batch["forces"][part_forces]).square().mean()
        + (leaves["stress"][part_stress] - batch["stress"][part_stress]).square().mean()
    ) / 3
    expected.backward()
    for key, leaf in leaves.items():
        torch.testing.assert_close(outputs[key].grad, leaf.grad, rtol=1e-14, atol=0.0)


@pytest.mark.parametrize("huber", [None, 0.5])
def test_batches_with_and_without_weights_of_one_give_the_same(huber):
    """Those without are compared in fewer operations."""
    deltas = {"total_energy": huber, "forces": huber} if huber else None
    found = {}
    for weighted in (False, True):
        outputs, batch = batch_of([2, 3], 5, forces=[True] * 5)
        if weighted:
            batch |= {f"{key}_weight": torch.ones(len(batch[key])).double() for key in ("total_energy", "forces")}
        loss, metrics = EnergyForceLoss(huber=deltas), EnergyForceMetrics()
        loss(outputs, batch)["weighted_sum"].backward()
        metrics.update(outputs, batch)
        values = {**loss.epoch_values(), **{f"metric_{key}": one for key, one in metrics.epoch_values().items()}}
        found[weighted] = {**values, **{key: outputs[key].grad for key in ("total_energy", "forces")}}
    torch.testing.assert_close(found[True], found[False], rtol=1e-14, atol=0.0)


def test_sums_that_no_value_reads_are_not_kept():
    loss, metrics = EnergyForceLoss(), EnergyForceMetrics()
    assert [list(one["sums"]["terms.forces.sums"]) for one in (loss.state(), metrics.state())] == [
        ["updates", "squares", "count"],
        ["updates", "squares", "absolutes", "count", "largest"],
    ]


def test_a_batch_without_any_stress_adds_nothing_and_no_nan():
    outputs, batch = batch_of([2, 3], 2, stress=[False, False])
    loss = EnergyForceStressLoss()
    terms = loss(outputs, batch)
    assert terms["stress_mse"].item() == 0.0
    terms["weighted_sum"].backward()
    assert torch.isfinite(outputs["forces"].grad).all()
    assert (outputs["stress"].grad == 0).all()
    assert "stress_mse" not in loss.epoch_values()
    del batch["stress"], batch["stress_mask"]
    assert loss(outputs, batch)["stress_mse"].item() == 0.0


def test_a_frame_whose_model_has_no_stress_counts_as_without():
    outputs, batch = batch_of([2, 3], 3)
    outputs["stress_mask"] = torch.tensor([True, False])
    terms = EnergyForceStressLoss()(outputs, batch)
    assert terms["stress_mse"].item() == pytest.approx(np.mean(numpy_of(outputs, batch, "stress")[0] ** 2))


def test_large_errors_count_linearly():
    outputs, batch = batch_of([2, 3], 3)
    deltas = {"total_energy": 0.05, "forces": 0.5}
    loss = EnergyForceLoss(coeffs={"total_energy": 1, "forces": 3}, huber=deltas)
    terms = loss(outputs, batch)
    expected = {}
    for key, delta in deltas.items():
        off = np.abs(numpy_of(outputs, batch, key))
        off = off / np.array([2, 3]) if key == "total_energy" else off
        assert off.max() > delta
        expected[key] = np.where(off <= delta, off**2, 2 * delta * off - delta**2).mean()
    assert terms["per_atom_energy_huber"].item() == pytest.approx(expected["total_energy"])
    assert terms["forces_huber"].item() == pytest.approx(expected["forces"])
    total = 0.25 * expected["total_energy"] + 0.75 * expected["forces"]
    assert terms["weighted_sum"].item() == pytest.approx(total)
    (gradient,) = torch.autograd.grad(terms["forces_huber"], outputs["forces"])
    assert float(gradient.abs().max()) == pytest.approx(2 * 0.5 / 15), "bounded"
    values = loss.epoch_values()
    assert values["forces_huber"].item() == pytest.approx(expected["forces"])
    assert values["forces_mse"].item() == pytest.approx((numpy_of(outputs, batch, "forces") ** 2).mean())


def test_small_errors_count_as_their_squares():
    outputs, batch = batch_of([2, 3], 3)
    squares, bounded = EnergyForceLoss(), EnergyForceLoss(huber={"forces": 100.0})
    one, other = squares(outputs, batch), bounded(outputs, batch)
    assert other["forces_huber"].item() == pytest.approx(one["forces_mse"].item(), rel=1e-14)
    assert other["per_atom_energy_mse"] == one["per_atom_energy_mse"], "a label without a size is squared"


def test_sums_of_bounded_errors_go_on_from_a_checkpoint():
    numbered = EnergyForceStressLoss(huber=0.2).options.huber_of(("total_energy", "forces", "stress"))
    assert numbered == {"total_energy": 0.02, "forces": 0.2, "stress": 0.02}
    loss, again = (EnergyForceLoss(huber={"forces": 0.2}) for _ in range(2))
    loss(*batch_of([2], 1))
    again.load_state(loss.state())
    for one in (loss, again):
        one(*batch_of([3], 2))
    assert again.epoch_values() == loss.epoch_values()


def test_weights_of_types():
    outputs, batch = batch_of([2, 3], 4)
    loss = EnergyForceLoss(coeffs={"forces": 1}, per_type_forces_coeffs={"H": 1.0, "O": 3.0})
    loss.bind(["H", "O"])
    squares = numpy_of(outputs, batch, "forces") ** 2
    expected = (squares[::2].mean() + 3 * squares[1::2].mean()) / 4
    assert loss(outputs, batch)["forces_mse"].item() == pytest.approx(expected, rel=1e-14)
    assert loss.epoch_values()["forces_mse"].item() == pytest.approx(expected, rel=1e-14)


def test_a_type_that_is_absent_does_not_count():
    outputs, batch = batch_of([2], 5)
    batch["atom_types"] = torch.zeros(2, dtype=torch.int64)
    loss = EnergyForceLoss(coeffs={"forces": 1}, per_type_forces_coeffs={"H": 1.0, "O": 3.0})
    loss.bind(["H", "O"])
    expected = np.mean(numpy_of(outputs, batch, "forces") ** 2)
    assert loss(outputs, batch)["forces_mse"].item() == pytest.approx(expected)
    assert loss.epoch_values()["forces_mse"].item() == pytest.approx(expected)


def test_epoch_averages_are_over_entries_not_over_batches():
    loss, metrics = EnergyForceLoss(), EnergyForceStressMetrics()
    batches = [batch_of([2, 3], 6), batch_of([7], 7), batch_of([1, 1, 1], 8)]
    for outputs, batch in batches:
        loss(outputs, batch)
        metrics.update(outputs, batch)
    forces = np.concatenate([numpy_of(*one, "forces") for one in batches])
    energies = np.concatenate([numpy_of(*one, "total_energy") for one in batches])
    sizes = np.concatenate([one[1]["num_atoms"] for one in batches])
    stress = np.concatenate([numpy_of(*one, "stress") for one in batches])
    values = {key: value.item() for key, value in metrics.epoch_values().items()}
    assert loss.epoch_values()["forces_mse"].item() == pytest.approx(np.mean(forces**2), rel=1e-13)
    for name, errors in (
        ("forces", forces),
        ("total_energy", energies),
        ("per_atom_energy", energies / sizes),
        ("stress", stress),
    ):
        assert values[f"{name}_rmse"] == pytest.approx(np.sqrt(np.mean(errors**2)), rel=1e-13)
        assert values[f"{name}_mae"] == pytest.approx(np.mean(np.abs(errors)), rel=1e-13)
        assert values[f"{name}_maxabserr"] == pytest.approx(np.abs(errors).max(), rel=1e-13)
    mean = (values["total_energy_rmse"] + values["forces_rmse"] + values["stress_rmse"]) / 3
    assert values["weighted_sum"] == pytest.approx(mean, rel=1e-13)
    assert set(values) == set(metrics.names)
    metrics.reset()
    assert metrics.epoch_values() == {}


def test_metrics_of_absent_labels_are_left_out():
    outputs, batch = batch_of([2, 3], 9, stress=[False, False])
    metrics = EnergyForceStressMetrics()
    metrics.update(outputs, batch)
    values = metrics.epoch_values()
    assert "stress_mae" not in values
    assert "weighted_sum" not in values
    assert all(torch.isfinite(value) for value in values.values())


def test_masked_metrics():
    outputs, batch = batch_of([2, 2], 10, forces=[True, True, False, False])
    metrics = EnergyForceMetrics()
    metrics.update(outputs, batch)
    expected = np.abs(numpy_of(outputs, batch, "forces")[:2]).mean()
    assert metrics.epoch_values()["forces_mae"].item() == pytest.approx(expected)


def test_energy_only_never_reads_other_labels():
    class Watched(dict):
        def __getitem__(self, key):
            assert key not in ("forces", "stress")
            return super().__getitem__(key)

    outputs, batch = batch_of([2, 3], 11)
    outputs, batch = Watched(outputs), Watched(batch)
    EnergyOnlyLoss()(outputs, batch)
    EnergyOnlyMetrics().update(outputs, batch)


def test_coefficients_choose_labels():
    assert EnergyForceLoss(coeffs={"total_energy": 0.0, "forces": 2.0}).labels == ("forces",)
    assert EnergyForceMetrics(coeffs={"per_atom_energy_mae": 1.0}).labels == ("total_energy",)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: EnergyForceLoss(coeffs={"force": 1.0}),
            "EnergyForceLoss.coeffs.force: unknown label; did you mean 'forces'",
        ),
        (
            lambda: EnergyForceLoss(coeffs={"forces": -1.0}),
            "EnergyForceLoss.coeffs.forces: must not be negative, got -1.0",
        ),
        (lambda: EnergyForceLoss(coeffs={"forces": 0.0}), "EnergyForceLoss.coeffs: one must be greater than 0"),
        (lambda: EnergyForceLoss(huber={"force": 1.0}), "EnergyForceLoss.huber: unknown label, got 'force'"),
        (lambda: EnergyForceLoss(huber=0.0), "EnergyForceLoss.huber.*greater than 0"),
        (lambda: EnergyForceLoss(huber={"forces": 0.0}), "EnergyForceLoss.huber.forces: .*greater than 0"),
        (lambda: EnergyForceMetrics(coeffs={"forces_mse": 1.0}), "EnergyForceMetrics.coeffs.forces_mse: unknown name"),
        (lambda: EnergyForceLoss(per_type_forces_coeffs={"H": 0.0}), "must be greater than 0 for every type"),
        (
            lambda: EnergyForceLoss(per_type_forces_coeffs={"H": 1.0}).bind(["H", "O"]),
            r"no weight for the types \['O'\]",
        ),
        (lambda: EnergyForceLoss(per_type_forces_coeffs={"H": 1.0, "X": 1.0}).bind(["H"]), "X: unknown type; types: H"),
    ],
)
def test_wrong_options(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
