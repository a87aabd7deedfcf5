"""Puts nodes in an order, with elementwise ones grouped into loops over one index space.

A node joins the last loop that has its index space and comes late enough: after everything that it reads is complete,
or in the very loop that computes what it reads at the same points. What is read only inside its own loop is never
stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from equipot_kernels._program.ir import Size
from equipot_kernels._program.lower_fold import arguments_of, in_order
from equipot_kernels._program.lower_maps import (
    Box,
    box_of,
    contains,
    digits_of,
    disjoint,
    identity,
    mapped_axis,
    mapped_offset,
    share,
)
from equipot_kernels._program.lower_matrices import Call, product_of
from equipot_kernels._program.lower_refs import (
    BuildNode,
    CallNode,
    ConstantNode,
    Dim,
    GemmNode,
    InputNode,
    Load,
    Node,
    Part,
    PointNode,
    View,
    refined,
    row_major,
    strides_in,
)
from equipot_kernels._program.lower_sizes import ZERO, add, product

Place = tuple[int, int]
"""Phase and number of a group in it."""


@dataclass
class Writing:
    """A part of an array, written at the points of a loop."""

    target: BuildNode
    part: Part
    add: bool


@dataclass
class Loop:
    """Nodes and writings over one index space."""

    phase: int
    space: tuple[Size, ...]
    points: list[PointNode] = field(default_factory=list)
    writings: list[Writing] = field(default_factory=list)
    stored: list[PointNode] = field(default_factory=list)
    """Points whose results others need."""


@dataclass
class Fill:
    """Zeros in all of an array."""

    phase: int
    target: BuildNode


@dataclass
class Product:
    """A matrix product, written into its own array or into a part of another."""

    phase: int
    node: GemmNode
    calls: Sequence[Call]
    target: Node
    offset: Size
    add: bool


@dataclass
class Calling:
    """A call of a kernel op or torch operation."""

    phase: int
    node: CallNode


Group = Loop | Fill | Product | Calling


def is_inline(node: Node) -> bool:
    """Whether a node is computed again where it is read instead of being stored."""
    return isinstance(node, PointNode) and node.op in ("constant", "gather", "iota")


class Schedule:
    """Groups in order.

    Args:
        results: What is needed, whole nodes, by phase.
    """

    def __init__(self, results: Sequence[Sequence[View]]) -> None:
        self.groups: list[list[Group]] = [[], []]
        self._complete: dict[int, Place] = {}
        self._home: dict[int, Place] = {}
        self._uses: dict[int, int] = {}
        roots = [[view.node for view in views] for views in results]
        nodes = in_order([*roots[0], *roots[1]])
        for node in nodes:
            for part in arguments_of(node):
                self._uses[id(part)] = self._uses.get(id(part), 0) + 1
        early = in_order(roots[0])
        self._needed = {id(node) for node in (*roots[0], *roots[1])}
        self._absorbed: set[int] = set()
        self._phase = 0
        done = {id(node) for node in early}
        for phase, these in enumerate((early, [node for node in nodes if id(node) not in done])):
            self._mark(these)
            self._phase = phase
            for node in these:
                self._place(node, phase)
            for node in roots[phase]:
                self._require(node)

    # ------------------------------------------------------------ placing

    def _place(self, node: Node, phase: int) -> None:
        if isinstance(node, InputNode | ConstantNode) or id(node) in self._absorbed:
            self._complete[id(node)] = (0, -1)
        elif isinstance(node, PointNode):
            pass  # it gets its place with the first that needs it
        elif isinstance(node, BuildNode):
            self._build(node, phase)
        elif isinstance(node, GemmNode):
            self._gemm(node, phase)
        elif isinstance(node, CallNode):
            for view in node.arguments:
                self._require(view.node)
            self._complete[id(node)] = self._append(Calling(phase, node))
        else:
            (call,) = arguments_of(node)
            self._complete[id(node)] = self._complete[id(call)]

    def _append(self, group: Group) -> Place:
        groups = self.groups[group.phase]
        groups.append(group)
        return group.phase, len(groups) - 1

    def _mark(self, nodes: Sequence[Node]) -> None:
        """Find the matrix products that go straight into a part of another array."""
        for node in nodes:
            for part in node.parts if isinstance(node, BuildNode) else ():
                if self._direct(part) is not None:
                    self._absorbed.add(id(part.value.node))

    def _direct(self, part: Part) -> tuple[list[Call], Size] | None:
        """The calls that write a matrix product into its part of an array."""
        node = part.value.node
        if not isinstance(node, GemmNode) or self._uses[id(node)] != 1 or id(node) in self._needed:
            return None
        digits = digits_of(part.value, part.space, part.strides)
        if digits is None or part.index is not None or node.a is None or node.b is None:
            return None
        shape = (*node.a.shape[:-1], node.b.shape[-1])
        steps = row_major(shape)
        assert steps is not None  # noqa: S101 - it has a size
        dims: list[Dim] = []
        for size, step in zip(shape, steps, strict=True):
            axes = mapped_axis((size, step), digits)
            if axes is None:
                return None
            dims.append(tuple(axes))
        calls = product_of(node.a, node.b, tuple(dims))
        return None if calls is None else (calls, part.offset)

    def _require(self, node: Node) -> None:
        """Have a node stored."""
        if not isinstance(node, PointNode):
            return
        self._demand(node, (self._phase, 0))
        if id(node) not in self._home:
            self._point(node, (self._phase, 0))  # an inline one; what it reads may be given in this phase only
        phase, number = self._home[id(node)]
        loop = self.groups[phase][number]
        if isinstance(loop, Loop) and node not in loop.stored:
            loop.stored.append(node)
        self._complete[id(node)] = (phase, number)

    def _demand(self, node: Node, after: Place) -> None:
        """Have an elementwise node computed, and all that it needs, not before a place."""
        pending: list[tuple[Node, bool]] = [(node, False)]
        while pending:
            here, ready = pending.pop()
            if not isinstance(here, PointNode) or id(here) in self._home:
                continue
            if ready:
                if not is_inline(here):
                    self._point(here, after)
                continue
            pending.append((here, True))
            pending.extend((load.node, False) for load in reversed(here.loads))

    def _after(self, node: Node) -> Place:
        """The first place where a complete node can be read."""
        self._require(node)
        phase, number = self._complete[id(node)]
        return phase, number + 1

    def _earliest(self, load: Load, space: Sequence[Size], phase: int) -> tuple[Place, bool]:
        """The first place where something over an index space can read a load, and whether it is in the loop there."""
        node = load.node
        if is_inline(node):
            inner = inlined(load, space)
            if inner is not None:
                return max([(phase, 0), *(self._after(part.node) for part in inner)]), False
            return self._after(node), False
        if isinstance(node, PointNode):
            home = self._home[id(node)]
            if home[0] == phase and identity(load, space):
                return home, True
        return self._after(node), False

    def _point(self, node: PointNode, after: Place) -> None:
        phase = after[0]
        if is_inline(node):
            found = [(self._after(load.node), False) for load in node.loads]
        else:
            found = [self._earliest(load, node.space, phase) for load in node.loads]
        found.append((after, False))
        place = self._joined(phase, node.space, found, [(node.space, load) for load in node.loads])
        loop = self.groups[place[0]][place[1]]
        loop.points.append(node)  # type: ignore[union-attr]
        self._home[id(node)] = place
        for load, (_, inside) in zip(node.loads, found, strict=False):
            if inside and self._home[id(load.node)] != place:
                self._require(load.node)

    def _joined(
        self,
        phase: int,
        space: Sequence[Size],
        found: Sequence[tuple[Place, bool]],
        loads: Sequence[tuple[Sequence[Size], Load]],
    ) -> Place:
        """The loop to be in."""
        earliest = max([(phase, 0), *(place for place, _ in found)])
        inside = [place for place, within in found if within and place == earliest]
        # A loop of another place can be joined only after those that compute what is read at the same points.
        outside = max([(phase, 0), *(place if not within else (place[0], place[1] + 1) for place, within in found)])
        groups = self.groups[phase]
        candidates = list(range(len(groups) - 1, outside[1] - 1, -1))
        if inside and earliest >= max([(phase, 0), *(place for place, within in found if not within)]):
            candidates.insert(0, earliest[1])
        for number in candidates:
            loop = groups[number]
            if isinstance(loop, Loop) and self._accepts(loop, space, loads):
                return phase, number
        return self._append(Loop(phase, tuple(space)))

    @staticmethod
    def _accepts(loop: Loop, space: Sequence[Size], loads: Sequence[tuple[Sequence[Size], Load]]) -> bool:
        finer = refined(loop.space, space)
        if finer is None:
            return False
        fits = all(strides_in(own, load.strides, finer) is not None for own, load in loads)
        if not fits or (finer != loop.space and not _still_fits(loop, finer)):
            return False
        loop.space = finer
        return True

    # ------------------------------------------------------------- others

    def _gemm(self, node: GemmNode, phase: int) -> None:
        assert node.a is not None and node.b is not None  # noqa: S101, PT018 - set when made
        calls = product_of(node.a, node.b)
        assert calls is not None  # noqa: S101 - folding has seen to it
        for view in (node.a, node.b):
            self._require(view.node)
        self._complete[id(node)] = self._append(Product(phase, node, calls, node, ZERO, add=False))

    def _build(self, node: BuildNode, phase: int) -> None:
        filled, plan = planned(node)
        places: list[Place] = [(phase, -1)]
        if filled:
            places.append(self._append(Fill(phase, node)))
        written: list[tuple[Box | None, Place]] = []
        for part, adds, box in plan:
            blocking = [place for other, place in written if box is None or other is None or not disjoint(box, other)]
            after = max([places[0], *places[1:2], *blocking])
            place = self._write(node, part, phase, (after[0], after[1] + 1), add_=adds)
            written.append((box, place))
        self._complete[id(node)] = max([*places, *(place for _, place in written)])

    def _write(self, node: BuildNode, part: Part, phase: int, after: Place, *, add_: bool) -> Place:
        direct = self._direct(part) if id(part.value.node) in self._absorbed else None
        if direct is not None:
            gemm = part.value.node
            assert isinstance(gemm, GemmNode) and gemm.a is not None and gemm.b is not None  # noqa: S101, PT018
            for view in (gemm.a, gemm.b):
                self._require(view.node)
            return self._append(Product(phase, gemm, direct[0], node, direct[1], add=add_))
        self._demand(part.value.node, after)
        found = [self._earliest(part.value, part.space, phase)]
        if found[0][1] and found[0][0] < after:
            self._require(part.value.node)
            found = [(self._after(part.value.node), False)]
        found.append((after, False))
        loads = [(part.space, part.value)]
        if part.index is not None:
            found.append((self._after(part.index.node), False))
            loads.append((part.space, part.index))
        place = self._joined(phase, part.space, found, [*loads, (part.space, Load(node, ZERO, part.strides))])
        self.groups[phase][place[1]].writings.append(Writing(node, part, add_))  # type: ignore[union-attr]
        home = self._home.get(id(part.value.node), place)
        if home != place and not is_inline(part.value.node):
            self._require(part.value.node)
        return place


def _still_fits(loop: Loop, finer: Sequence[Size]) -> bool:
    for node in loop.points:
        if any(strides_in(node.space, load.strides, finer) is None for load in node.loads):
            return False
    for writing in loop.writings:
        part = writing.part
        strides = [part.value.strides, part.strides, *([part.index.strides] if part.index else [])]
        if any(strides_in(part.space, these, finer) is None for these in strides):
            return False
    return True


def inlined(load: Load, space: Sequence[Size]) -> list[Load] | None:
    """What an inline node reads at the points where it is read itself; None if that cannot be said."""
    node = load.node
    assert isinstance(node, PointNode)  # noqa: S101 - the only inline ones
    if node.op == "constant":
        return []
    made = []
    if node.op == "iota":
        return [] if identity(load, space) else None
    for inner in node.loads:
        digits = digits_of(Load(node, ZERO, row_major(node.space) or ()), node.space, inner.strides)
        offset = None if digits is None else mapped_offset(load.offset, digits)
        if digits is None or offset is None:
            return None
        strides: list[Size] = []
        for axis in zip(space, load.strides, strict=True):
            axes = mapped_axis(axis, digits)
            if axes is None or len(axes) != 1:
                return None
            strides.append(axes[0][1])
        made.append(Load(inner.node, add(inner.offset, offset), tuple(strides)))
    return made


def planned(node: BuildNode) -> tuple[bool, list[tuple[Part, bool, Box | None]]]:
    """How an array is built: whether zeros are needed first, and its parts in order, each added or set."""
    sums = all(part.add for part in node.parts)
    boxes = [(part, box_of(part, node.shape)) for part in node.parts]
    if sums:
        full = [ZERO] * len(node.shape)
        boxes.sort(
            key=lambda pair: (
                2
                if pair[1] is None
                else int([start for start, _ in pair[1]] != full or share(pair[1], node.shape) != 1)
            )
        )
    fill = not _covered(node, boxes)
    plan: list[tuple[Part, bool, Box | None]] = []
    seen: list[Box] = []
    unknown = False
    for part, box in boxes:
        fresh = box is not None and not unknown and all(disjoint(box, other) for other in seen)
        plan.append((part, part.add and not fresh, box))
        seen += [] if box is None else [box]
        unknown = unknown or box is None
    return fill, plan


def _covered(node: BuildNode, boxes: Sequence[tuple[Part, Box | None]]) -> bool:
    """Whether every element is set before something is added to it."""
    if product(node.shape) == ZERO:
        return True
    total = Fraction(0)
    seen: list[Box] = []
    for part, box in boxes:
        if box is None:
            if total != 1:
                return False
            continue
        if all(disjoint(box, other) for other in seen):
            own = share(box, node.shape)
            if own is None:
                return False
            total += own
            seen.append(box)
        elif part.add and not any(contains(other, box, node.shape) for other in seen):
            return False
    return total == 1
