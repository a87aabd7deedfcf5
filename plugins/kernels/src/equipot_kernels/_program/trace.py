"""A model's calculation as a program."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from equipot.fields import FIELDS
from equipot.graph import EDGE_SET_SEPARATOR
from equipot.model import GraphModel
from equipot_kernels import _edge_pairs as pairs
from equipot_kernels._program.emit import Emitter
from equipot_kernels._program.fuse import Schedule
from equipot_kernels._program.ir import Input, Output, Program, Size, Symbol
from equipot_kernels._program.lower import Lowering, handled
from equipot_kernels._program.lower_fold import Folding
from equipot_kernels._program.lower_graph import Graph
from equipot_kernels._program.lower_refs import View
from equipot_kernels._program.lower_sizes import ZERO, Symbols, chosen_sizes
from equipot_kernels._program.places import places_of
from equipot_kernels._program.record import NotTraceable, Recording, Spec, record, refuse
from equipot_kernels._spline.radial import SplineRadial, recording

__all__ = ["NotTraceable", "Traced", "splines_of", "trace_inference", "trace_training"]

_MANY = 2**62
"""So many edges that making a table always pays."""


@dataclass(frozen=True)
class Traced:
    """A program, and what its tensors are."""

    program: Program
    inputs: tuple[str, ...]
    """Tensors of phase 0 in order: ``data:<key>``, ``param:<name>``, ``buffer:<name>``; ``pairs:first`` and
    ``pairs:of_edge``, from ``edge_pairs``, if the model has networks that use them; in eval mode ``table:<name>``, the
    kept table of each spline."""
    cotangents: tuple[str, ...]
    """Outputs whose cotangents are the tensors of phase 1, in order."""
    outputs: tuple[str, ...]
    """Results of phase 0."""
    gradients: tuple[str, ...]
    """Parameters whose gradients are the results of phase 1."""


def trace_training(
    model: GraphModel, differentiated: tuple[str, ...], extra: tuple[str, ...] = (), num_edges: int = _MANY
) -> Traced:
    """The program of a training step: outputs, and gradients of parameters from cotangents of outputs.

    Args:
        model: Any model; it is not changed.
        differentiated: The outputs that losses use.
        extra: Fields of the batch beyond ``model.info.inputs``, such as ``owned``.
        num_edges: Number of edges for which splines choose between table and exact function.

    Raises:
        NotTraceable: If the model does something that no program can repeat faithfully.
    """
    return _traced(_Subject(model, training=True, extra=extra, num_edges=num_edges), differentiated)


def trace_inference(model: GraphModel, extra: tuple[str, ...] = ()) -> Traced:
    """The program of a call in eval mode.

    Args:
        model: Any model; it is not changed.
        extra: Fields of the batch beyond ``model.info.inputs``, such as ``owned``.

    Raises:
        NotTraceable: If the model does something that no program can repeat faithfully.
    """
    return _traced(_Subject(model, training=False, extra=extra), ())


class _Subject:
    """A model and its tensors."""

    def __init__(self, model: GraphModel, *, training: bool, extra: Sequence[str], num_edges: int = _MANY) -> None:
        self.model = self._original = model
        self.training = training
        self._num_edges = num_edges
        self.fields = (*model.info.inputs, *(key for key in extra if key not in model.info.inputs))
        self.parameters = dict(model.named_parameters())
        self.buffers = dict(model.named_buffers())
        self.specs = [*(_spec_of(key) for key in self.fields)]
        self.specs += [
            Spec(tuple(value.shape), value.dtype, training and value.requires_grad)
            for value in self.parameters.values()
        ]
        self.specs += [Spec(tuple(value.shape), value.dtype) for value in self.buffers.values()]
        # Of a pair, one edge has the gradient of both: right for sums, but not where gradients of edges are outputs.
        outputs = [FIELDS[key.partition(EDGE_SET_SEPARATOR)[0]] for key in model.info.outputs]
        of_edges = any(one.shape[:1] == ("n_edges",) for one in outputs)
        paired = any(isinstance(module, pairs.PairedRadial) for module in model.modules())
        self._paired = paired and not of_edges
        if self._paired:
            self.specs += [Spec(("pair",), torch.int64), Spec(("edge",), torch.int64)]
        self._tables = {} if training else {name: one.kept_table() for name, one in splines_of(model).items()}
        self.specs += [Spec(tuple(table.shape), table.dtype) for table in self._tables.values()]
        self.names = (
            *(f"data:{key}" for key in self.fields),
            *(f"param:{name}" for name in self.parameters),
            *(f"buffer:{name}" for name in self.buffers),
            *(("pairs:first", "pairs:of_edge") if self._paired else ()),
            *(f"table:{name}" for name in self._tables),
        )
        self.wanted = [name for name, value in self.parameters.items() if training and value.requires_grad]
        self.outputs: tuple[str, ...] = ()

    def sizes(self) -> list[str]:
        """Names of the sizes that differ between calls."""
        named = [size for spec in self.specs for size in spec.shape if isinstance(size, str)]
        return list(dict.fromkeys(named))

    def fresh(self) -> None:
        """Work on a copy from now on: modules may keep tensors from one call to the next."""
        self.model = copy.deepcopy(self._original).train(self.training)

    def call(self, tensors: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        """The model's outputs."""
        rest = iter(tensors)
        data = {key: next(rest) for key in self.fields}
        given = {name: next(rest) for name in (*self.parameters, *self.buffers)}
        places = pairs.given(next(rest), next(rest)) if self._paired else contextlib.nullcontext()
        splines = splines_of(self.model)
        tables = {id(splines[name]): next(rest) for name in self._tables}
        with places, recording(self._num_edges, tables):
            found: dict[str, torch.Tensor] = torch.func.functional_call(self.model, given, (data,))
        self.outputs = tuple(found)
        return found


def splines_of(model: GraphModel) -> dict[str, SplineRadial]:
    """The splines in a model, each under one of its names."""
    return {name: module for name, module in model.named_modules() if isinstance(module, SplineRadial)}


def _spec_of(key: str) -> Spec:
    """What a field of the batch is like."""
    base, _, edge_set = key.partition(EDGE_SET_SEPARATOR)
    field = FIELDS[base]
    suffix = f" of {edge_set}" if edge_set else ""
    shape = tuple(f"{size}{suffix}" if isinstance(size, str) else size for size in field.shape)
    dtypes = {"int64": torch.int64, "bool": torch.bool}
    return Spec(shape, dtypes.get(field.dtype, torch.float64))


def _traced(subject: _Subject, differentiated: tuple[str, ...]) -> Traced:
    names = subject.sizes()
    values = chosen_sizes(names)
    specs = [*subject.specs, *(_cotangent(key) for key in differentiated)]
    recordings = []
    for side in range(2):
        sizes = {name: pair[side] for name, pair in zip(names, values, strict=True)}
        subject.fresh()
        recordings.append(record(lambda tensors: _joint(subject, differentiated, tensors), specs, sizes, handled))
    return _assembled(subject, differentiated, specs, Symbols(values), *recordings)


def _cotangent(key: str) -> Spec:
    return dataclasses.replace(_spec_of(key), dtype=torch.float64)


def _joint(
    subject: _Subject, differentiated: Sequence[str], tensors: Sequence[torch.Tensor]
) -> list[torch.Tensor | None]:
    outputs = subject.call(tensors)
    made: list[torch.Tensor | None] = list(outputs.values())
    wanted = [
        tensor
        for name, tensor in zip(subject.names, tensors, strict=False)
        if name.startswith("param:") and name.removeprefix("param:") in subject.wanted
    ]
    if not differentiated or not wanted:
        return made
    along = [(outputs[key], g) for key, g in zip(differentiated, tensors[len(subject.names) :], strict=True)]
    along = [(output, g) for output, g in along if output.requires_grad]
    if not along:
        return [*made, *[None] * len(wanted)]
    results, cotangents = zip(*along, strict=True)
    return [*made, *torch.autograd.grad(results, wanted, cotangents, allow_unused=True)]


def _assembled(
    subject: _Subject,
    differentiated: tuple[str, ...],
    specs: Sequence[Spec],
    symbols: Symbols,
    first: Recording,
    second: Recording,
) -> Traced:
    lowering = Lowering(first, second, symbols)
    count = len(subject.outputs)
    outputs, found = lowering.results[:count], lowering.results[count:]
    pairs = [(name, view) for name, view in zip(subject.wanted, found, strict=False) if view is not None]
    views = [view for view in (*outputs, *(view for _, view in pairs)) if view is not None]
    if len(views) != count + len(pairs):
        raise refuse("the model gives no tensor for one of its outputs")
    given = len(subject.names)
    phases = [0] * given + [1] * len(differentiated)
    program = assemble(lowering, views, count, specs, phases)
    return Traced(program, subject.names, differentiated, subject.outputs, tuple(name for name, _ in pairs))


def assemble(
    lowering: Lowering, views: Sequence[View], count: int, specs: Sequence[Spec], phases: Sequence[int]
) -> Program:
    """The program that computes some views.

    Args:
        lowering: Where they come from.
        views: Results of phase 0, then of phase 1.
        count: Number of results of phase 0.
        specs: The inputs.
        phases: The phase of every input.
    """
    shapes = [view.shape for view in views]
    whole = [view if view.whole else _copied(lowering.graph, view) for view in views]
    results = Folding(lowering.graph, whole).results
    schedule = Schedule([results[:count], results[count:]])
    emitter = Emitter(schedule, lowering.graph.inputs)
    inputs = tuple(
        Input(emitter.buffer(view.node), view.shape, phase) for view, phase in zip(lowering.inputs, phases, strict=True)
    )
    outputs = tuple(
        Output(emitter.buffer(view.node), shape, int(number >= count))
        for number, (view, shape) in enumerate(zip(results, shapes, strict=True))
    )
    program = Program(
        _symbols(specs, inputs),
        inputs,
        emitter.constants,
        tuple(emitter.buffers),
        tuple(emitter.instructions),
        outputs,
    )
    return dataclasses.replace(program, places=places_of(program))


def _copied(graph: Graph, view: View) -> View:
    """All of a view in an array of its own, into which what makes it can also write at once."""
    return graph.build(view.shape, view.node.dtype, [graph.part(view, view.shape, [ZERO] * len(view.dims))])


def _symbols(specs: Sequence[Spec], inputs: Sequence[Input]) -> tuple[Symbol, ...]:
    """Where each size is read: from the first input that has it."""
    made: dict[int, Symbol] = {}
    for number, (spec, given) in enumerate(zip(specs, inputs, strict=True)):
        for axis, (name, size) in enumerate(zip(spec.shape, given.shape, strict=True)):
            if isinstance(name, str) and size == Size(0, ((size.factors[0][0], 1),)):
                made.setdefault(size.factors[0][0], Symbol(number, axis))
    return tuple(made[number] for number in range(len(made)))
