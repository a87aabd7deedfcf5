"""From an exported model of nequip to a model of equipot that gives the same numbers."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from equipot.artifacts import checked_path, source_of, write_package
from equipot_from_nequip._hyperparameters import Choices, Mapped, map_hyperparameters
from equipot_from_nequip._verify import Deviations, check, graph_of
from equipot_from_nequip._weights import convert_weights

if TYPE_CHECKING:
    from equipot.model import GraphModel
    from equipot_from_nequip._exported import PeerModel

INVENTED = ("crystal", "dense_crystal", "molecule", "atom")
"""Random frames, which the package stores as golden frames because they contain nobody's data."""


@dataclass(frozen=True)
class Imported:
    """An imported model, and its deviations from nequip's."""

    model: GraphModel
    """In eval mode."""

    deviations: dict[str, Deviations]
    """For each data type, the largest deviation of each output."""


def import_model(peer: PeerModel, choices: Choices | None = None) -> Imported:
    """Make our model with the weights of nequip's, and compare the two on all frames.

    Raises:
        ConfigError: With everything that has no counterpart.
        ArtifactError: If the weights do not fit, or the models give different numbers.
    """
    mapped = map_hyperparameters(peer, choices or Choices())
    model = _build(mapped, peer)
    deviations = {peer.model_dtype: check(model, peer, peer.model_dtype)}
    both = all("float64" in frame.outputs for frame in peer.frames.values())
    if peer.model_dtype != "float64" and both:
        double = dataclasses.replace(mapped, builder=dataclasses.replace(mapped.builder, model_dtype="float64"))
        deviations["float64"] = check(_build(double, peer), peer, "float64")
    return Imported(model, deviations)


def _build(mapped: Mapped, peer: PeerModel) -> GraphModel:
    model = mapped.builder.build(mapped.units)
    state = convert_weights(peer.state, model.state_dict(), mapped.family.name, mapped.builder)
    model.load_state_dict(state, strict=True)
    return model.eval()


def write(imported: Imported, peer: PeerModel, path: str | Path, source: str | Path) -> None:
    """Store an imported model as a package.

    Args:
        imported: The model.
        peer: The exported model it was made from.
        path: The package to write, which ends in ``.equipot.zip``.
        source: The file of nequip, for the provenance.
    """
    info = imported.model.info
    golden = {name: graph_of(frame, info) for name, frame in peer.frames.items() if name in INVENTED}
    provenance = {**source_of(source), "weights": peer.weights_kind, "imported_from": peer.versions}
    write_package(imported.model, checked_path(path), golden_inputs=golden, provenance=provenance)
