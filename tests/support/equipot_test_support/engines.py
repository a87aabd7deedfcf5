"""Record what tests ran in simulation engines, for the table ``docs/reference/engines.md``.

Set ``EQUIPOT_ENGINE_RESULTS`` to ``docs/results/engines``, run the slow tests, then ``python tools/engine_table.py``.
"""

import os
import re
from pathlib import Path

from equipot.files import write_json

FOLDER = "EQUIPOT_ENGINE_RESULTS"
"""Environment variable with the folder that results are written to; nothing is recorded without it."""


def record_capability(engine, capability, *, version, command, deviation=None):
    """Record that a test ran something in an engine; call it after the last assertion.

    Args:
        engine: Name as its users write it, e.g. ``LAMMPS``.
        capability: What was shown, in a few words, e.g. ``NPT on 4 ranks``.
        version: Of the engine that ran.
        command: The line that users write for it.
        deviation: Largest difference from the reference with its unit, e.g. ``3e-12 eV/Å``, if there is one.
    """
    for name, text in (("engine", engine), ("capability", capability), ("version", version), ("command", command)):
        if not isinstance(text, str) or not text.strip() or "\n" in text:
            raise ValueError(f"record_capability: {name} must be one line of text, got {text!r}")
    if deviation is not None and not re.fullmatch(r"\S*\d\S* \S.*", str(deviation)):
        raise ValueError(f"record_capability: deviation must be a number with its unit, got {deviation!r}")
    if not (folder := os.environ.get(FOLDER)):
        return
    facts = {"engine": engine, "capability": capability, "version": version, "command": command}
    path = Path(folder, f"{_slug(engine)}--{_slug(capability)}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, facts | ({} if deviation is None else {"deviation": str(deviation)}))


def _slug(text):
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
