"""The head template: a vector of each frame, from the vector features of its atoms."""

import torch
from equipot.errors import ConfigError, problem
from equipot.graph import Graph
from equipot.model import GraphModel, OutputHead, features_of
from equipot.nn.irreps import FeatureLayout, Irrep

HEAD = "template"
"""Name of the head in the model."""

VECTORS = Irrep(1, -1)


class TemplateHead(OutputHead):
    """The sum over atoms of weighted sums of their vectors."""

    requires = ("node_features",)
    provides = ("template",)
    sums = ("template",)

    def __init__(self, layout: FeatureLayout, dtype: torch.dtype, seed: int) -> None:
        """Draw the weights for vector features of this layout."""
        super().__init__()
        self.layout, width = layout, layout.mul(VECTORS)
        generator = torch.Generator().manual_seed(seed)
        self.weights = torch.nn.Parameter(torch.randn(width, dtype=dtype, generator=generator) / width**0.5)

    def forward(self, data: Graph) -> Graph:
        """The part of each atom, e Å, shape [n_atoms, 3]; the model adds them up."""
        vectors = self.layout.view(data["node_features"], self.layout.block(VECTORS))
        return {"template": vectors @ self.weights}


def add_template(model: GraphModel, *, seed: int = 1) -> GraphModel:
    """Output head add_template.

    Args:
        model: A model whose builder has vector features; it is not changed.
        seed: Seed of the initial weights.

    Returns:
        The model with the head; the argument itself if it has one already.

    Raises:
        ConfigError: If the builder has no vector features.
    """
    layout = features_of(model, "add_template")
    if VECTORS not in layout:
        raise ConfigError(problem("add_template", "needs features 1o of the builder", got=str(layout)))
    if HEAD in model.outputs:
        return model
    head = TemplateHead(layout, getattr(torch, model.info.model_dtype), seed)
    return model.replace(outputs={**dict(model.heads()), HEAD: head})
