"""Load a YAML config and compose it with overrides, as plain Hydra configs.

The file keeps every freedom of Hydra (defaults lists, ``hydra:`` section, sweeps); what comes out
here is not resolved yet.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipot.errors import ConfigError, did_you_mean, problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from omegaconf import DictConfig

SECTIONS = ("run", "data", "trainer", "training_module")
"""Required sections."""

OPTIONAL_KEYS = ("seed",)
"""Further root keys with a meaning of their own."""

SUFFIX = ".yaml"
"""The only one that Hydra looks for."""


def config_file(path: str | Path) -> Path:
    """The absolute path of a config file.

    Args:
        path: As given by the user.

    Raises:
        ConfigError: If it is no readable ``.yaml`` file.
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
        ConfigError: If the file is no YAML mapping, or an override does not fit.
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
        with initialize_config_dir(version_base=None, config_dir=str(file.parent)):
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
    """Tell syntax errors and duplicate keys with their line, before Hydra does.

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
        raise ConfigError(problem(file.name, "must be a mapping", hint="sections: run, data, trainer, training_module"))


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
    keys = _key_paths(OmegaConf.to_container(OmegaConf.load(file), resolve=False))
    if found[1] in keys:
        return f"to give it keys that it does not have, write ++{found[1]}={{…}}"
    return did_you_mean(found[1], keys)


def _key_paths(container: object, prefix: str = "") -> list[str]:
    """Every key of nested mappings, as a dotted path."""
    if not isinstance(container, dict):
        return []
    paths = [(f"{prefix}{key}", value) for key, value in container.items()]
    return [path for path, _ in paths] + [below for path, value in paths for below in _key_paths(value, f"{path}.")]


def _single(overrides: Sequence[str]) -> list[str]:
    """Overrides that are no sweeps, which only a multirun understands."""
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


_RESOLVERS: dict[str, Any] = {}


def register_resolvers() -> None:
    """Register the resolvers that configs may use beside OmegaConf's own ``oc.…``."""
    from omegaconf import OmegaConf

    for name, function in (*_RESOLVERS.items(), *_declared_resolvers().items()):
        OmegaConf.register_new_resolver(name, function, replace=True)
    if not OmegaConf.has_resolver(STATISTICS_RESOLVER):  # Hydra resolves a value that an override removes
        OmegaConf.register_new_resolver(STATISTICS_RESOLVER, lambda *_: "a statistic", use_cache=False)


def _declared_resolvers() -> dict[str, Any]:
    """Resolvers of other programs that plugins declare; their functions are imported when they are used."""
    from equipot.config._aliases import aliases, load_function

    def call(path: str) -> Any:
        def called(*arguments: Any) -> Any:
            return load_function(path)(*arguments)

        return called

    def refuse(instead: str) -> Any:
        def refused(*_: Any) -> None:
            raise ValueError(f"has no counterpart; {instead}")

        return refused

    return {
        name: call(entry.target) if entry.target else refuse(entry.instead)
        for name, entry in aliases("resolver").items()
        if name not in _RESOLVERS
    }


def _int_div(a: int, b: int) -> int:
    if b == 0 or a % b:
        raise ValueError(f"int_div: {a} is not a multiple of {b}")
    return a // b


def _concat_lists(*lists: list[Any]) -> list[Any]:
    return [item for part in lists for item in part]


def _list_to_identity_dict(names: list[str]) -> dict[str, str]:
    return {name: name for name in names}


def _list_to_constant_dict(names: list[str], value: Any) -> dict[str, Any]:
    return dict.fromkeys(names, value)


_RESOLVERS.update(
    int_div=_int_div,
    int_mul=lambda a, b: int(a) * int(b),
    concat_lists=_concat_lists,
    list_to_identity_dict=_list_to_identity_dict,
    list_to_constant_dict=_list_to_constant_dict,
)

STATISTICS_RESOLVER = "training_data_stats"

_INTERPOLATION = re.compile(r"\$\{\s*([A-Za-z_]\w*)\b(?!(?:\.\w+)*\s*:)")


def used_root_keys(container: object) -> set[str]:
    """Root keys that any interpolation ``${key…}`` in an unresolved container names."""
    if isinstance(container, dict):
        return set().union(*(used_root_keys(value) for value in container.values()))
    if isinstance(container, list):
        return set().union(*(used_root_keys(value) for value in container))
    return set(_INTERPOLATION.findall(container)) if isinstance(container, str) else set()
