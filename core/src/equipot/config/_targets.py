"""What a ``_target_`` may name: public names of core, installed plugins, and a short allow list.

What counts is the object, not its dotted path: it must be a class of an allowed kind, or be defined in an
allowed package. Nothing else is ever imported.
"""

from __future__ import annotations

import importlib.util
import inspect
from dataclasses import dataclass
from typing import Any

from equipot._importing import load_module
from equipot.config import _aliases as aliases
from equipot.config._sections import is_within
from equipot.errors import PluginError, did_you_mean, problem
from equipot.plugins import KIND_OF_NAMESPACE, plugins

PUBLIC_MODULES = (
    "equipot.model",
    "equipot.pair_potentials",
    "equipot.energy_terms",
    "equipot.data",
    "equipot.data.transforms",
    "equipot.train",
    "equipot.train.callbacks",
)
"""Modules of core whose public names (``__all__``) a config may use."""

OTHER_PATHS = {"equipot.nn.pair_potential": "equipot.pair_potentials"}
"""Other paths of public modules. Private modules inside a public one need no entry."""

FOREIGN: dict[str, tuple[str, ...]] = {
    "torch.optim": ("torch.optim.Optimizer", "torch.optim.lr_scheduler.LRScheduler"),
    "torch.nn": ("torch.nn.modules.loss._Loss",),
    "lightning": (
        "lightning.pytorch.trainer.trainer.Trainer",
        "lightning.pytorch.callbacks.Callback",
        "lightning.pytorch.loggers.Logger",
        "lightning.pytorch.strategies.Strategy",
        "lightning.pytorch.profilers.Profiler",
        "lightning.pytorch.plugins.Precision",
        "lightning.pytorch.plugins.environments.ClusterEnvironment",
    ),
    "torchmetrics": ("torchmetrics.Metric",),
}
"""Packages outside equipot, and the base classes of what configs may use from them."""

HYDRA_PACKAGES = ("hydra._internal.core_plugins", "hydra_plugins", "hydra.experimental.callbacks")
"""Where targets of the ``hydra:`` section may come from: Hydra and installed Hydra plugins."""


@dataclass(frozen=True)
class AllowList:
    """Packages that the user adds on the command line with ``--allow-target``."""

    extra: tuple[str, ...] = ()

    given: tuple[str, ...] = ()
    """Texts in the values of overrides; as folders, a config may write below them."""

    def covers(self, path: str) -> bool:
        """Whether a dotted path is one of the names or lies in one of them."""
        return any(is_within(path, package) for package in self.extra)


class TargetError(Exception):
    """A target cannot be used; the message is one problem."""


def resolve_target(path: object, where: str, allow: AllowList | None = None) -> Any:
    """Find the object that a ``_target_`` names, if configs may use it.

    Args:
        path: The dotted path from the config.
        where: Dotted path in the config, for messages.
        allow: What the user allowed on the command line.

    Returns:
        The class or function.

    Raises:
        TargetError: If the target is not allowed or does not exist. Nothing outside the allowed packages is
            imported.
    """
    place = f"{where}._target_"
    if not isinstance(path, str) or not all(part.isidentifier() for part in path.split(".")):
        raise TargetError(problem(place, "must be a dotted path", got=path, hint="write package.module.Name"))
    try:
        return _resolved(path, place, allow or AllowList())
    except PluginError as error:
        raise TargetError(f"{place}: {error}") from None


def _resolved(path: str, place: str, allow: AllowList) -> Any:
    if allow.covers(path):
        return _extra(path, place, allow)
    if is_within(path, "equipot"):
        return _core(path, place)
    if owner := plugins().owner_of(path):
        return _defined_in(path, place, owner.package)
    for package, bases in FOREIGN.items():
        if is_within(path, package):
            return _of_kind(path, place, bases)
    raise TargetError(problem(place, "is not on the list of allowed targets", got=path, hint=_advice(path)))


def _advice(path: str) -> str:
    root = path.split(".", maxsplit=1)[0]
    if hint := aliases.advice(path):
        return hint
    if root.startswith("equipot"):
        return f"no installed plugin has the package {root!r}; pip install {root.replace('_', '-')}"
    return f"allowed are equipot, installed plugins and {', '.join(FOREIGN)}; if you trust it: --allow-target {root}"


def _core(path: str, place: str) -> Any:
    """A public name of core, or a registered name in one of the namespaces.

    ``equipot.data._module.ASEDataModule``, as Python shows the class, means ``equipot.data.ASEDataModule``.
    """
    parent, _, name = path.rpartition(".")
    parent = OTHER_PATHS.get(parent, parent)
    module_name = max((module for module in PUBLIC_MODULES if is_within(parent, module)), key=len, default="")
    if module_name:
        module = load_module(module_name)
        if name in public_names(module):
            return getattr(module, name)
        kind = KIND_OF_NAMESPACE.get(module_name)
        if kind is not None and (parent == module_name or name in plugins().names(kind)):
            return plugins().load(kind, name)
    known = [f"{one}.{public}" for one in PUBLIC_MODULES for public in public_names(load_module(one))]
    hint = did_you_mean(path, known) or f"modules: {', '.join(PUBLIC_MODULES)}"
    raise TargetError(problem(place, "is not a public name of equipot", got=path, hint=hint))


def public_names(module: Any) -> list[str]:
    """Classes of a module of core that configs may use: those in ``__all__``, or without it those it defines."""
    names = getattr(module, "__all__", None)
    if names is None:
        own = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
        names = [name for name in own if not name.startswith("_")]
    return sorted(name for name in names if inspect.isclass(getattr(module, name)))


def _locate(path: str, place: str) -> Any:
    """Import the longest prefix that is a module, and look up the rest as attributes."""
    parts = path.split(".")
    found: Any = load_module(parts[0])
    for index, part in enumerate(parts[1:], start=1):
        parent = found
        found = getattr(parent, part, None)
        if found is None and inspect.ismodule(parent) and hasattr(parent, "__path__"):
            name = f"{parent.__name__}.{part}"
            found = load_module(name) if importlib.util.find_spec(name) is not None else None
        if found is None:
            names = {*dir(parent), *getattr(parent, "__all__", ())}  # packages may export lazily
            hint = did_you_mean(part, sorted(name for name in names if not name.startswith("_")))
            raise TargetError(problem(place, f"{'.'.join(parts[:index])} has no {part!r}", got=path, hint=hint))
        if inspect.ismodule(found) and not is_within(found.__name__, parts[0]):
            hint = f"{found.__name__!r} is another package"
            raise TargetError(problem(place, "leaves its package", got=path, hint=hint))
    return found


def _defined_in(path: str, place: str, package: str) -> Any:
    """A class or function that is defined in a plugin's own package."""
    found = _locate(path, place)
    if not (inspect.isclass(found) or inspect.isfunction(found)) or not is_within(found.__module__, package):
        raise TargetError(problem(place, f"is not a class or function of {package}", got=path))
    return found


def _of_kind(path: str, place: str, bases: tuple[str, ...]) -> Any:
    """A class of the kinds that configs may use from a foreign package."""
    found = _locate(path, place)
    allowed = tuple(_locate(base, place) for base in bases)
    if not inspect.isclass(found) or not issubclass(found, allowed):
        kinds = ", ".join(base.rsplit(".", 1)[1].lstrip("_") for base in bases)
        hint = f"must be one of: {kinds}"
        raise TargetError(problem(place, "is not on the list of allowed targets", got=path, hint=hint))
    return found


def _extra(path: str, place: str, allow: AllowList) -> Any:
    """A target allowed on the command line, by its own path or by the package that defines it."""
    found = _locate(path, place)
    if not callable(found):
        raise TargetError(problem(place, "is not callable", got=path))
    home = getattr(found, "__module__", None) or ""
    if path not in allow.extra and not allow.covers(home):
        raise TargetError(problem(place, f"is defined in {home!r}", got=path, hint=f"--allow-target {home}"))
    return found
