"""How far away atoms influence what a part of a model computes, counting what it reads of other parts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from equipot.model._outputs import LAST_LAYER_FEATURES, NODE_FEATURES

if TYPE_CHECKING:
    from equipot.model._components import EnergyModule, EnergyTermModule, OutputHead
    from equipot.model._context import Locality

_ENERGIES = frozenset({"atomic_energy", "total_energy"})


def hops_of(locality: Locality) -> int:
    """Hops along edges to the farthest atom that matters, of a part that is not global."""
    return int(locality[5:-1]) if locality.startswith("hops(") else 1


def joint_locality(localities: Iterable[Locality]) -> Locality:
    """The least local of all localities."""
    found = list(localities)
    if "global" in found:
        return "global"
    hops = [hops_of(locality) for locality in found if locality.startswith("hops(")]
    return f"hops({max(hops)})" if hops else "strict"


def term_locality(term: EnergyTermModule, energy: EnergyModule) -> Locality:
    """Locality of a term: its own, which says how far it sees, and that of what it reads of the atoms there.

    It is global if it reads positions or the cell.
    """
    if {"positions", "cell"} & {*term.requires}:
        return "global"
    return _beyond(energy.locality, term) if reads_of(term, energy) else term.locality


def head_locality(head: OutputHead, energy: EnergyModule, whole: Locality) -> Locality:
    """Locality of a head, as that of a term; it may read positions.

    Args:
        head: The head.
        energy: The energy module.
        whole: Locality of the model's energies.
    """
    if reads_energies(head):
        return _beyond(whole, head)
    return _beyond(energy.locality, head) if reads_of(head, energy) else head.locality


def reads_of(part: EnergyTermModule | OutputHead, energy: EnergyModule) -> bool:
    """Whether a part reads what the energy module made."""
    return bool({*energy.provides, NODE_FEATURES, LAST_LAYER_FEATURES} & {*part.requires})


def reads_energies(head: OutputHead) -> bool:
    """Whether a head reads energies, and so depends on all terms."""
    return bool(_ENERGIES & {*head.requires})


def sees_neighbours(part: EnergyTermModule | OutputHead) -> bool:
    """Whether a part reads fields of an atom's neighbours, too."""
    return "edge_index" in part.requires or part.locality != "strict"


def _beyond(read: Locality, part: EnergyTermModule | OutputHead) -> Locality:
    """Locality of a part that reads fields with a locality of their own."""
    if "global" in (read, part.locality):
        return "global"
    return f"hops({hops_of(read) + hops_of(part.locality)})" if sees_neighbours(part) else read
