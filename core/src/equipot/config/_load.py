"""Compose a YAML config with overrides.

All features of Hydra can be used (defaults lists, sweeps, a part of the ``hydra:`` section); interpolations are
resolved later.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.hydra import Hydra
from hydra._internal.sources_registry import SourcesRegistry
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, QuotedString, RangeSweep
from hydra.errors import OverrideParseException
from hydra.plugins.config_source import ConfigResult
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, flag_override, open_dict
from omegaconf.errors import OmegaConfBaseException

from equipot.config._defaults import Filled, additions, with_defaults
from equipot.config._folders import Folders
from equipot.config._hydra_section import section_of, section_problems
from equipot.config._resolve import bounded
from equipot.config._resolvers import register_resolvers
from equipot.config._sections import SECTIONS, key_paths
from equipot.config._yaml import check_yaml, invalid
from equipot.containers import leaves, nodes
from equipot.errors import ArtifactError, ConfigError, did_you_mean, problem
from equipot.files import require_regular


def config_file(path: str | Path) -> Path:
    """The absolute path of a config file, which must exist and end in ``.yaml``."""
    file = Path(path)
    if not file.exists():
        hint = "the first argument is the path of a YAML file"
        raise ConfigError(problem(str(path), "no such config file", hint=hint))
    try:
        require_regular(file)
    except ArtifactError as error:
        raise ConfigError(str(error)) from None
    if file.suffix != ".yaml":  # Hydra accepts no other
        hint = "its name must end in .yaml"
        raise ConfigError(problem(str(path), "a config is a YAML file", got=file.name, hint=hint))
    if "${" in file.name:  # Hydra keeps the name in its section, where it would be an interpolation
        raise ConfigError(problem(str(path), "the name of a config must not contain ${", hint="rename the file"))
    return file.absolute()


@dataclass(frozen=True)
class Composition:
    """A config, and where its parts come from."""

    config: DictConfig
    """Unresolved, with defaults put in, without the section ``hydra``."""

    hydra: DictConfig
    """Hydra's own config."""

    filled: Mapping[str, Filled]
    """The defaults, by dotted path."""

    files: Sequence[tuple[Path, str]]
    """Files that were merged, in order, with the package that each is put into; empty: the root."""

    typed: Sequence[str]
    """Overrides of the command line; of a sweep, its first values."""


def compose(
    path: str | Path, overrides: Sequence[str] = (), *, config_dir: str | None = None
) -> tuple[DictConfig, DictConfig]:
    """Compose a config, unresolved, and Hydra's own config; of a sweep, its first values are taken.

    Args:
        path: Of the config file.
        overrides: Of the command line.
        config_dir: A further folder with groups.

    Raises:
        ConfigError: If a file cannot be read, the files do not fit together, or they set what is not theirs in the
            section ``hydra``.
    """
    found = composition(path, overrides, config_dir=config_dir)
    return found.config, found.hydra


def composition(path: str | Path, overrides: Sequence[str] = (), *, config_dir: str | None = None) -> Composition:
    """As ``compose``, with where the parts come from."""
    file = config_file(path)
    typed = [*_single(overrides)]
    with composer(file, typed, config_dir) as hydra:
        composed = hydra.config_loader.load_configuration(file.stem, typed, RunMode.RUN, from_shell=False)
        loader: Any = hydra.config_loader
    section = OmegaConf.masked_copy(composed, ["hydra"])
    with open_dict(composed):
        del composed["hydra"]
    OmegaConf.set_struct(composed, value=False)
    kept = dict(nodes(OmegaConf.to_container(composed, resolve=False)))
    filled = {path: one for path, one in loader.filled.items() if path in kept}  # an override may have removed some
    return Composition(composed, section, filled, tuple(loader.files), tuple(typed))


@contextmanager
def composer(file: Path, typed: Sequence[str], config_dir: str | None = None) -> Iterator[Hydra]:
    """Hydra itself, reading configs through ``Loader``.

    Args:
        file: The config file.
        typed: Overrides of the command line, which may set what config files may not.
        config_dir: A further folder with groups.
    """
    register_resolvers()
    search_path = create_config_search_path(str(file.parent))
    if config_dir is not None:
        if not Path(config_dir).is_dir():
            raise ConfigError(problem("--config-dir", "there is no such folder", got=config_dir))
        anchor = SearchPathQuery(provider="schema")
        search_path.prepend("command-line", f"file://{Path(config_dir).absolute()}", anchor)
    previous = GlobalHydra.instance().hydra
    hydra = Hydra("train", Loader(search_path, file.name, typed))
    GlobalHydra.instance().initialize(hydra)
    try:
        yield hydra
    finally:
        GlobalHydra.instance().clear()
        if previous is not None:
            GlobalHydra.instance().initialize(previous)


class Loader(ConfigLoaderImpl):
    """Composes configs, puts in defaults, and checks what Hydra will act on before it gets them.

    Defaults are put in before overrides change them: ``trainer.max_epochs=5`` works for a config that does not write
    it, and a loss that is chosen on the command line has its metrics.

    Args:
        search_path: Where files are looked for.
        name: Of the config file, for messages.
        typed: Overrides of the command line, without those that sweepers add.
    """

    def __init__(self, search_path: Any, name: str, typed: Sequence[str]) -> None:
        with _measured_files():
            super().__init__(search_path)
        self.name, self.typed = name, [*typed]
        self.filled: dict[str, Filled] = {}
        self.files: list[tuple[Path, str]] = []
        self._overrides: list[Override] = []

    def load_configuration(
        self, config_name: str | None, overrides: list[str], *args: Any, **options: Any
    ) -> DictConfig:
        """Compose; the arguments are those of Hydra."""
        self._overrides = parsed(overrides)
        try:
            with _measured_files(), bounded():
                composed = super().load_configuration(config_name, overrides, *args, **options)
                own = section_of(tuple(self.typed))
        except ConfigError:
            raise
        except Exception as error:  # noqa: BLE001 - Hydra and OmegaConf raise anything for wrong files
            raise ConfigError(problem(self.name, first_lines(error), hint=self._hint(error, config_name))) from None
        with bounded():
            found = section_problems(composed, own, Folders(typed_texts(self.typed)))
        if found:
            raise ConfigError(found)
        return composed

    def _compose_config_from_defaults_list(self, defaults: list[Any], repo: Any) -> DictConfig:
        """What Hydra makes of the files, with defaults put in; overrides come next."""
        composed = super()._compose_config_from_defaults_list(defaults, repo)
        self.files = []
        for one in defaults:
            found = repo.load_config(one.config_path)
            if found.provider in ("main", "command-line", "hydra.searchpath in command-line"):
                self.files.append((Path(found.path.removeprefix("file://"), _file_name(one.config_path)), one.package))
        with flag_override(composed, ["readonly", "struct"], False):
            self.filled = self._fill(composed, repo)
        return composed

    def _fill(self, composed: DictConfig, repo: Any) -> dict[str, Filled]:
        """Put in the defaults that apply once the overrides are there, and places for those that need one."""
        written = _without_hydra(composed)
        changes = [one for one in self._overrides if not (one.is_delete() or repo.group_exists(one.key_or_group))]
        later = OmegaConf.create(written)
        for one in changes:
            with suppress(OmegaConfBaseException, ValueError, TypeError):  # which Hydra reports when it applies it
                OmegaConf.update(later, one.key_or_group, None if one.is_sweep_override() else one.value())
        filled = additions(_without_hydra(later))
        if filled:
            known = {path for place in additions(written) for path in _around(place)}
            for one in changes:
                key = one.key_or_group
                if key in known and not one.is_add() and OmegaConf.select(composed, key) is None:
                    OmegaConf.update(composed, key, None, force_add=True)
        for path, default in filled.items():
            OmegaConf.update(composed, path, default.value, force_add=True)
        return filled

    def _hint(self, error: Exception, config_name: str | None) -> str:
        """After an override of an unknown key: the most similar key, or the syntax ``++`` that adds keys."""
        found = re.search(r"Could not override '([^']+)'", str(error))
        if found is None or config_name is None:
            return ""
        loaded = self.repository.load_config(config_name)
        raw: Any = OmegaConf.to_container(loaded.config, resolve=False) if loaded else {}
        keys = key_paths(with_defaults(raw))
        if found[1] in keys:
            return f"to give it keys that it does not have, write ++{found[1]}={{…}}"
        return did_you_mean(found[1], keys)


def _file_name(config_path: str) -> str:
    return config_path if config_path.endswith((".yaml", ".yml")) else f"{config_path}.yaml"


def _without_hydra(config: DictConfig) -> dict[str, Any]:
    whole = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    plain: Any = OmegaConf.to_container(whole, resolve=False)
    return dict(plain)


def _around(path: str) -> Iterator[str]:
    """A place, and the mappings around it."""
    while path:
        yield path
        path = path.rpartition(".")[0]


class MeasuredFiles(FileConfigSource):
    """Hydra's source of files, reading only those that ``check_yaml`` passes, with better messages."""

    def load_config(self, config_path: str) -> ConfigResult:
        """Read a file."""
        file = Path(self.path, self._normalize_file_name(config_path))
        check_yaml(file)
        try:
            result = super().load_config(config_path)
        except yaml.YAMLError as error:
            raise ConfigError(invalid(file.name, error)) from None
        except Exception as error:  # noqa: BLE001 - constructors of YAML raise anything
            raise ConfigError(problem(file.name, first_lines(error))) from None
        if self.provider == "main" and "/" not in config_path:
            self._check_primary(result.config, file)
        return result

    def _check_primary(self, config: Any, file: Path) -> None:
        """Refuse what is not a mapping, and what makes Hydra read, or even import, from elsewhere while it composes."""
        if not isinstance(config, DictConfig) or not config:
            raise ConfigError(problem(file.name, "must be a mapping", hint=f"sections: {', '.join(SECTIONS)}"))
        raw: Any = OmegaConf.to_container(config, resolve=False)
        section = raw.get("hydra", {})
        if not isinstance(section, dict):
            raise ConfigError(problem("hydra", "must be a mapping", got=section))
        if "searchpath" in section:
            hint = "give it on the command line: 'hydra.searchpath=[file://FOLDER]'"
            raise ConfigError(problem("hydra.searchpath", "cannot be set in a config file", hint=hint))


@contextmanager
def _measured_files() -> Iterator[None]:
    """Let Hydra read files through ``MeasuredFiles``."""
    kinds = SourcesRegistry.instance().types
    before = kinds.get("file")
    kinds["file"] = MeasuredFiles
    try:
        yield
    finally:
        kinds["file"] = before or FileConfigSource


def first_lines(error: BaseException) -> str:
    """Keep what helps users of an error of Hydra, whose messages repeat themselves over several lines."""
    if isinstance(error, RecursionError):
        return "is nested too deeply"
    if isinstance(error, KeyError):
        return f"refers to {error}, which does not exist"
    shown = str(error) or (str(error.__cause__) if error.__cause__ else "")
    lines = [line.strip() for line in shown.splitlines() if line.strip()]
    skipped = ("full_key:", "object_type=", "Config search path", "provider=", "reference_type=")
    return "; ".join(line.rstrip(".") for line in lines if not line.startswith(skipped)) or type(error).__name__


# ------------------------------------------------------------------------------ overrides


_LONGEST = 300


def parsed(overrides: Sequence[str]) -> list[Override]:
    """The overrides of a command line.

    Args:
        overrides: As typed.

    Raises:
        ConfigError: If one cannot be read.
    """
    found = []
    for text in overrides:
        try:
            found += OverridesParser.create().parse_overrides([text])
        except (OverrideParseException, ValueError, RecursionError) as error:
            key, _, value = text.partition("=")
            special = sorted({char for char in value if char in "=:()[]{},;#'\"\\ "})
            what, hint = first_lines(error), "overrides look like key=value"
            if key and value and special:
                quoted = value.replace("\\", "\\\\").replace("'", "\\'")
                what, hint = "cannot be read", f"quote a value with {' '.join(special)} in it: \"{key}='{quoted}'\""
            shown = text if len(text) < _LONGEST else f"{text[:_LONGEST]}…"
            raise ConfigError(problem(f"override {shown!r}", what, hint=hint if len(text) < _LONGEST else "")) from None
    return found


def is_sweep(overrides: Sequence[str]) -> bool:
    """Whether overrides have several values for a key.

    Args:
        overrides: As typed.
    """
    return any(one.is_sweep_override() for one in parsed(overrides))


def typed_texts(overrides: Sequence[str]) -> set[str]:
    """All texts among the values of overrides.

    Args:
        overrides: As typed.
    """
    found: set[str] = set()
    for one in parsed(overrides):
        value: Any = one._value  # noqa: SLF001 - the public method hides the choices of sweeps
        for _, leaf in leaves([value.list if isinstance(value, ChoiceSweep) else value]):
            found.add(leaf.text if isinstance(leaf, QuotedString) else str(leaf))
    return found


def _single(overrides: Sequence[str]) -> Iterator[str]:
    """Overrides with the first value of sweeps; other sweeps than lists and ranges are left out."""
    for text, one in zip(overrides, parsed(overrides), strict=True):
        value: Any = one._value  # noqa: SLF001 - as above
        if not one.is_sweep_override():
            yield text
        elif isinstance(value, ChoiceSweep) and value.list:
            yield f"{one.get_key_element()}={Override._get_value_element_as_str(value.list[0])}"  # noqa: SLF001
        elif isinstance(value, RangeSweep):
            yield f"{one.get_key_element()}={value.start}"
