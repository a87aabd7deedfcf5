"""What a ``_target_`` may name: what core and installed plugins declare, and classes of a short list of other packages.

Of the other packages what counts is the object, not its dotted path: it must be a class of a kind that its place takes,
and be defined there. Functions are never legal, apart from declared modifiers, and nothing else is ever imported.
"""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from equipot._host.declaration import load_target, singular, warn_if_deprecated
from equipot._importing import load_module, load_object
from equipot.config import _aliases as aliases
from equipot.config._places import kinds_at
from equipot.config._sections import is_within
from equipot.declarations import PART_KINDS
from equipot.errors import PluginError, did_you_mean, problem
from equipot.plugins import KIND_OF_NAMESPACE, PARTS, Declaration, PluginRecord, plugins

OTHER_PATHS = {"equipot.nn.pair_potential": "equipot.pair_potentials"}
"""Other paths of public modules. Private modules inside a public one need no entry."""

FOREIGN: dict[str, str] = {
    "optimizer": "torch.optim",
    "scheduler": "torch.optim",
    "criterion": "torch.nn",
    "trainer": "lightning",
    "callback": "lightning",
    "logger": "lightning",
    "strategy": "lightning",
    "profiler": "lightning",
    "precision": "lightning",
    "cluster_environment": "lightning",
    "metric": "torchmetrics",
}
"""Kinds of parts that configs may use from packages outside equipot, and these packages."""

NUMBERS = ("torchmetrics.regression", "torchmetrics.aggregation", "torchmetrics.wrappers")
"""Where a metric must be defined: others of torchmetrics load networks, some of them from pickles."""

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
    """Find the object that a ``_target_`` names, if configs may use it there.

    Args:
        path: The dotted path from the config.
        where: Dotted path in the config, which determines the kinds of components that are possible.
        allow: What the user allowed on the command line.

    Returns:
        The class; a function only for modifiers and for what the user allowed.

    Raises:
        TargetError: If the target is not allowed or does not exist. Nothing outside the allowed packages is
            imported.
    """
    place = f"{where}._target_"
    parts = path.split(".") if isinstance(path, str) else [""]
    if not isinstance(path, str) or not all(part.isidentifier() for part in parts):
        raise TargetError(problem(place, "must be a dotted path", got=path, hint="write package.module.Name"))
    kinds = kinds_at(where)
    try:
        if allow is not None and allow.covers(path):
            return _extra(path, place, allow)
        if declared := find_declared(path):
            return _declared(declared, path, place, kinds)
        if is_within(path, "equipot"):
            known = [one.path for one in declarations()]
            hint = did_you_mean(path, known) or "'equipot describe' lists what configs may name"
            raise TargetError(problem(place, "is not a public name of equipot", got=path, hint=hint))
        if owner := plugins().owner_of(path):
            raise TargetError(_undeclared(path, place, owner))
        return _foreign(path, place, kinds)
    except PluginError as error:
        raise TargetError(f"{place}: {error}") from None


def declarations() -> Iterator[Declaration]:
    """Everything with an unambiguous name that configs may name by ``Declaration.path``."""
    for kind in (*KIND_OF_NAMESPACE.values(), PARTS):
        yield from plugins().available(kind)


def find_declared(path: str) -> Declaration | None:
    """The declaration that a path names: by a namespace of equipot, or exactly as the target is declared.

    ``equipot.data._module.ASEDataModule``, as Python shows the class, means ``equipot.data.ASEDataModule``.

    Raises:
        PluginNotFoundError: If it is directly in a namespace (``equipot.model.NAME``), but not declared.
    """
    if not is_within(path, "equipot"):
        found = plugins().find_target(path)
        return found and warn_if_deprecated(found)
    parent, _, name = path.rpartition(".")
    parent = OTHER_PATHS.get(parent, parent)
    own = {one.path for one in plugins().available(PARTS) if is_within(one.path, "equipot")}
    modules = {*KIND_OF_NAMESPACE, *(one.rpartition(".")[0] for one in own)}
    module = max((one for one in modules if is_within(parent, one)), key=len, default="")
    if f"{module}.{name}" in own:
        return plugins().lookup(PARTS, f"{module}.{name}")
    kind = KIND_OF_NAMESPACE.get(module)
    if kind is None or (parent != module and name not in plugins().names(kind)):
        return None
    return plugins().lookup(kind, name)


def _declared(declared: Declaration, path: str, place: str, kinds: tuple[str, ...]) -> Any:
    if kinds and declared.fine_kind not in kinds:
        hint = f"it is declared as {_one_of([declared.fine_kind])}"
        raise TargetError(problem(place, f"must be {_one_of(kinds)}", got=path, hint=hint))
    return load_target(declared)


def _undeclared(path: str, place: str, owner: PluginRecord) -> str:
    known = [one.path for one in declarations() if one.plugin == owner.id]
    names = {one.rpartition(".")[2]: one for one in known}
    close = names.get(path.rpartition(".")[2])
    hint = f"did you mean {close!r}?" if close else did_you_mean(path, known)
    hint = hint or f"ask its author to declare it with equipot_parts; if you trust it: --allow-target {path}"
    return problem(place, f"is not declared by plugin {owner.label}", got=path, hint=hint)


def _one_of(kinds: Iterable[str]) -> str:
    """Kinds in words, e.g. ``an optimizer``, ``metrics or a loss``."""
    plural = ("metrics", "parameter_groups")
    article = {kind: "" if kind in plural else "an " if kind[0] in "aeo" else "a " for kind in kinds}
    return " or ".join(f"{before}{singular(kind)}" for kind, before in article.items())


def _foreign(path: str, place: str, kinds: tuple[str, ...]) -> Any:
    """A class of another package, of a kind that configs may use from there and its place takes."""
    near = [kind for kind, package in FOREIGN.items() if is_within(path, package)]
    if not near or any(part.startswith("__") for part in path.split(".")):
        raise TargetError(problem(place, "is not on the list of allowed targets", got=path, hint=_advice(path)))
    found = _locate(path, place)
    its = [kind for kind in near if _is_of_kind(found, kind)]
    if not its:
        hint = f"must be {_one_of(near)}; if you trust it: --allow-target {path}"
        raise TargetError(problem(place, "is not on the list of allowed targets", got=path, hint=hint))
    if kinds and not set(its) & set(kinds):
        hint = f"it is {_one_of(its)}"
        raise TargetError(problem(place, f"must be {_one_of(kinds)}", got=path, hint=hint))
    return found


def _is_of_kind(found: object, kind: str) -> bool:
    homes = NUMBERS if kind == "metric" else (FOREIGN[kind],)
    own = inspect.isclass(found) and any(is_within(found.__module__, home) for home in homes)
    return own and issubclass(found, load_object(PART_KINDS[kind]))  # type: ignore[arg-type]


def _advice(path: str) -> str:
    root = path.split(".", maxsplit=1)[0]
    ours = any(root == package.split(".")[0] for package in FOREIGN.values())  # not the root of another program
    if (not ours or path in aliases.aliases()) and (hint := aliases.advice(path)):
        return hint
    if root.startswith("equipot"):
        return f"no installed plugin has the package {root!r}; pip install {root.replace('_', '-')}"
    packages = ", ".join(dict.fromkeys(FOREIGN.values()))
    return f"allowed are equipot, installed plugins and {packages}; if you trust it: --allow-target {root}"


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


def _extra(path: str, place: str, allow: AllowList) -> Any:
    """A target allowed on the command line, by its own path or by the package that defines it."""
    found = _locate(path, place)
    if not callable(found):
        raise TargetError(problem(place, "is not callable", got=path))
    home = getattr(found, "__module__", None) or ""
    if path not in allow.extra and not allow.covers(home):
        raise TargetError(problem(place, f"is defined in {home!r}", got=path, hint=f"--allow-target {home}"))
    return found
