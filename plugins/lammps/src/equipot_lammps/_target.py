"""What pair_style equipot needs of a model, and what it must know of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from equipot.compile import ExportTarget, with_exchange
from equipot.errors import problem

if TYPE_CHECKING:
    from equipot.model import GraphModel, ModelInfo


@dataclass(frozen=True)
class LammpsTarget(ExportTarget):
    """LAMMPS: strictly local models and message passing, distributed over MPI ranks through ghost atoms."""

    inputs: ClassVar[tuple[str, ...]] = ("owned",)
    outputs: ClassVar[tuple[str, ...]] = ("atomic_energy", "total_energy", "forces", "virial", "edge_forces")
    localities: ClassVar[tuple[str, ...]] = ("strict", "hops")
    native: ClassVar[bool] = True

    def refusals(self, info: ModelInfo) -> list[str]:
        """Names of types that cannot be written in a script.

        Args:
            info: Types of the model.
        """
        where, problems = "compile.target lammps", []
        for name in info.type_names:
            if not name or name == "NULL" or name.startswith(("#", "&", "$", '"', "'")) or len(name.split()) != 1:
                hint = "pair_coeff takes words; rename the type"
                problems.append(problem(where, "a type name cannot be written in a LAMMPS script", got=name, hint=hint))
        return problems

    def adapted(self, model: GraphModel) -> GraphModel:
        """The model with calls of the exchange of ghosts, where it can do without edges of ghosts.

        Args:
            model: The model.
        """
        return with_exchange(model)

    def metadata(self, info: ModelInfo) -> dict[str, str]:
        """The version of torch, which must be the one that the pair style was built with.

        Args:
            info: Not used.
        """
        import torch

        return {"lammps_torch": torch.__version__.split("+")[0]}
