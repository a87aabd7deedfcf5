"""Callbacks that write predictions of test and validation sets as extended XYZ files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Annotated, Any

import lightning
import numpy as np
import torch
from pydantic import Field

from equipot.errors import ConfigError, did_you_mean, problem
from equipot.fields import FIELDS, mask_key
from equipot.graph import Graph, split

LABEL_PREFIX = "original_dataset_"
"""What names of labels begin with in the files."""

_RESULTS = {"total_energy": "energy", "atomic_energy": "energies", "forces": "forces", "stress": "stress"}
"""Predictions that ASE's readers take for results of a calculator, and their names there."""


class PredictionFiles:
    """Extended XYZ files, one a data set, each put in place whole when it is finished.

    Args:
        out_file: Path without suffix.
        labels: Labels of the data to write beside the predictions, as ``original_dataset_<label>``.
        extra_fields: Further predicted fields per frame or atom.
        chemical_symbols: Symbol of each type; None: the elements of the data.
        where: Place named in errors.

    Raises:
        ConfigError: On a path with a suffix of XYZ files, and on unknown fields.
    """

    def __init__(
        self,
        out_file: str,
        labels: Sequence[str],
        extra_fields: Sequence[str],
        chemical_symbols: Sequence[str] | None,
        where: str,
    ) -> None:
        problems = []
        if Path(out_file).suffix in (".xyz", ".extxyz"):
            problems.append(problem(f"{where}.out_file", "must have no suffix", got=out_file))
        for option, names in (("output_fields_from_original_dataset", labels), ("extra_fields", extra_fields)):
            problems += [
                problem(f"{where}.{option}", "unknown field", got=name, hint=did_you_mean(name, FIELDS))
                for name in names
                if name not in FIELDS or FIELDS[name].per == "edge"
            ]
        if problems:
            raise ConfigError(problems)
        self.where = where
        self.out_file, self.labels, self.extra_fields = out_file, tuple(labels), tuple(extra_fields)
        self.symbols = None if chemical_symbols is None else np.asarray(chemical_symbols)
        self._open: dict[int, tuple[IO[str], Path]] = {}

    def add(self, number: int, suffix: str, outputs: Graph, batch: Graph) -> None:
        """Write the frames of a batch.

        Args:
            number: Number of the data set.
            suffix: What the name of its file ends with.
            outputs: Predictions.
            batch: Frames with labels.
        """
        from ase.io import write

        if number not in self._open:
            path = Path(f"{self.out_file}_dataset{number}{suffix}.xyz")
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            self._open[number] = (temporary.open("w", encoding="utf-8"), path)
        write(self._open[number][0], self.atoms(outputs, batch), format="extxyz")

    def atoms(self, outputs: Graph, batch: Graph) -> list[Any]:
        """The frames of a batch with predictions as results of a calculator, in the units of the data.

        Args:
            outputs: Predictions.
            batch: Frames with labels.

        Raises:
            ConfigError: If a field to write is nowhere.
        """
        self._check(outputs, batch)
        kept = {key: value.detach().cpu() for key, value in batch.items() if _is_kept(key)}
        wanted = (*_RESULTS, *self.extra_fields, "stress_mask")
        predicted = {key: value.detach().cpu() for key, value in outputs.items() if key in wanted}
        predicted |= {key: kept[key] for key in ("batch", "num_atoms")}
        return [self._one(*pair) for pair in zip(split(predicted), split(kept), strict=True)]

    def _check(self, outputs: Graph, batch: Graph) -> None:
        problems = [
            problem(f"{self.where}.extra_fields", "is not predicted by the model", got=name)
            for name in self.extra_fields
            if name not in outputs
        ]
        problems += [
            problem(f"{self.where}.output_fields_from_original_dataset", "is not in the data", got=name)
            for name in self.labels
            if name not in batch
        ]
        if problems:
            raise ConfigError(problems)

    def _one(self, predicted: Graph, frame: Graph) -> Any:
        from ase import Atoms
        from ase.calculators.singlepoint import SinglePointCalculator

        symbols = frame["atomic_numbers"].numpy() if self.symbols is None else self.symbols[frame["atom_types"].numpy()]
        atoms = Atoms(symbols, frame["positions"].numpy(), cell=frame["cell"][0].numpy(), pbc=frame["pbc"][0].numpy())
        results = {_RESULTS[key]: _value(key, predicted) for key in _RESULTS if _has(key, predicted)}
        atoms.calc = SinglePointCalculator(atoms, **results)
        for key in self.extra_fields:
            if _has(key, predicted):
                _attach(atoms, key, key, predicted)
        for key in self.labels:
            if _has(key, frame):
                _attach(atoms, f"{LABEL_PREFIX}{key}", key, frame)
        return atoms

    def finish(self) -> None:
        """Put all files in place."""
        for stream, path in self._open.values():
            stream.close()
            Path(stream.name).replace(path)
        self._open = {}

    def discard(self) -> None:
        """Remove unfinished files."""
        for stream, _ in self._open.values():
            stream.close()
            Path(stream.name).unlink(missing_ok=True)
        self._open = {}


def _is_kept(key: str) -> bool:
    return key.removesuffix("_mask") in FIELDS and FIELDS[key.removesuffix("_mask")].per != "edge"


def _has(key: str, frame: Graph) -> bool:
    """Whether a frame has a field, for all its rows."""
    return key in frame and bool(frame.get(mask_key(key), torch.ones(1, dtype=torch.bool)).all())


def _value(key: str, frame: Graph) -> Any:
    value = frame[key].numpy()
    if FIELDS[key].per == "atom":
        return value
    return value[0] if value[0].ndim else value[0].item()


def _attach(atoms: Any, name: str, key: str, frame: Graph) -> None:
    held = atoms.arrays if FIELDS[key].per == "atom" else atoms.info
    held[name] = _value(key, frame)


class TestTimeXYZFileWriter(lightning.Callback):
    """Writes the predictions for each test set to ``<out_file>_dataset<number>.xyz``.

    Energies, forces and stress of the model are what ``ase.io.read`` gives as results; labels stand
    beside them as ``original_dataset_<label>``; both are in the units of the data. With several
    processes each writes the frames it evaluated, with ``_rank<number>`` in the name.

    Args:
        out_file: Path without suffix.
        output_fields_from_original_dataset: Labels of the data to write too.
        extra_fields: Further predicted fields to write.
        chemical_symbols: Symbol of each of the model's types; by default the elements of the data.
    """

    __test__ = False  # no test case, whatever pytest makes of the name

    def __init__(
        self,
        out_file: str,
        output_fields_from_original_dataset: list[str] | None = None,
        extra_fields: list[str] | None = None,
        chemical_symbols: list[str] | None = None,
    ) -> None:
        labels, extra = output_fields_from_original_dataset or [], extra_fields or []
        self.files = PredictionFiles(out_file, labels, extra, chemical_symbols, type(self).__name__)

    def on_test_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write a batch."""
        self.files.add(dataloader_idx, _rank(trainer), outputs, batch)

    def on_test_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Put the files in place."""
        self.files.finish()

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Remove unfinished files."""
        self.files.discard()


class ValTimeXYZFileWriter(lightning.Callback):
    """Writes the predictions for each validation set, as ``TestTimeXYZFileWriter``.

    Args:
        out_file: Path without suffix.
        output_fields_from_original_dataset: Labels of the data to write too.
        extra_fields: Further predicted fields to write.
        chemical_symbols: Symbol of each of the model's types; by default the elements of the data.
        separate_file_per_epoch: Keep a file of each epoch, with ``_epoch<number>`` in the name, instead
            of the last one.
        every_n_epochs: Write in every n-th epoch.
    """

    def __init__(
        self,
        out_file: str,
        output_fields_from_original_dataset: list[str] | None = None,
        extra_fields: list[str] | None = None,
        chemical_symbols: list[str] | None = None,
        *,
        separate_file_per_epoch: bool = False,
        every_n_epochs: Annotated[int, Field(ge=1)] = 1,
    ) -> None:
        labels, extra = output_fields_from_original_dataset or [], extra_fields or []
        self.files = PredictionFiles(out_file, labels, extra, chemical_symbols, type(self).__name__)
        self.separate_file_per_epoch = separate_file_per_epoch
        self.every_n_epochs = every_n_epochs

    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write a batch."""
        if trainer.current_epoch % self.every_n_epochs == 0:
            epoch = f"_epoch{trainer.current_epoch}" if self.separate_file_per_epoch else ""
            self.files.add(dataloader_idx, f"{epoch}{_rank(trainer)}", outputs, batch)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Put the files in place."""
        self.files.finish()

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Remove unfinished files."""
        self.files.discard()


def _rank(trainer: lightning.Trainer) -> str:
    return f"_rank{trainer.global_rank}" if trainer.world_size > 1 else ""
