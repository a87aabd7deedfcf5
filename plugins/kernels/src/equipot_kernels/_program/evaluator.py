"""The evaluator that computes models by programs: when it serves, when it leaves a calculation to the model.

Every model that it meets is *bound*: its tensors and hooks are collected once. A bound model has one program for each
way in which it is called: train or eval mode, which parameters are trained, which fields a batch has.
"""

from __future__ import annotations

import logging
import threading
import weakref
from typing import TYPE_CHECKING, Any

import torch

from equipot.model import Evaluator
from equipot_kernels._edge_pairs import edge_pairs
from equipot_kernels._program import made
from equipot_kernels._program.compare import Tolerances, difference
from equipot_kernels._program.step import Call, Step
from equipot_kernels._program.trace import splines_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from equipot.graph import Graph
    from equipot.model import GraphModel

    FallBack = Callable[..., None]
    Key = tuple[bool, tuple[bool, ...], frozenset[str], tuple[bool, ...]]

logger = logging.getLogger(__name__)

FIRST_CALL = 10
"""A program is made at this call of a model, since single points need none; in a training, its validation included, at
the first, lest an interrupted run could not go on with the same bits."""

CHECK_EVERY = 1000
"""The first calculation that a program serves, and after it one of so many, are compared with those of the model."""


class ProgramEvaluator(Evaluator):
    """Computes models by programs, which are made when they pay, verified, and kept on disk."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._bound: weakref.WeakKeyDictionary[GraphModel, Bound] = weakref.WeakKeyDictionary()
        self._lock = threading.RLock()
        self._at_once = False

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: all of it can be made again."""
        return {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Begin again in the process in which a copy arrives."""
        self._begin()

    def begin_training(self) -> None:
        """Serve models from the first call on."""
        self._at_once = True

    def evaluate(self, model: GraphModel, data: Graph) -> Graph | None:
        """The outputs by a program, or None."""
        if data["positions"].device.type != "cpu":
            return None
        if model.training and (not torch.is_grad_enabled() or any(one.requires_grad for one in data.values())):
            return None  # the model gives gradients where these programs have none
        bound = self._bound.get(model)
        if bound is None:
            with self._lock:
                bound = self._bound.setdefault(model, Bound(model, self.fall_back))
        way = None if bound.is_watched() else bound.way(model, data)
        if way is None:
            return None
        if way.usable is None:
            way.calls += 1
            if not self._at_once and way.calls < FIRST_CALL:
                return None
            with self._lock:
                if way.usable is None:
                    way.prepare(model, data["edge_index"].shape[1])
        return way.evaluate(model, bound, data) if way.usable else None


class Bound:
    """What a model is made of, collected once, since that takes as long as a small calculation."""

    def __init__(self, model: GraphModel, fall_back: FallBack) -> None:
        self._fall_back = fall_back
        self._ways: dict[Key, _Way] = {}
        self.parameters = _places(model, "_parameters", "param")
        self.tensors = {**self.parameters, **_places(model, "_buffers", "buffer")}
        self.splines = splines_of(model)
        inner = [module for module in model.modules() if module is not model]
        kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
        self._hooks = [getattr(module, kind) for module in inner for kind in kinds]
        everywhere = torch.nn.modules.module
        self._hooks += [everywhere._global_forward_hooks, everywhere._global_forward_pre_hooks]  # noqa: SLF001

    def is_watched(self) -> bool:
        """Whether a part of the model has a hook, which a program would not call."""
        return any(self._hooks)

    def way(self, model: GraphModel, data: Graph) -> _Way | None:
        """The way in which the model is called; None for one in train mode that trains nothing."""
        trained = tuple(held[key].requires_grad for held, key in self.parameters.values()) if model.training else ()
        if model.training and not any(trained):
            return None
        num_edges = data["edge_index"].shape[1]
        key = (model.training, trained, frozenset(data), tuple(one.pays(num_edges) for one in self.splines.values()))
        found = self._ways.get(key)
        return self._ways.setdefault(key, _Way(frozenset(data), self._fall_back)) if found is None else found

    def inputs(self, names: Sequence[str], data: Graph) -> list[torch.Tensor]:
        """The tensors with which a program begins, in the order of their names, see ``Traced.inputs``."""
        found = []
        for name in names:
            kind, _, key = name.partition(":")
            if kind == "data":
                found.append(data[key])
            elif name == "pairs:first":
                found.extend(edge_pairs(data["edge_index"], data["edge_cell_shift"], len(data["atom_types"])))
            elif kind == "table":
                found.append(self.splines[key].kept_table())
            elif kind != "pairs":
                held, last = self.tensors[name]
                found.append(held[last].detach())
        return found


def _places(model: GraphModel, held: str, prefix: str) -> dict[str, tuple[dict[str, Any], str]]:
    """Name of each tensor of a model, and where its module keeps it now; a shared one has one name."""
    found: dict[str, tuple[dict[str, Any], str]] = {}
    seen: set[int] = set()
    for path, module in model.named_modules():
        for key, value in vars(module)[held].items():
            if value is not None and id(value) not in seen:
                seen.add(id(value))
                found[f"{prefix}:{path}{'.' if path else ''}{key}"] = (vars(module)[held], key)
    return found


class _Way:
    """One way of calling a model, and its program."""

    def __init__(self, fields: frozenset[str], fall_back: FallBack) -> None:
        self.fields, self._fall_back = fields, fall_back
        self.usable: bool | None = None
        """None until it is tried to make a program."""
        self.calls = 0
        self._made: made.Made
        self._checked: set[tuple[int, ...]] = set()

    def prepare(self, model: GraphModel, num_edges: int) -> None:
        """Make the program for a batch of so many edges and alike ones, or say why there is none."""
        try:
            with torch.random.fork_rng(devices=()):
                extra = tuple(sorted(self.fields - set(model.info.inputs)))
                self._made = made.make(model, extra, num_edges)
            self.calls = 0
            self.usable = True
        except Exception as error:  # noqa: BLE001 - in any case the model itself can compute
            self._stop(error)

    def _stop(self, error: Exception) -> None:
        self.usable = False
        self._fall_back(f"the model is evaluated without a program: {' '.join(str(error).split())}")
        logger.debug("no program", exc_info=error)

    def evaluate(self, model: GraphModel, bound: Bound, data: Graph) -> Graph | None:
        """The outputs, compared with those of the model where it is due."""
        sizes = tuple(min(value.shape[-1 if key.startswith("edge_index") else 0], 2) for key, value in data.items())
        check = sizes not in self._checked or self.calls % CHECK_EVERY == 0  # sizes of 0 and 1 are special in torch
        self.calls += 1
        try:
            with torch.inference_mode(mode=False):
                inputs = bound.inputs(self._made.inputs, data)
                outputs, call = self._train(model, bound, data, inputs) if model.training else self._infer(inputs)
        except Exception as error:  # noqa: BLE001 - as above; it may be the batch that is wrong
            outputs = model.evaluate_directly(data)
            self._stop(error)
            return outputs
        if not check:
            return outputs
        expected = model.evaluate_directly(data)
        found = difference(outputs, expected, Tolerances.of(model, data, expected))
        if found:
            self.refuse(f"{found} of the model's outputs")
            return expected
        if call is not None:
            call.check = (expected, self.refuse)
        self._checked.add(sizes)
        return outputs

    def refuse(self, found: str) -> None:
        """Never use the program again."""
        self.usable = False
        text = f"a program for this model is not used: {found}; report this with the model's config"
        self._fall_back(text, level=logging.WARNING)

    def _infer(self, inputs: list[torch.Tensor]) -> tuple[Graph, None]:
        with torch.no_grad():
            outputs, _ = self._made.runner.forward(inputs)
        return dict(zip(self._made.outputs, outputs, strict=True)), None

    def _train(self, model: GraphModel, bound: Bound, data: Graph, inputs: list[torch.Tensor]) -> tuple[Graph, Call]:
        named = {name[6:]: held[key] for name, (held, key) in bound.parameters.items()}
        trained = {name: one for name, one in named.items() if one.requires_grad}
        call = Call(self._made, model, dict(data), inputs, list(trained))
        outputs = Step.apply(call, *trained.values())  # type: ignore[no-untyped-call]
        return dict(zip(self._made.outputs, outputs, strict=True)), call
