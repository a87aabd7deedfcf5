"""Check a batch before it reaches code that does not check it, or after a model failed on it."""

from __future__ import annotations

import torch

from equipot.errors import DataError, problem
from equipot.fields import FIELDS, FieldEntry
from equipot.graph import EDGE_SET_SEPARATOR, Graph, edge_set_key
from equipot.model._boundary import check_boundary
from equipot.model._context import ModelInfo


def field_of(key: str) -> FieldEntry:
    """The row of the table of fields for an input, whose key may name an edge set."""
    return FIELDS[key.split(EDGE_SET_SEPARATOR, maxsplit=1)[0]]


def check_batch(batch: Graph, info: ModelInfo, where: str) -> None:
    """Require tensors of the right kind and shape for all inputs, indices in range, and edges sorted by centre.

    The boundary conditions of the frames must be ones that the model serves.

    Args:
        batch: The batch, which may hold anything.
        info: Types, inputs and edge sets of the model.
        where: What is called, in messages.

    Raises:
        DataError: Naming the field.
    """
    for key in info.inputs:
        _check_kind(key, batch.get(key))
    counted = {"atom": batch["atom_types"], "frame": batch["num_atoms"]}
    sizes = {per: value.shape[0] if value.dim() else 0 for per, value in counted.items()}
    if min(sizes.values()) < 1:
        raise DataError(problem(where, "needs at least one atom and one frame", got=sizes))
    for key in info.inputs:
        _check_shape(key, batch[key], sizes)
    _check_range("atom_types", batch["atom_types"], len(info.type_names))
    _check_range("batch", batch["batch"], sizes["frame"])
    check_boundary(batch["pbc"], info.boundary, where)
    for name in info.edge_set_names:
        key = edge_set_key("edge_index", name)
        _check_range(key, batch[key], sizes["atom"])
        if bool((batch[key][0].diff() < 0).any()):
            raise DataError(problem(key, "must be sorted by centre", hint="use equipot.neighbors.add_neighbors"))
        if batch[key].shape[1] != batch[edge_set_key("edge_cell_shift", name)].shape[0]:
            raise DataError(problem(key, "must have as many edges as its edge_cell_shift", got=batch[key].shape[1]))


def _check_kind(key: str, value: object) -> None:
    """Floating point numbers may have any precision."""
    if not isinstance(value, torch.Tensor):
        raise DataError(problem(key, "must be a tensor", got="nothing" if value is None else type(value).__name__))
    wanted = field_of(key).dtype
    exact = {"bool": torch.bool, "int64": torch.int64}.get(wanted)
    if value.dtype != exact if exact else not value.is_floating_point():
        raise DataError(problem(key, f"must be of dtype {wanted}", got=str(value.dtype).removeprefix("torch.")))


def _check_shape(key: str, value: torch.Tensor, sizes: dict[str, int]) -> None:
    field = field_of(key)
    wanted = [sizes.get(field.per) if isinstance(size, str) else size for size in field.shape]
    same = (want in (None, got) for want, got in zip(wanted, value.shape, strict=False))
    if value.dim() != len(wanted) or not all(same):
        shown = ", ".join(str(size) for size in field.shape)
        raise DataError(problem(key, f"must have the shape [{shown}] with {sizes}", got=tuple(value.shape)))


def _check_range(key: str, value: torch.Tensor, stop: int) -> None:
    if not value.numel():
        return
    least, largest = int(value.min()), int(value.max())
    if least < 0 or largest >= stop:
        raise DataError(problem(key, f"must be from 0 to {stop - 1}", got=(least, largest)))
