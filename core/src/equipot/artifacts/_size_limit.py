"""A limit on what a builder may make for a stored model, in proportion to the tensors that the file holds.

A model is built from the options in a file before its weights can be loaded, and options are believed easily:
``num_features: 1000000000`` takes a few bytes. What the options ask for must therefore be near to what is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from equipot.errors import ArtifactError, problem

_BYTES_PER_STORED_BYTE = 64
"""Models of our builders make 5 bytes for each byte of their weights, intermediate results included."""

_FREE_BYTES = 256 * 1024**2
"""For tables whose size does not depend on that of the weights, such as Clebsch-Gordan tensors."""

_OPERATIONS_PER_TENSOR = 1_000
"""Models of our builders need 10 to 80 for each of their tensors."""

_FREE_OPERATIONS = 100_000


class SizeLimit(TorchDispatchMode):
    """Within this context, an ArtifactError ends what makes many more or much larger tensors than those stored.

    Tensors are measured on the meta device before they are allocated. The limit holds for torch operations of this
    thread, made by any builder.

    Args:
        state: The stored tensors.
        where: The file, as named in messages.
    """

    def __init__(self, state: Mapping[str, torch.Tensor], where: str) -> None:
        super().__init__()
        storages = {value.untyped_storage().data_ptr(): value.untyped_storage().nbytes() for value in state.values()}
        self._bytes_left = _FREE_BYTES + _BYTES_PER_STORED_BYTE * sum(storages.values())
        self._operations_left = _FREE_OPERATIONS + _OPERATIONS_PER_TENSOR * len(state)
        self._where = where

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Count an operation, and what it makes."""
        options = dict(kwargs or {})
        self._operations_left -= 1
        if "device" in options and not any(isinstance(item, torch.Tensor) for item in tree_leaves((args, options))):
            self._count(func(*args, **{**options, "device": torch.device("meta")}))
            return func(*args, **options)
        made = func(*args, **options)
        self._count(made)
        return made

    def _count(self, made: Any) -> None:
        tensors = [item for item in tree_leaves(made) if isinstance(item, torch.Tensor)]
        self._bytes_left -= sum(item.numel() * item.element_size() for item in tensors)
        if self._bytes_left < 0 or self._operations_left < 0:
            what = "the options in its config ask for a model much larger than the weights that it holds"
            raise ArtifactError(problem(self._where, what, hint="the file was edited or damaged: do not use it"))
