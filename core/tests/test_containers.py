import numpy as np
import torch

from equipot.containers import children, leaves, mapped, nodes, plain


def test_children_are_those_of_one_level():
    assert dict(children({"a": [1], "b": 2}, "at")) == {"at.a": [1], "at.b": 2}
    assert dict(children([7, (8,)])) == {"0": 7, "1": (8,)}
    assert list(children("text")) == []


def test_nodes_come_from_the_outside():
    assert [path for path, _ in nodes({"a": {"b": [1]}, "c": 2})] == ["", "a", "a.b", "a.b.0", "c"]


def test_empty_containers_are_leaves():
    assert dict(leaves({"a": {}, "b": [[], 1]})) == {"a": {}, "b.0": [], "b.1": 1}
    assert dict(leaves(3)) == {"": 3}
    assert dict(leaves({})) == {}


def test_tensors_are_leaves():
    tensor = torch.ones(2)
    assert dict(leaves({"a": [tensor]}))["a.0"] is tensor


def test_mapping_leaves_makes_new_containers():
    value = {1: (2, {"a": 3})}
    assert mapped(value, lambda leaf: leaf + 1) == {"1": [3, {"a": 4}]}
    assert value == {1: (2, {"a": 3})}


def test_plain_keeps_what_json_knows():
    class Text(str):
        __slots__ = ()

    class Flag(int):
        pass

    given = {"text": Text("a"), "flag": Flag(2), "number": np.float32(0.5), "none": None, "path": 1j}
    found = plain(given)
    assert found == {"text": "a", "flag": 2, "number": 0.5, "none": None, "path": "1j"}
    assert [type(value) for value in found.values()] == [str, int, float, type(None), str]
