"""Ops of this package as instructions: what their implementations call is noted, with tensors that have no values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from equipot_kernels._build.torch_ops import NAMESPACE, calls_of, is_checked
from equipot_kernels._program.ir import DType, Size
from equipot_kernels._program.lower_ops import DTYPES, Out
from equipot_kernels._program.record import refuse

SizeOf = Callable[[int, int], Size]
"""The size that has two values in the two recordings."""


@dataclass(frozen=True)
class UnitCall:
    """A call of a unit.

    Buffers are numbered: the op's tensors, then its results, then memory for intermediate values.
    """

    handle: int
    unit: str
    arguments: tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class KernelCall:
    """What an op does."""

    calls: tuple[UnitCall, ...]
    results: tuple[int | None, ...]
    """Number of the buffer behind each result of the op, None for an empty one."""
    made: tuple[Out, ...]
    """Results and memory for intermediate values."""
    checked: bool = False
    """Whether a negative first element of the first result says that the arguments are wrong."""


class _Side:
    """One of the two recordings."""

    def __init__(self, name: str, arguments: Sequence[Any]) -> None:
        given = [_stand_in(argument) for argument in arguments]
        results, self.calls = calls_of(name, given)
        self.results = [results] if isinstance(results, torch.Tensor) else list(results)
        self.tensors = [part for part in given if isinstance(part, torch.Tensor)]
        self.given = len(self.tensors)
        self._number = {_storage(part): number for number, part in enumerate(self.tensors)}
        for part in [*self.results, *(p for _, _, parts in self.calls for p in parts if isinstance(p, torch.Tensor))]:
            if part.numel() and _storage(part) not in self._number:
                self._number[_storage(part)] = len(self.tensors)
                self.tensors.append(part)

    def number(self, part: torch.Tensor) -> int | None:
        """Number of the buffer behind a tensor."""
        return self._number.get(_storage(part))


def _storage(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata  # noqa: SLF001 - the only identity that tensors without values have


def _stand_in(argument: Any) -> Any:
    if not isinstance(argument, torch.Tensor):
        return argument
    return torch.empty(argument.shape, dtype=argument.dtype, device="meta")


def kernel_call(op: Any, first: Sequence[Any], second: Sequence[Any], size_of: SizeOf) -> KernelCall | None:
    """What one of this package's ops calls; None if it is not such an op.

    Args:
        op: Any torch op.
        first: Its arguments in one recording.
        second: In the other one.
        size_of: Finds sizes.
    """
    name = op.overloadpacket.__name__
    if op.namespace != NAMESPACE:
        return None
    a, b = _Side(name, first), _Side(name, second)
    calls = tuple(
        UnitCall(handle, unit, tuple(_argument(a, x, y, size_of) for x, y in zip(parts, others, strict=True)))
        for (handle, unit, parts), (_, _, others) in zip(a.calls, b.calls, strict=True)
    )
    made = tuple(
        Out(tuple(size_of(x, y) for x, y in zip(part.shape, other.shape, strict=True)), _dtype(part))
        for part, other in zip(a.tensors[a.given :], b.tensors[b.given :], strict=True)
    )
    return KernelCall(calls, tuple(a.number(part) for part in a.results), made, is_checked(name))


def _dtype(tensor: torch.Tensor) -> DType:
    if tensor.dtype not in DTYPES:
        raise refuse(f"a kernel makes a tensor of {tensor.dtype}")
    return DTYPES[tensor.dtype]


def _argument(a: _Side, x: Any, y: Any, size_of: SizeOf) -> tuple[str, Any]:
    if x is None:
        return ("null", None)
    if not isinstance(x, torch.Tensor):
        return ("size", size_of(int(x), int(y)))
    number = a.number(x)
    if number is None:  # empty
        return ("null", None)
    return ("buffer", (number, size_of(int(x.storage_offset()), int(y.storage_offset()))))
