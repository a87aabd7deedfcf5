"""What a function does with tensors: the torch operations that it runs, recorded without computing anything.

The function runs on fake tensors, which have a shape but no values. It is recorded twice with different numbers of
atoms, frames and edges: numbers that differ between the two recordings are found to depend on these sizes.
"""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch._decomp import core_aten_decompositions
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from equipot.errors import problem
from equipot_kernels._build.errors import KernelError

_TORCH = str(Path(torch.__file__).parent)
_REFUSED = {
    torch.Tag.dynamic_output_shape: "makes a tensor whose size depends on values",
    torch.Tag.data_dependent_output: "reads the value of a tensor",
    torch.Tag.nondeterministic_seeded: "draws random numbers",
}
_RESHAPING = {"resize_", "set_", "squeeze_", "unsqueeze_", "t_", "transpose_", "as_strided_", "swapaxes_", "detach_"}


class NotTraceable(KernelError):  # noqa: N818 - says what the model is
    """A model does something that no program can repeat faithfully."""


def refuse(what: str, line: str = "") -> NotTraceable:
    """The error, naming the line of the component where it is known."""
    hint = "the model runs without a program"
    return NotTraceable(problem("program", f"{line}: {what}" if line else what, hint=hint))


@dataclass(frozen=True)
class Recorded:
    """An operation, with the fake tensors that it got and gave."""

    op: Any
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    result: Any
    line: str
    """File and line of the code that called it."""


@dataclass
class Recording:
    """All operations of one run."""

    inputs: list[torch.Tensor] = field(default_factory=list)
    results: list[torch.Tensor | None] = field(default_factory=list)
    ops: list[Recorded] = field(default_factory=list)


@dataclass(frozen=True)
class Spec:
    """What an input is like: its shape, with the name of a size along the axis that differs between calls."""

    shape: tuple[int | str, ...]
    dtype: torch.dtype
    requires_grad: bool = False


@functools.lru_cache(maxsize=1)
def _decompositions() -> dict[Any, Callable[..., Any]]:
    return dict(core_aten_decompositions())


class _Recorder(TorchDispatchMode):
    """Keeps every operation; composite ones that have no handler are decomposed."""

    def __init__(self, recording: Recording, handled: Callable[[Any], bool]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._recording, self._handled = recording, handled
        self._decompositions = _decompositions()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace == "prim":
            return func(*args, **(kwargs or {}))
        for tag, what in _REFUSED.items():
            if tag in func.tags and not _is_indexing(func, args):
                raise refuse(f"{func} {what}", _caller())
        name = func.overloadpacket.__name__
        if name in _RESHAPING:
            raise refuse(f"{func} changes the shape of a tensor in place", _caller())
        if not self._handled(func) and func in self._decompositions:
            with self:
                return self._decompositions[func](*args, **(kwargs or {}))
        if not self._handled(func) and func._can_decompose():  # noqa: SLF001 - torch gives some composite ones whole
            with self:
                return func.decompose(*args, **(kwargs or {}))
        result = func(*args, **(kwargs or {}))
        self._recording.ops.append(Recorded(func, tuple(args), dict(kwargs or {}), result, _caller()))
        return result


def _is_indexing(func: Any, arguments: Sequence[Any]) -> bool:
    """Whether an operation takes rows by their numbers; by a mask, its result would have a size that is not known."""
    if func.overloadpacket.__name__ not in ("index", "_unsafe_index"):
        return False
    return all(index is None or index.dtype not in (torch.bool, torch.uint8) for index in arguments[1])


def _caller() -> str:
    """File and line of the innermost frame outside torch and this file."""
    frame: Any = sys._getframe(1)  # noqa: SLF001 - a traceback for each operation would take seconds
    while frame is not None:
        name = frame.f_code.co_filename
        if name != __file__ and not name.startswith((_TORCH, "<")):
            return f"{Path(name).name}, line {frame.f_lineno}"
        frame = frame.f_back
    return ""


def record(
    function: Callable[[list[torch.Tensor]], Sequence[torch.Tensor | None]],
    specs: Sequence[Spec],
    sizes: Mapping[str, int],
    handled: Callable[[Any], bool],
) -> Recording:
    """Run a function of tensors without computing anything.

    Args:
        function: From inputs to results.
        specs: Its inputs.
        sizes: The value of every name in their shapes.
        handled: Whether an operation must not be decomposed.

    Raises:
        NotTraceable: If it needs values of tensors, or draws random numbers.
    """
    recording = Recording()
    with FakeTensorMode(allow_non_fake_inputs=True):
        for spec in specs:
            shape = [sizes[size] if isinstance(size, str) else size for size in spec.shape]
            made = torch.empty(shape, dtype=spec.dtype, requires_grad=spec.requires_grad)
            recording.inputs.append(made)
        with _refusing(), warnings.catch_warnings(), _Recorder(recording, handled):
            warnings.filterwarnings("ignore", "Accessing the data pointer of FakeTensor")  # by what keeps a table
            recording.results = list(function(recording.inputs))
    return recording


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except NotTraceable:
        raise
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None:  # the model may have wrapped it
            if isinstance(cause, NotTraceable):
                raise cause from None
            cause = cause.__cause__ or cause.__context__
        reason = (str(error).strip().splitlines() or [""])[0]
        raise refuse(f"cannot be recorded ({type(error).__name__}: {reason})", _line_of(error)) from error


def _line_of(error: BaseException) -> str:
    found, trace = "", error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if name != __file__ and not name.startswith((_TORCH, "<")):
            found = f"{Path(name).name}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return found


def is_fake(value: Any) -> bool:
    """Whether a value is a tensor of a recording, not one with values."""
    return isinstance(value, FakeTensor)
