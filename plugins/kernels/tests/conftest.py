"""Kernels of the tests are built once and kept between runs; a small message-passing model made of core's parts."""

import dataclasses

import pytest
import torch

from equipot.model import EnergyModule, ModelBuilder
from equipot.nn.edges import Edges
from equipot.nn.embedding import TypeEmbedding
from equipot.nn.irreps import FeatureLayout
from equipot.nn.linear import IrrepsLinear
from equipot.nn.mlp import ScalarMLP
from equipot.nn.radial import RadialEmbedding
from equipot.nn.radial_function import RadialNetwork
from equipot.nn.spherical import SphericalHarmonics
from equipot.nn.tensor_product import Convolution


@pytest.fixture(autouse=True)
def _kept_kernels(kernel_folder, monkeypatch):
    monkeypatch.setenv("EQUIPOT_CACHE_DIR", str(kernel_folder))


@pytest.fixture(autouse=True)
def _tables_for_few_edges(monkeypatch):
    """Tables are used in training too, however few the edges of a test are."""
    monkeypatch.setattr("equipot_kernels._spline.radial.EDGES_PER_KNOT", 0)


class MessagePassing(EnergyModule):
    """Two convolutions with unequal multiplicities."""

    requires = ("edge_vectors", "edge_lengths", "normalized_edge_lengths", "edge_index", "atom_types")
    locality = "hops(2)"

    def __init__(self, context):
        super().__init__()
        random = {"dtype": context.model_dtype, "generator": context.generator}
        scalars, hidden = FeatureLayout.parse("4x0e"), FeatureLayout.parse("4x0e+3x1o")
        self.spherical = SphericalHarmonics(1)
        self.embedding = TypeEmbedding(context.num_types, 4, **random)
        self.radial = RadialEmbedding(4, trainable=False, polynomial_cutoff_p=6, dtype=context.model_dtype)
        self.convolutions, self.radials, self.linears = (torch.nn.ModuleList() for _ in range(3))
        for source, target in ((scalars, hidden), (hidden, scalars)):
            allowed = [block.irrep for block in target.blocks]
            convolution = Convolution(source, self.spherical.layout, allowed, dtype=context.model_dtype)
            self.convolutions.append(convolution)
            self.radials.append(RadialNetwork(self.radial, (4, 6, convolution.num_weights), **random))
            self.linears.append(IrrepsLinear(convolution.layout_out, target, **random))
        self.readout = ScalarMLP((4, 1), **random)

    def forward(self, data):
        directions = data["edge_vectors"] / data["edge_lengths"].unsqueeze(1)
        attributes = self.spherical(directions).to(self.embedding.weight.dtype)
        edges = Edges(data["edge_index"], data["normalized_edge_lengths"], attributes)
        features = self.embedding(data["atom_types"])
        for convolution, radial, linear in zip(self.convolutions, self.radials, self.linears, strict=True):
            features = torch.tanh(linear(convolution(features, radial, edges)))
        return {"atomic_energy": self.readout(features[:, :4]).squeeze(1)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class MessagePassingModel(ModelBuilder):
    """A small model with two convolutions."""

    def build_energy(self, context):
        return MessagePassing(context)


@pytest.fixture
def make_model():
    """Build it: ``make_model(model_dtype="float32")``."""

    def make(**options):
        values = {"type_names": ["H", "C", "O"], "r_max": 4.0, "model_dtype": "float64", "do_derivatives": False}
        return MessagePassingModel(**{**values, **options}).build()

    return make
