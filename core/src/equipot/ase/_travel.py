"""Models in pickles, by value: their tensors as plain bytes, because torch lends tensors to other processes.

What torch sends between processes of one machine stays in the sender's memory, needs one open file for each tensor, and
is gone when the sender ends. Calculators are to arrive complete, wherever they are sent.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch


class ByValue:
    """Holds a model and lets it be pickled, or copied deeply, with its tensors.

    Shared tensors stay shared, strides stay as they are, and every tensor arrives on the CPU.

    Args:
        model: The model, which is not changed; in a pickle, tensors that are neither parameters nor buffers are left to
            torch.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model

    def __reduce__(self) -> tuple[Any, ...]:
        storages: dict[int, Any] = {}
        tensors = [*self.model.parameters(), *self.model.buffers()]
        memo: dict[int, Any] = {id(tensor): _Sent(tensor, storages) for tensor in tensors}
        return ByValue, (copy.deepcopy(self.model, memo),)

    def __deepcopy__(self, memo: dict[int, Any]) -> ByValue:
        return ByValue(copy.deepcopy(self.model, memo))


class _Sent:
    """Takes a tensor's place in a pickle; what is loaded from it is the tensor."""

    def __init__(self, tensor: torch.Tensor, storages: dict[int, Any]) -> None:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in storages:
            on_cpu = torch.empty(0, dtype=torch.uint8).set_(storage.cpu())
            storages[storage.data_ptr()] = _SentStorage(on_cpu.numpy())
        view = (tensor.dtype, tensor.storage_offset(), tuple(tensor.shape), tensor.stride())
        kind = type(tensor) if isinstance(tensor, torch.nn.Parameter) else None
        self._made_of = (storages[storage.data_ptr()], *view, tensor.requires_grad, kind)

    def __reduce__(self) -> tuple[Any, ...]:
        return _tensor, self._made_of


class _SentStorage:
    """Takes the place of the memory that one or several tensors look into."""

    def __init__(self, raw: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
        self._raw = raw

    def __reduce__(self) -> tuple[Any, ...]:
        return _storage, (self._raw,)


def _storage(raw: np.ndarray[Any, np.dtype[np.uint8]]) -> torch.Tensor:
    """The bytes in memory of torch, whose alignment may decide about the last bit of a product."""
    memory = torch.empty(len(raw), dtype=torch.uint8)
    memory.numpy()[:] = raw
    return memory


def _tensor(
    memory: torch.Tensor,
    dtype: torch.dtype,
    offset: int,
    shape: tuple[int, ...],
    stride: tuple[int, ...],
    requires_grad: bool,  # noqa: FBT001 - called by pickle
    kind: type[torch.nn.Parameter] | None,
) -> torch.Tensor:
    tensor = torch.empty(0, dtype=dtype).set_(memory.untyped_storage(), offset, shape, stride)
    return tensor.requires_grad_(requires_grad) if kind is None else kind(tensor, requires_grad=requires_grad)
