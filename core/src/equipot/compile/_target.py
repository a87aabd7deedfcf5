"""What an engine needs of the models that it runs; plugins declare engines with the hook ``equipot_export_targets``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from equipot.fields import OPTIONAL_INPUTS
from equipot.units import Units

if TYPE_CHECKING:
    from equipot.model import GraphModel, ModelInfo


@dataclass(frozen=True)
class ExportTarget:
    """An engine that runs compiled models, the choices of ``equipot compile --target``.

    A subclass states facts; it does no work when it is imported or made. ``equipot compile`` refuses a model that an
    engine cannot serve before it compiles it, and writes into the file what the engine must know (see
    ``equipot.compile.metadata_of``).

    Example:
        >>> class MyEngine(ExportTarget):
        ...     outputs = ("atomic_energy", "total_energy", "forces", "virial")
        ...     localities = ("strict",)
        ...     def refusals(self, info):
        ...         return [] if info.atomic_numbers else ["my_engine: needs chemical elements as types"]
    """

    inputs: ClassVar[tuple[str, ...]] = ()
    """What the engine gives beyond the inputs of the model: ``owned``, which is False for ghost atoms, or nothing."""

    optional_inputs: ClassVar[tuple[str, ...]] = ()
    """Inputs of ``equipot.fields.OPTIONAL_INPUTS`` that it can give, such as ``total_charge``; models that need others
    are refused."""

    units: ClassVar[tuple[Units, ...]] = ("metal", "real")
    """Unit systems of models that it can serve: ``metal`` for energies in eV, ``real`` for kcal/mol."""

    outputs: ClassVar[tuple[str, ...]] = ()
    """What a file must give, in this order, with ``atomic_energy`` and ``total_energy``; ``edge_forces`` stands for
    those of all edge sets, and ``stress`` brings ``stress_mask``. Heads whose fields are not named are left out. Empty:
    all that the model has, and its edge forces if it can give them."""

    localities: ClassVar[tuple[str, ...]] = ("strict", "hops", "global")
    """Localities of models that it can serve: ``strict``, ``hops`` for message passing, ``global``."""

    checks_boundary: ClassVar[bool] = False
    """Whether it refuses frames with boundary conditions that ``info.boundary`` excludes; otherwise models with terms
    or heads for certain boundary conditions only are refused."""

    native: ClassVar[bool] = False
    """Whether it has no Python: the code of kernels must then travel in the file."""

    def refusals(self, info: ModelInfo) -> list[str]:
        """Further reasons why it cannot serve a model, in addition to what the attributes above say.

        Args:
            info: Types, units, inputs and outputs of the model.

        Returns:
            A message for each, which names what is in the way; none if it can.
        """
        return []

    def adapted(self, model: GraphModel) -> GraphModel:
        """The model in the form that the engine runs, for example with another module for ghost atoms.

        Args:
            model: In eval mode; it must not be changed.

        Returns:
            A model with the same results for whole frames, which are compared with those of the given one.
        """
        return model

    def metadata(self, info: ModelInfo) -> dict[str, str]:
        """What the engine reads from the file beyond the facts of ``equipot.compile.metadata_of``.

        Args:
            info: As in the file, with its inputs and outputs.

        Returns:
            Texts by name; names that begin with ``equipot_`` or ``AOTI_`` are taken.
        """
        return {}


@dataclass(frozen=True)
class AseTarget(ExportTarget):
    """Python: the ASE calculator, and all that calls a compiled model with frames or batches of any size."""

    optional_inputs = OPTIONAL_INPUTS
    checks_boundary = True
