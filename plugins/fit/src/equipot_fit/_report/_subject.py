"""What the sections look at: the run's files, its model, its data, and the errors of the one on the other."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from equipot.config import stored_data
from equipot.containers import rewritten
from equipot.data import DataModule, FrameCollection
from equipot.errors import EquipotError
from equipot.files import file_digest
from equipot.units import UNIT_SYSTEMS
from equipot_fit._report._run_folder import RunFolder
from equipot_fit._report._section import NotShownError

if TYPE_CHECKING:
    from equipot.artifacts import Manifest
    from equipot.evaluate import EvaluatedFrame, Evaluation
    from equipot.model import GraphModel

logger = logging.getLogger(__name__)

MAX_FRAMES, MAX_ATOMS = 500, 10_000
"""Frames and atoms of a set that are evaluated; of larger sets a sample is taken, and the report says so."""

TRAIN_SHARE = 5
"""The train set is evaluated on a sample that is this many times smaller."""


class Subject:
    """A run with everything that sections need; each part is made on first use, and once.

    Args:
        run: Its files.
        max_frames: Of each set; see ``MAX_FRAMES``.
        until: When the report must be finished, by ``time.monotonic``.
    """

    def __init__(self, run: RunFolder, *, max_frames: int = MAX_FRAMES, until: float = math.inf) -> None:
        self.run, self.until = run, until
        self.max_frames = max_frames
        self.max_atoms = MAX_ATOMS if max_frames == MAX_FRAMES else 30 * max_frames
        self._failed: dict[str, str] = {}

    # ------------------------------------------------------------------ model

    @functools.cached_property
    def manifest(self) -> Manifest:
        """What the model's file says of itself."""
        from equipot.artifacts import inspect_file

        report = self._once("manifest", lambda: inspect_file(self._model_file))
        if report.manifest is None:
            raise NotShownError(f"The file of the model {report.verdict}: {report.advice}.")
        return report.manifest

    @property
    def known_data(self) -> dict[str, Any]:
        """What the model's file says of its data; nothing if there is no file."""
        return {} if self.run.model is None else dict(self.manifest.data)

    @property
    def _model_file(self) -> Path:
        if self.run.model is None:
            raise NotShownError("The run has no model yet: there is no checkpoint in its folder.")
        return self.run.model

    @functools.cached_property
    def stored_model(self) -> GraphModel:
        """The model as stored, without kernels that are chosen automatically."""
        from equipot.artifacts import load_model

        return self._once("model", lambda: load_model(self._model_file))

    @functools.cached_property
    def model(self) -> GraphModel:
        """The model as it is used."""
        from equipot.model import apply_automatic

        return apply_automatic(self.stored_model)[0]

    @property
    def ev(self) -> float:
        """The model's unit of energy in eV."""
        return UNIT_SYSTEMS[self.stored_model.info.units].energy_in_ev

    def shifts(self) -> dict[str, float]:
        """Energy of an atom of each type in eV from which the model starts; empty if these are not numbers."""
        given = self.run.model_section.get("per_type_energy_shifts")
        if isinstance(given, (int, float)):
            given = dict.fromkeys(self.stored_model.info.type_names, given)
        if not isinstance(given, Mapping) or not all(isinstance(one, (int, float)) for one in given.values()):
            return {}
        return {str(name): float(one) * self.ev for name, one in given.items()}

    # ------------------------------------------------------------------- data

    @functools.cached_property
    def data(self) -> DataModule:
        """The data module of the run's config, bound to the model if there is one."""
        return self._once("data", self._data)

    def _data(self) -> DataModule:
        data = stored_data({"data": self._placed(self.run.config.get("data"))})
        if not isinstance(data, DataModule):
            raise NotShownError("The data section is not one of equipot, so its frames are not read again.")
        if self.run.model is not None:
            data.bind(self.stored_model.info)
        labels = self.known_data.get("labels")
        energy = labels.get("total_energy") if isinstance(labels, Mapping) else None
        consistent = not isinstance(energy, Mapping) or "force_consistent" in energy
        data.use_labels(["forces", "stress"] if consistent else [])
        return data

    def _placed(self, section: Any) -> Any:
        """The data section with relative paths that are not found here placed where the command was started."""
        directory = self.run.directory

        def placed(value: Any, path: str) -> Any:
            if directory is None or not isinstance(value, str) or "path" not in path or Path(value).exists():
                return value
            return str(directory / value) if (directory / value).exists() else value

        return rewritten(section, leave=placed)

    @functools.cached_property
    def sets(self) -> dict[str, FrameCollection]:
        """Frames by set."""
        return self._once("sets", self.data.read_sets)

    @functools.cached_property
    def changed_files(self) -> list[str]:
        """Files of the data that are not what the model was trained on, as far as its file knows their digests."""
        known = self.known_data.get("files")
        if not isinstance(known, Mapping) or not known:
            return []
        now = {path: file_digest(path) for path in self.data.source_files()}
        return [path for path, digest in now.items() if digest not in known.values()]

    # ------------------------------------------------------------- evaluation

    @property
    def judged_sets(self) -> list[str]:
        """The sets on which errors are reported: those for the test, else those for validation."""
        for part in ("test", "val"):
            if found := [name for name in self.sets if name.startswith(part)]:
                return found
        raise NotShownError("The run has neither a test nor a validation set.")

    @functools.cached_property
    def evaluations(self) -> dict[str, Evaluation]:
        """Errors of the model by set: the judged ones, and the train set."""
        return self._once("evaluations", self._evaluations)

    def _evaluations(self) -> dict[str, Evaluation]:
        from equipot.evaluate import evaluate_frames

        found = {}
        for name in [*self.judged_sets, *(["train"] if "train" in self.sets else [])]:
            sample = self.sample(name)
            atoms = max(
                1, sum(count for index in range(min(50, len(sample.places))) for _, count in sample.composition(index))
            )
            size = max(1, 300 * min(50, len(sample.places)) // atoms)
            found[name] = evaluate_frames(self.model, sample, self.data.label_contract, batch_size=min(size, 50))
        return found

    def sample(self, name: str) -> FrameCollection:
        """The frames of a set that are evaluated."""
        whole = self.sets[name]
        share = TRAIN_SHARE if name == "train" else 1
        order = np.random.default_rng(0).permutation(len(whole.places))
        sizes = np.array([sum(count for _, count in whole.composition(index)) for index in order.tolist()])
        fitting = np.cumsum(sizes) <= self.max_atoms // share
        number = max(1, min(int(fitting.sum()), self.max_frames // share))
        return whole if number >= len(order) else whole.subset(sorted(order[:number].tolist()))

    def judged(self) -> list[tuple[str, Evaluation]]:
        """The evaluations of the judged sets."""
        return [(name, self.evaluations[name]) for name in self.judged_sets]

    def frames(self) -> list[EvaluatedFrame]:
        """Frames of the judged sets, without isolated atoms."""
        return [one for _, found in self.judged() for one in found.frames if len(one.numbers) > 1]

    def _once(self, name: str, make: Any) -> Any:
        """The result, or NotShownError with the reason, also when asked again."""
        if name in self._failed:
            raise NotShownError(self._failed[name])
        try:
            return make()
        except NotShownError as error:
            self._failed[name] = str(error)
            raise
        except EquipotError as error:
            self._failed[name] = f"{'The data cannot be read' if name in ('data', 'sets') else 'Not possible'}: {error}"
            raise NotShownError(self._failed[name]) from None
