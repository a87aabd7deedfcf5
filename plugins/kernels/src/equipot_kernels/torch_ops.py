"""How torch ops are defined here: by schema, with a CPU function and the shapes of its results.

An op defined so is one opaque node of an exported or compiled graph. Whoever runs such a graph
imports the defining module first; ``equipot_kernels.registry.prepare`` does it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

NAMESPACE = "equipot_kernels"

_library = torch.library.Library(NAMESPACE, "DEF")


def define(schema: str, cpu: Callable[..., Any], fake: Callable[..., Any]) -> Any:
    """Define an op.

    Args:
        schema: For example ``"double(Tensor x) -> Tensor"``.
        cpu: Computes it; gets tensors of any strides, returns contiguous ones that alias no argument.
        fake: Gives results of the right shapes and types without computing.

    Returns:
        The op, to be called.
    """
    name = schema[: schema.index("(")]
    _library.define(schema)
    _library.impl(name, cpu, "CPU")
    torch.library.register_fake(f"{NAMESPACE}::{name}", fake, lib=_library)
    return getattr(getattr(torch.ops, NAMESPACE), name)


def differentiate(name: str, backward: Callable[..., Any], setup_context: Callable[..., None]) -> None:
    """Give an op its derivative.

    Args:
        name: As in its schema.
        backward: ``(ctx, *gradients)``; made of ops that are differentiable themselves.
        setup_context: ``(ctx, inputs, output)``.
    """
    torch.library.register_autograd(f"{NAMESPACE}::{name}", backward, setup_context=setup_context, lib=_library)


def threads() -> int:
    """How many threads a kernel may use: torch's number."""
    return torch.get_num_threads()


def pointer(tensor: torch.Tensor | None) -> int | None:
    """Address of a contiguous tensor's data; None stays None."""
    return None if tensor is None else tensor.data_ptr()


def needed(ctx: Any, count: int) -> list[bool]:
    """Which of the first arguments of an op, all tensors, need a gradient in the running backward pass.

    ``ctx.needs_input_grad`` does not know what ``backward(inputs=…)`` left out; torch's engine does.

    Args:
        ctx: Of the op's derivative.
        count: Number of arguments asked for.
    """
    wanted = []
    for needs, (node, _) in zip(ctx.needs_input_grad[:count], ctx.next_functions[:count], strict=True):
        wanted.append(bool(needs and node is not None and _runs(node)))
    return wanted


def _runs(node: Any) -> bool:
    try:
        return bool(torch._C._will_engine_execute_node(node))  # noqa: SLF001 - what torch's own checkpointing asks
    except RuntimeError:  # torch does not say it of leaves in autograd.grad
        return True
