"""``equipot.model.builder``: a typed function as a model builder.

For authors who prefer a function: its keyword-only parameters become the options, next to those
that every builder has.
"""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from equipot.model._recipe import ModelBuilder

if TYPE_CHECKING:
    from equipot.model._components import EnergyModule
    from equipot.model._context import BuildContext


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
        "__annotations__": {parameter.name: hints[parameter.name] for parameter in parameters},
        "build_energy": build_energy,
    }
    for parameter in parameters:
        if parameter.default is not inspect.Parameter.empty:
            namespace[parameter.name] = _field_default(parameter.default)
    made: type[ModelBuilder] = types.new_class(
        function.__name__, (ModelBuilder,), exec_body=lambda body: body.update(namespace)
    )
    return dataclasses.dataclass(frozen=True, kw_only=True)(made)


def _field_default(default: Any) -> Any:
    """A dataclass default; lists and dicts are copied for each recipe."""
    if isinstance(default, (list, dict, set)):
        return dataclasses.field(default_factory=lambda: type(default)(default))
    return default
