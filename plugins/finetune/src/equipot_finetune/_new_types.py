"""The recipe ``ModelWithNewTypes``: a trained model that gets further atom types.

The builder's own recipe is built again with more types, and gets the weights of the trained model. A builder needs to
do nothing for this if every tensor that depends on types has axes with one row per type, or per ordered pair of types
in the order of ``equipot.model.pair_index``; what is made otherwise is refused by name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import torch

from equipot.artifacts import random_frames, rebuild_model
from equipot.errors import ConfigError, problem, problems_of, unknown
from equipot.model import GraphModel, ModelInfo, ModelRecipe, per_type_values
from equipot.options import Options
from equipot.units import Units
from equipot_finetune._tables import Types, extended_config, extended_tensor

_CUTOFFS, _SHIFTS, _SCALES = "per_edge_type_cutoff", "per_type_energy_shifts", "per_type_energy_scales"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelWithNewTypes(Options, ModelRecipe):
    """A trained model with further atom types; energies and forces of frames without them stay the same, bit for bit.

    All that is trained or saved is an ordinary model of its builder.
    """

    model: ModelRecipe
    """Recipe of the trained model, e.g. ``equipot.model.ModelFromPackage``."""

    type_names: list[str]
    """Names of all types: those of the model in their order, then the new ones."""

    per_type_energy_shifts: float | dict[str, float]
    """Energies of isolated atoms in the data's unit; those of the new types are used. Usually
    ``${training_data_stats:per_type_energy_shifts_auto}``."""

    per_type_energy_scales: float | dict[str, float] | None = None
    """Factors on the atomic energies of the new types; default: that of the type in ``like``, else the mean."""

    like: dict[str, str] | None = None
    """For a new type, the old one whose weights it starts from, e.g. ``{S: O}``; default: the mean of all old types."""

    chemical_species: list[str] | None = None
    """Chemical symbol of each type; needed if the names of new types are not symbols."""

    def problems(self) -> Iterable[str]:
        """What does not fit to the types of the model, where they can be known."""
        yield from super().problems()
        known: ModelInfo | None = None
        for units in ("metal", "real"):
            try:
                known = self.model.info(units)
            except ConfigError:
                continue
        if known is not None:
            yield from self._problems(known)

    def _problems(self, old: ModelInfo) -> Iterable[str]:
        names, before = self.type_names, list(old.type_names)
        if names[: len(before)] != before or len(names) == len(before):
            what = f"must be the types of the model, {before}, and then the new ones"
            yield problem("type_names", what, got=names)
            return
        if wrong := [name for index, name in enumerate(names) if name in names[:index] or not name.isalnum()]:
            yield problem("type_names", f"must be unique, of letters and digits only; wrong: {wrong}", got=names)
        new = names[len(before) :]
        for name, source in (self.like or {}).items():
            if name not in new:
                yield unknown(f"like.{name}", name, new, "new type")
            if source not in before:
                yield unknown(f"like.{name}", source, before, "type of the model")
        yield from problems_of(lambda: self._new_values(_SHIFTS, new), lambda: self._new_values(_SCALES, new))
        yield from problems_of(lambda: self._species(old))

    def _new_values(self, option: str, new: list[str]) -> dict[str, float]:
        """The values of the new types in an option; those of old types are not used."""
        given = getattr(self, option)
        if given is None:
            return {}
        if isinstance(given, dict):
            given = {name: value for name, value in given.items() if name in new or name not in self.type_names}
        values = per_type_values(given, new, option)
        return dict(zip(new, values * len(new) if len(values) == 1 else values, strict=True))

    def _species(self, old: ModelInfo) -> tuple[str, ...] | None:
        from ase.data import atomic_numbers

        if old.chemical_species is None:
            return None
        given = self.chemical_species or [*old.chemical_species, *self.type_names[len(old.type_names) :]]
        known = tuple(given[: len(old.chemical_species)])
        if known != old.chemical_species or len(given) != len(self.type_names):
            what = f"must begin with those of the model, {list(old.chemical_species)}, one for each of the types"
            raise ConfigError(problem("chemical_species", what, got=given))
        if wrong := [symbol for symbol in given if atomic_numbers.get(symbol, 0) < 1]:
            raise ConfigError(problem("chemical_species", f"{wrong} are not elements", hint="give chemical symbols"))
        return tuple(given)

    def _types(self, old: ModelInfo) -> Types:
        """The types before and after; a ConfigError if the options do not fit."""
        if problems := [f"{type(self).__name__}.{text}" for text in self._problems(old)]:
            raise ConfigError(problems)
        return Types(list(old.type_names), list(self.type_names), dict(self.like or {}))

    def info(self, units: Units = "metal") -> ModelInfo:
        """Types, cutoffs and units of the model with the new types; cutoffs are those of the types in ``like``."""
        old = self.model.info(units)
        types = self._types(old)
        cutoffs = None if old.cutoffs is None else types.cutoffs(old.cutoffs, old.r_max)
        species = self._species(old)
        return dataclasses.replace(old, type_names=tuple(types.after), chemical_species=species, cutoffs=cutoffs)

    def build(self, units: Units = "metal") -> GraphModel:
        """Make the model with the weights of the trained one.

        Raises:
            ConfigError: If the model has a tensor whose dependence on types is not seen, or old energies would change.
        """
        old = self.model.build(units)
        if not old.config:
            raise ConfigError(problem(type(self).__name__, "the model was not made by a registered builder"))
        info = self.info(units)
        types = self._types(old.info)
        new = rebuild_model(self._config(old, types, info), old.modifiers, units)
        if new.info.cutoffs != info.cutoffs:
            raise ConfigError(problem(f"{type(self).__name__}.model", "its builder makes other cutoffs of its options"))
        self._copy(old, new, types)
        _check_unchanged(old, new, type(self).__name__)
        return new.train()

    def _config(self, old: GraphModel, types: Types, info: ModelInfo) -> dict[str, Any]:
        """The recipe of the builder with all types."""
        config = extended_config(old.config, types, old.info.chemical_species, info.chemical_species)
        config["type_names"] = list(types.after)
        if config.get("chemical_species") is None and list(info.chemical_species or ()) != types.after:
            config["chemical_species"] = None if info.chemical_species is None else list(info.chemical_species)
        for option, name in ((_SHIFTS, "shifts"), (_SCALES, "scales")):
            values = types.values(old.scale_shift.values(name))
            config[option] = values | self._new_values(option, types.new)
        if info.cutoffs is not None:
            rows = [dict(zip(types.after, row, strict=True)) for row in info.cutoffs]
            config[_CUTOFFS] = dict(zip(types.after, rows, strict=True))
        return config

    def _copy(self, old: GraphModel, new: GraphModel, types: Types) -> None:
        """Give the new model the tensors of the old one, and whether they are trained."""
        before, after = old.state_dict(), new.state_dict()
        problems = [
            problem(f"{type(self).__name__}.model: {name}", "exists only with the old number of types, or the new one")
            for name in sorted(before.keys() ^ after.keys())
        ]
        for name in (one for one in after if one in before and not one.startswith("scale_shift.")):
            try:
                after[name] = extended_tensor(before[name], after[name].shape, types)
            except ValueError as error:
                hint = "its builder cannot get new types in this way; ask its author"
                problems.append(problem(f"{type(self).__name__}.model: {name}", str(error), hint=hint))
        if problems:
            raise ConfigError(problems)
        for option, name in ((_SHIFTS, "shifts"), (_SCALES, "scales")):  # later modifiers have changed the recipe's
            values = types.values(old.scale_shift.values(name)) | self._new_values(option, types.new)
            after[f"scale_shift.{name}"] = torch.tensor(list(values.values()), dtype=torch.float64)
        new.load_state_dict(after)
        trained = {name: one.requires_grad for name, one in old.named_parameters()}
        for name, parameter in new.named_parameters():
            parameter.requires_grad_(trained.get(name, True))


def _check_unchanged(old: GraphModel, new: GraphModel, where: str) -> None:
    """Refuse a model that computes anything else for frames of the old types, up to rounding."""
    training = old.training
    old.eval(), new.eval()
    tolerance = 1e-4 if old.info.model_dtype == "float32" else 1e-10
    for frame in random_frames(old.info).values():
        expected, found = old(frame), new(frame)
        for key, value in expected.items():
            if not torch.allclose(found[key], value, rtol=tolerance, atol=tolerance):
                change = float((found[key] - value).abs().max())
                what = f"{key} of frames without the new types would change, by {change}"
                hint = "its builder uses types in a way that is not seen; ask its author"
                raise ConfigError(problem(f"{where}.model", what, hint=hint))
    old.train(training)
