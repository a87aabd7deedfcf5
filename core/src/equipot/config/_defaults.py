"""Short configs: what has an obvious default may be left out, and is put in when a config is composed.

Nothing is put into a mapping that names its class with ``_target_``: who chooses a class chooses its options. So a
config that names the classes of all sections means what it says. The one exception is the model, which is always
chosen: it gets the defaults of those options that its class has, if ``training_module`` names no class itself.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from omegaconf import DictConfig, OmegaConf

from equipot._host.declaration import load_target
from equipot.config._default_values import ABSENT, DEFAULTS, Default
from equipot.config._resolve import bounded
from equipot.config._resolvers import register_resolvers
from equipot.config._sections import LOSS, MODEL, is_within
from equipot.config._targets import find_declared
from equipot.containers import leaves
from equipot.errors import EquipotError
from equipot.validation import options_of

WRITTEN = ("data", "data.split_dataset", "training_module", MODEL)
"""Mappings that are never made up: without them nothing is put in there."""

_INNER = f"{{{MODEL.rpartition('.')[2]}}}"


@dataclass(frozen=True)
class Filled:
    """A value that was put in."""

    value: Any
    reason: str


def with_defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    """The whole config that a short one stands for.

    Args:
        config: In plain containers, with interpolations as they are written; it is not changed.

    Returns:
        A copy, with every default that applies put in. A config that is whole already is returned as it is.

    Raises:
        ConfigError: If the interpolations of the config cannot be followed in bounded time.

    Example:
        >>> short = {"data": {"train_file_path": "a.xyz"}, "training_module": {"model": {"_target_": "m.Model"}}}
        >>> with_defaults(short)["data"]["_target_"], with_defaults(short)["run"]
        ('equipot.data.ASEDataModule', ['train'])
    """
    return _whole(config, {})


def without_defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    """The shortest config that stands for a whole one: ``with_defaults`` gives the same config again.

    Args:
        config: As for ``with_defaults``.

    Returns:
        A copy without what equals a default that would be put in.

    Raises:
        ConfigError: As ``with_defaults``.
    """
    short: dict[str, Any] = copy.deepcopy(dict(config))
    classes: dict[str, type | None] = {}
    whole = _whole(short, classes)
    found = True
    while found:
        found = False
        for places in _groups(short):
            shorter = _without(short, places)
            if shorter is not None and same(_whole(shorter, classes), whole):
                short, found = shorter, True
    return short


def _whole(config: Mapping[str, Any], classes: dict[str, type | None]) -> dict[str, Any]:
    made: dict[str, Any] = copy.deepcopy(dict(config))
    for path, one in additions(config, classes).items():
        _put(made, path, one.value)
    return made


def _groups(config: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Places of defaults, alone and together with their neighbours; then mappings that may have become empty."""
    model = _innermost(config)
    paths = [default.path.replace(_INNER, model) for default in DEFAULTS]
    neighbours: dict[str, list[str]] = {}
    for path in paths:
        neighbours.setdefault(path.rpartition(".")[0], []).append(path)
    for path in paths:
        yield (path,)
    for parent, group in neighbours.items():
        yield tuple(group)
        parts = parent.split(".")
        outer = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
        yield from ((path,) for path in takewhile(lambda path: path and path not in WRITTEN, outer))


def _without(config: Mapping[str, Any], places: Sequence[str]) -> dict[str, Any] | None:
    """A copy without some places; None if none of them is there, or one is a mapping with more than defaults."""
    made: dict[str, Any] = copy.deepcopy(dict(config))
    changed = False
    for path in places:
        found = _get(made, path)
        if found is ABSENT:
            continue
        if isinstance(found, Mapping) and found and not any(default.path == path for default in DEFAULTS):
            return None
        parent, _, key = path.rpartition(".")
        del (_get(made, parent) if parent else made)[key]
        changed = True
    return made if changed else None


def same(one: object, other: object) -> bool:
    """Whether two configs in plain containers are the same up to the order of keys; 1 and 1.0 differ."""
    before, after = dict(leaves(one)), dict(leaves(other))
    return before.keys() == after.keys() and all(
        type(value) is type(after[path]) and (value == after[path] or value != value)  # noqa: PLR0124 - NaN
        for path, value in before.items()
    )


def additions(config: Mapping[str, Any], classes: dict[str, type | None] | None = None) -> dict[str, Filled]:
    """What is put into a config: dotted path to value and reason.

    Args:
        config: As for ``with_defaults``.
        classes: Classes by name that were looked up already; those of this config are added.

    Raises:
        ConfigError: As ``with_defaults``.
    """
    if not any(isinstance(config.get(name), Mapping) for name in ("data", "training_module")):
        return {}  # not a config of a run
    register_resolvers()
    found: dict[str, Filled] = {}
    with bounded():
        written = Written(config, {} if classes is None else classes)
        for default in DEFAULTS:
            path = default.path.replace(_INNER, written.model)
            if not written.takes(path, default):
                continue
            value = default.value(written) if callable(default.value) else default.value
            if value is not ABSENT:
                found[path] = Filled(value, default.reason)
                written.put(path, value)
    return found


def named_defaults(problems: Iterable[str], filled: Mapping[str, Filled]) -> list[str]:
    """Messages in which a place that the user has not written says so.

    Args:
        problems: Each begins with its place.
        filled: What was put in.

    Example:
        >>> named_defaults(["loss: no forces in the data"], {"loss._target_": Filled("equipot.train.Loss", "usual")})
        ["loss: no forces in the data; loss is not in your config: the default is 'equipot.train.Loss' (usual)"]
    """
    return [text + _note(text.partition(":")[0], filled) for text in problems]


def _note(place: str, filled: Mapping[str, Filled]) -> str:
    for path, one in filled.items():
        if is_within(place, path) or path == f"{place}._target_":
            return (
                f"; {path.removesuffix('._target_')} is not in your config: the default is {one.value!r} ({one.reason})"
            )
    return ""


class Written:
    """A config while defaults are put in, as the functions of the table see it.

    Args:
        config: In plain containers, unresolved.
        classes: Classes by name that were looked up already.
    """

    def __init__(self, config: Mapping[str, Any], classes: dict[str, type | None]) -> None:
        self._given, self._classes = config, classes
        self._now: dict[str, Any] = copy.deepcopy(dict(config))
        self._view: DictConfig | None = None
        self.model = _innermost(config)

    def given(self, path: str) -> Any:
        """What the config has written at a place; None without."""
        found = _get(self._given, path)
        return None if found is ABSENT else found

    def value(self, path: str) -> Any:
        """The value at a place, defaults included and interpolations followed; None without."""
        found: Any = self._now
        for key in path.split("."):
            if not isinstance(found, Mapping):
                break
            found = found.get(key)
        if not (isinstance(found, str) and "${" in found):
            return found if _get(self._now, path) is not ABSENT else None
        try:
            if self._view is None:
                self._view = OmegaConf.create(self._now)
            found = OmegaConf.select(self._view, path)
        except Exception:  # noqa: BLE001 - a resolver may raise anything, which the check reports
            return None
        return OmegaConf.to_container(found, resolve=False) if OmegaConf.is_config(found) else found

    def put(self, path: str, value: Any) -> None:
        """Put in a default."""
        _put(self._now, path, value)
        self._view = None

    def takes(self, path: str, default: Default) -> bool:
        """Whether nothing is written at a place, and all mappings around it are open."""
        if _get(self._given, path) is not ABSENT:
            return False
        of_model = default.path.startswith(_INNER)
        parts = path.split(".")
        for end in range(1, len(parts)):
            outer = ".".join(parts[:end])
            found = _get(self._given, outer)
            if found is ABSENT:
                if outer in WRITTEN:
                    return False
            elif not isinstance(found, Mapping) or ("_target_" in found and not (of_model and is_within(outer, MODEL))):
                return False
        return not of_model or parts[-1] in self._options(self.value(f"{self.model}._target_"))

    def has_files(self, part: str) -> bool:
        """Whether the data name files of ``train``, ``val`` or ``test``."""
        data = self.value("data")
        keys = data if isinstance(data, Mapping) else {}
        return any(
            str(key).startswith(f"{part}_") and key != f"{part}_dataloader" and value is not None
            for key, value in keys.items()
        )

    def has_set(self, part: str) -> bool:
        """Whether the data have a set ``train``, ``val`` or ``test``, from files or from the split."""
        split = self.value("data.split_dataset")
        return self.has_files(part) or (isinstance(split, Mapping) and part in split)

    @property
    def energy_only(self) -> bool:
        """Whether the loss compares energies alone."""
        return self.derives(LOSS, "equipot.train.EnergyOnlyLoss")

    @property
    def ended_by_callback(self) -> bool:
        """Whether a callback says that it ends the training (``ends_training``)."""
        given = self.value("trainer.callbacks")
        each = given if isinstance(given, list) else [given]
        targets = [one.get("_target_") for one in each if isinstance(one, Mapping)]
        return any(getattr(self._class(target), "ends_training", False) is True for target in targets)

    @property
    def new_model(self) -> bool:
        """Whether the model gets new weights, and is not one that is stored."""
        return "r_max" in self._options(self.value(f"{self.model}._target_"))

    def derives(self, place: str, base: str) -> bool:
        """Whether the class of a place is a declared one or derived from it."""
        found, of = self._class(self.value(f"{place}._target_")), self._class(base)
        return found is not None and of is not None and issubclass(found, of)

    def _options(self, target: Any) -> Iterable[str]:
        found = self._class(target)
        return () if found is None else inspect.signature(options_of(found)).parameters

    def _class(self, target: Any) -> type | None:
        if not isinstance(target, str):
            return None
        if target not in self._classes:
            self._classes[target] = _declared_class(target)
        return self._classes[target]


def _declared_class(target: str) -> type | None:
    """The declared class of a name, None for any other: the check says what is wrong with it."""
    if not all(part.isidentifier() for part in target.split(".")):
        return None
    try:
        declared = find_declared(target)
        found = None if declared is None else load_target(declared)
    except EquipotError:
        return None
    return found if inspect.isclass(found) else None


def _innermost(config: Mapping[str, Any]) -> str:
    """Place of the model that no other one modifies."""
    path = MODEL
    while isinstance(_get(config, f"{path}.model"), Mapping):
        path += ".model"
    return path


def _get(config: Any, path: str) -> Any:
    for key in path.split("."):
        if not isinstance(config, Mapping) or key not in config:
            return ABSENT
        config = config[key]
    return config


def _put(config: dict[str, Any], path: str, value: Any) -> None:
    *outer, key = path.split(".")
    for name in outer:
        config = config.setdefault(name, {})
    config[key] = copy.deepcopy(value)
