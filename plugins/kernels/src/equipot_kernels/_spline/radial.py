"""Radial functions as cubic splines: a table on knots instead of a network evaluation for every edge."""

from __future__ import annotations

import contextlib
import contextvars
from typing import TYPE_CHECKING, Any

import torch

from equipot.nn.radial_function import RadialFunction
from equipot_kernels._build import registry
from equipot_kernels._spline.ops import spline_evaluate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from equipot.nn.edges import Edges

KERNEL_DTYPES = (torch.float32, torch.float64)
"""Data types for which there are kernels."""

EDGES_PER_KNOT = 8
"""In train mode, calls with fewer edges for each knot of each pair of types evaluate the exact function.

A knot costs as much as several edges: value, slope and the gradients of both are computed in float64. Measured
steps with the table are faster from about 7 edges per knot on.
"""

_FIRST_KNOT = 1e-6
"""Where the knot x = 0 is evaluated, because autograd cannot differentiate formulas like sin(x)/x at 0."""


def values_and_slopes(
    function: RadialFunction, x: torch.Tensor, pair_type: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """A radial function and its derivative, both differentiable in the parameters.

    The derivative along x is taken by two reverse passes, the second one through the first with respect
    to its cotangents. This only requires that the function supports ordinary autograd.

    Args:
        function: The function.
        x: Relative lengths, float64, shape [n].
        pair_type: Index of the ordered pair of types.

    Returns:
        Values and derivatives, float64, both of shape [n, dim].
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        values = function.evaluate(x, pair_type)
        cotangents = torch.zeros_like(values, requires_grad=True)
        (pulled,) = torch.autograd.grad(values, x, cotangents, create_graph=True)
        (slopes,) = torch.autograd.grad(pulled.sum(), cotangents, create_graph=True)
    return values, slopes


def power_coefficients(values: torch.Tensor, slopes: torch.Tensor, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    r"""Cubic Hermite interpolation in the power basis.

    Between knots k and k+1, with f from 0 to 1: :math:`w = c_0 + f (c_1 + f (c_2 + f c_3))`.

    Args:
        values: At the knots, float64, shape [num_knots, dim].
        slopes: Derivatives times the distance of the knots, same shape.
        dtype: Data type of the result, to which coefficients are rounded once.

    Returns:
        Coefficients [num_knots, 4, dim]; the last row, which applies beyond the last knot, is zero.

    Source: de Boor, A Practical Guide to Splines (1978), ch. IV.
    """
    # Each slice is taken once, because every one costs a pass over zeros in the gradient.
    value, slope, end = values[:-1], slopes[:-1], slopes[1:]
    step = values[1:] - value
    third = torch.sub(slope + end, step, alpha=2.0)
    second = step - slope - third
    rows = torch.stack([part.to(dtype) for part in (value, slope, second, third)], dim=1)
    return torch.nn.functional.pad(rows, (0, 0, 0, 0, 0, 1))


def interpolate(table: torch.Tensor, row: torch.Tensor, fraction: torch.Tensor) -> torch.Tensor:
    """Evaluate a table.

    Args:
        table: Coefficients [rows, 4, dim].
        row: Row of each edge, shape [n_edges].
        fraction: Place between two knots, from 0 to 1, float64, shape [n_edges].

    Returns:
        Shape [n_edges, dim], in the table's dtype.
    """
    c0, c1, c2, c3 = table.index_select(0, row).unbind(1)
    f = fraction.to(table.dtype).unsqueeze(1)
    return c0 + f * (c1 + f * (c2 + f * c3))


_recorded_edges: contextvars.ContextVar[int | None] = contextvars.ContextVar("edges", default=None)
_recorded_tables: contextvars.ContextVar[Mapping[int, torch.Tensor] | None] = contextvars.ContextVar(
    "tables", default=None
)


@contextlib.contextmanager
def recording(num_edges: int, tables: Mapping[int, torch.Tensor]) -> Iterator[None]:
    """While the block runs, splines behave as for a batch of so many edges, and take their kept tables from here.

    Args:
        num_edges: Number of edges of the batch.
        tables: The table of each spline in eval mode, by the ``id`` of the module.
    """
    tokens = _recorded_edges.set(num_edges), _recorded_tables.set(tables)
    try:
        yield
    finally:
        _recorded_edges.reset(tokens[0])
        _recorded_tables.reset(tokens[1])


class SplineRadial(RadialFunction):
    """A radial function that is evaluated on knots once, and interpolated for the edges.

    The knots are evenly spaced from x = 0 to x = 1. Row k of the table holds the cubic between knots k and
    k+1; the last row is zero and is used for all lengths beyond the cutoff radius. In train mode the table is
    rebuilt in each call, and gradients reach the weights through it; a call with so few edges that this would
    take longer evaluates the exact function instead. In eval mode the table is kept until the weights change.

    Args:
        source: The exact function; its parameters and buffers keep their names.
        num_knots: Number of knots, at least 2.
        on_kernels: Whether to interpolate with compiled CPU kernels.
    """

    kernel_modifier = "enable_FusedKernels"

    def __init__(self, source: RadialFunction, num_knots: int, *, on_kernels: bool = False) -> None:
        super().__init__()
        self.adopt(source)
        self.training = source.training
        self.dim, self.num_pairs, self.num_knots = source.dim, source.num_pairs, num_knots
        self._source = (
            source,
        )  # in a tuple, so that it does not become a submodule: its parameters are registered here
        self.on_kernels = on_kernels
        self._kept: tuple[tuple[tuple[int, int], ...], torch.Tensor] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Without the kept table: a copy has its weights elsewhere and makes its own."""
        return {**self.__dict__, "_kept": None}

    @property
    def source(self) -> RadialFunction:
        """The exact function."""
        return self._source[0]

    def exact(self) -> RadialFunction:
        """The exact function, which is interpolated."""
        return self.source

    def value_dtype(self) -> torch.dtype:
        """Data type of the table and the values: that of the exact function."""
        return self.source.value_dtype()

    def sources(self) -> Iterable[torch.Tensor]:
        """All tensors that the table depends on."""
        return self.source.sources()

    def extra_repr(self) -> str:
        """Number of knots."""
        return f"num_knots={self.num_knots}"

    def train(self, mode: bool = True) -> SplineRadial:  # noqa: FBT001, FBT002 - torch's signature
        """Change the mode; a kept table is dropped, because not every optimizer changes the version of the weights."""
        if mode:
            self._kept = None
        return super().train(mode)

    def tabulates(self, edges: Edges) -> bool:
        """Whether a call uses the table, see ``pays``; a recording is made for another number of edges than its own."""
        count = _recorded_edges.get()
        return self.pays(edges.x.shape[0] if count is None else count)

    def pays(self, num_edges: int) -> bool:
        """Whether the table is used: always in eval mode, in train mode for so many edges that making it pays."""
        return not self.training or num_edges >= EDGES_PER_KNOT * self.num_knots * self.num_pairs

    def table(self, edges: Edges) -> torch.Tensor:
        """Coefficients for one call.

        Args:
            edges: The edges of the call; in train mode the table is made once per such object.

        Returns:
            Contiguous, shape [num_pairs, num_knots, 4, dim], in the dtype of the values.
        """
        if self.training:
            return edges.once((self, "table"), self.build)
        tables = _recorded_tables.get()
        return self.kept_table() if tables is None else tables[id(self)]

    def kept_table(self) -> torch.Tensor:
        """The coefficients in eval mode, made again if the weights have changed."""
        state = tuple((tensor.data_ptr(), tensor._version) for tensor in self.sources())  # noqa: SLF001 - torch has no public name for it
        if self._kept is None or self._kept[0] != state:
            with torch.no_grad():
                self._kept = state, self.build()
        return self._kept[1]

    def locate(self, edges: Edges) -> tuple[torch.Tensor, torch.Tensor]:
        """Row of ``table(edges).flatten(0, 1)`` and place between two knots [0, 1), both of shape [n_edges].

        Layers with the same number of knots share them. The place is float64 and differentiable in ``edges.x``.
        Beyond the cutoff radius it exceeds 1, which has no effect because the row is zero.
        """
        return edges.once(("spline", self.num_knots, self.num_pairs > 1), lambda: self._locate(edges))

    def _locate(self, edges: Edges) -> tuple[torch.Tensor, torch.Tensor]:
        place = edges.x * (self.num_knots - 1)
        row = place.detach().to(torch.int64).clamp(0, self.num_knots - 1)
        fraction = place - row
        if self.num_pairs > 1:
            assert edges.pair_types is not None  # noqa: S101 - for the type checker
            row = row + self.num_knots * edges.pair_types
        return row, fraction

    def forward(self, edges: Edges) -> torch.Tensor:
        """Values of the edges of a call, shape [n_edges, dim]."""
        if not self.tabulates(edges):
            exact: torch.Tensor = self.source(edges)
            return exact
        table, (row, place) = self.table(edges).flatten(0, 1), self.locate(edges)
        if not self.on_kernels or table.device.type != "cpu" or table.dtype not in KERNEL_DTYPES:
            return interpolate(table, row, place)
        values: torch.Tensor = spline_evaluate(table, row, place, None, 0, self.kernel(table.dtype))
        return values

    def evaluate(self, x: torch.Tensor, pair_type: int = 0) -> torch.Tensor:
        """Values of the interpolation at any relative lengths x [n], float64, shape [n, dim]."""
        place = x * (self.num_knots - 1)
        row = place.detach().to(torch.int64).clamp(0, self.num_knots - 1)
        return interpolate(self.coefficients(pair_type), row, place - row)

    def kernel(self, dtype: torch.dtype) -> int:
        """Handle of the kernels for tables of a dtype."""
        return registry.handle_of(self._spec(dtype))

    def kernel_specs(self, dtype: torch.dtype) -> list[dict[str, Any]]:
        """Specs of the kernels that a model of this dtype calls."""
        return [self._spec(dtype)] if self.on_kernels else []

    def _spec(self, dtype: torch.dtype) -> dict[str, Any]:
        return {"family": "spline", "dtype": str(dtype).removeprefix("torch."), "channels": self.dim}

    def build(self) -> torch.Tensor:
        """Make the table from the weights, differentiable in them."""
        pairs = [self.coefficients(pair_type, self.value_dtype()) for pair_type in range(self.num_pairs)]
        return torch.stack(pairs) if len(pairs) > 1 else pairs[0].unsqueeze(0)

    def coefficients(self, pair_type: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
        """The part of the table for one pair of types, computed in float64, shape [num_knots, 4, dim]."""
        device = next(iter(self.sources())).device
        x = torch.linspace(0.0, 1.0, self.num_knots, dtype=torch.float64, device=device)
        evaluated_at = x.clamp_min(_FIRST_KNOT)
        values, slopes = values_and_slopes(self.source, evaluated_at, pair_type)
        values = values + slopes * (x - evaluated_at).unsqueeze(1)
        coefficients = power_coefficients(values, slopes / (self.num_knots - 1), dtype)
        return coefficients if torch.is_grad_enabled() else coefficients.detach()
