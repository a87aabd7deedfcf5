"""A plan: a config, why it is as it is, and what it is expected to cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from equipot.config import without_defaults
from equipot.files import write_text
from equipot_fit import _rules as rules
from equipot_fit._facts import Facts
from equipot_fit._speed import StepTime
from equipot_fit._yaml import commented

EXPECTED = StepTime(step=0.05, validation=0.1, start_up=5.0, last_layer=16, frames={"train": 50, "val": 20, "test": 0})
"""What a small model on few frames costs."""


@dataclass(frozen=True)
class Plan:
    """A whole config, and why it is as it is."""

    config: dict[str, Any]
    """A config for ``equipot train``."""
    reasons: dict[str, str] = field(default_factory=dict)
    """One sentence for each choice, by its dotted path in the config."""
    minutes: float = 0.0
    """The time that the training takes."""
    steps: int = 0
    """About how many optimizer steps fit into it."""
    size: Mapping[str, Any] = field(default_factory=dict)
    """Options of the model's size, or its preset."""
    expected: StepTime = EXPECTED
    """What the training is expected to cost, if that is not measured."""

    def text(self, *, full: bool = False) -> str:
        """The config as YAML, with each reason as a comment above what it explains.

        Args:
            full: Also write what equals core's defaults.
        """
        config = self.config if full else without_defaults(self.config)
        title = f"Written by equipot; about {self.steps} steps in {self.minutes:g} min"
        return commented(config, self.reasons, title=title, compact=not full)

    def notes(self, facts: Facts) -> list[str]:
        """What a user should know besides, one sentence each.

        Args:
            facts: Those that the plan was made of.
        """
        found = []
        if facts.guessed_labels:
            labels = ", ".join(f"{label} from {one}" for label, one in _keys(facts.options["labels"]).items())
            found.append(f"labels are read by what their keys are called: {labels}")
        found += [one.line for one in facts.others]
        if "forces" not in facts.labels:
            found.append("the data have energies alone: the model learns no forces, and needs many more frames")
        if self.steps < rules.STEPS_WANTED:
            what = f"about {self.steps} steps fit into {self.minutes:g} min"
            found.append(f"{what}; a training should have {rules.STEPS_WANTED}: more --minutes help")
        return found

    def write(self, path: str | Path, *, full: bool = True) -> None:
        """Write it; the file reads back as the config.

        Args:
            path: File to write or replace.
            full: As for ``text``.
        """
        write_text(path, self.text(full=full))


def _keys(labels: Mapping[str, Any]) -> dict[str, str]:
    """The key of each label, with its convention."""
    parts = {label: one if isinstance(one, Mapping) else {"key": one} for label, one in labels.items()}
    return {
        label: one["key"] + (f" (a {one['convention']})" if "convention" in one else "") for label, one in parts.items()
    }
