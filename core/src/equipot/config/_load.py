"""Load a YAML config and compose it with overrides, as plain Hydra configs.

The file keeps every freedom of Hydra (defaults lists, ``hydra:`` section, sweeps); what comes out
here is not resolved yet.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from equipot.config._resolvers import register_resolvers
from equipot.config._sections import SECTIONS, key_paths
from equipot.errors import ConfigError, did_you_mean, problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from omegaconf import DictConfig

SUFFIX = ".yaml"
"""The only one that Hydra looks for."""


def config_file(path: str | Path) -> Path:
    """The absolute path of a config file.

    Args:
        path: As given by the user.

    Raises:
        ConfigError: If it is not a readable ``.yaml`` file.
    """
    file = Path(path)
    if not file.is_file():
        raise ConfigError(
            problem(str(path), "no such config file", hint="the first argument is the path of a YAML file")
        )
    if file.suffix != SUFFIX:
        raise ConfigError(
            problem(str(path), "a config is a YAML file", got=file.name, hint="its name must end in .yaml")
        )
    return file.absolute()


def compose(path: str | Path, overrides: Sequence[str] = ()) -> tuple[DictConfig, DictConfig]:
    """Compose a config with Hydra, without resolving interpolations or running anything.

    Args:
        path: The YAML file.
        overrides: Hydra overrides, ``key=value``; sweeps are left out.

    Returns:
        The config, and Hydra's own config.

    Raises:
        ConfigError: If the file is not a YAML mapping, or an override does not fit.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf, open_dict
    from omegaconf.errors import OmegaConfBaseException

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
    """Report syntax errors and duplicate keys with their line, before Hydra does.

    Raises:
        ConfigError: With the place in the file.
    """
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

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
    """Hydra's messages span lines and repeat themselves; keep what a user can act on."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    skipped = ("full_key:", "object_type=", "Config search path", "provider=", "reference_type=")
    return "; ".join(line.rstrip(".") for line in lines if not line.startswith(skipped)) or type(error).__name__


def _nearest_key(error: Exception, file: Path) -> str:
    """A hint for an override of a key that is not there: the most similar one that is, or ``++``."""
    from omegaconf import OmegaConf

    found = re.search(r"Could not override '([^']+)'", str(error))
    if found is None:
        return ""
    keys = key_paths(OmegaConf.to_container(OmegaConf.load(file), resolve=False))
    if found[1] in keys:
        return f"to give it keys that it does not have, write ++{found[1]}={{…}}"
    return did_you_mean(found[1], keys)


def _single(overrides: Sequence[str]) -> list[str]:
    """Overrides without sweeps, which only a multirun understands."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import OverrideParseException

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
