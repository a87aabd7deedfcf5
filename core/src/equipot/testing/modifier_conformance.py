"""The conformance class of modifiers: what they may share, change and return."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch

from equipot.declarations import ModifierEntry
from equipot.errors import ConfigError, EquipotError
from equipot.modifiers import apply_modifier, reapply
from equipot.plugins import plugins
from equipot.testing.base import Conformance
from equipot.testing.checks import check_equal, check_outputs_equal, check_that
from equipot.testing.frames import batch_of, standard_structures
from equipot.testing.model_kit import cloned
from equipot.testing.toy import ToyModel

if TYPE_CHECKING:
    from equipot.graph import Graph
    from equipot.model.graph_model import GraphModel


class ModifierConformance(Conformance):
    """Everything a modifier must do.

    Example:
        >>> class TestFreeze(ModifierConformance):
        ...     name = "freeze_Embedding"
        ...     model_options = {"do_derivatives": True}
    """

    kind = "modifiers"

    type_names: ClassVar[tuple[str, ...]] = ("H", "C", "O")
    """Types of the model it is tested on."""

    model_options: ClassVar[dict[str, Any]] = {"do_derivatives": False}
    """Further options of the toy model it is tested on."""

    changes: ClassVar[tuple[str, ...]] = ()
    """Prefixes of the state-dict keys it replaces."""

    keeps_energies: ClassVar[bool] = True
    """Whether the energies stay the same, bit for bit."""

    def model(self) -> GraphModel:
        """The model to modify, in train mode, the first of its parameters frozen.

        Override for a modifier that needs a certain builder.
        """
        options = {"type_names": list(self.type_names), "r_max": 4.0, "model_dtype": "float64", **self.model_options}
        model = ToyModel(**options).build()
        next(model.parameters()).requires_grad_(False)
        return model

    def modified(self, model: GraphModel) -> GraphModel:
        """The modifier's result."""
        return apply_modifier(model, self.name, self.options)

    def batch(self, model: GraphModel) -> Graph:
        """Bulk, slab, wire, molecule and lone atom."""
        return batch_of(standard_structures(len(model.info.type_names)).values(), model.info)

    def entry(self) -> ModifierEntry:
        """Its declaration."""
        return cast("ModifierEntry", plugins().lookup(self.kind, self.name).entry)

    # ----------------------------------------------------------------- checks

    def test_signature(self) -> None:
        """``model`` first; options keyword-only, annotated, with defaults unless required."""
        first, *others = inspect.signature(self.component()).parameters.values()
        check_that(first.name == "model", f"the first parameter must be called 'model', got {first.name!r}")
        for parameter in others:
            fine = parameter.kind is parameter.KEYWORD_ONLY and parameter.annotation is not parameter.empty
            check_that(fine, f"option {parameter.name!r} must be keyword-only and annotated")

    def test_argument_not_changed(self) -> None:
        """The model that was given computes, stores and records the same as before."""
        model = self.model()
        batch, state = self.batch(model), cloned(model.state_dict())
        before, slots, frozen = model(batch), _slots(model), _requires_grad(model)
        modifiers, config = model.modifiers, repr(model.config)
        self.modified(model)
        check_that(_slots(model) == slots, "the argument's slots must not be changed")
        check_that(_requires_grad(model) == frozen, "the argument's requires_grad must not be changed")
        check_that(
            model.modifiers == modifiers and repr(model.config) == config, "the argument's records must not be changed"
        )
        check_outputs_equal("the argument's state must not be changed", model.state_dict(), state)
        check_outputs_equal("the argument's outputs must not be changed", model(batch), before)

    def test_shares_tensors(self) -> None:
        """Every tensor that survives is the same tensor, under the same key."""
        model = self.model()
        result = self.modified(model)
        check_that(result is not model, "the modifier must act on the model it is tested with")
        old, new = _tensors(model), _tensors(result)
        kept = [key for key in old if not key.startswith(self.changes)] if self.changes else list(old)
        lost = [key for key in kept if key not in new]
        check_that(not lost, f"state-dict keys must survive, these do not: {lost}")
        copied = [key for key in kept if new[key] is not old[key]]
        check_that(not copied, f"surviving tensors must be shared, these are copies: {copied}")

    def test_keeps_modes(self) -> None:
        """Train or eval mode and requires_grad stay."""
        for training in (True, False):
            model = self.model().train(training)
            result = self.modified(model)
            wrong = [name for name, part in result.named_modules() if part.training != training]
            check_that(not wrong, f"training={training} must be kept, it is not by {wrong}")
            before, after = _requires_grad(model), _requires_grad(result)
            lost = [key for key, value in before.items() if key in after and after[key] != value]
            lost = [key for key in lost if not (self.changes and key.startswith(self.changes))]
            check_that(not lost, f"requires_grad must be kept, it is not for {lost}")

    def test_idempotent(self) -> None:
        """A model already in the asked state is returned as it is, and nothing recorded."""
        once = self.modified(self.model())
        check_that(self.modified(once) is once, "applied twice, the second time must return its argument")

    def test_energies(self) -> None:
        """Energies stay the same bit for bit, or change, as declared."""
        model = self.model().eval()
        result = self.modified(model).eval()
        before, after = model(self.batch(model)), result(self.batch(result))
        for key in ("atomic_energy", "total_energy"):
            if self.keeps_energies:
                check_equal(f"the modifier must keep {key}", after[key], before[key])
            else:
                check_that(not torch.equal(after[key], before[key]), f"the modifier must change {key}")

    def test_provides(self) -> None:
        """The modified model has the outputs that the declaration promises."""
        result = self.modified(self.model())
        missing = set(self.entry().provides) - set(result(self.batch(result)))
        check_that(not missing, f"declared outputs are missing: {sorted(missing)}")
        check_that(set(self.entry().provides) <= set(result.info.outputs), "info.outputs must list what is provided")

    def test_recorded(self) -> None:
        """A persistent modifier is stored with the model, and applied again gives the same model."""
        model = self.model()
        result = self.modified(model)
        if not self.entry().persistent:
            check_that(result.modifiers == model.modifiers, "a modifier that is not persistent must not be recorded")
            return
        names = [applied.name for applied in result.modifiers]
        check_that(names == [*(one.name for one in model.modifiers), self.name], f"it must be recorded, found {names}")
        again = reapply(self.model(), result.modifiers[len(model.modifiers) :]).eval()
        check_that(again.state_dict().keys() == result.state_dict().keys(), "applied again, the keys must be the same")
        again.load_state_dict(result.state_dict())
        batch = self.batch(result)
        check_outputs_equal("applied again to a new model", again(batch), result.eval()(batch))

    def test_refuses_what_is_no_model(self) -> None:
        """Wrapped or compiled models are refused."""
        wrapped = cast("GraphModel", torch.nn.Sequential(self.model()))
        try:
            self.modified(wrapped)
        except EquipotError as error:
            check_that(self.name in str(error), f"the error must name the modifier, got: {error}")
        else:
            check_that(False, "a model inside another module must be refused")

    def test_unknown_option(self) -> None:
        """An unknown option is refused, naming it."""
        try:
            apply_modifier(self.model(), self.name, {**self.options, "surely_not_an_option": 1})
        except ConfigError as error:
            check_that("surely_not_an_option" in str(error), f"the error must name the unknown option, got: {error}")
        else:
            check_that(False, "an unknown option must be refused")

    def test_global_state(self) -> None:
        """The global generator and the default dtype are left alone."""
        model, state, dtype = self.model(), torch.get_rng_state(), torch.get_default_dtype()
        self.modified(model)
        check_equal("the global random generator must not be used", torch.get_rng_state(), state)
        check_that(torch.get_default_dtype() == dtype, "the default dtype must not be changed")


def _slots(model: GraphModel) -> list[object]:
    return [model.energy, model.scale_shift, *model.energy_terms.values(), model.derivatives]


def _tensors(model: GraphModel) -> dict[str, torch.Tensor]:
    return dict(model.state_dict(keep_vars=True))


def _requires_grad(model: GraphModel) -> dict[str, bool]:
    return {key: value.requires_grad for key, value in model.named_parameters()}
