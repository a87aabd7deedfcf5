"""The conformance class of model builders: physics, engineering, and models in files and configs."""

from __future__ import annotations

import copy
import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from equipot.errors import ConfigError
from equipot.model import with_edge_forces
from equipot_testing._checklist import NotApplicable, after, slow
from equipot_testing._model_engineering import ModelEngineeringChecks, close_outputs
from equipot_testing._model_kit import called
from equipot_testing._refusals import check_refused, check_unknown_option_refused
from equipot_testing._tracing import exported, runner, traced
from equipot_testing.checks import check_close, check_outputs_equal, check_that
from equipot_testing.frames import batch_of, bulk, lone_atom, molecule, served

if TYPE_CHECKING:
    from collections.abc import Callable

    from equipot.graph import Graph
    from equipot.model import GraphModel


class ModelBuilderConformance(ModelEngineeringChecks):
    """The checks of a model builder.

    Example:
        >>> class TestMyModel(ModelBuilderConformance):
        ...     name = "MyModel"
        ...     options = {"num_layers": 2}

    Forces and stress come from the installed modifier that provides them (``equipot-force-stress``).
    """

    @after("empty_frames")
    def test_trace(self) -> None:
        """A trace with symbolic sizes equals the model at other sizes, down to one atom without edges.

        Tolerance: 1e-10 in float64, 1e-5 in float32.
        Why: compiled files are made from such a trace and must work for frames of any size.
        Goes wrong: an ``if`` on a size or a value; a Python number taken from a tensor; a size fixed by the example.
        """
        model = self.model()
        graph, outputs = traced(model, batch_of(self.structures().values(), model.info))
        self._check_program("traced model", runner(graph, model.info.inputs, outputs), model)

    @slow
    @after("trace")
    def test_export(self) -> None:
        """The exported model equals the eager one at other sizes, down to one atom without edges.

        Tolerance: 1e-10 in float64, 1e-5 in float32.
        Why: ``equipot compile`` exports models; a model that cannot be exported does not run in any engine.
        Goes wrong: operations without a shape rule; sizes 0 and 1 that are specialised.
        """
        model = self.model()
        self._check_program("exported model", exported(model), model)

    @slow
    @after("trace", "export")
    def test_compile(self) -> None:
        """The file that ``equipot compile`` writes gives the numbers of the eager model.

        Tolerance: 1e-10 in float64, 1e-5 in float32.
        Why: molecular dynamics uses compiled files.
        Goes wrong: custom operations without a C++ form; results that depend on memory layout.
        """
        from equipot.artifacts import load_compiled
        from equipot.compile import compile_model

        if self.declaring_module() is None:
            raise NotApplicable("no installed plugin declares it, so it cannot be compiled")
        model = self.model()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.equipot.pt2"
            compile_model(model, path)
            self._check_program("compiled model", load_compiled(path, allow_native=True), _as_compiled(model))

    def _check_program(self, law: str, program: Callable[[Graph], Graph], model: GraphModel) -> None:
        n_types = len(self.type_names)
        for name, structures in {
            "bulk, lone atoms and molecule": [bulk(n_types), lone_atom(), lone_atom(1), molecule(n_types)],
            "one lone atom": [lone_atom()],
            "one molecule": [molecule(n_types)],
        }.items():
            if not (kept := served(structures, model.info)):
                continue
            batch = batch_of(kept, model.info)
            output = called(f"{law}, {name}", program, batch)
            close_outputs(f"{law}, {name}", output, model(batch))

    @after("seed")
    def test_state_dict(self) -> None:
        """Weights saved and loaded into a model of another seed give the same bits.

        Tolerance: none, bit for bit; the same holds for a deep copy and for a model built from its config.
        Why: checkpoints and packages contain only the config and these tensors.
        Goes wrong: random constants as plain attributes or as buffers that are not persistent.
        """
        model, other = self.model(), self.model(seed=99)
        file = io.BytesIO()
        torch.save(model.state_dict(), file)
        file.seek(0)
        other.load_state_dict(torch.load(file, weights_only=True))
        batch = batch_of(self.structures().values(), model.info)
        check_outputs_equal("weights saved and loaded", other(batch), model(batch))
        twins = {"a deep copy": copy.deepcopy(model), "a model built from the config": self._rebuilt(model)}
        for what, twin in twins.items():
            check_outputs_equal(what, twin(batch), model(batch))

    def _rebuilt(self, model: GraphModel) -> GraphModel:
        """The model rebuilt from what an artifact stores."""
        from equipot.artifacts import rebuild_model

        if self.target is not None:
            return model
        twin = rebuild_model(model.config, model.modifiers, model.info.units).eval()
        twin.load_state_dict(model.state_dict())
        return twin

    @after("batch_equals_singles", "state_dict")
    def test_float32(self) -> None:
        """In float32, energies and forces equal those in float64 with the same weights.

        Tolerance: forces 1e-4 of their rms, energies 1e-5 relative; dtypes of the outputs equal.
        Why: models are trained and run in float32, where a loss of accuracy shows no error.
        Goes wrong: geometry computed in float32; energies summed in float32; differences of large numbers.
        """
        small, large = self.model(model_dtype="float32"), self.model()
        large.load_state_dict(small.state_dict())
        batch = batch_of(self.structures().values(), large.info)
        actual, expected = small(batch), large(batch)
        for key, value in actual.items():
            check_that(
                value.dtype == expected[key].dtype, f"float32: {key} must be {expected[key].dtype}, got {value.dtype}"
            )
        rms = float(expected["forces"].square().mean().sqrt())
        error = float((actual["forces"] - expected["forces"]).abs().max())
        check_that(
            error <= 1e-4 * rms, f"float32: forces differ by {error:.3g}, allowed 1e-4 of their rms, {1e-4 * rms:.3g}"
        )
        check_close("float32: energies", actual["total_energy"], expected["total_energy"], tolerance=1e-5)

    @after("state_dict")
    def test_package(self) -> None:
        """A package written and read gives the same bits, and its golden frames replay.

        Tolerance: none, bit for bit; models that no plugin declares cannot be packaged.
        Why: users share packages, and load them again after years.
        Goes wrong: options that are not plain containers; an option that changes the function but is not in the config.
        """
        from equipot.artifacts import load_model, verify, write_package

        if self.declaring_module() is None:
            raise NotApplicable("no installed plugin declares it, so it cannot be packaged")
        model = self.model()
        batch = batch_of(self.structures().values(), model.info)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.equipot.zip"
            write_package(model, path)
            check_outputs_equal("packaged and loaded", load_model(path)(batch), model(batch))
            verify(path)

    def test_unknown_option(self) -> None:
        """An unknown option is refused with an error that names it.

        Tolerance: none.
        Why: with a misspelled option, a different model than intended would be trained.
        Goes wrong: a builder that is not a frozen dataclass.
        """
        check_unknown_option_refused(self.recipe)

    def test_wrong_type(self) -> None:
        """A wrong value raises a ConfigError that names the option.

        Tolerance: none.
        Why: configs are checked before data are read, and the message is all that the user sees.
        Goes wrong: ``__post_init__`` overridden without calling ``super()``.
        """
        check_refused("r_max='four'", lambda: self.recipe(r_max="four"), "r_max")


def _as_compiled(model: GraphModel) -> GraphModel:
    """The model with all outputs of its compiled file."""
    try:
        return with_edge_forces(model)
    except ConfigError:  # it has no forces, or they are not sums over edges
        return model
