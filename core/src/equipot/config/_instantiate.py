"""Check the targets of a resolved config and make their objects.

The walk does Hydra's ``instantiate`` for plain containers, with three differences: a target is
resolved once, against the allow list; options are checked against its signature, all problems
together; and optimizers and schedulers stay deferred until there are parameters.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from equipot.config._resolve import BAD, Statistic
from equipot.config._targets import AllowList, TargetError, resolve_target
from equipot.errors import ConfigError, EquipotError, did_you_mean, problem
from equipot.validation import check_options

_REFUSALS = (TypeError, ValueError, AttributeError, OSError, ImportError)
"""What constructors raise on options that they do not like, beside Lightning's own error."""

HYDRA_KEYS = ("_target_", "_convert_", "_recursive_", "_partial_")


class Deferred:
    """A target with some options, called later with the rest; nested ones get the rest too."""

    def __init__(self, target: Callable[..., Any], options: Mapping[str, Any]) -> None:
        """Keep the parts.

        Args:
            target: The class or function.
            options: What the config gives, with other ``Deferred`` in it.
        """
        self.target = target
        self.options = dict(options)

    def __call__(self, **rest: Any) -> Any:
        """Make the object.

        Args:
            **rest: Options that are known only now, e.g. ``params`` or ``optimizer``.
        """
        return self.target(**{key: _undeferred(value, rest) for key, value in self.options.items()}, **rest)


def _undeferred(value: Any, rest: Mapping[str, Any]) -> Any:
    if isinstance(value, Deferred):
        return value(**rest)
    if isinstance(value, list):
        return [_undeferred(item, rest) for item in value]
    return value


class Later:
    """Stands for the object of a target that phase 1 checks but does not make."""

    def __init__(self, target: Any) -> None:
        self.target = target


class Walker:
    """Visits sections of a config, collecting problems and objects.

    Args:
        allow: Targets allowed on the command line.
        final: Make every object (phase 2); else only those that are cheap and read nothing.
        deferred: Dotted path of a section to the options its targets get later.
    """

    def __init__(
        self,
        allow: AllowList | None = None,
        *,
        final: bool = False,
        deferred: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self.allow = allow or AllowList()
        self.final = final
        self.deferred = dict(deferred or {})
        self.problems: list[str] = []
        self.built: dict[str, Any] = {}
        self.targets: dict[str, Any] = {}
        self.samples: Callable[[Statistic, str], Any] | None = None

    def visit(self, value: Any, path: str) -> Any:
        """The object, container or plain value at a place; ``BAD`` if it has a problem.

        Args:
            value: What the resolved config holds there.
            path: Its dotted path.
        """
        if isinstance(value, Statistic):
            return self._statistic(value, path)
        if isinstance(value, dict):
            return self._node(value, path) if "_target_" in value else self._children(value, path)
        if isinstance(value, list):
            return [self.visit(item, f"{path}.{index}") for index, item in enumerate(value)]
        return value

    def resolve(self, section: Mapping[str, Any], path: str) -> Any:
        """The target of a section whose object the caller makes."""
        try:
            return resolve_target(section["_target_"], path, self.allow)
        except TargetError as error:
            raise ConfigError(str(error)) from None

    def _statistic(self, marker: Statistic, path: str) -> Any:
        if self.samples is None:
            self.problems.append(
                problem(
                    path,
                    "statistics can be used in training_module only",
                    got=f"${{training_data_stats:{marker.name}}}",
                )
            )
            return BAD
        return self.samples(marker, path)

    def _children(self, value: dict[str, Any], path: str) -> dict[str, Any]:
        return {key: self.visit(item, f"{path}.{key}") for key, item in value.items() if key not in HYDRA_KEYS}

    def _node(self, value: dict[str, Any], path: str) -> Any:
        try:
            target = resolve_target(value["_target_"], path, self.allow)
        except TargetError as error:
            self.problems.append(str(error))
            self._children(value, path)
            return BAD
        self.targets[path] = target
        options = self._children(value, path)
        later = self._late_options(path)
        before = len(self.problems)
        self._check(target, options, path, ("*",) if value.get("_partial_") else later)
        if len(self.problems) > before or _contains(options, BAD):
            return BAD
        if later or value.get("_partial_"):
            return self._deferred(Deferred(target, options), path, later)
        if not self.final and (not (_made_early(path) or is_cheap(target)) or _contains_later(options)):
            return Later(target)
        return self._make(target, options, path)

    def _late_options(self, path: str) -> tuple[str, ...]:
        for section, names in self.deferred.items():
            if path == section or path.startswith(section + "."):
                return names
        return ()

    def _check(self, target: Any, options: dict[str, Any], path: str, late: tuple[str, ...]) -> None:
        """Check what the config gives against the signature; objects made later are not looked at."""
        plain = {key: item for key, item in options.items() if not _contains(item, BAD) and not _contains_later(item)}
        _, found = check_options(target, plain, path)
        names = _parameter_names(target)
        open_names = (names or ()) if "*" in late else (*options, *late)
        missing = {problem(f"{path}.{name}", "required option is missing") for name in open_names}
        self.problems.extend(text for text in found if text not in missing)
        for key in options.keys() - plain.keys():
            if names is not None and key not in names:
                hint = did_you_mean(key, names) or f"options: {', '.join(names) or 'none'}"
                self.problems.append(problem(f"{path}.{key}", "unknown option", hint=hint))

    def _deferred(self, made: Deferred, path: str, later: tuple[str, ...]) -> Any:
        """Call torch's own optimizers and schedulers once on one number, to find wrong values early."""
        if not later or not made.target.__module__.startswith("torch.optim"):
            return made
        import torch

        number = [torch.nn.Parameter(torch.zeros(1))]
        samples = {"params": number, "optimizer": torch.optim.SGD(number, lr=0.1, momentum=0.9)}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                made(**{name: samples[name] for name in later})
        except (TypeError, ValueError) as error:
            self._refused(made.target, path, error)
            return BAD
        return made

    def _refused(self, target: Any, path: str, error: Exception) -> None:
        text = " ".join(str(error).split())
        self.problems.append(problem(path, f"{target.__name__} refuses its options: {text}"))

    def _make(self, target: Any, options: dict[str, Any], path: str) -> Any:
        try:
            made = target(**options)
        except ConfigError as error:
            self.problems.extend(relocate(text, target, path) for text in error.problems)
            return BAD
        except EquipotError as error:
            self.problems.append(f"{path}: {error}")
            return BAD
        except Exception as error:
            if not isinstance(error, _REFUSALS) and type(error).__name__ != "MisconfigurationException":
                raise
            self._refused(target, path, error)
            return BAD
        self.built[path] = made
        return made


def _parameter_names(target: Any) -> list[str] | None:
    """Names of a target's parameters, None if it takes any."""
    parameters = inspect.signature(target).parameters.values()
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return [parameter.name for parameter in parameters]


def relocate(text: str, target: Any, path: str) -> str:
    """A component's own message with its place in the config in front.

    Example:
        >>> relocate("int.r_max: must be positive", int, "training_module.model")
        'training_module.model.r_max: must be positive'
    """
    name = getattr(target, "__name__", "")
    if text.startswith((f"{path}.", f"{path}:")):
        return text
    if name and text.startswith((f"{name}.", f"{name}:")):
        return path + text[len(name) :]
    return f"{path}: {text}"


MADE_EARLY = (
    "data",
    "trainer.callbacks",
    "training_module.loss",
    "training_module.train_metrics",
    "training_module.val_metrics",
    "training_module.test_metrics",
)
"""Sections whose objects phase 1 makes whatever their target: by contract their constructors read no data and
write nothing."""


def _made_early(path: str) -> bool:
    return any(path == section or path.startswith(f"{section}.") for section in MADE_EARLY)


def is_cheap(target: Any) -> bool:
    """Whether phase 1 makes the object: core's and registered components, which read no data."""
    from equipot.plugins import plugins

    if not inspect.isclass(target) or any(base.__name__ == "LightningModule" for base in target.__mro__):
        return False
    if target.__module__.split(".")[0] == "equipot" or plugins().find_class(target) is not None:
        return True
    return any(f"{base.__module__}.{base.__qualname__}" == "equipot.options.Options" for base in target.__mro__)


def _contains(value: Any, what: Any) -> bool:
    if isinstance(value, dict):
        return any(_contains(item, what) for item in value.values())
    if isinstance(value, list):
        return any(_contains(item, what) for item in value)
    return value is what


def _contains_later(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_contains_later(item) for item in value.values())
    if isinstance(value, list):
        return any(_contains_later(item) for item in value)
    return isinstance(value, (Later, Deferred))
