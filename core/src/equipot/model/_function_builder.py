"""``equipot.model.builder``: make a model builder from a typed function.

Its keyword-only parameters become options, in addition to those that every builder has.
"""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable
from typing import Any

from equipot.model._components import EnergyModule
from equipot.model._context import BuildContext
from equipot.model._recipe import ModelBuilder


def builder(function: Callable[..., EnergyModule]) -> type[ModelBuilder]:
    """Turn ``def MyModel(context, *, option: type = default) -> EnergyModule`` into a builder class.

    Args:
        function: Makes the energy module; every option is keyword-only and annotated.

    Returns:
        A ModelBuilder subclass with the function's name, module and docstring.

    Raises:
        TypeError: If a parameter is not keyword-only or has no annotation.

    Example:
        >>> @builder
        ... def Sketch(context, *, width: int = 8):
        ...     "A model that is only sketched."
        >>> Sketch(type_names=["H"], r_max=3.0, width=4).width
        4
    """
    hints = typing.get_type_hints(function, include_extras=True)
    parameters = list(inspect.signature(function).parameters.values())[1:]
    for parameter in parameters:
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY or parameter.name not in hints:
            raise TypeError(
                f"{function.__name__}: option {parameter.name!r} must be keyword-only and annotated, "
                f"as in '*, {parameter.name}: int = 1'"
            )

    def build_energy(self: Any, context: BuildContext) -> EnergyModule:
        """Call the function with this recipe's options."""
        return function(context, **{parameter.name: getattr(self, parameter.name) for parameter in parameters})

    namespace: dict[str, Any] = {
        "__module__": function.__module__,
        "__qualname__": function.__qualname__,
        "__doc__": function.__doc__,
        "build_energy": build_energy,
    }
    fields = [(parameter.name, hints[parameter.name], _field(parameter.default)) for parameter in parameters]
    made: type[ModelBuilder] = dataclasses.make_dataclass(
        function.__name__, fields, bases=(ModelBuilder,), namespace=namespace, frozen=True, kw_only=True
    )
    made.__module__ = function.__module__  # from Python 3.12 on, make_dataclass sets it to this module
    return made


def _field(default: Any) -> Any:
    """A dataclass field; default lists and dicts are copied for each recipe."""
    if default is inspect.Parameter.empty:
        return dataclasses.field()
    if isinstance(default, (list, dict, set)):
        return dataclasses.field(default_factory=lambda: type(default)(default))
    return dataclasses.field(default=default)
