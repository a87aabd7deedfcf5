"""Golden frames: small inputs stored together with a model's outputs, to be replayed wherever the model is used.

A file whose numbers differ from those of the machine that wrote it is refused.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from equipot.artifacts._encoding import canonical_json, parse_json, read_metadata, read_tensors
from equipot.errors import ArtifactError, DataError, problem
from equipot.graph import Graph, non_finite
from equipot.model._boundary import BOUNDARIES, is_served
from equipot.model._context import ModelInfo
from equipot.model._graph_model import GraphModel
from equipot.model._inputs import check_batch, field_of
from equipot.neighbors import add_neighbors
from equipot.nn.slots import KernelSlot

TOLERANCE = {"float64": 1e-9, "float32": 1e-4}
"""Largest accepted deviation, relative to the largest value of the quantity in the frame."""

FLOOR = {"stress": 1e-5}
"""Deviations are relative to at least this value: eV/Å³ here, 1e-3 in the unit of every other quantity."""

_DEFAULT_FLOOR = 1e-3
_ROUNDING = 1e-12
"""Relative rounding error that the shifts cause in energies; it would otherwise count as a deviation."""
_ENERGIES = ("atomic_energy", "total_energy")
_SHIFTS = "shifts"
_MODEL = "model"
_MAX_ATOMS = 24
_MAX_EDGES = 20_000
"""Most edges of a frame that is replayed whenever a package is loaded."""

_DTYPES = {"float64": torch.float64, "int64": torch.int64, "bool": torch.bool}


@dataclass(frozen=True)
class GoldenFrame:
    """One frame with the outputs of the model."""

    name: str
    inputs: Graph
    """The fields in ``ModelInfo.inputs``, edges included."""
    outputs: Graph
    shifts: torch.Tensor
    """Energy of each isolated atom, shape [n_atoms]; deviations are relative to the energies without it."""


def record(
    model: GraphModel,
    inputs: Mapping[str, Graph] | None = None,
    *,
    info: ModelInfo | None = None,
    outputs: Sequence[str] = (),
) -> list[GoldenFrame]:
    """Evaluate an eager model on named frames.

    Args:
        model: The model, which may be in train mode.
        inputs: The frames, with all inputs; default: ``random_frames``.
        info: Says which inputs to keep; default: that of the model.
        outputs: Which outputs to keep; empty for all.
    """
    frames = []
    info = info or model.info
    training = model.training
    model.eval()
    try:
        for name, graph in (random_frames(info) if inputs is None else inputs).items():
            kept = {key: graph[key].detach().cpu() for key in info.inputs}
            device = next(iter(model.state_dict().values())).device
            found = model({key: value.to(device) for key, value in kept.items()})
            alone = model.scale_shift(torch.zeros_like(found["atomic_energy"]), kept["atom_types"].to(device))
            if missing := [key for key in outputs if key not in found]:
                what = f"the model does not give the outputs {missing} that it states"
                raise ArtifactError(problem(f"golden frame {name!r}", what, got=sorted(found)))
            results = {key: found[key].cpu() for key in outputs or found}
            frame = GoldenFrame(name, kept, results, alone.detach().cpu())
            if text := non_finite(frame.outputs):
                what = f"the model gives non-finite {text}"
                raise ArtifactError(problem(f"golden frame {name!r}", what, hint="its weights are unusable"))
            frames.append(frame)
    finally:
        model.train(training)
    return frames


def replay(
    call: Callable[[Graph], Graph], frames: Sequence[GoldenFrame], allowed: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Largest deviation of each output over all frames, relative to the largest value of the quantity in a frame.

    Differences up to those in ``allowed``, by output and in its unit, do not count. An output that is missing, has
    another shape or is not finite raises an ArtifactError.
    """
    worst: dict[str, float] = {}
    for frame in frames:
        where = f"golden frame {frame.name!r}"
        try:
            found = call(frame.inputs)
        except Exception as error:
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise ArtifactError(problem(where, f"cannot be evaluated ({reason})")) from error
        if set(found) != set(frame.outputs):
            raise ArtifactError(problem(where, f"must have the outputs {sorted(found)}", got=sorted(frame.outputs)))
        for key, expected in frame.outputs.items():
            if found[key].shape != expected.shape:
                what = f"must have the shape {tuple(expected.shape)}"
                raise ArtifactError(problem(f"{where}: {key}", what, got=tuple(found[key].shape)))
            deviation = _deviation(frame, key, found[key].detach().cpu(), (allowed or {}).get(key, 0.0))
            worst[key] = max(worst.get(key, 0.0), deviation)
    return worst


def _deviation(frame: GoldenFrame, key: str, found: torch.Tensor, allowed: float) -> float:
    expected = frame.outputs[key]
    if not (expected.is_floating_point() and found.is_floating_point()):
        return 0.0 if expected.dtype == found.dtype and torch.equal(expected, found) else float("inf")
    if not bool(found.isfinite().all()):
        raise ArtifactError(problem(f"golden frame {frame.name!r}: {key}", "is not finite"))
    if expected.numel() == 0:
        return 0.0
    expected = expected.to(torch.float64)
    scale = expected.abs().max()
    if key in _ENERGIES:
        scale = (frame.outputs["atomic_energy"] - frame.shifts).abs().max()
        allowed += _ROUNDING * float(frame.shifts.abs().sum())
    difference = float((found - expected).abs().max()) - allowed
    deviation = max(difference, 0.0) / max(float(scale), FLOOR.get(key, _DEFAULT_FLOOR))
    return float("inf") if math.isnan(difference) or math.isnan(deviation) else deviation


def check(
    call: Callable[[Graph], Graph],
    frames: Sequence[GoldenFrame],
    model_dtype: str,
    where: str,
    allowed: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Replay frames and refuse a model that deviates, naming the outputs; returns the deviations of ``replay``."""
    if not frames:
        raise ArtifactError(problem(where, "has no golden frames", hint="the file is damaged: get it again"))
    worst = replay(call, frames, allowed)
    tolerance = TOLERANCE[model_dtype]
    bad = {key: f"{value:.2g}" for key, value in worst.items() if not value <= tolerance}
    if bad:
        what = f"does not reproduce its golden frames (relative deviations {bad}, allowed {tolerance:g})"
        raise ArtifactError(problem(where, what, hint="do not use it: the weights or the software changed"))
    return worst


def check_model(model: GraphModel, frames: Sequence[GoldenFrame], where: str, allowed: Mapping[str, float]) -> None:
    """Replay the frame with the fewest edges, at least one, on an eager model; the energies of its isolated atoms too.

    Args:
        model: On the CPU.
        frames: As stored with the model.
        where: The file, as named in messages.
        allowed: As for ``replay``.

    Raises:
        ArtifactError: If the frame does not belong to the model, or the numbers differ.
    """
    with_edges = [frame for frame in frames if frame.inputs["edge_index"].numel()]
    cheapest = sorted(with_edges or frames, key=lambda frame: frame.inputs["edge_index"].numel())[:1]
    training = model.training
    model.eval()
    try:
        check(model, [_prepared(frame, model, where) for frame in cheapest], model.info.model_dtype, where, allowed)
    finally:
        model.train(training)


def _prepared(frame: GoldenFrame, model: GraphModel, where: str) -> GoldenFrame:
    """A stored frame whose inputs and energies of isolated atoms are those of a frame of this model."""
    place, info = f"{where}: golden frame {frame.name!r}", model.info
    if frame.inputs.keys() != set(info.inputs):
        what = f"must have the inputs {sorted(info.inputs)}"
        raise ArtifactError(problem(place, what, got=sorted(frame.inputs)))
    if frame.inputs["edge_index"].numel() > 2 * _MAX_EDGES:
        raise ArtifactError(problem(place, f"must have at most {_MAX_EDGES} edges", hint="make the package again"))
    if any(value.is_complex() for value in frame.inputs.values()):
        raise ArtifactError(problem(place, "is damaged: it has complex inputs"))
    try:
        inputs = {key: value.to(_DTYPES[field_of(key).dtype]) for key, value in frame.inputs.items()}
        check_batch(inputs, info, "the frame")
    except DataError as error:
        raise ArtifactError(problem(place, f"is damaged ({error})")) from None
    alone = model.scale_shift(torch.zeros(inputs["atom_types"].shape, dtype=torch.float64), inputs["atom_types"])
    if frame.shifts.shape != alone.shape or not torch.allclose(frame.shifts.to(alone), alone.detach(), rtol=1e-9):
        what = "was stored with other energies of isolated atoms than the model has"
        raise ArtifactError(problem(place, what, hint="the file was edited or damaged: get it again"))
    return dataclasses.replace(frame, inputs=inputs)


def with_a_small_one(inputs: Mapping[str, Graph], info: ModelInfo) -> dict[str, Graph]:
    """Frames of which at least one is small enough to be replayed whenever a package is loaded."""
    if any(0 < graph["edge_index"].shape[1] <= _MAX_EDGES for graph in inputs.values()):
        return dict(inputs)
    return {"molecule": random_frames(info)["molecule"], **inputs}


def approximations_of(model: GraphModel, inputs: Mapping[str, Graph] | None = None) -> dict[str, Any]:
    """The approximations in an eager model and their cost, as in ``Manifest.approximations``; empty if it is exact.

    The deviations are measured on the given frames, by default random ones.
    """
    exact = model.exact()
    if exact is model:
        return {}
    parts = [part for part in model.energy.modules() if isinstance(part, KernelSlot) and part.exact() is not None]
    counts = collections.Counter(f"{type(part).__name__}({part.extra_repr()})" for part in parts)
    worst: dict[str, float] = {}
    for frame, other in zip(record(model, inputs), record(exact, inputs), strict=True):
        for key, value in frame.outputs.items():
            if value.is_floating_point() and value.numel():
                worst[key] = max(worst.get(key, 0.0), float((value - other.outputs[key]).abs().max()))
    return {"modules": [f"{count} {text}" for text, count in counts.items()], "deviations": worst}


def to_bytes(frames: Sequence[GoldenFrame], metadata: dict[str, str] | None = None) -> bytes:
    """Golden frames as a safetensors file, with texts by name."""
    from safetensors.torch import save

    tensors = {}
    for frame in frames:
        for part, graph in (("in", frame.inputs), ("out", frame.outputs), ("ref", {_SHIFTS: frame.shifts})):
            for key, value in graph.items():
                # cloned: safetensors refuses tensors that share memory
                tensors[f"{frame.name}/{part}/{key}"] = value.contiguous().clone()
    return save(tensors, metadata)


def digest(frames: Sequence[GoldenFrame]) -> str:
    """SHA-256 of the tensors of golden frames, which names them where no manifest can be read."""
    return hashlib.sha256(to_bytes(frames)).hexdigest()


def facts(model: Mapping[str, Any]) -> dict[str, str]:
    """Metadata for ``to_bytes``: the facts ``Manifest.model`` about the model that made golden frames."""
    return {_MODEL: canonical_json(model).decode()}


def made_with(raw: bytes, where: str) -> dict[str, Any] | None:
    """The facts about the model that made golden frames; None in files from before they were stored."""
    metadata = read_metadata(raw, where)
    return parse_json(metadata[_MODEL].encode(), where) if _MODEL in metadata else None


def from_bytes(raw: bytes, where: str) -> list[GoldenFrame]:
    """Inverse of ``to_bytes``."""
    parts: dict[str, dict[str, Graph]] = {}
    for name, value in read_tensors(raw, where)[0].items():
        pieces = name.split("/")
        if len(pieces) != 3 or pieces[1] not in ("in", "out", "ref"):
            raise ArtifactError(problem(where, "is damaged: unknown tensor", got=name))
        parts.setdefault(pieces[0], {"in": {}, "out": {}, "ref": {}})[pieces[1]][pieces[2]] = value
    for name, part in parts.items():
        outputs, shifts = part["out"], part["ref"].get(_SHIFTS)
        shape = outputs["atomic_energy"].shape if "atomic_energy" in outputs else None
        if "edge_index" not in part["in"] or shifts is None or shifts.shape != shape:
            raise ArtifactError(problem(where, f"is damaged: frame {name!r} is incomplete", hint="get the file again"))
    return [GoldenFrame(name, part["in"], part["out"], part["ref"][_SHIFTS]) for name, part in sorted(parts.items())]


def random_frames(info: ModelInfo, seed: int = 0) -> dict[str, Graph]:
    """Small random frames with a model's atom types: a triclinic crystal, a molecule and a single atom.

    Where the model does not serve their boundary conditions, they are periodic in the nearest number of directions that
    it serves, under the same names.

    Args:
        info: Types, cutoffs and edge sets of the model.
        seed: Gives other frames for other values.

    Returns:
        Frames with all fields in ``info.inputs``; atoms are at least about a bond length apart. If ``owned`` is one of
        them, every atom is, except in two further frames: the molecule with some ghost atoms, and nothing but ghosts.
    """
    generator = torch.Generator().manual_seed(seed)
    distance = _least_distance(info)
    n_types = len(info.type_names)
    many = min(max(6, n_types), _MAX_ATOMS)
    cell = torch.eye(3, dtype=torch.float64) + 0.25 * (torch.rand(3, 3, generator=generator, dtype=torch.float64) - 0.5)
    cell *= (5 * 3.0 * distance**3 / float(torch.linalg.det(cell).abs())) ** (1 / 3)
    crystal = _place(5, cell, distance, generator)
    bulk, isolated = _nearest_served(info, 3), _nearest_served(info, 0)
    side = distance * (3.0 * many) ** (1 / 3)
    vacuum = torch.eye(3, dtype=torch.float64) * (side + 1.1 * info.r_max if isolated else 0.0)
    molecule = _place(many, torch.eye(3, dtype=torch.float64) * side, distance, generator)
    atom = torch.zeros(1, 3, dtype=torch.float64)
    types = torch.randint(n_types, (5,), generator=generator)
    frames = {
        "triclinic": frame_of(crystal, cell if bulk else 0.0 * cell, types, info, periodic=bulk),
        "molecule": frame_of(molecule, vacuum, torch.arange(many) % n_types, info, periodic=isolated),
        "atom": frame_of(atom, vacuum, torch.tensor([n_types - 1]), info, periodic=isolated),
    }
    if "owned" in info.inputs:
        some = torch.arange(many) % 3 != 1
        frames["ghosts"] = {**frames["molecule"], "owned": some}
        frames["nothing owned"] = {**frames["molecule"], "owned": torch.zeros_like(some)}
    return frames


def _nearest_served(info: ModelInfo, periodic: int) -> int:
    """The number of periodic directions nearest to the given one that all components of the model serve."""
    served = [number for number in range(len(BOUNDARIES)) if is_served(info.boundary, number)]
    return min(served, key=lambda number: abs(number - periodic))


def frame_of(
    positions: torch.Tensor, cell: torch.Tensor, atom_types: torch.Tensor, info: ModelInfo, *, periodic: int
) -> Graph:
    """A frame with all inputs of a model.

    Args:
        positions: Å, shape [n_atoms, 3].
        cell: Å, shape [3, 3].
        atom_types: Shape [n_atoms].
        info: Cutoffs, edge sets and inputs of the model.
        periodic: Along how many of the cell vectors.
    """
    frame = {
        "positions": positions,
        "cell": cell.unsqueeze(0),
        "pbc": (torch.arange(3) < periodic).unsqueeze(0),
        "atom_types": atom_types,
        "batch": torch.zeros_like(atom_types),
        "num_atoms": torch.tensor([positions.shape[0]]),
        "total_charge": torch.zeros(1, dtype=torch.float64),
        "spin_multiplicity": torch.ones(1, dtype=torch.int64),
        "owned": torch.ones_like(atom_types, dtype=torch.bool),
    }
    frame = add_neighbors(frame, info.r_max, cutoffs=info.cutoff_matrix, edge_sets=info.edge_sets)
    return {key: frame[key] for key in info.inputs}


def _least_distance(info: ModelInfo) -> float:
    """About a bond length of the model's elements in Å, well inside the cutoff."""
    smallest = min(min(row) for row in info.cutoffs) if info.cutoffs else info.r_max
    if info.atomic_numbers is None:
        return 0.4 * smallest
    from ase.data import covalent_radii

    radii = [float(covalent_radii[number]) for number in info.atomic_numbers]
    return min(max(2.0 * sum(radii) / len(radii), 0.2 * smallest), 0.55 * smallest)


def _place(n_atoms: int, cell: torch.Tensor, distance: float, generator: torch.Generator) -> torch.Tensor:
    """Random positions in a cell, no two images closer than ``distance``, which is reduced where there is no room."""
    steps = torch.cartesian_prod(*[torch.arange(-1, 2, dtype=torch.float64)] * 3) @ cell
    placed = torch.rand(1, 3, generator=generator, dtype=torch.float64) @ cell
    attempts = 0
    while placed.shape[0] < n_atoms:
        attempts += 1
        if attempts % 200 == 0:
            distance *= 0.95
        candidate = torch.rand(1, 3, generator=generator, dtype=torch.float64) @ cell
        vectors = placed.unsqueeze(0) + steps.unsqueeze(1) - candidate
        if float(vectors.square().sum(-1).min()) >= distance**2:
            placed = torch.cat([placed, candidate])
    return placed
