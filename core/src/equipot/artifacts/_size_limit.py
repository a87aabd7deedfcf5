"""A limit on what a builder may make for a stored model, in proportion to the tensors that the file holds.

A model is built from the options in a file before its weights can be loaded, and options are believed easily:
``num_features: 1000000000`` takes a few bytes. What the options ask for must therefore be near to what is stored.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from equipot.errors import ArtifactError, problem

_BYTES_PER_STORED_BYTE = 64
"""Models of our builders keep up to 2 bytes for each byte of their weights, and have none larger than twice that."""

_FREE_BYTES = 128 * 1024**2
"""For tables whose size does not depend on that of the weights, such as Clebsch-Gordan tensors."""

_ALL_BYTES = 16 * 1024**3
"""For everything that is made, intermediate results included: this and the next limit end loops."""

_OPERATIONS = 300_000
"""Clebsch-Gordan tensors take most of them: models of our builders need 20 000 for l_max = 4, 140 000 for 8."""

_PARAMETERS_PER_TENSOR, _FREE_PARAMETERS = 2, 100
"""Some are made and replaced by others before the model is complete."""


class SizeLimit(TorchDispatchMode):
    """Within this context, an ArtifactError ends what makes many more or much larger tensors than those stored.

    Tensors are measured on the meta device before they are allocated. The limit holds for torch operations and
    modules of this thread, made by any builder.

    Args:
        state: The stored tensors.
        where: The file, as named in messages.
    """

    def __init__(self, state: Mapping[str, torch.Tensor], where: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        storages = {value.untyped_storage().data_ptr(): value.untyped_storage().nbytes() for value in state.values()}
        self._largest = _FREE_BYTES + _BYTES_PER_STORED_BYTE * sum(storages.values())
        self._left: dict[str, float] = {
            "kept bytes": self._largest,
            "bytes": _ALL_BYTES + self._largest,
            "operations": _OPERATIONS,
            "parameters": _FREE_PARAMETERS + _PARAMETERS_PER_TENSOR * len(state),
        }
        self._where = where
        self._thread = threading.get_ident()
        self._hooks: list[Any] = []

    def __enter__(self) -> SizeLimit:  # noqa: PYI034 - Python 3.10 has no Self
        """Begin to count."""
        register = torch.nn.modules.module
        self._hooks = [
            register.register_module_parameter_registration_hook(self._keep_parameter),
            register.register_module_buffer_registration_hook(self._keep),
        ]
        return cast("SizeLimit", super().__enter__())  # type: ignore[no-untyped-call]

    def __exit__(self, *error: object) -> None:
        """Stop counting."""
        for hook in self._hooks:
            hook.remove()
        super().__exit__(*error)  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Count an operation, and what it makes."""
        options = dict(kwargs or {})
        self._spend("operations", 1)
        if "device" in options and not any(isinstance(item, torch.Tensor) for item in tree_leaves((args, options))):
            self._count(func(*args, **{**options, "device": torch.device("meta")}))
            return func(*args, **options)
        made = func(*args, **options)
        self._count(made)
        return made

    def _count(self, made: Any) -> None:
        for item in tree_leaves(made):
            if isinstance(item, torch.Tensor):
                size = item.numel() * item.element_size()
                self._spend("bytes", size if size <= self._largest else math.inf)

    def _keep_parameter(self, module: object, name: str, parameter: torch.Tensor | None) -> None:
        if threading.get_ident() == self._thread:
            self._spend("parameters", 1)
        self._keep(module, name, parameter)

    def _keep(self, module: object, name: str, tensor: torch.Tensor | None) -> None:
        if tensor is not None and threading.get_ident() == self._thread:
            self._spend("kept bytes", tensor.numel() * tensor.element_size())

    def _spend(self, what: str, amount: float) -> None:
        self._left[what] -= amount
        if self._left[what] < 0:
            text = "the options in its config ask for a model much larger than the weights that it holds"
            raise ArtifactError(problem(self._where, text, hint="the file was edited or damaged: do not use it"))
