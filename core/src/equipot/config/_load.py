"""Compose a YAML config with overrides.

All features of Hydra can be used (defaults lists, ``hydra:`` section, sweeps); interpolations are resolved
later.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from equipot.config._resolvers import register_resolvers
from equipot.config._sections import SECTIONS, key_paths
from equipot.errors import ConfigError, did_you_mean, problem


def config_file(path: str | Path) -> Path:
    """The absolute path of a config file, which must exist and end in ``.yaml``."""
    file = Path(path)
    if not file.is_file():
        hint = "the first argument is the path of a YAML file"
        raise ConfigError(problem(str(path), "no such config file", hint=hint))
    if file.suffix != ".yaml":  # Hydra accepts no other
        hint = "its name must end in .yaml"
        raise ConfigError(problem(str(path), "a config is a YAML file", got=file.name, hint=hint))
    return file.absolute()


def compose(path: str | Path, overrides: Sequence[str] = ()) -> tuple[DictConfig, DictConfig]:
    """Compose a config, unresolved, and Hydra's own config; overrides that are sweeps are left out."""
    file = config_file(path)
    _check_yaml(file)
    register_resolvers()
    previous = GlobalHydra.instance().hydra
    try:
        with initialize_config_dir(version_base=None, config_dir=str(file.parent), job_name="train"):
            composed = hydra_compose(file.stem, overrides=_single(overrides), return_hydra_config=True)
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise ConfigError(problem(str(path), _first_lines(error), hint=_nearest_key(error, file))) from None
    finally:
        if previous is not None:
            GlobalHydra.instance().initialize(previous)
    hydra = OmegaConf.masked_copy(composed, ["hydra"])
    with open_dict(composed):
        del composed["hydra"]
    OmegaConf.set_struct(composed, False)
    return composed, hydra


def _check_yaml(file: Path) -> None:
    """Report syntax errors and duplicate keys with the line, which Hydra's errors lack."""
    try:
        loaded = OmegaConf.load(file)
    except UnicodeDecodeError:
        raise ConfigError(problem(str(file.name), "is not text", hint="a config is a YAML file")) from None
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{file.name}:{mark.line + 1}" if mark is not None else file.name
        raise ConfigError(problem(where, f"not valid YAML: {getattr(error, 'problem', None) or error}")) from None
    except (OmegaConfBaseException, OSError) as error:
        raise ConfigError(problem(file.name, _first_lines(error))) from None
    if not isinstance(loaded, DictConfig) or not loaded:
        raise ConfigError(problem(file.name, "must be a mapping", hint=f"sections: {', '.join(SECTIONS)}"))


def _first_lines(error: Exception) -> str:
    """Keep what helps users of an error of Hydra, whose messages repeat themselves over several lines."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    skipped = ("full_key:", "object_type=", "Config search path", "provider=", "reference_type=")
    return "; ".join(line.rstrip(".") for line in lines if not line.startswith(skipped)) or type(error).__name__


def _nearest_key(error: Exception, file: Path) -> str:
    """A hint after an override of an unknown key: the most similar key, or the syntax ``++`` that adds keys."""
    found = re.search(r"Could not override '([^']+)'", str(error))
    if found is None:
        return ""
    keys = key_paths(OmegaConf.to_container(OmegaConf.load(file), resolve=False))
    if found[1] in keys:
        return f"to give it keys that it does not have, write ++{found[1]}={{…}}"
    return did_you_mean(found[1], keys)


def _single(overrides: Sequence[str]) -> list[str]:
    """Overrides without sweeps, which only work in a multirun."""
    kept = []
    for text in overrides:
        try:
            parsed = OverridesParser.create().parse_overrides([text])[0]
        except OverrideParseException as error:
            hint = "overrides look like key=value"
            raise ConfigError(problem(f"override {text!r}", _first_lines(error), hint=hint)) from None
        if not parsed.is_sweep_override():
            kept.append(text)
    return kept
