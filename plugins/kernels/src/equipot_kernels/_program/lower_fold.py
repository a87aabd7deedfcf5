"""Rewrites nodes so that less is stored: sums are accumulated in place, factors go into matrix products."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence

from equipot_kernels._program.ir import Size
from equipot_kernels._program.lower_graph import Graph
from equipot_kernels._program.lower_maps import digits_of, identity, mapped_axis, mapped_offset, mapped_part
from equipot_kernels._program.lower_matrices import product_of
from equipot_kernels._program.lower_refs import (
    BuildNode,
    CallNode,
    ConstantNode,
    GemmNode,
    InputNode,
    Load,
    Node,
    Part,
    PointNode,
    ResultNode,
    View,
    row_major,
)
from equipot_kernels._program.lower_sizes import ZERO, add


def arguments_of(node: Node) -> Iterator[Node]:
    """The nodes that a node reads."""
    if isinstance(node, PointNode):
        yield from (load.node for load in node.loads)
    elif isinstance(node, BuildNode):
        for part in node.parts:
            yield part.value.node
            if part.index is not None:
                yield part.index.node
    elif isinstance(node, GemmNode):
        yield from (view.node for view in (node.a, node.b) if view is not None)
    elif isinstance(node, ResultNode) and node.call is not None:
        yield node.call
    elif isinstance(node, CallNode):
        yield from (view.node for view in node.arguments)


def in_order(roots: Sequence[Node]) -> list[Node]:
    """All nodes that the roots need, each after those that it reads."""
    made: dict[int, Node] = {}
    pending: list[tuple[Node, bool]] = [(root, False) for root in reversed(roots)]
    opened: set[int] = set()
    while pending:
        node, ready = pending.pop()
        if ready:
            made[id(node)] = node
        elif id(node) not in opened:
            opened.add(id(node))
            pending.append((node, True))
            pending.extend((part, False) for part in reversed(list(arguments_of(node))))
    return list(made.values())


class Folding:
    """The nodes rewritten.

    Args:
        graph: Where nodes are made.
        results: What is needed; whole nodes.
    """

    def __init__(self, graph: Graph, results: Sequence[View]) -> None:
        self._graph = graph
        self._new: dict[int, Node] = {}
        nodes = in_order([view.node for view in results])
        self._uses = Counter(id(part) for node in nodes for part in arguments_of(node))
        self._uses.update(id(view.node) for view in results)
        for node in nodes:
            made = self._rewritten(node)
            self._new[id(node)] = made
            if made is not node:
                self._uses[id(made)] = self._uses[id(node)]
        self.results = [dataclasses.replace(view, node=self._of(view.node)) for view in results]

    def _of(self, node: Node) -> Node:
        return self._new.get(id(node), node)

    def _load(self, load: Load) -> Load:
        return dataclasses.replace(load, node=self._of(load.node))

    def _view(self, view: View) -> View:
        return dataclasses.replace(view, node=self._of(view.node))

    def _rewritten(self, node: Node) -> Node:
        if isinstance(node, PointNode):
            node.loads = tuple(self._load(load) for load in node.loads)
            return self._sum(node) or self._scaled(node) or node
        if isinstance(node, BuildNode):
            parts = [self._part(part) for part in node.parts]
            node.parts = self._spliced(parts)
        elif isinstance(node, GemmNode):
            self._gemm(node)
        elif isinstance(node, CallNode):
            node.arguments = tuple(self._view(view) for view in node.arguments)
        return node

    def _part(self, part: Part) -> Part:
        index = None if part.index is None else self._load(part.index)
        return dataclasses.replace(part, value=self._load(part.value), index=index)

    # --------------------------------------------------------------- sums

    def _only(self, node: Node) -> bool:
        return self._uses[id(node)] == 1

    def _accumulates(self, load: Load, space: Sequence[Size], strides: Sequence[Size]) -> bool:
        """Whether a load is all of a result that only this reads and that can be written elsewhere instead."""
        fitting = isinstance(load.node, GemmNode | BuildNode) and self._only(load.node)
        return fitting and digits_of(load, space, strides) is not None

    def _sum(self, node: PointNode) -> Node | None:
        """A sum of two, where one is written into the other's place."""
        steps = row_major(node.space)
        if node.op != "add" or steps is None or node.dtype not in ("float32", "float64"):
            return None
        found = [self._accumulates(load, node.space, steps) for load in node.loads]
        if not any(found):
            return None
        order = sorted(range(2), key=lambda i: found[i])  # what is not accumulated comes first
        parts = [Part(node.space, node.loads[i], ZERO, steps) for i in order]
        return BuildNode(node.dtype, node.size, node.space, self._spliced(parts))

    def _spliced(self, parts: Sequence[Part]) -> tuple[Part, ...]:
        """Parts of parts instead of these."""
        made: list[Part] = []
        only_sums = all(part.add for part in parts)
        for number, part in enumerate(parts):
            inner = part.value.node
            splice = isinstance(inner, BuildNode) and self._only(inner) and part.index is None and part.add
            moved = None
            if splice and (number == 0 or (only_sums and all(p.add for p in inner.parts))):  # type: ignore[attr-defined]
                moved = [mapped_part(p, part) for p in inner.parts]  # type: ignore[attr-defined]
            if moved is None or any(p is None for p in moved):
                made.append(part)
            else:
                made += [p for p in moved if p is not None]
        return tuple(made)

    # ------------------------------------------------------------ factors

    def _scaled(self, node: PointNode) -> Node | None:
        """A matrix product times a number."""
        factor = _factor(node)
        if factor is None:
            return None
        number, load = factor
        inner = load.node
        if not self._only(inner) or not identity(load, node.space):
            return None
        if isinstance(inner, GemmNode):
            inner.scale *= number
            return inner
        if isinstance(inner, BuildNode) and inner.parts:
            gemms = [part.value.node for part in inner.parts]
            if all(isinstance(gemm, GemmNode) and self._only(gemm) for gemm in gemms):
                for gemm in gemms:
                    gemm.scale *= number  # type: ignore[attr-defined]
                return inner
        return None

    def _gemm(self, node: GemmNode) -> None:
        a, b = (self._view(view) for view in (node.a, node.b) if view is not None)
        for number, view in enumerate((a, b)):
            inner = view.node
            factor = _factor(inner) if isinstance(inner, PointNode) else None
            if factor is None:
                continue
            stored = isinstance(factor[1].node, InputNode | ConstantNode | ResultNode | BuildNode | GemmNode)
            moved = _through(view, inner, factor[1]) if stored or self._only(inner) else None  # type: ignore[arg-type]
            if moved is not None:
                a, b = (moved, b) if number == 0 else (a, moved)
                self._uses[id(moved.node)] += 1
                node.scale *= factor[0]
        if product_of(a, b) is None:
            copies = self._graph.copied(a), self._graph.copied(b)
            tried = ((a, copies[1]), (copies[0], b), copies)
            a, b = next(pair for pair in tried if product_of(*pair) is not None)
            for view in {id(view.node): view for view in (a, b) if view in copies}.values():
                self._uses[id(view.node)] += 1
                self._uses.update(id(part) for part in arguments_of(view.node))
        node.a, node.b = a, b


def _factor(node: PointNode) -> tuple[float, Load] | None:
    """A number and what is multiplied by it."""
    if node.op not in ("mul", "neg") or node.dtype not in ("float32", "float64"):
        return None
    if node.op == "neg":
        return -1.0, node.loads[0]
    for number, other in (node.loads, node.loads[::-1]):
        if isinstance(number.node, PointNode) and number.node.op == "constant":
            return float(number.node.value), other
    return None


def _through(view: View, node: PointNode, load: Load) -> View | None:
    """A view of a node as the same view of what the node reads at its points."""
    steps = row_major(node.space)
    if steps is None:
        return None
    whole = digits_of(Load(node, ZERO, steps), node.space, load.strides)
    if whole is None:
        return None
    moved = mapped_offset(view.offset, whole)
    dims = [[mapped_axis(axis, whole) for axis in dim] for dim in view.dims]
    if moved is None or any(axes is None for dim in dims for axes in dim):
        return None
    made = tuple(tuple(axis for axes in dim for axis in axes or ()) for dim in dims)
    return View(load.node, add(moved, load.offset), made)
