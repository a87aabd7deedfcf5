"""How torch ops are defined here: by a schema, a CPU function, and a function for the shapes of the results.

Such an op is one opaque node of an exported or compiled graph. The module that defines it must be
imported before the graph runs; ``registry.prepare`` does so.
"""

from __future__ import annotations

import contextlib
import contextvars
import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from equipot_kernels._build import registry

NAMESPACE = "equipot_kernels"

_native = torch._C._dispatch_has_kernel(f"{NAMESPACE}::{registry.OF_ENGINES}")  # noqa: SLF001 - torch has no public question
"""Whether an engine's library has registered the ops in this process: then schemas are there, functions are replaced."""

_library = torch.library.Library(NAMESPACE, "FRAGMENT" if _native else "DEF")

_schemas: dict[str, str] = {}

_implementations: dict[str, Callable[..., Any]] = {}

_checked: set[str] = set()
"""Ops that look at values."""

Call = tuple[int, str, tuple[Any, ...]]
"""A kernel's handle, a unit, and its arguments without the number of threads."""

_noted: contextvars.ContextVar[list[Call] | None] = contextvars.ContextVar("_noted", default=None)


def define(
    schema: str, cpu: Callable[..., Any], fake: Callable[..., Any], unchecked: Callable[..., Any] | None = None
) -> Any:
    """Define an op.

    Args:
        schema: For example ``"double(Tensor x) -> Tensor"``.
        cpu: Computes it. Receives tensors of any strides; returns contiguous ones that share no memory with an argument.
        fake: Returns empty results of the right shapes and types.
        unchecked: Computes it as ``cpu`` does, without a look at values, and makes the first element of the first result
            negative if they are wrong; ``cpu`` itself if it looks at none.

    Returns:
        The op, which can be called.
    """
    name = schema[: schema.index("(")]
    _schemas[name] = schema
    if _native:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of functions that are replaced
            _library.impl(name, cpu, "CPU", allow_override=True)
    else:
        _library.define(schema)
        _library.impl(name, cpu, "CPU")
    _implementations[name] = unchecked or cpu
    if unchecked is not None:
        _checked.add(name)
    torch.library.register_fake(f"{NAMESPACE}::{name}", fake, lib=_library)
    return getattr(getattr(torch.ops, NAMESPACE), name)


def differentiate(name: str, backward: Callable[..., Any], setup_context: Callable[..., None]) -> None:
    """Define the derivative of an op.

    Args:
        name: As in its schema.
        backward: ``(ctx, *gradients)``; must use ops that are differentiable themselves.
        setup_context: ``(ctx, inputs, output)``.
    """
    torch.library.register_autograd(f"{NAMESPACE}::{name}", backward, setup_context=setup_context, lib=_library)


def differentiate_trilinear(of_third: Any, of_second: Any, of_first: Any) -> None:
    """Give the three gradients of a form S(a, b, c) that is linear in each argument their derivatives.

    Each gradient is an op, and its own gradients are the other two with one argument replaced.

    Args:
        of_third: The op ``(a, b, *rest)`` that computes ∂S/∂c; there is no derivative along ``rest``.
        of_second: The op ``(a, c, *rest)`` that computes ∂S/∂b.
        of_first: The op ``(b, c, *rest)`` that computes ∂S/∂a.
    """
    _differentiate_bilinear(
        of_third, lambda h, _, b, *rest: of_first(b, h, *rest), lambda h, a, _, *rest: of_second(a, h, *rest)
    )
    _differentiate_bilinear(
        of_second, lambda h, _, c, *rest: of_first(h, c, *rest), lambda h, a, _, *rest: of_third(a, h, *rest)
    )
    _differentiate_bilinear(
        of_first, lambda h, _, c, *rest: of_second(h, c, *rest), lambda h, b, _, *rest: of_third(h, b, *rest)
    )


def _differentiate_bilinear(op: Any, along_first: Callable[..., Any], along_second: Callable[..., Any]) -> None:
    def backward(ctx: Any, h: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        first, second, *lists = ctx.saved_tensors
        rest = (*lists, *ctx.constants)
        gradients = [
            gradient(h, first, second, *rest) if want else None
            for gradient, want in zip((along_first, along_second), needed(ctx, 2), strict=True)
        ]
        return (*gradients, *[None] * len(rest))

    differentiate(op.__name__, backward, save_tensors)


def call(kernel: int, unit: str, *arguments: Any, threads: bool = True) -> None:
    """Run a unit of a kernel on as many threads as torch uses.

    Args:
        kernel: Its handle.
        unit: One of its family's units.
        arguments: As the unit takes them: integers, and contiguous tensors or None, whose address is handed over.
        threads: Whether the unit takes the number of threads as its last argument.
    """
    noted = _noted.get()
    if noted is not None:
        noted.append((kernel, unit, arguments))
        return
    given = [argument.data_ptr() if isinstance(argument, torch.Tensor) else argument for argument in arguments]
    registry.function(kernel, unit)(*given, *((torch.get_num_threads(),) if threads else ()))


@contextlib.contextmanager
def _noting() -> Iterator[list[Call]]:
    calls: list[Call] = []
    token = _noted.set(calls)
    try:
        yield calls
    finally:
        _noted.reset(token)


def schemas() -> dict[str, str]:
    """The schema of each op, by name, of all families."""
    registry.import_ops()
    return dict(sorted(_schemas.items()))


def calls_of(name: str, arguments: Sequence[Any]) -> tuple[Any, list[Call]]:
    """Which units an op calls with what, without running them.

    Args:
        name: As in the op's schema.
        arguments: Its arguments; tensors need no values, so they may be on the device ``meta``.

    Returns:
        Its results, and the calls that fill them; a tensor among their arguments is an argument or result of the op, a
        part of one, or memory for intermediate values.
    """
    with _noting() as calls:
        return _implementations[name](*arguments), calls


def is_checked(name: str) -> bool:
    """Whether a negative first element of an op's first result says that its arguments are wrong."""
    return name in _checked


def rows_of(tensor: torch.Tensor) -> torch.Tensor:
    """The matrix itself if each of its rows is contiguous, even with other numbers between the rows; else a copy."""
    apart = tensor.dim() == 2 and tensor.stride(1) == 1 and tensor.stride(0) >= tensor.shape[1]
    return tensor if apart else tensor.contiguous()


def needed(ctx: Any, count: int) -> list[bool]:
    """Which of an op's first arguments, all tensors, need a gradient in the running backward pass.

    ``ctx.needs_input_grad`` does not know what ``backward(inputs=…)`` leaves out; torch's engine does.

    Args:
        ctx: The context of the op's derivative.
        count: Number of arguments to look at.
    """
    wanted = []
    for needs, (node, _) in zip(ctx.needs_input_grad[:count], ctx.next_functions[:count], strict=True):
        wanted.append(bool(needs and node is not None and _runs(node)))
    return wanted


def _runs(node: Any) -> bool:
    try:
        return bool(torch._C._will_engine_execute_node(node))  # noqa: SLF001 - what torch's own checkpointing asks
    except RuntimeError:  # torch refuses the question for leaves in autograd.grad
        return True


def save_tensors(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ARG001 - torch passes it by name
    """Keep an op's arguments for its derivative: ``ctx.saved_tensors``, then ``ctx.constants``.

    The op's schema must name its tensors first; tensors that are None, if it has any, come last of them.
    """
    tensors = [item for item in inputs if isinstance(item, torch.Tensor)]
    ctx.save_for_backward(*tensors)
    ctx.constants = inputs[len(tensors) :]


def derivative_of(
    function: Callable[..., Sequence[torch.Tensor]],
    tensors: Sequence[torch.Tensor],
    wanted: Sequence[bool],
    cotangents: Sequence[torch.Tensor],
) -> list[torch.Tensor | None]:
    """Gradients of an op, found by repeating its computation with ops that have derivatives.

    Args:
        function: Computes the same results as the op.
        tensors: Its arguments.
        wanted: Which of them need a gradient.
        cotangents: One for each result.

    Returns:
        One gradient per argument; None for those that are not wanted.
    """
    higher = torch.is_grad_enabled()
    with torch.enable_grad():
        # Views, so that each derivative is along one argument alone, even if one argument depends on another.
        views = [tensor.view_as(tensor) if tensor.requires_grad else tensor for tensor in tensors]
        along = [view for view, want in zip(views, wanted, strict=True) if want]
        made = function(*views)
        grads = torch.autograd.grad(
            made, along, cotangents, create_graph=higher, allow_unused=True, materialize_grads=True
        )
    found = iter(grads)
    return [next(found) if want else None for want in wanted]


# What an engine's library, which finds the ops registered already, calls: see load.cpp.
for _schema, _function in (
    ("is_python() -> bool", lambda: True),
    ("prepare(str specs) -> ()", lambda specs: registry.prepare(json.loads(specs))),
):
    _library.define(_schema)
    _library.impl(_schema[: _schema.index("(")], _function, "CompositeExplicitAutograd")
