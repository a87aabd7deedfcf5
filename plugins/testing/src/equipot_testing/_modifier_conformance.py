"""The conformance class of modifiers: what they may share, change and return."""

from __future__ import annotations

import copy
import functools
import inspect
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch

from equipot.declarations import ModifierEntry
from equipot.errors import ConfigError, EquipotError, problem
from equipot.model import AppliedModifier, GraphModel, apply_modifier, reapply
from equipot.plugins import plugins
from equipot.validation import check_options
from equipot_testing._base import Conformance
from equipot_testing._checklist import after
from equipot_testing._global_state import check_global_state_kept
from equipot_testing._model_kit import cloned
from equipot_testing._refusals import check_refused, check_unknown_option_refused
from equipot_testing.checks import check_close, check_equal, check_outputs_equal, check_that
from equipot_testing.frames import batch_of, served, standard_structures
from equipot_testing.toy import ToyFeatures

if TYPE_CHECKING:
    from equipot.graph import Graph


class ModifierConformance(Conformance):
    """The checks of a modifier.

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

    renames: ClassVar[bool] = False
    """Whether tensors come back under other keys, as with adapters around layers; then it must be persistent."""

    trains: ClassVar[tuple[str, ...]] = ()
    """Prefixes of the names of parameters that it freezes or thaws."""

    keeps_energies: ClassVar[bool] = True
    """Whether the energies stay the same, bit for bit."""

    def model(self) -> GraphModel:
        """The model to modify, in train mode, the first of its parameters frozen.

        Override it for a modifier that needs a certain builder.
        """
        options = {"type_names": list(self.type_names), "r_max": 4.0, "model_dtype": "float64", **self.model_options}
        model = ToyFeatures(**options).build()
        next(model.parameters()).requires_grad_(False)
        return model

    def modified(self, model: GraphModel, **options: Any) -> GraphModel:
        """The modifier's result."""
        given = {**self.made_options(), **options}
        if self.target is None:
            return apply_modifier(model, self.name, given)
        return apply_undeclared(self.entry(), self.component(), model, given)

    def batch(self, model: GraphModel) -> Graph:
        """Those of bulk, slab, wire, molecule and lone atom that the modified model serves."""
        structures = standard_structures(len(model.info.type_names)).values()
        return batch_of(served(structures, self.modified(copy.deepcopy(model)).info), model.info)

    def entry(self) -> ModifierEntry:
        """Its declaration."""
        if self.target is not None:
            return ModifierEntry(name=self.target.__name__, target="undeclared.function", summary="", persistent=True)
        return cast("ModifierEntry", plugins().lookup(self.kind, self.name).entry)

    # ----------------------------------------------------------------- checks

    def test_argument_not_changed(self) -> None:
        """The argument computes, stores and records the same as before.

        Tolerance: none, bit for bit.
        Why: the caller may continue to use it, and a notebook cell that is run twice must do the same.
        Goes wrong: ``model.derivatives = …``, ``requires_grad_`` or ``del`` on a part of the argument.
        """
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
        """Every tensor that is kept uses the same memory in the same way, and has the same key unless ``renames``.

        Tolerance: none; address, shape, strides and dtype. The object may be another, as of a parameter that is frozen.
        Why: an existing optimiser or average would update an unused copy, and stored weights could not be loaded.
        Goes wrong: ``copy.deepcopy``; a wrapper module that adds a level to the keys.
        """
        model = self.model()
        result = self.modified(model)
        check_that(result is not model, "the modifier must act on the model it is tested with")
        old, new = _tensors(model), _tensors(result)
        kept = [key for key in old if not key.startswith(self.changes)] if self.changes else list(old)
        if self.renames:
            check_that(self.entry().persistent, "a modifier that renames tensors must be declared persistent")
            memory = {_memory(value) for value in new.values()}
            copied = [key for key in kept if _memory(old[key]) not in memory]
        else:
            lost = [key for key in kept if key not in new]
            check_that(not lost, f"state-dict keys must survive, these do not: {lost}")
            copied = [key for key in kept if _memory(new[key]) != _memory(old[key])]
        check_that(not copied, f"surviving tensors must share memory, these are copies: {copied}")

    def test_keeps_modes(self) -> None:
        """Train or eval mode and ``requires_grad`` stay, the latter except where ``trains`` says.

        Tolerance: none.
        Why: a frozen embedding would silently be trained again.
        Goes wrong: ``.train()`` or ``.eval()`` at the end; new parameters in place of old ones.
        """
        for training in (True, False):
            model = self.model().train(training)
            result = self.modified(model)
            wrong = [name for name, part in result.named_modules() if part.training != training]
            check_that(not wrong, f"training={training} must be kept, it is not by {wrong}")
            before, after = _requires_grad(model), _requires_grad(result)
            lost = [key for key, value in before.items() if key in after and after[key] != value]
            lost = [key for key in lost if not key.startswith((*self.changes, *self.trains))]
            check_that(not lost, f"requires_grad must be kept, it is not for {lost}")

    def test_idempotent(self) -> None:
        """A model that is already in the requested state is returned unchanged, and nothing is recorded.

        Tolerance: none.
        Why: a config and the command line may both ask for it.
        Goes wrong: the content of the slot is not checked.
        """
        once = self.modified(self.model())
        check_that(self.modified(once) is once, "applied twice, the second time must return its argument")

    @after("argument_not_changed")
    def test_energies(self) -> None:
        """Energies stay the same bit for bit, or change, as declared.

        Tolerance: none, bit for bit; ``keeps_energies`` says which. 1e-12 for an automatic modifier.
        Why: a modifier that adds outputs must not change the model.
        Goes wrong: another order of summation; a cast.
        """
        model = self.model().eval()
        result = self.modified(model).eval()
        before, after = model(self.batch(model)), result(self.batch(result))
        for key in ("atomic_energy", "total_energy"):
            if self.entry().automatic:
                check_close(f"the modifier must keep {key}", after[key], before[key], tolerance=1e-12)
            elif self.keeps_energies:
                check_equal(f"the modifier must keep {key}", after[key], before[key])
            else:
                check_that(not torch.equal(after[key], before[key]), f"the modifier must change {key}")

    @after("argument_not_changed", "energies")
    def test_automatic(self) -> None:
        """A modifier that is applied without being asked for keeps all outputs, their gradients, and what is stored.

        Tolerance: 1e-9, in float64.
        Why: nobody asked for it, so nobody looks for it when a training comes out differently.
        Goes wrong: an approximation; a second derivative that is only right for energies.
        """
        if not self.entry().automatic:
            return
        model = self.model()
        result = self.modified(model)
        check_that(result.modifiers == model.modifiers, "an automatic modifier must not be recorded with the model")
        keys = (list(one.state_dict()) for one in (model, result))
        check_that(next(keys) == next(keys), "an automatic modifier must keep the keys of the state dict")
        before, after = (_trained(one, self.batch(model)) for one in (model, result))
        check_that(before.keys() == after.keys(), "an automatic modifier must keep all outputs and gradients")
        for key, value in before.items():
            check_close(f"an automatic modifier must keep {key}", after[key], value, tolerance=1e-9)

    def test_provides(self) -> None:
        """The modified model has the outputs that the declaration promises.

        Tolerance: none.
        Why: core chooses modifiers by what they provide.
        Goes wrong: outputs that are declared but not computed.
        """
        result = self.modified(self.model())
        missing = set(self.entry().provides) - set(result(self.batch(result)))
        check_that(not missing, f"declared outputs are missing: {sorted(missing)}")
        check_that(set(self.entry().provides) <= set(result.info.outputs), "info.outputs must list what is provided")

    @after("energies", "shares_tensors")
    def test_recorded(self) -> None:
        """A persistent modifier is recorded with the model, and gives the same model when applied again.

        Tolerance: none, bit for bit.
        Why: packages rebuild the model from its builder and the list of modifiers.
        Goes wrong: random numbers or files used on the way; options that are not plain containers.
        """
        model = self.model()
        result = self.modified(model)
        if not self.entry().persistent:
            check_that(result.modifiers == model.modifiers, "a modifier that is not persistent must not be recorded")
            return
        names = [applied.name for applied in result.modifiers]
        expected = [*(one.name for one in model.modifiers), self.entry().name]
        check_that(names == expected, f"it must be recorded, found {names}")
        applied = result.modifiers[len(model.modifiers) :]
        again = (reapply(self.model(), applied) if self.target is None else self.modified(self.model())).eval()
        check_that(again.state_dict().keys() == result.state_dict().keys(), "applied again, the keys must be the same")
        again.load_state_dict(result.state_dict())
        batch = self.batch(result)
        check_outputs_equal("applied again to a new model", again(batch), result.eval()(batch))

    def test_signature(self) -> None:
        """``model`` first; options keyword-only, annotated, with defaults unless required.

        Tolerance: none.
        Why: the command line, YAML and Python pass options by name, and their types come from the annotations.
        Goes wrong: the ``*`` forgotten; an option without annotation.
        """
        first, *others = inspect.signature(self.component()).parameters.values()
        check_that(first.name == "model", f"the first parameter must be called 'model', got {first.name!r}")
        named = [one for one in others if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)]
        for parameter in named:
            fine = parameter.kind is parameter.KEYWORD_ONLY and parameter.annotation is not parameter.empty
            check_that(fine, f"option {parameter.name!r} must be keyword-only and annotated")

    def test_refuses_what_is_no_model(self) -> None:
        """Wrapped or compiled models are refused.

        Tolerance: none.
        Why: a change to a compiled model has no effect, or only part of it.
        Goes wrong: the function is called without ``equipot.model.apply_modifier``.
        """
        wrapped = cast("GraphModel", torch.nn.Sequential(self.model()))
        check_refused(
            "a model inside another module",
            lambda: self.modified(wrapped),
            self.entry().name,
            errors=(EquipotError,),
        )

    def test_unknown_option(self) -> None:
        """An unknown option is refused with an error that names it.

        Tolerance: none.
        Why: with a misspelled option, the default would silently be used.
        Goes wrong: ``**kwargs``.
        """
        model = self.model()
        check_unknown_option_refused(functools.partial(self.modified, model), errors=(ConfigError,))

    def test_global_state(self) -> None:
        """The modifier does not change the state of the process.

        Tolerance: none; default dtype and device, threads, autograd, precision, random generators.
        Why: otherwise the next model in the same process would give different results.
        Goes wrong: ``torch.set_float32_matmul_precision``; ``torch.manual_seed``.
        """
        model = self.model()
        with check_global_state_kept("the modifier"):
            self.modified(model)


def apply_undeclared(entry: ModifierEntry, function: Any, model: GraphModel, options: dict[str, Any]) -> GraphModel:
    """What ``apply_modifier`` does, for a function that no plugin declares."""
    if not isinstance(model, GraphModel):
        raise ConfigError(problem(f"modifier {entry.name}", "works on an eager GraphModel only", got=type(model)))
    checked, problems = check_options(function, {"model": model, **options}, f"modifier {entry.name}")
    if problems:
        raise ConfigError(problems)
    result: GraphModel = function(**checked)
    if result is not model and entry.persistent:
        given = {name: value for name, value in checked.items() if name != "model"}
        result.modifiers = (*model.modifiers, AppliedModifier(entry.name, given, "undeclared", "0"))
    return result


def _trained(model: GraphModel, batch: Graph) -> dict[str, torch.Tensor]:
    """Outputs in train mode, gradients by positions, and gradients of a loss on all of them by the parameters."""
    positions = batch["positions"].clone().requires_grad_()
    outputs = model({**batch, "positions": positions})
    (slope,) = torch.autograd.grad(outputs["total_energy"].sum(), positions, create_graph=True)
    found = {**outputs, "the gradient by positions": slope}
    loss = sum(value.square().sum() for value in found.values() if value.is_floating_point())
    found |= _gradients(model, loss, "with positions")
    plain = model(batch)
    loss = sum(value.square().sum() for value in plain.values() if value.is_floating_point())
    return found | _gradients(model, loss, "as in training")


def _gradients(model: GraphModel, loss: Any, how: str) -> dict[str, torch.Tensor]:
    trained = {name: one for name, one in model.named_parameters() if one.requires_grad}
    along = torch.autograd.grad(loss, list(trained.values()), allow_unused=True) if trained else ()
    pairs = zip(trained, along, strict=True)
    return {f"the gradient by {name} {how}": one for name, one in pairs if one is not None}


def _slots(model: GraphModel) -> list[object]:
    return [model.energy, model.scale_shift, *model.energy_terms.values(), model.derivatives]


def _tensors(model: GraphModel) -> dict[str, torch.Tensor]:
    return dict(model.state_dict(keep_vars=True))


def _memory(tensor: torch.Tensor) -> tuple[Any, ...]:
    """Where and how a tensor is stored; of an empty one, only its kind."""
    return tensor.data_ptr() if tensor.numel() else 0, tensor.dtype, tensor.shape, tensor.stride()


def _requires_grad(model: GraphModel) -> dict[str, bool]:
    return {key: value.requires_grad for key, value in model.named_parameters()}
