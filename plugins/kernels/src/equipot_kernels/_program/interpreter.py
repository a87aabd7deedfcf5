"""Runs programs: without torch between the instructions, on as many threads as torch uses.

Results are the same in every run with the same number of threads. Sums over axes are made in blocks of at most 1024
numbers, and over these in double; sums by index one after another, in the type of the buffer.
"""

from __future__ import annotations

import array
import collections
import ctypes
import functools
import importlib.resources
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from equipot.errors import problem
from equipot_kernels._build import cache, registry
from equipot_kernels._build.errors import KernelError
from equipot_kernels._program.encode import Encoded, encode
from equipot_kernels._program.ir import Output, Program, Size, TorchCall
from equipot_kernels._program.places import buffers_of

_PARTS = ("math.cpp", "steps.cpp", "access.cpp", "loop.cpp", "gemm.cpp", "run.cpp")
_DTYPES = {"float32": torch.float32, "float64": torch.float64, "int64": torch.int64, "bool": torch.bool}
_SPARE = 2
"""Arenas that a runner keeps for its next calls."""
_ALIGNMENT = 64
_INDEX_ERROR, _BOUNDS_ERROR = 1, 2


@functools.lru_cache(maxsize=1)
def source() -> str:
    """The C++ source text of the interpreter."""
    folder = importlib.resources.files(__package__)
    return "".join(folder.joinpath(part).read_text(encoding="utf-8") for part in _PARTS)


@functools.lru_cache(maxsize=1)
def _library() -> ctypes.CDLL:
    library = cache.load(source(), "program")
    pointer, integer = ctypes.c_void_p, ctypes.c_int64
    for name, arguments, result in (
        ("program_step", [ctypes.c_char_p, integer, integer], integer),
        ("program_run", [pointer, integer, integer], integer),
        ("program_layout", [pointer, integer, *[pointer] * 3, integer, pointer, pointer, integer], integer),
        ("program_bind", [pointer, integer, *[pointer] * 5], integer),
        ("program_place", [pointer, integer, pointer, pointer, pointer], None),
    ):
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, result
    return library


class _Frame(ctypes.Structure):
    """As ``Frame`` in access.cpp."""

    _fields_ = tuple(
        (name, ctypes.c_int64)
        for name in (
            *("code", "sizes", "buffers", "lengths", "scratch", "threads"),
            *("error", "instruction", "value", "lowest", "highest"),
        )
    )


class State:
    """What a forward run leaves for the backward run: its memory, and the tensors that it was given.

    Args:
        runner: Whose program runs.
        symbols: Values of the program's symbols.
    """

    def __init__(self, runner: Runner, symbols: list[int]) -> None:
        encoded = runner.encoded
        sizes, count = len(encoded.sizes), len(encoded.buffers)
        self._numbers = (ctypes.c_int64 * (sizes + 2 * count + encoded.places))()
        self.sizes_at = ctypes.addressof(self._numbers)
        self.lengths_at = self.sizes_at + 8 * sizes
        self.addresses_at = self.lengths_at + 8 * count
        starts_at = self.addresses_at + 8 * count
        given = array.array("q", symbols)
        self.used = _library().program_layout(
            runner.size_words_at, sizes, given.buffer_info()[0], self.sizes_at, runner.buffers_at, count,
            self.lengths_at, starts_at, encoded.places,
        )  # fmt: skip
        if self.used < 0:
            what = f"the sizes {symbols} give buffer {-1 - self.used} a negative size"
            raise KernelError(problem("program", what))
        self.threads = torch.get_num_threads()
        scratch = encoded.shared_bytes + self.threads * encoded.thread_bytes
        self._runner = runner
        self._arena: torch.Tensor | None = runner.take_arena(self.used + scratch)
        self.begin = -(-self._arena.data_ptr() // _ALIGNMENT) * _ALIGNMENT
        _library().program_place(runner.buffers_at, count, starts_at, self.begin, self.addresses_at)
        self.tensors: dict[int, torch.Tensor] = dict(runner.constants)
        self._first_length, self._first_address = sizes, sizes + count
        for number, tensor in self.tensors.items():
            self._numbers[self._first_address + number] = tensor.data_ptr()

    @property
    def arena(self) -> torch.Tensor:
        """Its memory.

        Raises:
            KernelError: If a backward run has used it already.
        """
        if self._arena is None:
            what = "a state can be used by one backward run"
            raise KernelError(problem("program", what, hint="run forward again"))
        return self._arena

    def close(self) -> None:
        """Give the memory back."""
        arena, self._arena = self._arena, None
        if arena is not None:
            self.tensors.clear()
            self._runner.give_arena(arena)

    def __del__(self) -> None:
        if getattr(self, "_arena", None) is not None:
            self.close()

    def shape(self, numbers: Sequence[int]) -> list[int]:
        """The values of sizes, which are given by their numbers."""
        return [self._numbers[number] for number in numbers]

    def size(self, size: Size) -> int:
        """The value of a size."""
        return int(self._numbers[self._runner.encoded.sizes[size]])

    def length(self, buffer: int) -> int:
        """Number of elements of a buffer."""
        return int(self._numbers[self._first_length + buffer])

    def address(self, buffer: int) -> int:
        """Where a buffer is."""
        return int(self._numbers[self._first_address + buffer])

    def place(self, buffer: int, tensor: torch.Tensor) -> None:
        """Let a buffer be in the memory of a tensor of its size."""
        self.tensors[buffer] = tensor
        self._numbers[self._first_address + buffer] = tensor.data_ptr()

    def buffer(self, number: int) -> torch.Tensor:
        """A buffer as a flat tensor that shares its memory."""
        if number in self.tensors:
            return self.tensors[number].detach().view(-1)
        dtype = _DTYPES[self._runner.program.buffers[number].dtype]
        begin = self.address(number) - self.arena.data_ptr()
        return self.arena[begin : begin + self.length(number) * dtype.itemsize].view(dtype)


class Runner:
    """Runs a program; several threads may use it at once.

    It keeps the memory of its last runs for the next ones.

    Args:
        program: Any program; it is checked here.

    Raises:
        KernelError: If the program is not valid, or a kernel cannot be built.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.encoded: Encoded = encode(program, _step_address, _kernel_address)
        self.code_at = self.encoded.code.ctypes.data
        self.size_words_at = self.encoded.size_words.ctypes.data
        self.buffers_at = self.encoded.buffers.ctypes.data
        self.constants = {number: _constant(program, number, values) for number, values in program.constants.items()}
        self._arenas: collections.deque[torch.Tensor] = collections.deque(maxlen=_SPARE)
        self._inputs = tuple(_Inputs(program, self.encoded, phase) for phase in (0, 1))
        shared = _shared(program)
        self._outputs = tuple(
            [_Target(program, self.encoded, each, shared) for each in program.outputs if each.phase == phase]
            for phase in (0, 1)
        )
        self._symbols = [(self._inputs[0].positions.get(symbol.input, -1), symbol.axis) for symbol in program.symbols]
        if any(position < 0 for position, _ in self._symbols):
            raise KernelError(problem("program", "a symbol must be read from an input of phase 0"))

    def forward(self, inputs: Sequence[torch.Tensor]) -> tuple[list[torch.Tensor], State]:
        """Run phase 0.

        Args:
            inputs: The inputs of phase 0, in order.

        Returns:
            New tensors, the outputs of phase 0; and what ``backward`` needs. The inputs must not change until then.

        Raises:
            KernelError: If inputs have wrong types or shapes, or an index refers to a row that does not exist.
        """
        prepared = self._inputs[0].prepare(inputs)
        try:
            symbols = [prepared.tensors[position].shape[axis] for position, axis in self._symbols]
        except IndexError:
            raise self._inputs[0].misfit(prepared) from None
        state = State(self, symbols)
        return self._run(0, state, prepared), state

    def backward(self, state: State, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Run phase 1, which uses up the state.

        Args:
            state: From ``forward``.
            inputs: The inputs of phase 1, in order.

        Returns:
            New tensors, the outputs of phase 1.

        Raises:
            KernelError: As ``forward``; also if the state has been used already.
        """
        outputs = self._run(1, state, self._inputs[1].prepare(inputs))
        state.close()
        return outputs

    def _run(self, phase: int, state: State, inputs: _Prepared) -> list[torch.Tensor]:
        arena = state.arena
        self._inputs[phase].bind(state, inputs)
        targets = self._outputs[phase]
        own = [target.placed(state) for target in targets]
        frame = _Frame(
            self.code_at,
            state.sizes_at,
            state.addresses_at,
            state.lengths_at,
            state.begin + state.used,
            state.threads,
        )
        for part in self.encoded.phases[phase]:
            if isinstance(part, TorchCall):
                call_torch(part, state)
            elif _library().program_run(ctypes.addressof(frame), part.begin, part.end):
                raise self._error(frame)
        outputs = [target.copied(state) if made is None else made for target, made in zip(targets, own, strict=True)]
        del arena
        return outputs

    def _error(self, frame: _Frame) -> KernelError:
        number = frame.instruction
        kind = type(self.program.instructions[number]).__name__
        where = f"program, instruction {number} ({kind})"
        if frame.error == _INDEX_ERROR:
            what = f"an index must be from {frame.lowest} to {frame.highest}"
            return KernelError(problem(where, what, got=frame.value))
        what = "it would leave its buffers" if frame.error == _BOUNDS_ERROR else "it has a negative size"
        return KernelError(problem(where, what, hint="the program is damaged or does not fit these sizes"))

    def take_arena(self, size: int) -> torch.Tensor:
        """Memory for a run: one that is free and neither too small nor much too large, or a new one."""
        while self._arenas:
            try:
                arena = self._arenas.pop()
            except IndexError:  # another thread took it
                break
            if size + _ALIGNMENT <= arena.numel() <= 4 * size + 2**20:
                return arena
        return torch.empty(size + size // 8 + _ALIGNMENT, dtype=torch.uint8)

    def give_arena(self, arena: torch.Tensor) -> None:
        """Keep memory for the next run."""
        self._arenas.append(arena)


@dataclass(frozen=True)
class _Prepared:
    """Inputs as a run takes them."""

    tensors: list[torch.Tensor]
    shapes: list[int]
    """The shape of each, and -1."""
    addresses: list[int]


class _Inputs:
    """The inputs of a phase and how they are checked."""

    def __init__(self, program: Program, encoded: Encoded, phase: int) -> None:
        chosen = [(number, each) for number, each in enumerate(program.inputs) if each.phase == phase]
        self.positions = {number: position for position, (number, _) in enumerate(chosen)}
        """Number in the program to position among these."""
        self._buffers = [each.buffer for _, each in chosen]
        self._dtypes = [_DTYPES[program.buffers[buffer].dtype] for buffer in self._buffers]
        self._shapes = [[encoded.sizes[size] for size in each.shape] for _, each in chosen]
        words = [
            word
            for buffer, shape in zip(self._buffers, self._shapes, strict=True)
            for word in (buffer, len(shape), *shape)
        ]
        self._words = array.array("q", words)
        self._numbers = sum(len(shape) + 1 for shape in self._shapes)

    def prepare(self, tensors: Sequence[torch.Tensor]) -> _Prepared:
        """Check types; raises ``KernelError``."""
        if len(tensors) != len(self._dtypes):
            raise KernelError(problem("program", f"needs {len(self._dtypes)} inputs", got=len(tensors)))
        made, shapes, addresses = list[torch.Tensor](), list[int](), list[int]()
        for tensor, dtype in zip(tensors, self._dtypes, strict=True):
            if tensor.dtype is not dtype or not tensor.is_cpu:
                what = f"input {len(made)} must be {dtype} on the CPU"
                raise KernelError(problem("program", what, got=(tensor.dtype, str(tensor.device))))
            given = tensor if tensor.is_contiguous() else tensor.contiguous()
            made.append(given)
            shapes += given.shape
            shapes.append(-1)
            addresses.append(given.data_ptr())
        return _Prepared(made, shapes, addresses)

    def bind(self, state: State, prepared: _Prepared) -> None:
        """Hand tensors to a state; raises ``KernelError`` if their shapes do not fit its sizes."""
        if len(prepared.shapes) != self._numbers:
            raise self.misfit(prepared)
        shapes, addresses = array.array("q", prepared.shapes), array.array("q", prepared.addresses)
        wrong = _library().program_bind(
            self._words.buffer_info()[0], len(self._dtypes), state.sizes_at, state.lengths_at,
            shapes.buffer_info()[0], addresses.buffer_info()[0], state.addresses_at,
        )  # fmt: skip
        if wrong >= 0:
            raise self._wrong_shape(state, prepared.tensors[wrong], wrong)
        state.tensors.update(zip(self._buffers, prepared.tensors, strict=True))

    def misfit(self, prepared: _Prepared) -> KernelError:
        """The error for the first input that has a wrong number of axes."""
        for position, (shape, tensor) in enumerate(zip(self._shapes, prepared.tensors, strict=True)):
            if len(shape) != tensor.dim():
                return KernelError(
                    problem("program", f"input {position} must have {len(shape)} axes", got=tensor.dim())
                )
        return KernelError(problem("program", "a symbol refers to an axis that no input has"))

    def _wrong_shape(self, state: State, tensor: torch.Tensor, position: int) -> KernelError:
        wanted = state.shape(self._shapes[position])
        what = f"input {position} must have the shape {wanted}, as the others have their shapes"
        return KernelError(problem("program", what, got=list(tensor.shape)))


class _Target:
    """An output and how it becomes a tensor.

    Gradients are as large as the parameters, so they are written to their tensors at once where nothing but phase 1
    uses the buffer. Outputs of phase 0 are copied: what is done with them must not change what phase 1 reads.
    """

    def __init__(self, program: Program, encoded: Encoded, output: Output, shared: set[int]) -> None:
        self._buffer = output.buffer
        self._dtype = _DTYPES[program.buffers[output.buffer].dtype]
        self._sizes = [encoded.sizes[size] for size in output.shape]
        self._apart = output.buffer not in shared

    def placed(self, state: State) -> torch.Tensor | None:
        """A new tensor in whose memory the buffer will be, if it can be there."""
        if not self._apart:
            return None
        made = self._new(state)
        state.place(self._buffer, made)
        return made

    def copied(self, state: State) -> torch.Tensor:
        """A new tensor."""
        made = self._new(state)
        ctypes.memmove(made.data_ptr(), state.address(self._buffer), made.nbytes)
        return made

    def _new(self, state: State) -> torch.Tensor:
        made = torch.empty(state.shape(self._sizes), dtype=self._dtype)
        if made.numel() != state.length(self._buffer):
            raise KernelError(problem("program", "an output does not fit its buffer", got=list(made.shape)))
        return made


def _shared(program: Program) -> set[int]:
    """Buffers that cannot be moved between the phases, or are more than one output."""
    given = [*(one.buffer for one in program.inputs), *program.constants]
    early = [buffer for one in program.instructions if one.phase == 0 for buffer in buffers_of(one)]
    counts = collections.Counter(one.buffer for one in program.outputs)
    several = [one.buffer for one in program.outputs if one.phase == 0 or counts[one.buffer] > 1]
    return {*given, *early, *several}


def call_torch(call: TorchCall, state: State) -> None:
    """Run a torch operation on buffers of a state."""
    operation: Any = torch.ops
    for name in call.op.split("."):
        operation = getattr(operation, name)
    arguments = [_argument(argument, state) for argument in call.arguments]
    results: Any = operation(*arguments, **{name: _argument(argument, state) for name, argument in call.keywords})
    listed = results if isinstance(results, (tuple, list)) else (results,)
    for number, result in zip(call.results, listed, strict=False):
        if number is not None:
            state.buffer(number).copy_(result.reshape(-1))


def _argument(argument: tuple[str, Any], state: State) -> Any:
    kind, value = argument
    if kind == "tensor":
        number, offset, shape, strides = value
        flat = state.buffer(number)
        return flat.as_strided(
            [state.size(size) for size in shape],
            [state.size(size) for size in strides],
            flat.storage_offset() + state.size(offset),
        )
    if kind == "size":
        return state.size(value)
    if kind == "list":
        return [_argument(each, state) for each in value]
    return getattr(torch, value) if kind == "dtype" else value


def _constant(program: Program, number: int, values: Any) -> torch.Tensor:
    buffer = program.buffers[number]
    made = torch.tensor(np.ascontiguousarray(values)).reshape(-1)
    if made.dtype is not _DTYPES[buffer.dtype] or Size(made.numel()) != buffer.size:
        raise KernelError(problem("program", f"constant {number} does not fit its buffer", got=buffer))
    return made


def _step_address(op: str, given: int, made: int) -> int:
    return int(_library().program_step(op.encode(), given, made))


def _kernel_address(handle: int, unit: str) -> int:
    function: Callable[..., None] = registry.function(handle, unit)
    return ctypes.cast(function, ctypes.c_void_p).value or 0  # type: ignore[arg-type] # mypy does not know functions
