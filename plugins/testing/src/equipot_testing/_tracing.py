"""Trace models as for compiled files, but without the slow compilers, so that tracing errors show in seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.fx.experimental.proxy_tensor import make_fx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from equipot.graph import Graph
    from equipot.model import GraphModel


def traced(model: GraphModel, batch: Graph) -> tuple[torch.fx.GraphModule, list[str]]:
    """The graph of all operations of energy and derivatives, with symbolic sizes.

    Args:
        model: In eval mode; not changed.
        batch: Example whose numbers of atoms, edges and frames are larger than 3 and all different:
            the tracer would treat equal sizes as one, and also sizes that equal a fixed one (2 or 3).

    Returns:
        The graph, from the tensors in ``model.info.inputs`` to outputs, and the outputs' names.
    """
    keys = model.info.inputs
    outputs = sorted(model(batch))
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]

    def flat(*values: torch.Tensor) -> list[torch.Tensor]:
        output = model(dict(zip(keys, values, strict=True)))
        return [output[key] for key in outputs]

    try:
        for parameter in trainable:
            parameter.requires_grad_(False)
        example = [batch[key] for key in keys]
        return make_fx(flat, tracing_mode="symbolic", _allow_non_fake_inputs=True)(*example), outputs
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)


def runner(
    program: Callable[..., list[torch.Tensor]], keys: Iterable[str], outputs: list[str]
) -> Callable[[Graph], Graph]:
    """Turn a function of a list of tensors into a function of a batch."""
    keys = tuple(keys)
    return lambda graph: dict(zip(outputs, program(*(graph[key] for key in keys)), strict=True))


def exported(model: GraphModel) -> Callable[[Graph], Graph]:
    """The model as an exported program, as compiled files are made from it.

    Args:
        model: In eval mode; not changed.

    Returns:
        Batch to outputs, for any sizes from 1 atom, 0 edges and 1 frame.
    """
    from equipot.compile import export_model

    found = export_model(model)
    return runner(found.program.module(), found.inputs, list(found.outputs))
