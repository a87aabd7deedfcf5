"""Options as frozen dataclasses: the fields are the config schema and the reference docs.

``Options`` is the base of everything a model config is made of (model builders, energy terms). A
subclass is a ``@dataclass(frozen=True, kw_only=True)`` with a docstring under each field; wrong
values raise one ConfigError that lists all problems, from Python and from YAML alike.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from equipot.errors import ConfigError
from equipot.validation import check_options


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Base of model builders and energy terms: checked, immutable, convertible to a config."""

    citations: ClassVar[tuple[str, ...]] = ()
    """What to cite when using the component; stored with every model that has it."""

    def __post_init__(self) -> None:
        """Check all fields and store them in their annotated types.

        Raises:
            ConfigError: With every problem found.
        """
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
        """Problems between fields; overriding classes yield theirs after ``super().problems()``.

        Returns:
            Messages that start with the field's name, as made by ``equipot.errors.problem``.
        """
        return ()


def to_config(options: Options) -> dict[str, Any]:
    """The config mapping that rebuilds the options: registered ``_target_`` and all fields.

    Args:
        options: A model builder or an energy term.

    Returns:
        Plain containers (dict, list, str, numbers), fit for JSON and YAML.
    """
    from equipot.plugins import public_target

    config: dict[str, Any] = {"_target_": public_target(type(options))}
    for field in dataclasses.fields(options):
        config[field.name] = _plain(getattr(options, field.name))
    return config


def _plain(value: Any) -> Any:
    if isinstance(value, Options):
        return to_config(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
