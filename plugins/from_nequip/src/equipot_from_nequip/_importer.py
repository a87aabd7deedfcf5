"""From an exported model of nequip to a model of equipot that gives the same numbers."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from equipot.artifacts import checked_path, source_of, write_package
from equipot_from_nequip._hyperparameters import Mapped, map_hyperparameters
from equipot_from_nequip._verify import Deviations, check, graph_of
from equipot_from_nequip._weights import convert_weights

if TYPE_CHECKING:
    from equipot.model import GraphModel
    from equipot_from_nequip._exported import PeerModel

INVENTED = ("crystal", "dense_crystal", "molecule", "atom")
"""Frames that are nobody's data, stored with the package as golden frames."""


@dataclass(frozen=True)
class Imported:
    """A model and how far it is from nequip's."""

    model: GraphModel
    """In eval mode."""

    deviations: dict[str, Deviations]
    """Data type to output to largest deviation."""


def import_model(
    peer: PeerModel,
    *,
    units: str | None = None,
    chemical_species: list[str] | None = None,
    ignore_tf32: bool = False,
) -> Imported:
    """Make the model with its weights, and compare it with the peer's on all frames.

    Args:
        peer: The exported model.
        units: Of its training data; default: those of its ZBL potential, else ``metal``.
        chemical_species: Symbol of each type, where the file does not tell.
        ignore_tf32: Take a model that was trained with TF32.

    Raises:
        ConfigError: With everything that cannot be mapped.
        ArtifactError: If the weights do not fit or the numbers differ.
    """
    mapped = map_hyperparameters(peer, units=units, chemical_species=chemical_species, ignore_tf32=ignore_tf32)
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
        peer: What it was made from.
        path: Ends in ``.equipot.zip``.
        source: The file of nequip.
    """
    info = imported.model.info
    golden = {name: graph_of(frame, info) for name, frame in peer.frames.items() if name in INVENTED}
    provenance = {**source_of(source), "weights": peer.weights_kind, "imported_from": peer.versions}
    write_package(imported.model, checked_path(path), golden_inputs=golden, provenance=provenance)
