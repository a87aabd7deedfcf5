"""The ``hydra:`` section: config files may set a few harmless keys of it, everything else is for the command line.

Hydra acts on its section by itself: it makes objects, opens log files, sets environment variables. The section is
therefore checked as Hydra has composed it, however the files put it together (defaults lists, packages, groups,
interpolations), and before Hydra uses it. It must be the same as the section of the command line alone, except for the
keys in ``ALLOWED``.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, flag_override

from equipot.config._folders import Folders
from equipot.config._sections import is_within
from equipot.config._targets import HYDRA_PACKAGES
from equipot.containers import leaves
from equipot.errors import problem

FOLDERS = ("run.dir", "sweep.dir", "sweep.subdir")
"""Keys that name folders; see ``Folders`` for what they may name."""

NAMES = ("job.name", "output_subdir")
"""Keys that become parts of file names."""

ALLOWED = (
    *FOLDERS, *NAMES, "job.chdir", "job.config.override_dirname", "mode", "verbose",
    "sweeper.direction", "sweeper.max_batch_size", "sweeper.n_jobs", "sweeper.n_trials", "sweeper.params",
)  # fmt: skip
"""Keys that config files may set."""

FILLED = ("job.config_name", "job.override_dirname", "overrides", "runtime")
"""Keys that Hydra itself sets for each run."""

_OWN = r"[+~]*hydra[./@]"
"""How overrides of Hydra's section begin."""

_NAME = re.compile(r"[\w.@=,+-]{1,200}")
_LOGGING_CLASS = re.compile(r"logging\.(StreamHandler|FileHandler|NullHandler|Formatter|Filter)|colorlog\.\w+")


def section_of(typed: Sequence[str]) -> dict[str, Any]:
    """Leaves of the section that Hydra and its plugins make of overrides alone, without any config file.

    Args:
        typed: Overrides of the command line; those of a sweeper must not be among them.
    """
    return _section_of(tuple(text for text in typed if re.match(_OWN, text)))


@functools.lru_cache(maxsize=32)
def _section_of(typed: tuple[str, ...]) -> dict[str, Any]:
    loader = ConfigLoaderImpl(create_config_search_path(None))
    composed = loader.load_configuration(None, [*typed], RunMode.MULTIRUN, validate_sweep_overrides=False)
    return _leaves(composed)


def _leaves(composed: DictConfig) -> dict[str, Any]:
    return dict(leaves(OmegaConf.to_container(composed.hydra, resolve=False)))


def section_problems(composed: DictConfig, own: Mapping[str, Any], folders: Folders) -> list[str]:
    """What must not be in Hydra's section.

    Args:
        composed: The config with its section ``hydra``, unresolved.
        own: What ``section_of`` gives for the command line.
        folders: Where runs may write.
    """
    section = _leaves(composed)
    problems = list(dict.fromkeys([*_foreign(section, own), *_typed_problems(own)]))
    return problems or [*_value_problems(composed, section, folders)]


def _foreign(section: Mapping[str, Any], own: Mapping[str, Any]) -> Iterator[str]:
    """What config files have set or removed."""
    free = (*ALLOWED, *FILLED)
    for path in {**section, **own}:
        if any(is_within(path, key) or is_within(key, path) for key in free):
            continue
        if path in section and path in own and _same(section[path], own[path]):
            continue
        if path not in section and any(is_within(key, path) for key in section):
            continue  # an empty mapping that has entries now, which are reported themselves
        if path not in own and section[path] in ({}, []):
            continue
        place = ".".join(["hydra", *path.split(".")[:2]])
        hint = "only folders, names and sweeps can (run.dir, sweeper.params, …); write it on the command line"
        yield problem(place, "cannot be set in a config file", hint=hint)


def _same(one: object, other: object) -> bool:
    return type(one) is type(other) and one == other


def _typed_problems(own: Mapping[str, Any]) -> Iterator[str]:
    """Targets of the command line that belong neither to Hydra nor to an installed Hydra plugin."""
    for path, value in own.items():
        key = path.rpartition(".")[2]
        dotted = all(part.isidentifier() for part in str(value).split("."))
        if key == "_target_" and not (dotted and str(value).startswith(tuple(f"{one}." for one in HYDRA_PACKAGES))):
            hint = "only Hydra and installed Hydra plugins"
            yield problem(f"hydra.{path}", "is not on the list of allowed targets", got=value, hint=hint)
        elif "_logging." in path and key in ("()", "class") and not _LOGGING_CLASS.fullmatch(str(value)):
            yield problem(f"hydra.{path}", "is not on the list of allowed targets", got=value)


def _value_problems(composed: DictConfig, section: Mapping[str, Any], folders: Folders) -> Iterator[str]:
    """Wrong values of the keys that config files may set, with interpolations resolved."""
    if not isinstance(section.get("verbose"), (bool, str)) and any(
        not isinstance(value, str) for path, value in section.items() if is_within(path, "verbose")
    ):
        yield problem("hydra.verbose", "must be true, false or names of loggers")
    for path in section:
        if re.match(rf"sweeper\.params\.{_OWN}", path):
            yield problem(f"hydra.{path}", "cannot be set in a config file", hint="sweeps are over keys of the config")
    with _running(composed) as config:
        for key in (*FOLDERS, *NAMES):
            try:
                value = OmegaConf.select(config, f"hydra.{key}", throw_on_missing=True)
            except Exception as error:  # noqa: BLE001 - a resolver may raise anything
                text = str(error).splitlines()[0] if str(error) else type(error).__name__
                yield problem(f"hydra.{key}", f"cannot be resolved: {text}", got=section.get(key))
                continue
            if key == "output_subdir" and value is None:
                continue
            if key in FOLDERS and isinstance(value, (str, int)):
                yield from folders.problems(f"hydra.{key}", str(value))
            elif not isinstance(value, str) or not _NAME.fullmatch(value) or value.strip(".") == "":
                yield problem(f"hydra.{key}", "must be a plain name", got=value, hint="without separators")


@contextmanager
def _running(composed: DictConfig) -> Iterator[DictConfig]:
    """The config with the values that Hydra gives a run, so that its section can be resolved."""
    hydra, before = composed.hydra, HydraConfig.instance().cfg
    HydraConfig.instance().cfg = composed  # type: ignore[assignment] # as Hydra's own set_config does
    with flag_override(composed, ["readonly", "struct"], False):
        hydra.runtime.output_dir, hydra.job.num, hydra.job.id = "outputs", 0, "0"
        try:
            yield composed
        finally:
            hydra.runtime.output_dir = hydra.job.num = hydra.job.id = "???"
            HydraConfig.instance().cfg = before
