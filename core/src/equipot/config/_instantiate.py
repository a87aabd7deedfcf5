"""Check the targets of a resolved config and make their objects.

This replaces Hydra's ``instantiate`` for plain containers. It differs in three ways: targets must be on the
allow list, options are checked against signatures with all problems reported together, and optimizers and
schedulers are deferred until there are parameters.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from equipot.config._resolve import BAD, Statistic
from equipot.config._sections import DEFERRED, MADE_EARLY, is_within
from equipot.config._targets import AllowList, TargetError, resolve_target
from equipot.containers import nodes, rewritten
from equipot.errors import ConfigError, EquipotError, problem, relocate
from equipot.options import Options
from equipot.plugins import PARTS, plugins
from equipot.validation import check_options

HYDRA_KEYS = ("_target_", "_convert_", "_recursive_", "_partial_")


class Deferred:
    """A target with some of its options; calling it with the rest makes the object and deferred ones in its options."""

    def __init__(self, target: Callable[..., Any], options: Mapping[str, Any]) -> None:
        self.target = target
        self.options = dict(options)

    def __call__(self, **rest: Any) -> Any:
        def now(value: Any, _: str) -> Any:
            return value(**rest) if isinstance(value, Deferred) else value

        return self.target(**rewritten(self.options, leave=now), **rest)


class Later:
    """Placeholder of an object that the check does not make."""


class ConfigObjects:
    """Makes the objects of a config's sections, and collects the problems.

    With ``final`` (phase 2) every object is made, else only cheap ones that read nothing. ``deferred`` maps sections
    to the options that their targets get later.
    """

    def __init__(
        self,
        allow: AllowList | None = None,
        *,
        final: bool = False,
        deferred: Mapping[str, tuple[str, ...]] = DEFERRED,
    ) -> None:
        self.allow = allow or AllowList()
        self.final = final
        self.deferred = dict(deferred)
        self.problems: list[str] = []
        self.built: dict[str, Any] = {}
        self.targets: dict[str, Any] = {}
        self.samples: Callable[[Statistic, str], Any] | None = None

    def make(self, value: Any, path: str) -> Any:
        """Make what the resolved config has at a path: object, container or plain value; ``BAD`` after a problem."""
        return rewritten(value, path, enter=self._find_target, leave=self._made)

    def resolve(self, section: Mapping[str, Any], path: str) -> Any:
        """Resolve the target of a section; the caller makes the object."""
        try:
            return resolve_target(section["_target_"], path, self.allow)
        except TargetError as error:
            raise ConfigError(str(error)) from None

    def _find_target(self, value: Any, path: str) -> Any:
        """Resolve the target of a node before its options are made, so that its problem is listed first."""
        if isinstance(value, dict) and value.get("_target_", BAD) is not BAD:
            try:
                self.targets[path] = resolve_target(value["_target_"], path, self.allow)
            except TargetError as error:
                self.problems.append(str(error))
        return value

    def _made(self, value: Any, path: str) -> Any:
        """Make the object of a node whose options are made already; return anything else unchanged."""
        if isinstance(value, Statistic):
            if self.samples is not None:
                return self.samples(value, path)
            self.problems.append(problem(path, "statistics can be used in training_module only", got=value.raw))
            return BAD
        if not isinstance(value, dict):
            return value
        options = {key: item for key, item in value.items() if key not in HYDRA_KEYS}
        if "_target_" not in value:
            return options
        if path not in self.targets:
            return BAD
        return self._object(self.targets[path], options, path, partial=bool(value.get("_partial_")))

    def _object(self, target: Any, options: dict[str, Any], path: str, *, partial: bool) -> Any:
        later = next((names for section, names in self.deferred.items() if is_within(path, section)), ())
        values = {key: [item for _, item in nodes(option)] for key, option in options.items()}
        unmade = {key for key, items in values.items() if any(isinstance(one, (Later, Deferred)) for one in items)}
        bad = {key for key, items in values.items() if any(one is BAD for one in items)}
        open_options = None if partial else later
        _, found = check_options(target, options, path, unchecked={*unmade, *bad}, may_be_missing=open_options)
        self.problems.extend(found)
        if found or bad:
            return BAD
        if later or partial:
            return self._deferred(Deferred(target, options), path, later)
        if not self.final and (unmade or not (_is_early(target, path) or _is_cheap(target))):
            return Later()
        return self._called(target, options, path)

    def _deferred(self, made: Deferred, path: str, later: tuple[str, ...]) -> Any:
        """Try torch's own optimizers and schedulers on a single number, to find wrong values early."""
        if not later or not is_within(made.target.__module__, "torch.optim"):
            return made  # calling others may have side effects
        import torch

        number = [torch.nn.Parameter(torch.zeros(1))]
        samples = {"params": number, "optimizer": torch.optim.SGD(number, lr=0.1, momentum=0.9)}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                made(**{name: samples[name] for name in later})
        except Exception as error:  # noqa: BLE001 - nothing but their options is given to them
            self._refused(made.target, path, error)
            return BAD
        return made

    def _refused(self, target: Any, path: str, error: Exception) -> None:
        text = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, LookupError):  # whose text is the key alone
            text = f"{type(error).__name__}: {text}"
        self.problems.append(problem(path, f"invalid options for {target.__name__}: {text}"))

    def _called(self, target: Any, options: dict[str, Any], path: str) -> Any:
        try:
            made = target(**options)
        except ConfigError as error:
            self.problems.extend(relocate(text, target.__name__, path) for text in error.problems)
            return BAD
        except EquipotError as error:
            self.problems.append(f"{path}: {error}")
            return BAD
        except Exception as error:  # noqa: BLE001 - constructors check their options as they like, by chance as well
            self._refused(target, path, error)
            return BAD
        self.built[path] = made
        return made


def _is_early(target: Any, path: str) -> bool:
    """Whether the check makes an object because of its place; loggers and the like open files and connections."""
    import lightning

    if is_within(path, "trainer.callbacks"):
        return inspect.isclass(target) and issubclass(target, lightning.Callback)
    return any(is_within(path, section) for section in MADE_EARLY)


def _is_cheap(target: Any) -> bool:
    """Whether the check makes the object; components of core and registered ones do not read data."""
    import lightning

    if not inspect.isclass(target) or issubclass(target, lightning.LightningModule):
        return False
    own = is_within(target.__module__, "equipot") or issubclass(target, Options)
    declared = plugins().find_class(target)
    return own or (declared is not None and declared.kind != PARTS)
