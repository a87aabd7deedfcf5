"""The conformance class of export targets: engines that run compiled models."""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from equipot.compile import ExportTarget, ForTarget, compile_model, for_target, metadata_of
from equipot.errors import ConfigError, EquipotError
from equipot.fields import FIELDS, OPTIONAL_INPUTS
from equipot.model import EnergyTerm, EnergyTermModule, with_edge_forces
from equipot.plugins import plugins
from equipot_testing._base import Conformance
from equipot_testing._checklist import NotApplicable, after, slow
from equipot_testing._ghosts import share_of, split
from equipot_testing._refusals import check_refused
from equipot_testing.checks import check_close, check_equal, check_that
from equipot_testing.frames import batch_of, bulk, lone_atom, molecule, slab, standard_structures
from equipot_testing.toy import ToyMessages, ToyModel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from equipot.graph import Graph
    from equipot.model import BuildContext, GraphModel
    from equipot_testing.frames import Structure

_LOCALITIES = ("strict", "hops", "global")
_UNITS = ("metal", "real")


class ExportTargetConformance(Conformance):
    """The checks of an export target.

    Most run tiny models in the form that the target compiles, without a compiler. ``test_compiled`` compiles a model of
    an installed builder and runs the file in ``engine``, which a plugin overrides to run it in the engine itself.

    Example:
        >>> class TestMyEngine(ExportTargetConformance):
        ...     name = "my_engine"
        ...     builder = "AllegroModel"
        ...     builder_options = {"avg_num_neighbors": 12.0}
    """

    kind = "export_targets"
    basics = ("facts", "localities")

    type_names: ClassVar[tuple[str, ...]] = ("H", "C", "O")
    """Types of the models it is tested with."""

    builder: ClassVar[str] = ""
    """Registered name of the model builder whose model ``test_compiled`` compiles; tiny models cannot be stored."""

    builder_options: ClassVar[Mapping[str, Any]] = {}
    """Options of that builder; types, radius and dtype are set by the kit."""

    def engine(self, path: Path) -> Callable[[Graph], Graph]:
        """The engine with a compiled file.

        Args:
            path: The file.

        Returns:
            A function from frames to outputs; those that the engine cannot show may be missing.
        """
        from equipot.artifacts import load_compiled

        return load_compiled(path, allow_native=True)

    def export_target(self) -> ExportTarget:
        """The target under test."""
        made: ExportTarget = self.component()()
        return made

    def label(self) -> str:
        """Its registered name, or that of its class."""
        return self.name or self.component().__name__

    def model(self, locality: str = "", **options: Any) -> GraphModel:
        """A tiny model with forces, in eval mode.

        Args:
            locality: ``strict``, ``hops`` or ``global``; the first that the target serves if empty.
            **options: Of the builder.
        """
        locality = locality or self.export_target().localities[0]
        recipe = ToyMessages if locality == "hops" else ToyModel
        more = {"energy_terms": {"far": _Far()}, **options} if locality == "global" else options
        return recipe(**{**self.base_options(), **more}).build().eval()

    def base_options(self) -> dict[str, Any]:
        """Options that every model builder has, as the kit sets them."""
        return {"type_names": list(self.type_names), "r_max": 4.0, "model_dtype": "float64", "seed": 3}

    def ready(self, model: GraphModel) -> ForTarget:
        """The model as the target compiles it."""
        return for_target(model, self.label(), self.export_target())

    def structures(self) -> dict[str, Structure]:
        """Bulk, slab, wire, molecule and lone atom."""
        return standard_structures(len(self.type_names))

    # ----------------------------------------------------------------- checks

    def test_facts(self) -> None:
        """Inputs, outputs, localities and units are names that equipot knows, and two instances are equal.

        Tolerance: none.
        Why: files are read by these names, and a target that keeps a state would write files that depend on it.
        Goes wrong: a misspelled output; outputs without the energies; a list for a tuple; options in ``__init__``.
        """
        target = self.export_target()
        check_that(isinstance(target, ExportTarget), "it must derive from equipot.compile.ExportTarget")
        for field in ("inputs", "optional_inputs", "outputs", "localities", "units"):
            value = getattr(target, field)
            check_that(isinstance(value, tuple), f"{field} must be a tuple of names, got {value!r}")
        known = {*FIELDS, "stress_mask"}
        check_that(set(target.inputs) <= {"owned"}, f"inputs must be 'owned' or none, got {target.inputs}")
        unknown = sorted(set(target.optional_inputs) - set(OPTIONAL_INPUTS)) + sorted(set(target.units) - set(_UNITS))
        check_that(not unknown, f"optional_inputs and units must be those of equipot, not {unknown}")
        check_that(set(target.outputs) <= known, f"outputs must be fields, not {sorted(set(target.outputs) - known)}")
        energies = {"atomic_energy", "total_energy"}
        check_that(not target.outputs or energies <= set(target.outputs), f"outputs must include {sorted(energies)}")
        check_that(
            bool(target.localities) and set(target.localities) <= set(_LOCALITIES),
            f"localities must be of {_LOCALITIES}, got {target.localities}",
        )
        check_that(target == self.export_target(), "two instances must be equal")

    @after("facts")
    def test_localities(self) -> None:
        """An ordinary model of each locality that it states is accepted, one of another is refused by name.

        Tolerance: none.
        Why: a model that the engine cannot serve would give wrong forces near the borders of processes.
        Goes wrong: ``refusals`` names reasons that do not hold; edge forces of a global model.
        """
        target = self.export_target()
        for locality in _LOCALITIES:
            model = self.model(locality)
            if locality in target.localities:
                check_that(self._reasons(model) == "", f"a {locality} model must be served: {self._reasons(model)}")
            else:
                names = ("far",) if locality == "global" else ("energy",)
                check_refused(f"a {locality} model", functools.partial(self.ready, model), *names)

    @after("localities")
    def test_missing_outputs(self) -> None:
        """A model that lacks an output is refused with the name of the output, or served if none is needed.

        Tolerance: none.
        Why: the engine would stop, or move atoms by forces of zero.
        Goes wrong: ``outputs`` without ``forces`` for an engine that moves atoms.
        """
        model = self.model(do_derivatives=False)
        needed = set(self.export_target().outputs) - {"atomic_energy", "total_energy", "stress_mask"}
        if not needed:
            check_that(self._reasons(model) == "", "a model without forces must be served: no such output is needed")
            return
        check_refused("a model without forces", lambda: self.ready(model), "enable_ForceStressOutput")

    @after("localities")
    def test_inputs(self) -> None:
        """A model with an input that the engine states is accepted; one with another is refused with the input's name.

        Tolerance: none.
        Why: the engine would run it with its own idea of a charge, and nobody would notice.
        Goes wrong: ``refusals`` refuses what ``optional_inputs`` states.
        """
        for key in OPTIONAL_INPUTS:
            model = self.model(energy_terms={"counter": _Counter(key=key)})
            if key in self.export_target().optional_inputs:
                check_that(self._reasons(model) == "", f"a model with {key} must be served: {self._reasons(model)}")
            else:
                check_refused(f"a model with {key}", functools.partial(self.ready, model), key)

    @after("localities")
    def test_units_and_species(self) -> None:
        """Models in the stated units are accepted; models without elements are accepted or refused in words.

        Tolerance: none.
        Why: many models have types such as ``O_water``, whose elements are unknown.
        Goes wrong: ``refusals`` fails for ``info.atomic_numbers`` of None, or returns one text instead of a list.
        """
        info = self.model().info
        for units in self.export_target().units:
            reasons = self._own_reasons(dataclasses.replace(info, units=units))
            check_that(not reasons, f"a model in {units} units must be served: {reasons}")
        self._own_reasons(dataclasses.replace(info, chemical_species=None))

    @after("localities")
    def test_adapted_model(self) -> None:
        """The model in the engine's form gives the numbers of the model, which is not changed.

        Tolerance: 1e-10 in float64.
        Why: what is compiled is this form; the file is compared with the model, and refused if they differ.
        Goes wrong: ``adapted`` sets a slot of its argument; the replacement of a module scales or rounds.
        """
        for locality in self.export_target().localities:
            model = self.model(locality)
            batch = batch_of(self.structures().values(), model.info)
            before, slots = model(batch), [id(module) for module in model.modules()]
            ready = self.ready(model)
            check_that([id(module) for module in model.modules()] == slots, "the given model must not be changed")
            found, reference = ready.adapted(batch), ready.model(batch)
            for key, value in {**reference, **before}.items():
                _compare(f"{locality} model, {key}", found[key], value)

    @after("localities")
    def test_metadata(self) -> None:
        """The engine's own metadata are one text for each name, the same for the same model.

        Tolerance: none.
        Why: they are read from the file, without Python, long after it was made.
        Goes wrong: a number instead of a text; the date or a path of the machine in it.
        """
        ready = self.ready(self.model())
        try:
            found = [metadata_of(ready, "0" * 64, {}) for _ in range(2)]
        except EquipotError as error:
            raise AssertionError(str(error)) from error
        check_that(found[0] == found[1], "the metadata must not depend on anything but the model")
        lines = [key for key, value in found[0].items() if "\n" in value or "\0" in value]
        check_that(not lines, f"metadata must be single lines: {lines}")

    @after("adapted_model")
    def test_outputs(self) -> None:
        """Models in float32 and in float64 give all outputs, in float64.

        Tolerance: 1e-10 in float64, 1e-4 in float32.
        Why: most models are trained in float32, while engines move atoms in float64.
        Goes wrong: an adapted model that turns results into another type; one that works in float64 only.
        """
        for dtype in ("float64", "float32"):
            model = self.model(model_dtype=dtype)
            ready = self.ready(model)
            batch = batch_of(self.structures().values(), model.info)
            found, reference = ready.adapted(batch), _with_all(model)(batch)
            for key in ready.outputs:
                check_that(key in found, f"{dtype}: the output {key} is missing")
                _compare(f"{dtype}: {key}", found[key], reference[key], 1e-10 if dtype == "float64" else 1e-4)

    @after("adapted_model")
    def test_ghost_splits(self) -> None:
        """Processes that share the atoms of a structure, with ghosts within reach, add up to the whole.

        Tolerance: 1e-10 in float64; energies of atoms, total energy, forces and virial.
        Why: this is how engines run on several processors. A ghost has no energy of its own, but it has a force,
        which goes back to the process that owns the atom.
        Goes wrong: forces of ghosts set to zero; energies of ghosts counted; a sum over all atoms of the frame.
        """
        if "owned" not in self.export_target().inputs:
            raise NotApplicable("its engine has no ghost atoms")
        for locality in self._local():
            model = self.model(locality)
            ready = self.ready(model)
            self._check_splits(f"{locality} model", model, ready.adapted)

    @after("adapted_model")
    def test_empty_process(self) -> None:
        """A process that owns no atoms gives zeros, with ghosts and their edges and without any edge.

        Tolerance: none.
        Why: where a slab ends, some processes have no atoms.
        Goes wrong: a division by the number of owned atoms; a mean of nothing.
        """
        if "owned" not in self.export_target().inputs:
            raise NotApplicable("its engine has no ghost atoms")
        for locality in self._local():
            model = self.model(locality)
            self._check_empty(f"{locality} model", model, self.ready(model).adapted)

    @slow
    @after("ghost_splits", "empty_process", "outputs", "metadata")
    def test_compiled(self) -> None:
        """A compiled file gives the numbers of the model in the engine, split among processes and without atoms too.

        Tolerance: 1e-10 in float64.
        Why: this is what users run.
        Goes wrong: an output read by its old place; a cell as columns; units; forces of ghosts that are not sent back.
        """
        if self.declaring_module() is None:
            raise NotApplicable("no installed plugin declares it, so nothing can be compiled for it")
        if not self.builder:
            raise NotApplicable("the test names no builder whose model it compiles")
        options = {**self.base_options(), **self.builder_options}
        model = plugins().load("model_builders", self.builder)(**options).build().eval()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.equipot.pt2"
            manifest = compile_model(model, path, target=self.name)
            run, reference = self.engine(path), _with_all(model)
            for name, structure in self.structures().items():
                frame = structure.graph(model.info)
                for key, value in run(frame).items():
                    _compare(f"compiled model, {name}: {key}", value, reference(frame)[key])
            if "owned" in manifest.compiled["inputs"] and model.info.locality != "global":
                self._check_splits("compiled model", model, run)
                self._check_empty("compiled model", model, run)

    # ---------------------------------------------------------------- helpers

    def _local(self) -> Iterator[str]:
        yield from (one for one in self.export_target().localities if one != "global")

    def _reasons(self, model: GraphModel) -> str:
        """Why a model is refused; empty if it is not."""
        try:
            self.ready(model)
        except ConfigError as error:
            return str(error)
        return ""

    def _own_reasons(self, info: Any) -> list[str]:
        reasons = self.export_target().refusals(info)
        fine = isinstance(reasons, list) and all(isinstance(one, str) and one.strip() for one in reasons)
        check_that(fine, f"refusals must be a list of texts, got {reasons!r}")
        return reasons

    def _check_splits(self, law: str, model: GraphModel, run: Callable[[Graph], Graph]) -> None:
        n_types = len(self.type_names)
        for name, structure, ranks in (
            ("bulk", bulk(n_types), 2),
            ("slab", slab(n_types), 3),
            ("molecule", molecule(n_types), 2),
        ):
            whole = model(structure.graph(model.info))
            sums = {key: torch.zeros_like(whole[key]) for key in ("atomic_energy", "total_energy", "forces", "virial")}
            for share in split(structure, model.info, ranks):
                found = run(share.frame)
                for key in sums.keys() & found.keys():
                    value = found[key].to(torch.float64)
                    per_atom = FIELDS[key].per == "atom"
                    sums[key] = sums[key].index_add(0, share.parents, value) if per_atom else sums[key] + value
            for key in sums.keys() & found.keys():
                _compare(f"{law}, {name} on {ranks} processes: {key}", sums[key], whole[key])

    def _check_empty(self, law: str, model: GraphModel, run: Callable[[Graph], Graph]) -> None:
        nothing = torch.zeros(0, dtype=torch.int64)
        for name, structure in (("ghosts only", molecule(len(self.type_names))), ("one ghost", lone_atom())):
            for key, value in run(share_of(structure, model.info, nothing).frame).items():
                if value.is_floating_point():
                    check_equal(f"{law}, {name}: {key} must be 0", value, torch.zeros_like(value))


def _compare(law: str, found: torch.Tensor, expected: torch.Tensor, tolerance: float = 1e-10) -> None:
    if expected.dtype == torch.bool:
        check_equal(law, found, expected)
    else:
        check_that(found.dtype == expected.dtype, f"{law}: must be {expected.dtype}, got {found.dtype}")
        check_close(law, found, expected, tolerance=tolerance)


def _with_all(model: GraphModel) -> GraphModel:
    """The model with edge forces, if it can give them."""
    try:
        return with_edge_forces(model)
    except ConfigError:
        return model


class _FarModule(EnergyTermModule):
    """Every atom feels the size of the frame: a global term."""

    requires = ("atom_types", "edge_lengths", "edge_index")
    locality = "global"

    def forward(self, data: Graph) -> torch.Tensor:
        count = torch.ones_like(data["atom_types"], dtype=torch.float64)
        return count * 0.1 * count.sum()


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Far(EnergyTerm):
    """Its options."""

    def build(self, context: BuildContext) -> EnergyTermModule:
        return _FarModule()


class _CounterModule(EnergyTermModule):
    """Reads an optional input."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self.requires = (key, "batch")  # type: ignore[misc]
        self.key = key

    def forward(self, data: Graph) -> torch.Tensor:
        return 0.1 * data[self.key].to(torch.float64).index_select(0, data["batch"])


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Counter(EnergyTerm):
    """Its options."""

    key: str
    """The input."""

    def build(self, context: BuildContext) -> EnergyTermModule:
        return _CounterModule(self.key)
