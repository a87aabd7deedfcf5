"""Resolve interpolations twice: before the statistics are known (phase 1) and with their values (phase 2).

In phase 1 ``${training_data_stats:NAME}`` becomes a ``Statistic`` marker, so that the config can be checked
before data are read. Phase 2 resolves the same config with the values.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from omegaconf import Container, DictConfig, ListConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from omegaconf.resolvers import oc

from equipot.config._resolvers import STATISTICS, resolver_names
from equipot.config._sections import key_paths
from equipot.containers import mapped
from equipot.errors import ConfigError, did_you_mean, problem, unknown


class Statistic(str):
    """Marker of a statistic in a config of phase 1."""

    __slots__ = ()

    @classmethod
    def named(cls, name: str) -> Statistic:
        """The marker of a statistic."""
        return cls(f"{STATISTICS}\x00{name}\x00")

    @property
    def name(self) -> str:
        """Name of the statistic."""
        return self.split("\x00")[1]

    @property
    def raw(self) -> str:
        """The statistic as configs write it."""
        return f"${{{STATISTICS}:{self.name}}}"


class _Bad:
    """Class of ``BAD``."""

    def __repr__(self) -> str:
        return "BAD"


BAD: Any = _Bad()
"""Replaces a value whose problem is already reported."""


MAX_STEPS = 3_000
MAX_NODES = 20_000
MAX_DEPTH = 60
MAX_TEXT = 10_000
MAX_SECONDS = 3.0
"""Bounds for what interpolations may make of a config: number of them that are followed, and of values; depth; length
of a text; time, which only matters for texts that take long to parse."""

MAX_INTEGER = 2**63

MAX_PROBLEMS = 50

_MAX_HINTS = 1_000
"""Number of keys among which a similar one is looked for, which takes long."""


class _Budget:
    """What is left to resolve the interpolations of a config."""

    def __init__(self) -> None:
        self.steps = self.nodes = self.inside = 0
        self.seconds = self.start = 0.0
        self.spent = ""

    def follow(self, call: Callable[[], Any]) -> Any:
        """Follow an interpolation, in which others may be followed."""
        self.check(within=True, what="")
        if not self.inside:
            self.start = time.monotonic()
        self.inside += 1
        try:
            result = call()
        finally:
            self.inside -= 1
            passed = self.seconds + time.monotonic() - self.start
            self.seconds = self.seconds if self.inside else passed
        self.steps += 1
        value = result if isinstance(result, (str, list, dict)) else ""
        self.check(self.steps <= MAX_STEPS, "too many interpolations to follow")
        self.check(len(value) <= MAX_TEXT, "an interpolation makes too long a value")
        self.check(passed < MAX_SECONDS, "following the interpolations takes too long")
        return result

    def node(self, depth: int) -> None:
        """Count a value of the resolved config."""
        self.nodes += 1
        self.check(self.nodes <= MAX_NODES, "the interpolations make too many values")
        self.check(depth <= MAX_DEPTH, "the config is nested too deeply, or refers to itself")

    def check(self, within: bool, what: str) -> None:  # noqa: FBT001 - the condition reads well
        """Stop if something is too much, then and for all that follows."""
        self.spent = self.spent or ("" if within else what)
        if self.spent:
            raise ConfigError(self.spent)


_budget: list[_Budget] = []


@contextmanager
def bounded() -> Iterator[_Budget]:
    """Stop interpolations that grow without end while the block runs; blocks may be nested.

    OmegaConf follows an interpolation each time it is met: thirty lines in which each names the one before twice take
    2**30 steps.

    Raises:
        ConfigError: If they do.
    """
    if _budget:
        yield _budget[-1]
        return
    follow = Container.resolve_parse_tree

    def counted(self: Container, *args: Any, **options: Any) -> Any:
        return budget.follow(lambda: follow(self, *args, **options))

    budget = _Budget()
    _budget.append(budget)
    Container.resolve_parse_tree = counted  # type: ignore[method-assign] # the one place that all of them pass
    try:
        yield budget
    except Exception:
        if budget.spent:  # OmegaConf words it in its own way
            raise ConfigError(problem("config", budget.spent, hint="write the values themselves")) from None
        raise
    finally:
        Container.resolve_parse_tree = follow  # type: ignore[method-assign]
        _budget.pop()
    if budget.spent:  # OmegaConf goes on after some errors
        raise ConfigError(problem("config", budget.spent, hint="write the values themselves"))


def resolve_phase1(config: DictConfig) -> tuple[dict[str, Any], list[str]]:
    """Plain containers with markers for statistics, and the problems, whose places hold ``BAD``."""
    _register(lambda *names: Statistic.named(names[0] if len(names) == 1 else ""))
    resolver = _Resolver(key_paths(OmegaConf.to_container(config, resolve=False))[:_MAX_HINTS])
    return resolver.run(config), resolver.problems


def resolve_phase2(config: DictConfig, statistics: Mapping[str, Any]) -> dict[str, Any]:
    """Plain containers with the values of statistics: numbers, or mappings from type name to number."""
    _register(lambda name: statistics[name])
    resolver = _Resolver([])
    resolved = resolver.run(config)
    if resolver.problems:
        raise ConfigError(resolver.problems)
    return resolved


def with_references(config: DictConfig, statistics: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
    """Like ``resolve_phase2``, but what comes from the environment stays the reference ``${oc.env:NAME}``.

    Where a value is computed from the environment, what the config has is kept as it is.

    Args:
        config: Unresolved.
        statistics: Their values; None before they are known.

    Returns:
        None if nothing comes from the environment.
    """
    used = []

    def reference(*arguments: object) -> str:
        used.append(arguments)
        return f"{_REFERENCE}{{oc.env:{','.join(map(str, arguments))}}}"

    def statistic(name: str) -> Any:
        return Statistic.named(name) if statistics is None else statistics[name]

    _register(statistic)
    OmegaConf.register_new_resolver("oc.env", reference, replace=True)
    try:
        resolved = _Resolver([], keep=True).run(config)
    finally:
        OmegaConf.register_new_resolver("oc.env", oc.env, replace=True)
    return mapped(resolved, _as_written) if used else None


_REFERENCE = "\x01"
"""Begins a reference to the environment, so that nothing takes it for an interpolation."""


def _as_written(value: Any) -> Any:
    return value.replace(_REFERENCE, "$") if type(value) is str else value


def _register(function: Callable[..., Any]) -> None:
    OmegaConf.register_new_resolver(STATISTICS, function, replace=True, use_cache=False)


class _Resolver:
    """Makes plain containers of a config, and collects the problems.

    With ``keep``, what cannot be resolved stays as it is written instead. ``known`` has the keys to suggest.
    """

    def __init__(self, known: list[str], *, keep: bool = False) -> None:
        self.known = known
        self.keep = keep
        self.problems: list[str] = []

    def run(self, config: DictConfig) -> dict[str, Any]:
        with bounded() as self.budget:
            resolved: dict[str, Any] = self._plain(config, "", 0)
        return resolved

    def _plain(self, node: Any, path: str, depth: int) -> Any:
        self.budget.node(depth)
        if isinstance(node, DictConfig):
            return {str(key): self._entry(node, key, f"{path}{key!s}", depth) for key in node}
        if isinstance(node, ListConfig):
            return [self._entry(node, index, f"{path}{index}", depth) for index in range(len(node))]
        return node

    def _entry(self, parent: Any, key: Any, path: str, depth: int) -> Any:
        try:
            value = parent[key]
        except Exception as error:  # noqa: BLE001 - a resolver may raise anything
            self.budget.check(within=True, what="")
            return self._bad(_unresolved(error, path, _raw(parent, key), self.known), parent, key)
        if isinstance(value, str) and not isinstance(value, Statistic) and f"{STATISTICS}\x00" in value:
            hint = "write ${training_data_stats:NAME} alone"
            what = "a statistic cannot be part of a longer text"
            return self._bad(problem(path, what, got=_raw(parent, key), hint=hint), parent, key)
        if type(value) is int and abs(value) >= MAX_INTEGER:
            return self._bad(problem(path, "is too large for an integer", hint="at most 2^63 - 1"), parent, key)
        return self._plain(value, f"{path}.", depth + 1)

    def _bad(self, text: str, parent: Any, key: Any) -> Any:
        if self.keep:
            return _raw(parent, key)
        self.problems.append(text)
        if len(self.problems) >= MAX_PROBLEMS:
            raise ConfigError(self.problems)
        return BAD


def _raw(parent: Any, key: Any) -> object:
    node = parent._get_node(key)  # noqa: SLF001 - OmegaConf has no public way to a single entry as it is written
    return OmegaConf.to_container(node, resolve=False) if OmegaConf.is_config(node) else node._value()  # noqa: SLF001


def _unresolved(error: Exception, path: str, raw: object, known: list[str]) -> str:
    """The message about an entry whose value cannot be resolved."""
    if isinstance(error, MissingMandatoryValue):
        return problem(path, "needs a value", got=raw)
    if isinstance(error, RecursionError) or str(error).startswith("RecursionError"):
        return problem(path, "refers to itself, or through too many others", got=raw)
    if not isinstance(error, OmegaConfBaseException):
        return problem(path, f"cannot be resolved: {error}", got=raw)
    first = str(error).splitlines()[0]
    if match := re.search(r"Interpolation key '(.*?)' not found", first):
        hint = did_you_mean(match.group(1), known) or "define it in the config"
        return problem(path, "unknown interpolation", got=raw, hint=hint)
    if match := re.search(r"Unsupported interpolation type ([\w.]+)", first):
        return unknown(path, match.group(1), resolver_names(), "resolver")
    return problem(path, first, got=raw)
