"""Check options against the signature of a class or function.

This is used for model builders, pair potentials, modifiers and every other ``_target_``. Unknown and missing keys,
wrong types and ranges are reported together. ``bool``, ``int`` and ``str`` are strict (``"3"``, ``3.0`` and ``True``
are not integers), ``float`` accepts integers, and sequences accept lists and tuples.
"""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Annotated, Any, Union, get_args, get_origin

from equipot.errors import nearest, problem, unknown

_MAX_UNKNOWN = 50


def options_of(target: Callable[..., Any]) -> Callable[..., Any]:
    """The callable whose signature has a component's options: the dataclass of a ``Configurable``, else itself."""
    found: Callable[..., Any] = vars(target).get("options_class", target) if inspect.isclass(target) else target
    return found


def check_options(
    target: Callable[..., Any],
    values: Mapping[str, Any],
    where: str,
    *,
    unchecked: Collection[str] = (),
    may_be_missing: Collection[str] | None = (),
) -> tuple[dict[str, Any], list[str]]:
    """Check values against the parameters of a class or function.

    Parameters without annotation accept any value, and ``**kwargs`` in the signature any key (some foreign classes
    have them; plugins must not).

    Args:
        target: The callable that will receive the values.
        values: Option name to value.
        where: Dotted path that messages start with.
        unchecked: Options whose values are not final; only their names are checked.
        may_be_missing: Required options that are given later; None for any.

    Returns:
        The values converted to the annotated types, and all problems.
    """
    from pydantic import ValidationError

    target = options_of(target)
    try:
        parameters, open_ended = _parameters(target)
    except (TypeError, ValueError):  # a class of C without a signature
        return dict(values), [problem(where, f"the options of {getattr(target, '__name__', target)} are not known")]
    names = [] if open_ended else [name for name in values if name not in parameters]
    problems = [unknown(f"{where}.{name}", name, parameters) for name in names[:_MAX_UNKNOWN]]
    if len(names) > _MAX_UNKNOWN:
        problems.append(problem(where, f"has {len(names) - _MAX_UNKNOWN} more unknown options"))
    meant = {nearest(name, parameters) for name in names[:_MAX_UNKNOWN]}  # one typo is one problem
    for name, parameter in parameters.items():
        missing = parameter.default is inspect.Parameter.empty and name not in values
        if missing and may_be_missing is not None and name not in may_be_missing and name not in meant:
            problems.append(problem(f"{where}.{name}", "required option is missing"))
    adapters = _adapters(target)
    checked = dict(values)
    for name, value in values.items():
        if name in adapters and name not in unchecked:
            try:
                checked[name] = adapters[name].validate_python(value)
            except ValidationError as error:
                problems.extend(_messages(error, f"{where}.{name}"))
            except (ArithmeticError, RecursionError) as error:  # numbers beyond all bounds, endless nesting
                problems.append(problem(f"{where}.{name}", f"cannot be checked: {error}"))
    return checked, problems


def _parameters(target: Callable[..., Any]) -> tuple[dict[str, inspect.Parameter], bool]:
    """The parameters that can be given by name, and whether any other name is accepted too."""
    found, by_name = inspect.signature(target).parameters, inspect.Parameter
    named = (by_name.POSITIONAL_OR_KEYWORD, by_name.KEYWORD_ONLY)
    keep = {name: parameter for name, parameter in found.items() if parameter.kind in named}
    return keep, any(parameter.kind is by_name.VAR_KEYWORD for parameter in found.values())


@functools.lru_cache(maxsize=512)
def _adapters(target: Callable[..., Any]) -> dict[str, Any]:
    from pydantic import ConfigDict, TypeAdapter

    hints = annotations_of(target)
    config = ConfigDict(arbitrary_types_allowed=True)
    adapters = {}
    for name in _parameters(target)[0].keys() & hints.keys():
        annotation = _strict(hints[name])
        for given in (config, None):  # TypeAdapter does not accept a config for dataclasses and models
            try:
                adapters[name] = TypeAdapter(annotation, config=given)
                break
            except Exception:  # noqa: BLE001, S112 - annotations of foreign classes that pydantic cannot check
                continue
    return adapters


def annotations_of(target: Callable[..., Any]) -> dict[str, Any]:
    """Resolved annotations of a component's options, as far as they can be resolved."""
    target = options_of(target)
    if inspect.isclass(target) and "__dataclass_fields__" not in vars(target):
        target = target.__init__
    try:
        return typing.get_type_hints(target, include_extras=True)
    except Exception:  # noqa: BLE001 - annotations may name what is imported for type checkers only
        return _resolvable_hints(target)


def _resolvable_hints(target: Callable[..., Any]) -> dict[str, Any]:
    """Resolve each annotation by itself, and leave out those that fail."""
    found: dict[str, Any] = {}
    for name, annotation in getattr(target, "__annotations__", {}).items():
        single = types.SimpleNamespace(__annotations__={name: annotation})
        try:
            found |= typing.get_type_hints(single, getattr(target, "__globals__", {}), include_extras=True)
        except Exception:  # noqa: BLE001, S112 - this one is not checked then
            continue
    return found


def _strict(annotation: Any) -> Any:
    """Rewrite an annotation so that pydantic does not convert between bool, int, float and str."""
    from pydantic import BeforeValidator, InstanceOf, StrictBool, StrictInt, StrictStr

    simple = {bool: StrictBool, int: StrictInt, str: StrictStr}
    if annotation in (bool, int, str):
        return simple[annotation]
    if annotation is float:
        return Annotated[float, BeforeValidator(_number)]
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return Annotated[(_strict(args[0]), *args[1:])]
    if origin in (Union, types.UnionType):
        return Union[tuple(_strict(arg) for arg in args)]  # noqa: UP007 - built at run time
    if origin is Iterable and args:
        origin = list  # pydantic would take a text for one, and look at no element
    if origin in (list, tuple, dict, set, frozenset) and args:
        return origin[tuple(arg if arg is Ellipsis else _strict(arg) for arg in args)]
    instance: Any = InstanceOf  # pydantic would take components apart
    return instance[annotation] if is_component(annotation) else annotation


def is_component(annotation: Any) -> bool:
    """Whether an annotation is a class of components: a dataclass or an abstract class."""
    return inspect.isclass(annotation) and (
        "__dataclass_fields__" in vars(annotation) or inspect.isabstract(annotation)
    )


def _number(value: object) -> object:
    if isinstance(value, (bool, str)):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic turns ValueError into a message
    return value


def _messages(error: Any, where: str) -> list[str]:
    """A message per place; the branches of a union are joined with 'or'."""
    by_place: dict[str, list[dict[str, Any]]] = {}
    for item in error.errors(include_url=False):
        keys = [str(part) for part in item["loc"] if _is_key(part)]
        by_place.setdefault(".".join([where, *keys]), []).append(item)
    messages = []
    for place, items in by_place.items():
        texts = dict.fromkeys(_wording(item["msg"]) for item in items)
        shown = [text for text in texts if text != "must be None"] or list(texts)
        messages.append(problem(place, " or ".join(shown), got=items[0]["input"]))
    return messages


def _is_key(part: object) -> bool:
    """Whether a part of a location is a key of the user, and not pydantic's name for the branch of a union."""
    branch_marks = "[]()-"
    branches = ("bool", "int", "float", "str", "none", "is-instance")
    return isinstance(part, int) or (
        isinstance(part, str) and part not in branches and not any(mark in part for mark in branch_marks)
    )


def _wording(message: str) -> str:
    text = message.removeprefix("Value error, ").removeprefix("Input should be ")
    replacements = {
        "a valid integer": "must be an integer",
        "a valid string": "must be a string",
        "a valid boolean": "must be true or false",
        "a valid list": "must be a list",
        "a valid tuple": "must be a list",
        "a valid dictionary": "must be a mapping",
        "a valid number": "must be a number",
    }
    if text in replacements:
        return replacements[text]
    return text if text.startswith("must") or not message.startswith("Input should be") else f"must be {text}"
