"""The data of a run: read, compared with what the config needs, and judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from equipot._processes import is_first, say
from equipot.config._check import Checked, check_config
from equipot.config._defaults import named_defaults
from equipot.config._shifts import given_shifts
from equipot.data.checks import Verdict
from equipot.errors import ConfigError, problem


def read_data(checked: Checked) -> Checked:
    """Read all sets, and check that they have the labels with weight.

    Args:
        checked: The checked config, with its data module.

    Returns:
        The same, or checked again where the types are the elements of the data.

    Raises:
        ConfigError: If the config does not fit the elements, or a label with weight is missing.
        DataError: If the data cannot be read.
    """
    checked.data.use_labels(label for required in checked.labels.values() for label in required)
    checked = _with_types(checked)
    checked.data.setup()
    say(str(checked.data.census()))
    _check_labels(checked)
    return checked


def _with_types(checked: Checked) -> Checked:
    """Check the config again with the elements of the data, if these are the types."""
    if checked.open_types is None:
        return checked
    elements = checked.data.elements()
    say(f"type_names: {' '.join(elements)} (auto: the {len(elements)} elements of the data)")
    settled = check_config(checked.open_types.settled(elements), checked.allow, filled=checked.filled)
    settled.data.adopt(checked.data)  # so that nothing is read twice
    return settled


def _check_labels(checked: Checked) -> None:
    """Refuse data without the labels that have weight, naming the options that give it."""
    census = checked.data.census()
    problems: list[str] = []
    for kind, required in checked.labels.items():
        sets = [name for name in census.sets if name.rstrip("0123456789") == kind]
        problems += census.problems(required, sets)
    if problems:
        raise ConfigError(named_defaults(dict.fromkeys(problems), checked.filled))


def judge_data(checked: Checked) -> Verdict:
    """Judge the data and print what was found; only the first process does, to the others nothing is wrong.

    Args:
        checked: The checked config, whose data were read.
    """
    if not is_first():
        checked.data.forgo_verdict()
        return Verdict(findings=())
    verdict: Verdict = checked.data.verdict(given_shifts(checked.resolved))
    say(str(verdict))
    return verdict


def refusal(verdict: Verdict) -> str:
    """Why the data are refused: what cannot be right, or, if the data section is strict, is implausible.

    Args:
        verdict: With failures.
    """
    found = [problem(one.example, f"{one.code}: {one.message}", hint=one.check.advice) for one in verdict.failures]
    hint = "correct the data, or silence a check with data.accept: [code]"
    return "\n".join([*found, problem("data", f"{len(found)} of the checks failed", hint=hint)])


def statistics_of(checked: Checked) -> dict[str, Any]:
    """Values of the statistics that the config uses; one process computes, the others wait.

    Args:
        checked: The checked config, whose data were read.
    """
    if not checked.statistics:
        return {}
    values: dict[str, Any] = checked.data.statistics(checked.statistics)
    lines = [f"  {name}: {_short(value)}" for name, value in values.items()]
    say("\n".join(["statistics of the training set:", *lines]))
    return values


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {item:.6g}" for key, item in value.items())
    return f"{value:.6g}"
