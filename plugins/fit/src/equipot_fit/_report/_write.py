"""Make the report: the numbers of all sections, then the page."""

from __future__ import annotations

import dataclasses
import datetime as dt
import logging
import math
import time
import warnings
from pathlib import Path
from typing import Any

from equipot import __version__
from equipot.containers import mapped, plain
from equipot.errors import ConfigError, EquipotError, problem
from equipot.files import write_json, write_text
from equipot_fit._report import (
    _breakdown,
    _calibration,
    _citations,
    _curves,
    _dimers,
    _dynamics,
    _headline,
    _origin,
    _parity,
    _physics,
    _speed,
    _training_data,
    _usage,
    _volume,
    _worst,
)
from equipot_fit._report._html import element, joined
from equipot_fit._report._page import page
from equipot_fit._report._run_folder import RunFolder
from equipot_fit._report._section import Data, NotShownError, Section
from equipot_fit._report._subject import MAX_FRAMES, Subject

logger = logging.getLogger(__name__)

NAME = "report.html"

SECTIONS: tuple[Section, ...] = tuple(
    one.SECTION
    for one in (
        *(_headline, _parity, _calibration, _breakdown, _worst, _curves, _training_data, _dimers, _volume, _dynamics),
        *(_physics, _speed, _usage, _origin, _citations),
    )
)


def write_report(
    run: str | Path,
    output: str | Path | None = None,
    *,
    max_frames: int = MAX_FRAMES,
    model: str | Path | None = None,
    until: float = math.inf,
) -> Path:
    """Write the report about a run, and its numbers in a file of the same name that ends in ``.json``.

    The files of the run are not changed.

    Args:
        run: Folder of the run.
        output: The page; default: ``report.html`` in the folder.
        max_frames: Frames of a set that are evaluated; of a larger set, a sample.
        model: A package or checkpoint to look at instead of the run's own, such as one with uncertainties added.
        until: When it must be finished, by ``time.monotonic``: sections for which there is no time left are not shown,
            and molecular dynamics run until then.

    Returns:
        The page.

    Raises:
        ConfigError: If the folder is not one of a run, the model no file, or the page would replace another file.
        ArtifactError: If the page cannot be written.
    """
    folder = RunFolder.read(run)
    if model is not None:
        if not Path(model).is_file():
            raise ConfigError(problem("--model", "is not a file", got=str(model), hint="a package or checkpoint"))
        folder = dataclasses.replace(folder, model=Path(model))
    path = folder.path / NAME if output is None else Path(output)
    if path.suffix not in (".html", ".htm"):
        raise ConfigError(problem(str(path), "a report is an HTML file", hint="its name must end in .html"))
    begun = time.process_time()
    found, shown = _made(Subject(folder, max_frames=max_frames, until=until))
    content = [(one.name, one.title, shown[one.name]) for one in SECTIONS if one.name in shown]
    if absent := [(one.title, found[one.name]["not_shown"]) for one in SECTIONS if "not_shown" in found[one.name]]:
        content.append(("absent", "What is not shown, and why", _absent(absent)))
    made = dt.datetime.now(dt.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    title = f"Report: {folder.path.resolve().name}"
    took = f"{time.process_time() - begun:.1f} s of CPU time"
    footer = f"Made by equipot {__version__} on {made} in {took}. Numbers: {path.with_suffix('.json').name}"
    write_json(path.with_suffix(".json"), _finite({"made": made, "equipot": __version__, **found}))
    write_text(path, page(title, _lead(found), content, footer))
    return path


def numbers(subject: Subject) -> dict[str, Data]:
    """The numbers of all sections; ``not_shown`` has the reason of one that is missing."""
    return {one.name: _numbers(one, subject) for one in SECTIONS}


def _made(subject: Subject) -> tuple[dict[str, Data], dict[str, str]]:
    """The numbers of all sections and the HTML of those that are shown; what takes the rest of the time comes last."""
    found, shown = {}, {}
    for one in sorted(SECTIONS, key=lambda section: section.fills_time):
        found[one.name] = _numbers(one, subject)
        if "not_shown" not in found[one.name]:
            shown[one.name] = drawn(one, found[one.name])
    return {one.name: found[one.name] for one in SECTIONS}, shown


def _numbers(section: Section, subject: Subject) -> Data:
    if section.can_wait and time.monotonic() > subject.until:
        return {"not_shown": f"There was no time left for it; equipot report {subject.run.path} has it."}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return dict(plain(section.data(subject)))
    except NotShownError as reason:
        return {"not_shown": str(reason)}
    except EquipotError as error:
        return {"not_shown": f"It could not be computed: {error}"}
    except Exception as error:  # a section that fails must not cost the others
        logger.warning("report: section %s failed (%s: %s)", section.name, type(error).__name__, error)
        logger.debug("report", exc_info=True)
        return {"not_shown": f"It could not be computed ({type(error).__name__}: {error})."}


def drawn(section: Section, data: Data) -> str:
    """HTML of a section; why there is none if it fails."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return section.draw(data)
    except Exception as error:  # as above
        logger.warning("report: section %s cannot be drawn (%s: %s)", section.name, type(error).__name__, error)
        logger.debug("report", exc_info=True)
        return element("p", f"It could not be drawn ({type(error).__name__}: {error}).", class_="warning")


def _absent(listed: list[tuple[str, str]]) -> str:
    return element(
        "ul", joined(element("li", joined([element("strong", f"{title}: "), reason])) for title, reason in listed)
    )


def _lead(found: dict[str, Data]) -> str:
    """One line: what was trained on what."""
    origin, data = found.get("origin", {}), found.get("data", {})
    parts = []
    if "model" in origin:
        model = origin["model"]
        parts.append(f"{model['target']} with {model['parameters']} parameters for {' '.join(model['types'][:12])}")
    if "sets" in data:
        sets = ", ".join(f"{one['frames']} {name}" for name, one in data["sets"].items())
        parts.append(f"frames: {sets}")
    return "; ".join(parts) or "A run without a model that can be loaded."


def _finite(value: Any) -> Any:
    """Plain containers for JSON, which has no NaN or infinity."""
    return mapped(value, lambda leaf: None if isinstance(leaf, float) and not math.isfinite(leaf) else leaf)
