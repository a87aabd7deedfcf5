"""Options as frozen dataclasses, whose fields define the config schema and the reference pages.

``Options`` is the base of model builders and energy terms. A subclass is a ``@dataclass(frozen=True, kw_only=True)``
with a docstring under each field. Wrong values raise a ConfigError that lists all problems, in Python as in YAML.

Classes that cannot be frozen dataclasses (losses, metrics, data and training modules) derive from ``Configurable``
and name a dataclass whose fields are their arguments.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, TypeVar

from equipot.containers import mapped
from equipot.errors import ConfigError, relocate
from equipot.validation import check_options


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Base of model builders and energy terms: checked, immutable, convertible to a config."""

    citations: ClassVar[tuple[str, ...]] = ()
    """Publications to cite; stored with every model that has the component."""

    def __post_init__(self) -> None:
        """Check all fields and convert them to their annotated types; a ConfigError lists all problems."""
        cls = type(self)
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        checked, problems = check_options(cls, values, cls.__name__)
        if not problems:
            for name, value in checked.items():
                object.__setattr__(self, name, value)
            problems = [f"{cls.__name__}.{text}" for text in self.problems()]
        if problems:
            raise ConfigError(problems)

    def problems(self) -> Iterable[str]:
        """Problems between fields; subclasses yield theirs after ``super().problems()``.

        Returns:
            Messages that start with the field's name, as made by ``equipot.errors.problem``.
        """
        return ()


class Configurable:
    """Base of classes whose arguments are the fields of an ``Options`` dataclass.

    A derived class names the dataclass, unless it adds no options, annotates ``options`` with it for type checkers, and
    does further work in ``__post_init__``. ``inspect.signature``, ``equipot describe``, the JSON Schema and the checks
    of configs see the fields. Wrong values raise a ConfigError that starts with the name of the class. A class that
    defines ``__init__`` itself takes the arguments of that instead.

    Example:
        >>> @dataclasses.dataclass(frozen=True, kw_only=True)
        ... class WindowOptions(Options):
        ...     width: float = 1.0
        >>> class Window(Configurable, options=WindowOptions):
        ...     options: WindowOptions
        ...
        ...     def __post_init__(self) -> None:
        ...         self.half = self.options.width / 2
        >>> Window(width=3.0).half
        1.5
        >>> inspect.signature(Window)
        <Signature (*, width: 'float' = 1.0)>
    """

    options_class: ClassVar[type[Options]] = Options
    """The dataclass."""

    options: Options
    """The arguments, checked."""

    __signature__: ClassVar[inspect.Signature | None] = None

    def __init_subclass__(cls, *, options: type[Options] | None = None, **kwargs: Any) -> None:
        """Take the dataclass of options, by default that of the base class, and its signature."""
        super().__init_subclass__(**kwargs)
        made_from = options or cls.options_class
        if cls.__init__ is Configurable.__init__:
            cls.options_class = made_from
            cls.__signature__ = inspect.signature(made_from).replace(return_annotation=inspect.Signature.empty)
        else:
            cls.__signature__ = None  # Python then looks at __init__

    def __init__(self, *args: Any, **options: Any) -> None:
        """Check the arguments and store them in ``options``; a ConfigError lists all problems."""
        made_from = type(self).options_class
        try:
            checked = made_from(*args, **options)
        except ConfigError as error:
            name = type(self).__name__
            raise ConfigError([relocate(text, made_from.__name__, name) for text in error.problems]) from None
        super().__init__()
        self.options = checked
        self.__post_init__()

    def __post_init__(self) -> None:
        """Use the options; derived classes call ``super().__post_init__()`` first."""


_AnyOptions = TypeVar("_AnyOptions", bound=Options)


def from_mapping(made: type[_AnyOptions], values: Mapping[str, Any], where: str) -> _AnyOptions:
    """Make options from a mapping without ``_target_`` in a config.

    Args:
        made: Class of the options.
        values: Option name to value.
        where: Dotted path that messages start with.

    Raises:
        ConfigError: With every problem found.

    Example:
        >>> @dataclasses.dataclass(frozen=True, kw_only=True)
        ... class WindowOptions(Options):
        ...     width: float = 1.0
        >>> from_mapping(WindowOptions, {"width": 2}, "window").width
        2.0
        >>> from_mapping(WindowOptions, {"wide": 2}, "window")
        Traceback (most recent call last):
        equipot.errors.ConfigError: window.wide: unknown option; did you mean 'width'?
    """
    checked, problems = check_options(made, values, where)
    if problems:
        raise ConfigError(problems)
    try:
        return made(**checked)
    except ConfigError as error:
        raise ConfigError([relocate(text, made.__name__, where) for text in error.problems]) from None


def to_config(options: Options) -> dict[str, Any]:
    """The config of some options: their registered ``_target_`` and all fields.

    Args:
        options: A model builder or an energy term.

    Returns:
        Plain containers (dict, list, str, numbers) for JSON and YAML.
    """
    from equipot.plugins import public_target

    def config_of(value: Any) -> Any:
        return to_config(value) if isinstance(value, Options) else value

    fields = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
    return {"_target_": public_target(type(options)), **mapped(fields, config_of)}
