"""The export target template: an engine that shares the atoms of a frame among processes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from equipot.compile import ExportTarget

if TYPE_CHECKING:
    from equipot.model import ModelInfo


@dataclass(frozen=True)
class Template(ExportTarget):
    """Engine template."""

    inputs = ("owned",)  # False for ghost atoms, copies of those of other processes
    outputs = ("atomic_energy", "total_energy", "forces", "virial")
    localities = ("strict",)

    def refusals(self, info: "ModelInfo") -> list[str]:
        """The engine finds the elements of atoms by their numbers."""
        if info.atomic_numbers is None:
            return [f"template: needs chemical elements as types, got {list(info.type_names)}"]
        return []

    def metadata(self, info: "ModelInfo") -> dict[str, str]:
        """How wide the shell of ghost atoms must be, in Å."""
        radii = [info.r_max, *(radius for _, radius in info.edge_sets)]
        return {"template_shell": repr(max(radii))}
