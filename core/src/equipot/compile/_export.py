"""Export a model, derivatives included, as one graph with dynamic sizes.

``make_fx`` traces energy and gradients together, then ``torch.export`` makes an ExportedProgram. The traced sizes are
at least 4 and all different, since equal or small sizes would become constants of the graph. The result is valid for
any batch with at least 1 atom and 1 frame, with or without edges.
"""

from __future__ import annotations

import copy
import dataclasses
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.fx.experimental.proxy_tensor import make_fx

from equipot._host.attribution import place_of
from equipot.artifacts._golden import random_frames
from equipot.compile._passes import without_atomic_sums
from equipot.errors import ArtifactError, problem
from equipot.graph import EDGE_SET_SEPARATOR, Graph, collate, per_what
from equipot.model._context import ModelInfo
from equipot.model._graph_model import GraphModel
from equipot.nn.exchange import exchange

_FORBIDDEN_SIZES = {0, 1, 2, 3, 9}
"""Sizes that must not be traced: small ones and fixed sizes of inputs, for which torch would mistake them."""


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
    exchanges: tuple[int, ...] = ()
    """Width of the features in each call of ``equipot::exchange``, in order."""


def export_model(
    model: GraphModel,
    device: str | torch.device = "cpu",
    *,
    more_inputs: tuple[str, ...] = (),
    outputs: tuple[str, ...] = (),
) -> Exported:
    """Export a model for inference.

    Args:
        model: An eager model; it is not changed.
        device: Where the exported graph will run.
        more_inputs: Fields that it reads in addition to ``model.info.inputs``: ``owned`` or none.
        outputs: Names of the results, in order; empty for all that the model gives.

    Raises:
        ArtifactError: Naming the line of the component that cannot be exported.
    """
    frozen = copy.deepcopy(model).to(device).eval().requires_grad_(requires_grad=False)
    inputs = (*model.info.inputs, *more_inputs)
    batch = trace_batch(dataclasses.replace(model.info, inputs=inputs))
    sample = tuple(batch[key].to(device) for key in inputs)
    # What modules keep for later calls, such as tables of splines, is thereby a constant of the graph.
    first = frozen(dict(zip(inputs, sample, strict=True)))
    outputs = outputs or tuple(first)

    def flat(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found = frozen(dict(zip(inputs, tensors, strict=True)))
        return tuple(found[key] for key in outputs)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch itself causes some on every export
            # torch.export alone cannot trace autograd.grad; the model's constants are real tensors, not fake ones
            traced = make_fx(flat, tracing_mode="symbolic", _allow_non_fake_inputs=True)(*sample)
            without_atomic_sums(traced)
            program = torch.export.export(traced, sample, dynamic_shapes=dynamic_shapes(inputs), strict=False)
    except Exception as error:
        raise ArtifactError(_failure(error)) from error
    calls = [node for node in program.graph.nodes if node.target is exchange.default]
    return Exported(program, inputs, outputs, sample, tuple(int(call.meta["val"].shape[1]) for call in calls))


def dynamic_shapes(inputs: tuple[str, ...]) -> tuple[dict[int, torch.export.Dim], ...]:
    """The dynamic axis of every input: at least one atom, at least one frame, any number of edges in each set."""
    least = {_size_name(key): 0 if per_what(key) == "edge" else 1 for key in inputs}
    dims = {name: torch.export.Dim(name, min=size) for name, size in least.items()}
    return tuple({_axis(key): dims[_size_name(key)]} for key in inputs)


def _size_name(key: str) -> str:
    """Name of a field's dynamic size: one for atoms, one for frames, and one for each edge set."""
    name = f"n_{per_what(key)}s"
    return f"{name}_of_{key.split(EDGE_SET_SEPARATOR)[1]}" if EDGE_SET_SEPARATOR in key else name


def _axis(key: str) -> int:
    return 1 if key.startswith("edge_index") else 0


def trace_batch(info: ModelInfo) -> Graph:
    """A batch whose numbers of atoms, frames and edges are large enough and all different."""
    for seed in range(1, 20):
        first, second = random_frames(info, seed), random_frames(info, seed + 100)
        frames = [first["triclinic"], first["molecule"], second["triclinic"], first["atom"], second["molecule"]]
        batch = collate(frames)
        sizes = {_size_name(key): value.shape[_axis(key)] for key, value in batch.items()}
        if len(set(sizes.values())) == len(sizes) and not _FORBIDDEN_SIZES & set(sizes.values()):
            return batch
    got = {"r_max": info.r_max, "edge_sets": info.edge_sets}
    raise ArtifactError(problem("compile", "could not make a batch to trace with", got=got))


def _failure(error: Exception) -> str:
    """Word an error with the innermost line outside torch, which belongs to the component that cannot be exported."""
    torch_folder = str(Path(torch.__file__).parent)
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((torch_folder, "<")) and frame.filename != __file__
    ]
    reason = str(error).strip().splitlines()[0] if str(error).strip() else ""
    text = f"cannot be exported: {type(error).__name__}: {reason}"
    if place := place_of(error):
        text = f"{place} {text}"
    elif frames:
        last = frames[-1]
        text = f"{Path(last.filename).name}, line {last.lineno}, in {last.name} ({last.line}) {text}"
    hint = "write this component with torch operations only, without .item(), branches on values or fixed sizes"
    return problem("compile", text, hint=hint)
