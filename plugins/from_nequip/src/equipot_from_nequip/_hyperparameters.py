"""Convert builders and hyperparameters of nequip to builders of equipot, or list what has no counterpart."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from equipot.config import TargetError, resolve_target
from equipot.errors import ConfigError, EquipotError, problem, unknown
from equipot.plugins import plugins
from equipot_from_nequip._facts import CHANGES, FIXED, HINTS, IGNORED
from equipot_from_nequip._options import without, zbl

if TYPE_CHECKING:
    from equipot.model import ModelBuilder
    from equipot_from_nequip._exported import PeerModel

SCALE_SHIFT = "model.func.per_type_energy_scale_shift"

ZBL = "nequip.nn.pair_potential.ZBL"


@dataclass(frozen=True)
class Family:
    """A kind of model of nequip."""

    name: str
    """Registered name of the builder here."""

    modules: frozenset[str]
    """Names of the parts of its network; 0 stands for any number."""

    nested: frozenset[str] = frozenset()
    """Options that are components of our builder's package, where they have the same names as in nequip."""


_ENERGY = frozenset({"per_type_energy_scale_shift", "pair_potential", "total_energy_sum"})
_NEQUIP = _ENERGY | {
    "type_embed", "spharm", "edge_norm", "bessel_encode", "factor", "layer0_convnet", "per_atom_energy_readout",
}  # fmt: skip
_ALLEGRO = _ENERGY | {
    "edge_norm", "radial_chemical_embed", "scalar_embed_mlp", "tensor_embed", "allegro", "edge_readout", "edge_eng_sum",
    "cutoff",
}  # fmt: skip

FAMILIES: dict[str, Family] = {
    "nequip.model.NequIPGNNModel": Family("NequIPGNNModel", _NEQUIP),
    "nequip.model.PresetNequIPGNNModel": Family("PresetNequIPGNNModel", _NEQUIP),
    "allegro.model.AllegroModel": Family("AllegroModel", _ALLEGRO, frozenset({"radial_chemical_embed"})),
}
"""Builders of nequip by their full path."""


@dataclass(frozen=True)
class Mapped:
    """A builder of equipot for a model of nequip."""

    builder: ModelBuilder
    family: Family
    units: Any


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What the user says about a model, because its file does not."""

    units: str | None = None
    """Units of the training data, ``metal`` or ``real``; default: those of its ZBL potential, else ``metal``."""

    chemical_species: list[str] | None = None
    """Chemical symbol of each type."""

    ignore_tf32: bool = False
    """Accept a model that was trained with TF32; here it runs in full float32."""


def map_hyperparameters(peer: PeerModel, choices: Choices) -> Mapped:
    """Make our builder with the hyperparameters of nequip's model.

    Raises:
        ConfigError: With everything that has no counterpart.
    """
    family = FAMILIES.get(str(peer.builder.get("_target_")))
    problems = list(_model_problems(peer, family, ignore_tf32=choices.ignore_tf32))
    if family is None:
        raise ConfigError(problems)
    options, found = _options(peer, family)
    problems += found
    species = choices.chemical_species or peer.chemical_species
    if species is not None and len(species) != len(peer.type_names):
        problems.append(problem("--chemical-species", f"must have one for each of {peer.type_names}", got=species))
    elif species is not None and species != peer.type_names:
        options["chemical_species"] = species
    units = choices.units or (peer.builder.get("pair_potential") or {}).get("units") or "metal"
    builder = _build(family, options, units, problems)
    if problems:
        raise ConfigError(dict.fromkeys(problems))
    return Mapped(builder, family, units)


def _build(family: Family, options: dict[str, Any], units: str, problems: list[str]) -> Any:
    """The builder, or None; problems are appended to the list."""
    try:
        target = plugins().load("model_builders", family.name)
        names = [field.name for field in dataclasses.fields(target)]
        problems += [unknown(f"model.{name}", name, names) for name in options if name not in names]
        builder = target(**{name: value for name, value in options.items() if name in names})
        problems += [f"model.{text}" for text in builder.unit_problems(units)]
    except ConfigError as error:
        problems += [f"model: {text}" for text in error.problems]
    except EquipotError as error:
        problems.append(f"model: {error}")
    else:
        return builder
    return None


def _model_problems(peer: PeerModel, family: Family | None, *, ignore_tf32: bool) -> Iterator[str]:
    """Problems of the model as a whole."""
    if family is None:
        hint = f"supported: {', '.join(FAMILIES)}"
        yield problem("model", "this builder has no counterpart", got=peer.builder.get("_target_"), hint=hint)
        yield from (note for note in peer.notes if "not there" in note)
    if peer.allow_tf32 and not ignore_tf32:
        hint = "add --ignore-tf32 to evaluate it in full float32"
        yield problem(
            "global_options.allow_tf32", "has no counterpart: equipot has no TF32 switch", got=True, hint=hint
        )
    for name, path in peer.modules.items():
        part = name.removeprefix("model.func.").split(".")[0]
        known = family is None or not name.startswith("model.func.") or _numberless(part) in family.modules
        if path.split(".")[0] not in ("nequip", "allegro") or not known:
            yield problem(name or "model", "this module has no counterpart", got=path)
    for modifier in peer.modifiers:
        if modifier.get("modifier") not in (*HINTS, *CHANGES):
            yield problem("modifiers", "this modifier has no counterpart", got=modifier.get("modifier"))


def _numberless(name: str) -> str:
    """The name with its number replaced by 0: ``layer12_convnet`` becomes ``layer0_convnet``."""
    head = name.rstrip("0123456789")
    if head != name or not name.startswith("layer"):
        return name
    return "layer0" + name.removeprefix("layer").lstrip("0123456789")


def _options(peer: PeerModel, family: Family) -> tuple[dict[str, Any], list[str]]:
    """Options of our builder, and problems with options of nequip's that it does not have."""
    problems: list[str] = []
    options: dict[str, Any] = {}
    for name, value in peer.builder.items():
        if name == "_target_" or name in IGNORED:
            continue
        if name in FIXED:
            if value != FIXED[name]:
                problems.append(problem(f"model.{name}", f"is always {FIXED[name]!r}", got=value))
        elif name == "pair_potential":
            options[name] = _component(name, value, problems, _zbl)
        elif name in family.nested:
            options[name] = _component(name, value, problems, functools.partial(_part, family))
        else:
            options[name] = value
    options["do_derivatives"] = peer.do_derivatives
    options["type_names"], options["model_dtype"] = list(peer.type_names), peer.model_dtype
    for name in ("scales", "shifts"):
        options[f"per_type_energy_{name}"] = _per_type(peer, name)
    return options, problems


def _component(name: str, value: Any, problems: list[str], make: Callable[[Mapping[str, Any]], Any]) -> Any:
    if not isinstance(value, Mapping):
        return value
    try:
        return make(value)
    except ConfigError as error:
        problems += [f"model.{name}: {text}" for text in error.problems]
    except EquipotError as error:
        problems.append(f"model.{name}: {error}")
    return None


def _zbl(config: Mapping[str, Any]) -> Any:
    if config.get("_target_") != ZBL:
        hint = "remove it, or write it as a plugin (equipot_pair_potentials)"
        raise ConfigError(problem("_target_", "has no counterpart", got=config.get("_target_"), hint=hint))
    return plugins().load("pair_potentials", "ZBL")(**without(zbl(dict(config)), "_target_"))


def _part(family: Family, config: Mapping[str, Any]) -> Any:
    """A component of the builder's package."""
    package = plugins().lookup("model_builders", family.name).entry.target.split(".")[0]
    peer = str(config.get("_target_"))
    if not peer.startswith("allegro.nn."):
        raise ConfigError(problem("_target_", "has no counterpart", got=peer))
    try:
        target = resolve_target(f"{package}.{peer.rpartition('.')[2]}", "model")
    except TargetError:
        raise ConfigError(problem("_target_", "has no counterpart", got=peer)) from None
    return target(**without(dict(config), "_target_"))


def _per_type(peer: PeerModel, name: str) -> float | dict[str, float] | None:
    """Scales or shifts of the exported model, after training and modifiers."""
    values = peer.state.get(f"{SCALE_SHIFT}.{name}")
    if values is None:
        return None
    numbers = values.flatten().tolist()
    return numbers[0] if len(numbers) == 1 else dict(zip(peer.type_names, numbers, strict=True))
