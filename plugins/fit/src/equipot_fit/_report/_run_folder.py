"""The files in the folder of a run, as ``equipot train`` and ``equipot fit`` leave them."""

from __future__ import annotations

import csv
import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from equipot.errors import ConfigError, problem

logger = logging.getLogger(__name__)

MODELS = ("model.equipot.zip", "best.ckpt", "last.ckpt")
"""Files with the model of a run; the first that is there counts."""

COMPILED = "model.equipot.pt2"
LARGEST = 64 * 1024**2
"""Bytes of a file that is read whole; a larger one cannot be a record of a run."""


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """What a run has left, read but not judged; records that are missing or damaged are empty."""

    path: Path
    config: dict[str, Any]
    """The resolved config, of ``config.json``."""
    results: dict[str, Any] = field(default_factory=dict)
    """Errors by stage, of ``results.json``."""
    splits: dict[str, Any] = field(default_factory=dict)
    fit: dict[str, Any] = field(default_factory=dict)
    """What ``equipot fit`` says of its work: budget, stages, choices."""
    evaluation: dict[str, Any] = field(default_factory=dict)
    """Errors of the model that ``equipot fit`` delivers, as ``equipot eval --json`` prints them."""
    plan: str = ""
    """``plan.yaml`` of ``equipot fit``, whose comments are its reasons."""
    rows: list[dict[str, str]] = field(default_factory=list)
    """``logs/metrics.csv``."""
    log: str = ""
    """``train.log``."""
    hydra: dict[str, Any] = field(default_factory=dict)
    """Where and how the command was started."""
    model: Path | None = None
    """The file with the model."""

    @classmethod
    def read(cls, path: str | Path) -> RunFolder:
        """Read a folder.

        Args:
            path: Of the run.

        Raises:
            ConfigError: If it is not the folder of a run.
        """
        folder = Path(path)
        if not folder.is_dir():
            raise ConfigError(problem(str(path), "there is no such folder", hint="name the folder of a run"))
        config = _json(folder / "config.json")
        if not config:
            what = "is not the folder of a run: it has no config.json, or none that can be read"
            raise ConfigError(problem(str(path), what, hint="name what equipot train --output has written"))
        hydra = _mapping(_yaml(folder / ".hydra/hydra.yaml").get("hydra"))
        return cls(
            path=folder,
            config=config,
            results=_json(folder / "results.json"),
            splits=_json(folder / "splits.json"),
            fit=_json(folder / "fit.json"),
            evaluation=_json(folder / "evaluation.json"),
            plan=_text(folder / "plan.yaml"),
            rows=_rows(folder / "logs/metrics.csv"),
            log=_text(folder / "train.log"),
            hydra=hydra,
            model=next((folder / name for name in MODELS if (folder / name).is_file()), None),
        )

    @property
    def compiled(self) -> Path | None:
        """The compiled file, if there is one."""
        path = self.path / COMPILED
        return path if path.is_file() else None

    @property
    def model_section(self) -> dict[str, Any]:
        """``training_module.model`` of the config."""
        return _mapping(_mapping(self.config.get("training_module")).get("model"))

    @property
    def directory(self) -> Path | None:
        """Where the command was started, to which relative paths of the config refer."""
        cwd = _mapping(self.hydra.get("runtime")).get("cwd")
        return Path(cwd) if isinstance(cwd, str) else None

    def seconds(self) -> float | None:
        """Time of the run: as ``equipot fit`` says, else by the times of the files; None if these say nothing."""
        if isinstance(used := self.fit.get("used_seconds"), (int, float)):
            return float(used)
        ends = [self.path / name for name in ("results.json", "last.ckpt", "best.ckpt")]
        found = [one.stat().st_mtime for one in ends if one.is_file()]
        if not found:
            return None
        took = found[0] - (self.path / "config.json").stat().st_mtime
        return took if took > 1.0 else None


def _mapping(value: object) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else {}


def _text(path: Path) -> str:
    """A text file; empty if it cannot be read."""
    try:
        if not path.is_file() or path.stat().st_size > LARGEST:
            return ""
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _json(path: Path) -> dict[str, Any]:
    text = _text(path)
    try:
        return _mapping(json.loads(text)) if text else {}
    except (ValueError, RecursionError):
        logger.warning("%s is not JSON, and is left out", path)
        return {}


def _yaml(path: Path) -> dict[str, Any]:
    try:
        return _mapping(yaml.safe_load(_text(path)))
    except (yaml.YAMLError, RecursionError, ValueError):
        return {}


def _rows(path: Path) -> list[dict[str, str]]:
    return [
        {key: value for key, value in row.items() if isinstance(key, str) and isinstance(value, str)}
        for row in csv.DictReader(_text(path).splitlines())
    ]
