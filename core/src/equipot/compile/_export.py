"""Export a model, derivatives included, as one graph with dynamic sizes.

``make_fx`` traces energy and gradients together, ``torch.export`` then makes an ExportedProgram.
Sizes of the trace are at least 4 and all different, since equal or small sizes would become part of
the graph; it is valid from 1 atom, 0 edges and 1 frame on.
"""

from __future__ import annotations

import copy
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.fx.experimental.proxy_tensor import make_fx

from equipot.artifacts._golden import random_frames
from equipot.compile._passes import without_atomic_sums
from equipot.errors import ArtifactError, problem
from equipot.graph import EDGE_SET_SEPARATOR, collate, per_what

if TYPE_CHECKING:
    from equipot.graph import Graph
    from equipot.model._context import ModelInfo
    from equipot.model._graph_model import GraphModel

_FORBIDDEN_SIZES = {0, 1, 2, 3, 9}
"""Fixed sizes of inputs; a traced size equal to one of them would be taken for it."""


@dataclass(frozen=True)
class Exported:
    """An exported model."""

    program: torch.export.ExportedProgram
    inputs: tuple[str, ...]
    """Names of the arguments, in order."""
    outputs: tuple[str, ...]
    """Names of the results, in order."""
    sample: tuple[torch.Tensor, ...]
    """The arguments it was traced with."""


def export_model(model: GraphModel, device: str | torch.device = "cpu") -> Exported:
    """Export a model for inference.

    Args:
        model: An eager model; it is not changed.
        device: Where the exported graph will run.

    Raises:
        ArtifactError: Naming the line of the component that cannot be exported.
    """
    frozen = copy.deepcopy(model).to(device).eval().requires_grad_(requires_grad=False)
    inputs = model.info.inputs
    batch = trace_batch(model.info)
    sample = tuple(batch[key].to(device) for key in inputs)
    outputs = tuple(frozen(dict(zip(inputs, sample, strict=True))))

    def flat(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found = frozen(dict(zip(inputs, tensors, strict=True)))
        return tuple(found[key] for key in outputs)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch's own making, on every export
            program = _export(flat, inputs, sample)
    except Exception as error:
        raise ArtifactError(_failure(error)) from error
    return Exported(program, inputs, outputs, sample)


def _export(
    flat: Callable[..., tuple[torch.Tensor, ...]], inputs: tuple[str, ...], sample: tuple[torch.Tensor, ...]
) -> torch.export.ExportedProgram:
    # torch.export alone cannot trace autograd.grad. Constants of the model are real tensors, not fake ones.
    traced = make_fx(flat, tracing_mode="symbolic", _allow_non_fake_inputs=True)(*sample)
    without_atomic_sums(traced)
    return torch.export.export(traced, sample, dynamic_shapes=dynamic_shapes(inputs), strict=False)


def dynamic_shapes(inputs: tuple[str, ...]) -> tuple[dict[int, torch.export.Dim], ...]:
    """The dynamic axis of every input: atoms from 1, frames from 1, edges of each set from 0.

    Args:
        inputs: Names of model inputs.
    """
    dims: dict[str, torch.export.Dim] = {}
    shapes = []
    for key in inputs:
        name = _size_name(key)
        if name not in dims:
            dims[name] = torch.export.Dim(name, min=0 if per_what(key) == "edge" else 1)
        shapes.append({_axis(key): dims[name]})
    return tuple(shapes)


def _size_name(key: str) -> str:
    """Name of the dynamic size of a field: one for atoms, one for frames, one for each edge set."""
    name = f"n_{per_what(key)}s"
    return f"{name}_of_{key.split(EDGE_SET_SEPARATOR)[1]}" if EDGE_SET_SEPARATOR in key else name


def _axis(key: str) -> int:
    return 1 if key.startswith("edge_index") else 0


def trace_batch(info: ModelInfo) -> Graph:
    """A batch whose numbers of atoms, frames and edges are large enough and all different.

    Args:
        info: Types, cutoffs and edge sets of the model.

    Raises:
        ArtifactError: If no such batch was found, which only an unusual cutoff can cause.
    """
    for seed in range(1, 20):
        first, second = random_frames(info, seed), random_frames(info, seed + 100)
        frames = [first["triclinic"], first["molecule"], second["triclinic"], first["atom"], second["molecule"]]
        batch = collate(frames)
        sizes = {_size_name(key): value.shape[_axis(key)] for key, value in batch.items()}
        if len(set(sizes.values())) == len(sizes) and not _FORBIDDEN_SIZES & set(sizes.values()):
            return batch
    got = {"r_max": info.r_max, "edge_sets": info.edge_sets}
    raise ArtifactError(problem("compile", "found no batch to trace with", got=got))


def _failure(error: Exception) -> str:
    """The innermost line outside torch, which is the component that cannot be exported."""
    torch_folder = str(Path(torch.__file__).parent)
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((torch_folder, "<")) and frame.filename != __file__
    ]
    reason = str(error).strip().splitlines()[0] if str(error).strip() else ""
    text = f"cannot be exported: {type(error).__name__}: {reason}"
    if frames:
        last = frames[-1]
        text = f"{Path(last.filename).name}, line {last.lineno}, in {last.name} ({last.line}) {text}"
    hint = "write this component with torch operations only, without .item(), branches on values or fixed sizes"
    return problem("compile", text, hint=hint)
