"""What a run stores of values that come from the environment: their references, unless they are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from equipot._processes import say
from equipot.config._resolve import with_references
from equipot.config._sections import MODEL, is_within
from equipot.containers import leaves, plain, rewritten
from equipot.errors import ConfigError, problem

if TYPE_CHECKING:
    from equipot.config._check import Checked


def check_environment(places: Sequence[str]) -> None:
    """Refuse a model that could not be built again without the environment of this run, and name other places.

    Args:
        places: Paths of the config whose values come from the environment and are not to be stored.

    Raises:
        ConfigError: Naming options of the model from the environment.
    """
    what = "comes from the environment, and every file with the model would store its value"
    hint = "write the value itself, or add --store-env"
    if found := [problem(path, what, hint=hint) for path in places if is_within(path, MODEL)]:
        raise ConfigError(found)
    if places:
        say(f"{', '.join(places)}: from the environment; the reference is stored, not the value (else: --store-env)")


def stored_config(checked: Checked, resolved: dict[str, Any], statistics: Mapping[str, Any]) -> dict[str, Any]:
    """The config with references to the environment instead of its values; the resolved one if it has none.

    Args:
        checked: The checked config.
        resolved: The same with all values.
        statistics: Values of the statistics that it uses.
    """
    return dict(plain(with_references(checked.config, statistics))) if checked.environment else resolved


def hidden(record: dict[str, Any], resolved: dict[str, Any], stored: dict[str, Any]) -> dict[str, Any]:
    """A record of the run with texts of the config, such as paths, as they are stored.

    Args:
        record: Facts about the run.
        resolved: The config with all values.
        stored: The config as it is stored.
    """
    written = dict(leaves(stored))
    texts = [(value, written.get(path)) for path, value in leaves(resolved) if isinstance(value, str)]
    changed = {value: text for value, text in texts if text is not None and value != text}
    if not changed:
        return record

    def renamed(value: Any, _: str) -> Any:
        if isinstance(value, dict):
            return {changed.get(key, key): item for key, item in value.items()}
        if not isinstance(value, str):
            return value
        for own, text in changed.items():  # of places in the data, which begin with a path
            value = value.replace(f"{own}, frame ", f"{text}, frame ")
        return changed.get(value, value)

    return dict(rewritten(record, leave=renamed))
