"""The conformance class of statistics managers: what their values may depend on."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, ClassVar

import torch

from equipot.errors import DataError
from equipot.fields import mask_key
from equipot.model import ModelInfo
from equipot_testing._base import Conformance
from equipot_testing._global_state import check_global_state_kept
from equipot_testing._model_kit import cloned
from equipot_testing._refusals import check_refused
from equipot_testing.checks import check_outputs_equal, check_that
from equipot_testing.frames import standard_structures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from equipot.data import StatisticValue, StatsManager
    from equipot.graph import Graph

CLOSE = 1e-10


class StatsManagerConformance(Conformance):
    """The checks of a statistics manager.

    Example:
        >>> class TestMyStats(StatsManagerConformance):
        ...     name = "MyStats"
        ...     reads = ("total_energy",)
    """

    kind = "stats_managers"
    basics = ("names", "values", "frames_not_changed")

    type_names: ClassVar[tuple[str, ...]] = ("H", "C", "O")
    """Types it is tested with."""

    reads: ClassVar[tuple[str, ...]] = ("total_energy", "forces")
    """Labels that its default statistics need."""

    def manager(self) -> StatsManager:
        """The manager under test."""
        manager: StatsManager = self.component()(**self.made_options())
        return manager

    def frames(self, seed: int = 1) -> list[Graph]:
        """Bulk, slab, wire, molecule and lone atom with energies and forces."""
        names = self.type_names
        info = ModelInfo(type_names=names, chemical_species=names, r_max=4.0, cutoffs=None, model_dtype="float64")
        generator = torch.Generator().manual_seed(seed)
        frames = []
        for structure in standard_structures(len(names)).values():
            energy = -3.0 * len(structure) + torch.randn(1, generator=generator, dtype=torch.float64)
            forces = torch.randn(len(structure), 3, generator=generator, dtype=torch.float64)
            frames.append({**structure.graph(info), "total_energy": energy, "forces": forces})
        return frames

    def values(self, frames: Sequence[Graph], requested: Sequence[str] | None = None) -> dict[str, StatisticValue]:
        """The default statistics of frames, or the requested ones."""
        return self.manager().compute(iter(frames), self.type_names, requested)

    # ----------------------------------------------------------------- checks

    def test_names(self) -> None:
        """Names and kinds are known without data, and include the defaults.

        Tolerance: none.
        Why: configs are checked before data are read.
        Goes wrong: names that are made during the computation.
        """
        manager = self.manager()
        names = manager.names()
        check_that(bool(names), "a manager must have names")
        wrong = {name: kind for name, kind in names.items() if kind not in ("scalar", "per_type", "per_type_pair")}
        check_that(not wrong, f"kinds must be scalar, per_type or per_type_pair, got {wrong}")
        check_that(set(manager.default_names()) <= set(names), "default_names must be among names")

    def test_values(self) -> None:
        """Each default statistic consists of finite plain floats: one, or one for each type or pair of types.

        Tolerance: none.
        Why: configs and checkpoints contain the values; one NaN makes every weight NaN.
        Goes wrong: tensors or numpy scalars returned; 0/0 for a type without data.
        """
        manager = self.manager()
        values = self.values(self.frames())
        check_that(list(values) == manager.default_names(), f"one value for each default name, got {list(values)}")
        keys = {
            "scalar": {""},
            "per_type": set(self.type_names),
            "per_type_pair": {f"{centre}_{neighbour}" for centre in self.type_names for neighbour in self.type_names},
        }
        for name, value in values.items():
            kind = manager.names()[name]
            table = value if isinstance(value, dict) else {"": value}
            check_that(set(table) == keys[kind], f"{name} is {kind}: keys must be {keys[kind]}, got {set(table)}")
            plain = all(type(number) is float and math.isfinite(number) for number in table.values())
            check_that(plain, f"{name}: values must be finite floats, got {value}")

    def test_frames_not_changed(self) -> None:
        """The manager changes neither the frames nor the state of the process.

        Tolerance: none, bit for bit.
        Why: training uses the same frames.
        Goes wrong: labels centred in place; sampling from the global generator.
        """
        frames = self.frames()
        before = [cloned(frame) for frame in frames]
        with check_global_state_kept("computing the statistics"):
            self.values(frames)
        for frame, kept in zip(frames, before, strict=True):
            check_outputs_equal("frames must not be changed", frame, kept)

    def test_data_matter(self) -> None:
        """Different labels and frames give different values.

        Tolerance: none.
        Why: a constant is not a statistic.
        Goes wrong: a collector that never updates; only the first batch used.
        """
        frames = self.frames()
        check_that(self.values(frames) != self.values(self.frames(seed=2)[:4]), "the values must depend on the data")

    def test_order_of_frames(self) -> None:
        """The order of the frames does not matter.

        Tolerance: 1e-10.
        Why: the cache identifies statistics by the set of frames.
        Goes wrong: the first frame used as a reference; running means without weights.
        """
        frames = self.frames()
        _check_same("other order of frames", self.values(frames[::-1]), self.values(frames))

    def test_some_of_the_names(self) -> None:
        """Each statistic is the same whether others are requested or not.

        Tolerance: 1e-10.
        Why: only the statistics that a config uses are computed.
        Goes wrong: collectors that share state.
        """
        frames = self.frames()
        values = self.values(frames)
        for name, value in values.items():
            _check_same(f"{name} asked for alone", self.values(frames, [name]), {name: value})

    def test_masked_labels_not_read(self) -> None:
        """A label that is masked out counts as absent, even if its value is not finite.

        Tolerance: 1e-10; the masked labels are NaN.
        Why: otherwise data sets with partial labels give NaN, or zeros count as data.
        Goes wrong: ``<label>_mask`` ignored; a product with the mask, which keeps NaN.
        """
        clean, masked = self.frames(), self.frames()
        kept = [index for index in range(len(clean)) if index != 1]
        for index, frame in enumerate(masked):
            for label in self.reads:
                size = frame[label].shape[0]
                frame[mask_key(label)] = torch.full((size,), index != 1)
        for frame in masked[1:2]:
            for label in self.reads:
                frame[label] = torch.full_like(frame[label], float("nan"))
        for name in self.manager().default_names():
            if self._reads_labels(name):
                expected = self.values([clean[index] for index in kept], [name])
                _check_same("a masked label", self.values(masked, [name]), expected)

    def _reads_labels(self, name: str) -> bool:
        """Whether a statistic fails without labels."""
        bare = [{key: value for key, value in frame.items() if key not in self.reads} for frame in self.frames()]
        try:
            self.values(bare, [name])
        except DataError:
            return True
        return False

    def test_no_other_labels_read(self) -> None:
        """The default statistics only need the declared labels.

        Tolerance: none.
        Why: energy-only data sets have no forces.
        Goes wrong: all statistics are computed, even those that were not requested.
        """
        frames = [
            {key: value for key, value in frame.items() if key in self.reads or key not in ("total_energy", "forces")}
            for frame in self.frames()
        ]
        check_that(bool(self.values(frames)), f"the statistics must follow from {self.reads}")

    def test_missing_type_is_an_error(self) -> None:
        """A type that does not occur in the data gives an error that names it, and not NaN.

        Tolerance: none.
        Why: a NaN would only show in the loss an hour later, without its cause.
        Goes wrong: a division by the number of atoms of each type.
        """
        frames = self.frames()
        for frame in frames:
            frame["atom_types"] = frame["atom_types"].clamp(max=len(self.type_names) - 2)
        manager = self.manager()
        for name in manager.default_names():
            if manager.names()[name] != "per_type":
                continue
            try:
                values = self.values(frames, [name])
            except DataError as error:
                text = str(error)
                named = name in text and self.type_names[-1] in text
                check_that(named, f"the error must name statistic {name!r} and type, got: {text}")
            else:
                check_that(False, f"{name}: a type without data must be an error, got {values}")

    def test_unknown_name(self) -> None:
        """An unknown statistic is refused with an error that names it.

        Tolerance: none.
        Why: configs refer to statistics by name.
        Goes wrong: ``compute`` overridden.
        """
        name = "surely_not_a_statistic"
        check_refused("an unknown statistic", lambda: self.values(self.frames(), [name]), name)

    def test_config_is_plain(self) -> None:
        """The config that identifies the manager in the cache consists of plain containers and does not change.

        Tolerance: none.
        Why: otherwise statistics are computed again in each run, or those for other options are used.
        Goes wrong: the address of an object in a text; a set, whose order changes.
        """
        first, second = (json.dumps(self.manager().config(), sort_keys=True) for _ in range(2))
        check_that(first == second, f"config() must not change: {first} and {second}")


def _check_same(law: str, actual: dict[str, StatisticValue], expected: dict[str, StatisticValue]) -> None:
    check_that(actual.keys() == expected.keys(), f"{law}: names {sorted(actual)}, expected {sorted(expected)}")
    for name, value in expected.items():
        other = actual[name]
        pairs = (
            [(other, value)]
            if isinstance(value, float) or isinstance(other, float)
            else [(other[key], value[key]) for key in value]
        )
        for found, wanted in pairs:
            same = isinstance(found, float) and isinstance(wanted, float) and math.isclose(found, wanted, rel_tol=CLOSE)
            check_that(same, f"{law}: {name} must not change, {found} instead of {wanted}")
