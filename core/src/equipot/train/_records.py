"""What a run logs, in ``logs/metrics.csv``: a resumed run goes on with the rows up to its checkpoint."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.loggers import CSVLogger

from equipot._processes import is_first
from equipot.files import append_text, atomic

METRICS = Path("logs", "metrics.csv")
"""Place in the folder of a run."""


class MetricsFile(CSVLogger):
    """Writes each row when it is logged; columns are sorted, and added when they first occur.

    Lightning's own begins with an empty file when a run is resumed.

    Args:
        folder: Of the run.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, name=METRICS.parent.name, version="")
        self.path = folder / METRICS
        self.rows = 0
        self.columns: list[str] = []

    @property
    def experiment(self) -> MetricsFile:
        """Itself: Lightning's writer, which callers may ask for, would remove the file that is there."""
        return self

    def keep(self, rows: int | None) -> None:
        """Begin with the first rows of the file that is there: none for 0, all for None."""
        if not is_first():
            return
        kept = _read(self.path)[:rows]
        self.rows = len(kept)
        self.columns = sorted({key for row in kept for key, value in row.items() if value})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._rewrite(kept)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:  # type: ignore[override]
        """Add a row.

        Args:
            metrics: Name to number.
            step: Number of optimizer steps.
        """
        if not is_first():
            return
        row = {**metrics, "step": self.rows if step is None else step}
        if new := sorted(row.keys() - set(self.columns)):
            self.columns = sorted([*self.columns, *new])
            self._rewrite(_read(self.path))
        text = io.StringIO(newline="")
        csv.DictWriter(text, self.columns).writerow(row)
        append_text(self.path, text.getvalue())
        self.rows += 1

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        with atomic(self.path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns, extrasaction="ignore")
            if self.columns:
                writer.writeheader()
            writer.writerows(rows)

    def log_hyperparams(self, params: Any = None) -> None:
        """The config is in ``config.json``."""

    def save(self) -> None:
        """Rows are written when they are logged."""

    def finalize(self, status: str) -> None:
        """Nothing is left to write."""


def carry_rows(source: Path, folder: Path) -> None:
    """Copy the file of a resumed run into another folder, where the run goes on.

    Args:
        source: Folder of the resumed checkpoint.
        folder: Of the run that goes on.
    """
    before, after = source / METRICS, folder / METRICS
    if not before.is_file() or (after.exists() and before.samefile(after)):
        return
    after.parent.mkdir(parents=True, exist_ok=True)
    with atomic(after) as temporary:
        shutil.copyfile(before, temporary)


def _read(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except OSError:
        return []


class Rows(lightning.Callback):
    """Ties the rows of ``metrics.csv`` to the checkpoints.

    Args:
        file: Of the run.
    """

    def __init__(self, file: MetricsFile) -> None:
        self.file = file
        self._kept = 0

    def state_dict(self) -> dict[str, int]:
        """Number of rows so far."""
        return {"rows": self.file.rows}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Keep so many of them."""
        self._kept = int(state_dict["rows"])

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Begin with those rows, or with none."""
        del trainer, pl_module
        self.file.keep(self._kept)
