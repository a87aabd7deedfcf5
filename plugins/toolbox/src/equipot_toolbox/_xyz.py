"""Callbacks that write predictions of test and validation sets as extended XYZ files."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any

import lightning
import numpy as np
import torch
from pydantic import Field

from equipot.errors import ConfigError, problem, unknown
from equipot.fields import FIELDS, mask_key
from equipot.files import atomic
from equipot.graph import Graph, split
from equipot.options import Configurable, Options

LABEL_PREFIX = "original_dataset_"
"""Prefix of the names of labels in the files."""


@dataclass(frozen=True)
class WriterOptions(Options):
    """Options of both writers."""

    out_file: str
    """Path without suffix."""

    output_fields_from_original_dataset: list[str] | None = None
    """Labels of the data that are written as ``original_dataset_<label>``."""

    extra_fields: list[str] | None = None
    """Further predicted fields, per frame or atom, to write."""

    chemical_symbols: list[str] | None = None
    """Chemical symbol of each of the model's types; by default the elements in the data."""

    def problems(self) -> Iterable[str]:
        """A path with a suffix, and unknown fields."""
        if Path(self.out_file).suffix in (".xyz", ".extxyz"):
            yield problem("out_file", "must have no suffix", got=self.out_file)
        known = [name for name, row in FIELDS.items() if row.per != "edge"]
        for option in ("output_fields_from_original_dataset", "extra_fields"):
            for name in getattr(self, option) or ():
                if name not in known:
                    yield unknown(option, name, known, "field")


@dataclass(frozen=True, kw_only=True)
class ValidationWriterOptions(WriterOptions):
    """Options of the writer for validation sets."""

    separate_file_per_epoch: bool = False
    """Keep one file per epoch, with ``_epoch<number>`` in its name, instead of only the last one."""

    every_n_epochs: Annotated[int, Field(ge=1)] = 1
    """Write in every n-th epoch."""


class PredictionFiles:
    """Extended XYZ files, one per data set, which appear under their names when they are complete."""

    def __init__(self, options: WriterOptions, where: str) -> None:
        self.where = where
        self.out_file = options.out_file
        self.labels = tuple(options.output_fields_from_original_dataset or ())
        self.extra_fields = tuple(options.extra_fields or ())
        self.symbols = None if options.chemical_symbols is None else np.asarray(options.chemical_symbols)
        self._open: dict[int, IO[str]] = {}
        self._unfinished = ExitStack()

    def add(self, number: int, suffix: str, outputs: Graph, batch: Graph) -> None:
        """Write the frames of a batch to the file of data set ``number``, whose name ends with ``suffix``."""
        from ase.io import write

        if number not in self._open:
            path = Path(f"{self.out_file}_dataset{number}{suffix}.xyz")
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = self._unfinished.enter_context(atomic(path))
            self._open[number] = self._unfinished.enter_context(temporary.open("w", encoding="utf-8"))
        write(self._open[number], self.atoms(outputs, batch), format="extxyz")

    def atoms(self, outputs: Graph, batch: Graph) -> list[Any]:
        """The frames of a batch with predictions as results of a calculator, in the units of the data.

        Raises:
            ConfigError: If a field to write is not predicted or not in the data.
        """
        self._check(outputs, batch)
        kept = {key: value.detach().cpu() for key, value in batch.items() if _is_kept(key)}
        wanted = (*_in_results(), *self.extra_fields, "stress_mask")
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
        results = {name: _value(key, predicted) for key, name in _in_results().items() if _has(key, predicted)}
        atoms.calc = SinglePointCalculator(atoms, **results)
        for key in self.extra_fields:
            if _has(key, predicted):
                _attach(atoms, key, key, predicted)
        for key in self.labels:
            if _has(key, frame):
                _attach(atoms, f"{LABEL_PREFIX}{key}", key, frame)
        return atoms

    def finish(self) -> None:
        """Finish all files."""
        self._unfinished.close()
        self._open = {}

    def discard(self) -> None:
        """Remove unfinished files."""
        with suppress(_DiscardedError), self._unfinished:
            raise _DiscardedError  # atomic() then keeps the earlier file
        self._open = {}


class _DiscardedError(Exception):
    """Makes ``atomic`` discard an unfinished file."""


def _in_results() -> dict[str, str]:
    """Predictions that ASE reads as results of a calculator, and their names there."""
    from ase.calculators.calculator import all_properties

    named = {key: row.ase_property for key, row in FIELDS.items()}
    return {key: name for key, name in named.items() if name in all_properties}


def _is_kept(key: str) -> bool:
    return key.removesuffix("_mask") in FIELDS and FIELDS[key.removesuffix("_mask")].per != "edge"


def _has(key: str, frame: Graph) -> bool:
    """Whether a frame has a field with all its rows."""
    return key in frame and bool(frame.get(mask_key(key), torch.ones(1, dtype=torch.bool)).all())


def _value(key: str, frame: Graph) -> Any:
    value = frame[key].numpy()
    if FIELDS[key].per == "atom":
        return value
    return value[0] if value[0].ndim else value[0].item()


def _attach(atoms: Any, name: str, key: str, frame: Graph) -> None:
    held = atoms.arrays if FIELDS[key].per == "atom" else atoms.info
    held[name] = _value(key, frame)


class PredictionWriter(Configurable, lightning.Callback, options=WriterOptions):
    """Writes predictions to extended XYZ files."""

    options: WriterOptions

    def __post_init__(self) -> None:
        """Prepare the files."""
        super().__post_init__()
        self.files = PredictionFiles(self.options, type(self).__name__)

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Remove unfinished files."""
        self.files.discard()


class TestTimeXYZFileWriter(PredictionWriter):
    """Writes the predictions for each test set to ``<out_file>_dataset<number>.xyz``.

    ``ase.io.read`` gives the predicted energies, forces and stress as results of a calculator; labels have the names
    ``original_dataset_<label>``. Both are in the units of the data. With several processes, each writes the frames
    that it evaluated to a file with ``_rank<number>`` in its name.
    """

    __test__ = False  # pytest takes the name for a test case

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
        """Finish the files."""
        self.files.finish()


class ValTimeXYZFileWriter(PredictionWriter, options=ValidationWriterOptions):
    """Writes the predictions for each validation set, like ``TestTimeXYZFileWriter``."""

    options: ValidationWriterOptions

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
        if trainer.current_epoch % self.options.every_n_epochs == 0:
            epoch = f"_epoch{trainer.current_epoch}" if self.options.separate_file_per_epoch else ""
            self.files.add(dataloader_idx, f"{epoch}{_rank(trainer)}", outputs, batch)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Finish the files."""
        self.files.finish()


def _rank(trainer: lightning.Trainer) -> str:
    return f"_rank{trainer.global_rank}" if trainer.world_size > 1 else ""
