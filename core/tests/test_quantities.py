"""Quantities: predictions against labels, with masks, atoms and units."""

import pytest
import torch

from equipot.errors import ConfigError
from equipot.fields import FIELDS
from equipot.quantities import (
    COMPARED,
    REPORTED,
    EdgeLengths,
    FieldValues,
    NumNeighbors,
    PerAtomModifier,
    as_quantity,
    compare,
    complete_errors,
    in_mev,
    prediction_errors,
)


def batch_and_outputs():
    batch = {
        "num_atoms": torch.tensor([2, 4]),
        "total_energy": torch.tensor([-1.0, 2.0], dtype=torch.float64),
        "stress": torch.full((2, 3, 3), torch.nan, dtype=torch.float64),
        "stress_mask": torch.tensor([False, True]),
    }
    batch["stress"][1] = 0.5
    outputs = {"total_energy": torch.tensor([1.0, 2.5]), "stress": torch.ones(2, 3, 3, dtype=torch.float64)}
    return batch, outputs


def test_errors_per_atom_in_float64():
    batch, outputs = batch_and_outputs()
    errors, present, _ = prediction_errors(COMPARED["per_atom_energy"], outputs, batch)
    assert errors.dtype == torch.float64
    assert errors.tolist() == [1.0, 0.125]
    assert present.tolist() == [True, True]


def test_absent_labels_are_zero_and_never_read():
    batch, outputs = batch_and_outputs()
    errors, present, _ = prediction_errors(COMPARED["stress"], outputs, batch)
    assert present.tolist() == [False, True]
    assert (errors[0] == 0.0).all()
    assert (errors[1] == 0.5).all()
    outputs["stress_mask"] = torch.tensor([True, False])
    assert prediction_errors(COMPARED["stress"], outputs, batch)[1].tolist() == [False, False]


@pytest.mark.parametrize("changed", ["forces_mask", "forces_weight", "no label", "no prediction"])
def test_errors_of_complete_batches_only(changed):
    batch = {"forces": torch.ones(2, 3).double(), "forces_mask": torch.tensor([True, True])}
    outputs = {"forces": torch.tensor([[1.0, 2.0, 3.0], [1.0, 1.0, 1.0]])}
    found = complete_errors(COMPARED["forces"], outputs, batch)
    assert torch.equal(found, prediction_errors(COMPARED["forces"], outputs, batch).difference)
    if changed.startswith("no"):
        del (batch if changed == "no label" else outputs)["forces"]
    else:
        batch[changed] = torch.tensor([True, False]) if changed == "forces_mask" else torch.ones(2).double()
    assert complete_errors(COMPARED["forces"], outputs, batch) is None


def test_nan_is_an_error_unless_ignored():
    batch, outputs = batch_and_outputs()
    batch["total_energy"][0] = torch.nan
    assert prediction_errors(COMPARED["total_energy"], outputs, batch)[0].isnan().tolist() == [True, False]
    errors, present, _ = prediction_errors(COMPARED["total_energy"], outputs, batch, ignore_nan=True)
    assert errors.tolist() == [0.0, 0.5]
    assert present.tolist() == [False, True]


def test_nothing_to_compare():
    batch, outputs = batch_and_outputs()
    forces = FieldValues("forces")
    assert compare(forces, forces, outputs, {**batch, "forces": torch.zeros(6, 3)}) is None, "no label is a prediction"
    assert compare(forces, forces, {**outputs, "forces": torch.zeros(6, 3)}, batch) is None


def test_factor_of_a_quantity_per_atom():
    batch, _ = batch_and_outputs()
    assert PerAtomModifier("total_energy", factor=10.0).values(batch).rows.tolist() == [-5.0, 5.0]
    assert PerAtomModifier("stress").values(batch).rows[1, 0, 0].item() == 0.125


def test_what_quantities_are_per():
    assert [as_quantity(one).per for one in ("forces", NumNeighbors(), EdgeLengths(), "stress")] == [
        "atom", "atom", "edge", "frame",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: as_quantity("force"), "unknown field, got 'force'; did you mean 'forces'"),
        (lambda: as_quantity(3), "must be a field name or a quantity, got 3"),
        (lambda: PerAtomModifier("forces"), "PerAtomModifier.field: must be a field per frame, got 'forces'"),
    ],
)
def test_wrong_quantities(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_reported_units_are_a_thousandth_of_the_fields():
    for one in REPORTED:
        quantity = COMPARED[one.name]
        per_atom = "/atom" if isinstance(quantity, PerAtomModifier) else ""
        unit = FIELDS[quantity.field].unit
        assert one.unit == f"{'m' if unit.startswith('eV') else ''}{unit}{per_atom}"
    assert in_mev("metal") == 1000.0
    assert in_mev("real") == pytest.approx(43.3641153)
