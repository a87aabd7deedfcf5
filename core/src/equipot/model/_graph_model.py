"""GraphModel: the one class of all models, made of named slots.

Geometry -> energy module -> scale_shift -> energy_terms -> total -> outputs and derivatives. Plugins fill the slots;
modules are never rewritten by name. Derivatives are taken with respect to edge vectors.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, final

import torch

from equipot._host.attribution import name_plugin
from equipot.errors import ConfigError, DataError, problem
from equipot.fields import MODEL_INPUTS, OPTIONAL_INPUTS
from equipot.graph import Graph, compute_edge_vectors, edge_set_key
from equipot.model._boundary import check_boundary, limits_of
from equipot.model._components import (
    Derivatives,
    EdgeSetGradient,
    EnergyGradients,
    EnergyModule,
    EnergyTermModule,
    OutputHead,
)
from equipot.model._context import ModelInfo
from equipot.model._evaluator import Evaluator, is_plain
from equipot.model._inputs import check_batch
from equipot.model._locality import head_locality, joint_locality, term_locality
from equipot.model._outputs import LAST_LAYER_FEATURES, NODE_FEATURES, head_problems, no_features, outputs_of_heads
from equipot.model._scale_shift import ScaleShift
from equipot.nn.slots import replace_slots

_ENERGIES = ("atomic_energy", "total_energy")
_STATED_BY = {NODE_FEATURES: "their irreps in 'features'", LAST_LAYER_FEATURES: "'has_last_layer_features'"}
_FEATURES = tuple(_STATED_BY)
_FRONT_END = frozenset({*MODEL_INPUTS, "owned", "edge_vectors", "edge_lengths", "normalized_edge_lengths"})


@dataclasses.dataclass(frozen=True)
class AppliedModifier:
    """A modifier that was applied to a model."""

    name: str
    options: dict[str, Any]
    distribution: str
    version: str
    exact_without: bool = False
    """As declared: without it, the model is still usable and exact."""


@final
class GraphModel(torch.nn.Module):
    """A potential: takes a batch, returns energies and their derivatives.

    ``model(batch)`` returns ``atomic_energy`` [n_atoms] and ``total_energy`` [n_frames] in float64, and the outputs of
    the derivatives slot and of the heads. In eval mode all outputs are detached.

    Args:
        info: Types, cutoffs, dtype and units.
        energy: The module of the builder.
        scale_shift: Scales and shifts of its energies.
        energy_terms: Named terms added to the atomic energies.
        derivatives: Turns gradients into forces and stress; None for energies only.
        outputs: Named heads, which predict further properties.
        config: The config of the recipe, which is stored with the model.
        evaluator: Computes the same outputs in another way, where it can; it does not belong to the model.

    Raises:
        ConfigError: If a component requires a field that nothing provides, a head provides one that it may not, or no
            frames have boundary conditions that all components serve.
    """

    cutoffs: torch.Tensor

    def __init__(
        self,
        *,
        info: ModelInfo,
        energy: EnergyModule,
        scale_shift: ScaleShift,
        energy_terms: Mapping[str, EnergyTermModule] | None = None,
        derivatives: Derivatives | None = None,
        outputs: Mapping[str, OutputHead] | None = None,
        config: dict[str, Any] | None = None,
        evaluator: Evaluator | None = None,
    ) -> None:
        super().__init__()
        self.energy = energy
        self.scale_shift = scale_shift
        self.energy_terms = torch.nn.ModuleDict(dict(energy_terms or {}))
        self.derivatives = derivatives
        self.outputs = torch.nn.ModuleDict(dict(outputs or {}))
        self.config: dict[str, Any] = config or {}
        self.modifiers: tuple[AppliedModifier, ...] = ()
        self.hints: tuple[AppliedModifier, ...] = ()
        self.evaluator = evaluator
        cutoffs = info.cutoffs or [[info.r_max] * len(info.type_names)] * len(info.type_names)
        self.register_buffer("cutoffs", torch.tensor(cutoffs, dtype=torch.float64), persistent=False)
        parts = [part for _, part in [*self.components()[1:], *self.heads()]]
        self._features = [key for key in _FEATURES if any(key in part.requires for part in parts)]
        self._check_fields()
        self.info = dataclasses.replace(
            info,
            locality=joint_locality(self.localities()),
            edge_sets=self._edge_sets(),
            inputs=self._inputs(),
            outputs=(
                *_ENERGIES,
                *(derivatives.provides if derivatives else ()),
                *(key for _, head in self.heads() for key in head.provides),
            ),
            boundary=limits_of((name, part.boundary) for name, part in [*self.components()[1:], *self.heads()]),
        )

    def replace(self, **slots: Any) -> GraphModel:
        """A model with other contents of some slots, sharing all other tensors with this one.

        The evaluator is kept unless the energy changes.

        Args:
            **slots: New values of ``energy``, ``scale_shift``, ``energy_terms``, ``derivatives``, ``outputs``,
                ``evaluator``.

        Returns:
            A new GraphModel in the same train or eval mode; this one is unchanged.
        """
        of_energy = {"energy", "scale_shift", "energy_terms"}
        known = {*of_energy, "derivatives", "outputs", "evaluator"}
        if unknown := sorted(slots.keys() - known):
            raise TypeError(f"GraphModel.replace: no slots {unknown}; slots are {sorted(known)}")
        current = {name: getattr(self, name) for name in known}
        if of_energy & slots.keys():
            current["evaluator"] = None
        new = GraphModel(info=self.info, config=copy.deepcopy(self.config), **{**current, **slots})
        new.modifiers, new.hints = self.modifiers, self.hints
        for name in slots:
            slot = getattr(new, name)
            if isinstance(slot, torch.nn.Module):
                slot.train(self.training)
        new.training = self.training
        new.energy_terms.training = new.outputs.training = self.training
        new.to(next(iter(self.state_dict().values())).device)
        return new

    def exact(self) -> GraphModel:
        """This model without approximations in its energy module, sharing all tensors; itself if there are none."""
        energy = replace_slots(self.energy, lambda slot: slot.exact())
        return self if energy is self.energy else self.replace(energy=energy)

    def _edge_sets(self) -> tuple[tuple[str, float], ...]:
        """Name and radius in Å of every term that has its own edges."""
        return tuple((name, term.r_max) for name, term in self.components()[1:] if term.r_max is not None)

    def localities(self) -> list[str]:
        """Locality of each of ``components()``, counting that of what a term reads of the energy module.

        It is global for one that reads positions or the cell.
        """
        energy = "global" if {"positions", "cell"} & {*self.energy.requires} else self.energy.locality
        return [energy, *(term_locality(term, self.energy) for _, term in self.components()[1:])]

    def components(self) -> list[tuple[str, Any]]:
        """Name and module of its parts that compute energies: ``energy`` first, then the energy terms."""
        return [("energy", self.energy), *self.energy_terms.items()]

    def heads(self) -> list[tuple[str, Any]]:
        """Name and module of its heads, which take no part in energies and forces."""
        return list(self.outputs.items())

    def head_localities(self) -> list[str]:
        """Locality of each of ``heads()``, counting that of what it reads of the energy module and its energies."""
        return [head_locality(head, self.energy, self.info.locality) for _, head in self.heads()]

    def _check_fields(self) -> None:
        provided = {*_FRONT_END, *OPTIONAL_INPUTS}
        problems = []
        for key, instead in _STATED_BY.items():
            if key in self.energy.provides:
                problems.append(problem("model.energy", f"names {key} in 'provides'", hint=f"state {instead} instead"))
        for name, component in self.components():
            problems += _missing(f"model.{name}", component, provided, self.energy)
            if name == "energy":
                provided |= {*self.energy.provides, *_features_of(self.energy)}
        for name, head in self.heads():
            problems += _missing(f"model.outputs.{name}", head, provided | {*_ENERGIES}, self.energy)
        derived = self.derivatives.provides if self.derivatives else ()
        problems += head_problems(dict(self.heads()), {*provided, *derived})
        if problems:
            raise ConfigError(problems)

    def _inputs(self) -> tuple[str, ...]:
        parts = [part for _, part in [*self.components(), *self.heads()]]
        extra = [key for key in OPTIONAL_INPUTS if any(key in part.requires for part in parts)]
        fields = ("edge_index", "edge_cell_shift")
        sets = [edge_set_key(key, name) for name, _ in self._edge_sets() for key in fields]
        return (*MODEL_INPUTS, *extra, *sets)

    def forward(self, data: Graph) -> Graph:
        """Evaluate the model.

        Args:
            data: A batch with the fields in ``info.inputs``; optional ``owned`` [n_atoms].

        Returns:
            The fields in ``info.outputs``; with a stress also ``stress_mask``.

        Raises:
            DataError: If the model fails because a field of the batch is missing or malformed, or a component does not
                serve the boundary conditions of a frame.
        """
        if self.info.boundary and is_plain(data):
            check_boundary(data["pbc"], self.info.boundary, "the model")
        try:
            outputs = self._evaluate({key: data[key] for key in (*self.info.inputs, "owned") if key in data})
        except Exception as error:
            if wrong := self._malformed(data):  # else the plugin that stumbled over it would be blamed
                raise wrong from error
            name_plugin(error)
            raise
        return outputs if self.training else {key: value.detach() for key, value in outputs.items()}

    def _malformed(self, data: Graph) -> DataError | None:
        """The problem of a batch, if it has one that can be seen; tensors have no values while a model is exported."""
        try:
            check_batch(data, self.info, "the model")
        except DataError as error:
            return error
        except Exception:  # noqa: BLE001 - the error at hand must not be hidden by another
            return None
        return None

    def _evaluate(self, data: Graph) -> Graph:
        if self.evaluator is not None and is_plain(data):
            found = self.evaluator.evaluate(self, data)
            if found is not None:
                return found
        return self.evaluate_directly(data)

    def evaluate_directly(self, data: Graph) -> Graph:
        """What ``forward`` computes without the evaluator, which compares its own results with these.

        Args:
            data: As for ``forward``, without other fields.

        Returns:
            The outputs, in eval mode not detached.
        """
        if self.derivatives is None:
            return self._energies(data, self._geometry(data))
        if torch.is_inference_mode_enabled():
            with torch.inference_mode(mode=False):  # autograd refuses tensors made in inference mode, not their copies
                return self._with_derivatives({key: value.clone() for key, value in data.items()})
        return self._with_derivatives(data)

    def _with_derivatives(self, data: Graph) -> Graph:
        with torch.enable_grad():
            geometry = self._geometry(data)
            leaves = self._differentiable(data, geometry)
            outputs = self._energies(data, geometry)
            gradients = torch.autograd.grad(
                [outputs["total_energy"].sum()],
                list(leaves.values()),
                create_graph=self.training,
                allow_unused=True,
                materialize_grads=True,
            )
        by_leaf = dict(zip(leaves, gradients, strict=True))
        sets = tuple(
            EdgeSetGradient(view["edge_index"], view["edge_vectors"], by_leaf[name]) for name, view in geometry.items()
        )
        packed = EnergyGradients(sets, by_leaf.get("@positions"), by_leaf.get("@cell"))
        assert self.derivatives is not None  # noqa: S101 - for the type checker
        return outputs | self.derivatives(data, packed)

    def _geometry(self, data: Graph) -> dict[str, Graph]:
        """Edge fields of the model's own edges, under the empty name, and of every named edge set."""
        views = {}
        for name in self.info.edge_set_names:
            edge_index = data[edge_set_key("edge_index", name)]
            shift = data[edge_set_key("edge_cell_shift", name)].to(torch.float64)
            vectors = compute_edge_vectors(
                data["positions"].to(torch.float64), data["cell"].to(torch.float64), edge_index, shift, data["batch"]
            )
            views[name] = {"edge_index": edge_index, "edge_cell_shift": shift, "edge_vectors": vectors}
        return views

    def _differentiable(self, data: Graph, geometry: dict[str, Graph]) -> dict[str, torch.Tensor]:
        """Make the tensors that the energy is differentiated by require gradients; changes both dicts."""
        leaves = {}
        for name, view in geometry.items():
            vectors = view["edge_vectors"]
            if not (self.training and vectors.requires_grad):
                vectors = vectors.detach().requires_grad_()
            view["edge_vectors"] = leaves[name] = vectors
        for key in ("positions", "cell"):
            if any(key in part.requires for _, part in self.components()):
                data[key] = leaves[f"@{key}"] = data[key].detach().to(torch.float64).requires_grad_()
        return leaves

    def _energies(self, data: Graph, geometry: dict[str, Graph]) -> Graph:
        available = {**data, **self._derived(data, geometry[""], None)}
        given = {key: available[key] for key in self.energy.requires}
        produced = self.energy(given, features=True) if self._features else self.energy(given)
        available.update({key: produced[key] for key in self.energy.provides})
        available.update({key: produced[key] for key in self._features})
        atomic_energy = self.scale_shift(produced["atomic_energy"], data["atom_types"])
        for name, module in self.energy_terms.items():
            term: Any = module
            fields = available
            if name in geometry:
                fields = {**available, **self._derived(data, geometry[name], term.r_max)}
            atomic_energy = atomic_energy + term({key: fields[key] for key in term.requires})
        if "owned" in data:
            atomic_energy = atomic_energy * data["owned"]
        frames = torch.zeros(data["num_atoms"].shape[0], dtype=atomic_energy.dtype, device=atomic_energy.device)
        energies = {"atomic_energy": atomic_energy, "total_energy": frames.index_add(0, data["batch"], atomic_energy)}
        if not self.outputs:
            return energies
        return energies | outputs_of_heads(dict(self.heads()), {**available, **energies})

    def _derived(self, data: Graph, view: Graph, r_max: float | None) -> Graph:
        """Lengths in Å and relative to the cutoff, for one edge set."""
        lengths = view["edge_vectors"].square().sum(1).sqrt()
        cutoff: torch.Tensor | float = self.info.r_max if r_max is None else r_max
        if r_max is None and self.info.cutoffs is not None:
            types = data["atom_types"]
            centre, neighbour = view["edge_index"][0], view["edge_index"][1]
            cutoff = self.cutoffs[types.index_select(0, centre), types.index_select(0, neighbour)]
        return {**view, "edge_lengths": lengths, "normalized_edge_lengths": lengths / cutoff}


def _features_of(energy: EnergyModule) -> list[str]:
    has = {NODE_FEATURES: energy.features is not None, LAST_LAYER_FEATURES: energy.has_last_layer_features}
    return [key for key in _FEATURES if has[key]]


def _missing(where: str, component: Any, provided: set[str], energy: EnergyModule) -> Iterator[str]:
    """The fields that a component requires and nobody provides."""
    missing = sorted(set(component.requires) - provided)
    if lacking := [key for key in _FEATURES if key in missing]:
        yield no_features(where, energy, lacking[0])
    elif missing:
        what = f"requires the fields {missing} that nothing provides"
        yield problem(where, what, hint=f"available: {sorted(provided)}")
