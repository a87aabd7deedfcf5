"""What the checks of model builders work with: recipes, models and batches in float64."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from equipot.testing.base import Conformance
from equipot.testing.frames import Structure, standard_structures

if TYPE_CHECKING:
    from equipot.graph import Graph
    from equipot.model.graph_model import GraphModel
    from equipot.model.recipe import ModelBuilder


class ModelKit(Conformance):
    """Builds the model under test."""

    kind = "model_builders"

    type_names: ClassVar[tuple[str, ...]] = ("H", "C", "O")
    """Types the model is tested with."""

    r_max: ClassVar[float] = 4.0
    """Cutoff radius in Å the model is tested with."""

    def recipe(self, **changes: Any) -> ModelBuilder:
        """The builder with the kit's base options, the plugin's and the check's, in this order."""
        names = list(self.type_names)
        base = {
            "type_names": names,
            "r_max": self.r_max,
            "seed": 3,
            "model_dtype": "float64",
            "per_type_energy_shifts": {name: -1.5 - 2.25 * index for index, name in enumerate(names)},
            "per_type_energy_scales": {name: 1.0 + 0.5 * index for index, name in enumerate(names)},
        }
        recipe: ModelBuilder = self.component()(**{**base, **self.options, **changes})
        return recipe

    def model(self, **changes: Any) -> GraphModel:
        """The model with forces and stress, in eval mode."""
        return self.recipe(**changes).build().eval()

    def structures(self) -> dict[str, Structure]:
        """Bulk, slab, wire, molecule and lone atom with all types."""
        return standard_structures(len(self.type_names))

    def shift_of(self, model: GraphModel, atom_type: int) -> float:
        """Energy of the isolated atom that the model was given, E0."""
        return model.scale_shift.values("shifts")[self.type_names[atom_type]]


def parameters_of(model: GraphModel) -> list[Any]:
    """Trainable parameters."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def cloned(graph: Graph) -> Graph:
    """A copy with tensors of its own."""
    return {key: value.clone() for key, value in graph.items()}
