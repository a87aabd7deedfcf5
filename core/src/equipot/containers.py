"""Walk over nested mappings and lists, such as configs, manifests and checkpoints.

Paths are dotted: ``training_module.model.type_names.0``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any


def children(value: object, path: str = "") -> Iterator[tuple[str, Any]]:
    """Path and value of each entry of a container; nothing for a leaf.

    Args:
        value: A mapping, list or tuple; anything else is a leaf.
        path: Its own path.
    """
    items: Iterable[tuple[object, Any]] = ()
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    for key, item in items:
        yield (f"{path}.{key}" if path else str(key)), item


def nodes(value: object, path: str = "") -> Iterator[tuple[str, Any]]:
    """Path and value of all containers and leaves, outer ones first.

    Example:
        >>> list(nodes({"a": [1]}))
        [('', {'a': [1]}), ('a', [1]), ('a.0', 1)]
    """
    yield path, value
    for place, item in children(value, path):
        yield from nodes(item, place)


def leaves(value: object, path: str = "") -> Iterator[tuple[str, Any]]:
    """Path and value of all leaves; an empty container counts as a leaf.

    Example:
        >>> dict(leaves({"a": {"b": 1}, "c": [2, 3], "d": {}}))
        {'a.b': 1, 'c.0': 2, 'c.1': 3, 'd': {}}
    """
    for place, item in nodes(value, path):
        if next(children(item), None) is None and (place or item):
            yield place, item


def mapped(value: Any, function: Callable[[Any], Any]) -> Any:
    """Copy nested containers with each leaf replaced by ``function(leaf)``; tuples become lists, keys become strings.

    Example:
        >>> mapped({"a": (1, 2)}, str)
        {'a': ['1', '2']}
    """
    if isinstance(value, Mapping):
        return {str(key): mapped(item, function) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [mapped(item, function) for item in value]
    return function(value)


def rewritten(
    value: Any,
    path: str = "",
    *,
    enter: Callable[[Any, str], Any] | None = None,
    leave: Callable[[Any, str], Any] | None = None,
) -> Any:
    """Rebuild nested containers, replacing each value by the result of functions of value and path.

    Args:
        value: A mapping, list, tuple or leaf.
        path: Its own path.
        enter: Called before the entries are rewritten; those of its result are rewritten next.
        leave: Called after the entries are rewritten.

    Example:
        >>> rewritten({"a": [1, 2]}, leave=lambda item, path: sum(item) if path == "a" else item)
        {'a': 3}
    """
    if enter is not None:
        value = enter(value, path)
    made = [rewritten(item, place, enter=enter, leave=leave) for place, item in children(value, path)]
    if isinstance(value, Mapping):
        value = dict(zip(value, made, strict=True))
    elif isinstance(value, (list, tuple)):
        value = made
    return value if leave is None else leave(value, path)


def plain(value: Any) -> Any:
    """Convert to what JSON, YAML and ``weights_only=True`` support: numpy scalars to numbers, other objects to text."""
    return mapped(value, _plain_leaf)


def _plain_leaf(value: Any) -> Any:
    if value is None or type(value) in (bool, int, float, str):
        return value
    for kind in (bool, int, float, str):  # subclasses lose their type
        if isinstance(value, kind):
            return kind(value)
    return value.item() if hasattr(value, "item") else str(value)
