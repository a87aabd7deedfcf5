"""Rewrites of a traced graph that keep its values and make the compiled code faster."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import GraphModule, Node

_aten = torch.ops.aten


def without_atomic_sums(graph_module: GraphModule) -> int:
    """Rewrite sums over edges, in place, such that Inductor calls torch's own kernels for them; return their number.

    Inductor turns ``index_add`` into one atomic addition per number, which is several times slower than
    ``scatter_add``, which it leaves to torch. Sums along other axes, by a constant index in ascending order (the rows
    of each path), become sums of slices.
    """
    rewritten = 0
    for node in list(graph_module.graph.nodes):
        if node.target is not _aten.index_add.default or len(node.args) != 4 or node.kwargs:
            continue
        with graph_module.graph.inserting_before(node):
            made = _scattered(node) if node.args[1] == 0 else _summed_slices(graph_module, node)
        if made is not None:
            node.replace_all_uses_with(made)
            graph_module.graph.erase_node(node)
            rewritten += 1
    graph_module.recompile()
    return rewritten


def _scattered(node: Node) -> Node:
    """The sum over the first axis as ``scatter_add``, whose index has the shape of the source."""
    arguments: Any = node.args
    target, _, index, source = arguments
    for _ in range(source.meta["val"].dim() - 1):
        index = node.graph.call_function(_aten.unsqueeze.default, (index, -1))
    index = node.graph.call_function(_aten.expand_as.default, (index, source))
    return node.graph.call_function(_aten.scatter_add.default, (target, 0, index, source))


def _summed_slices(graph_module: GraphModule, node: Node) -> Node | None:
    """The sum along a later axis, for a constant index that contains every number, in ascending order."""
    arguments: Any = node.args
    target, axis, index, source = arguments
    if index.op != "get_attr" or not isinstance(constant := getattr(graph_module, index.target, None), torch.Tensor):
        return None
    numbers, counts = constant.unique_consecutive(return_counts=True)
    if numbers.tolist() != list(range(target.meta["val"].shape[axis])):
        return None
    parts, start = [], 0
    for count in counts.tolist():
        part = node.graph.call_function(_aten.slice.Tensor, (source, axis, start, start + count))
        parts.append(node.graph.call_function(_aten.sum.dim_IntList, (part, [axis], True)))
        start += count
    joined = node.graph.call_function(_aten.cat.default, (parts, axis))
    return node.graph.call_function(_aten.add.Tensor, (target, joined))
