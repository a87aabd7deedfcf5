"""Two atoms alone, for all pairs of elements: does the model keep them apart where there are no data?"""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from equipot.errors import EquipotError
from equipot.model import BuildContext, resolve_cutoffs
from equipot.neighbors import add_neighbors
from equipot_fit._report._geometry import energies_in_ev
from equipot_fit._report._html import Markup, gallery, joined, paragraph
from equipot_fit._report._pictures import BLUE, ORANGE, panel, picture, style
from equipot_fit._report._section import Data, NotShownError, Section

if TYPE_CHECKING:
    from equipot_fit._report._subject import Subject

PAIRS = 10
"""Pairs of elements with a curve: the most frequent ones."""

POINTS = 70
SHORTEST = 0.35
"""Å, where curves begin."""

_TICKS = (-1000, -100, -10, -1, 0, 1, 10, 100, 1000, 10_000)

LOOKED_AT = 60
"""Frames in which the shortest distances are looked for."""


def data(subject: Subject) -> Data:
    """Energies of dimers relative to their atoms far apart, those of ZBL, and shortest distances of the data."""
    from ase import Atoms

    model = subject.stored_model
    species = list(dict.fromkeys(model.info.chemical_species or ()))
    if not species:
        raise NotShownError("The types of the model are not elements, so there is no ZBL to compare with.")
    pairs = list(itertools.combinations_with_replacement(species, 2))
    counts, shortest = _counted(subject)
    pairs.sort(key=lambda pair: -counts.get(_key(*pair), 0.0))
    distances = np.linspace(SHORTEST, model.info.r_max, POINTS)
    curves = []
    for first, second in pairs[:PAIRS]:
        dimers = [Atoms([first, second], [[0.0, 0.0, 0.0], [r, 0.0, 0.0]]) for r in distances]
        apart = Atoms([first, second], [[0.0, 0.0, 0.0], [2.0 * model.info.r_max + 1.0, 0.0, 0.0]])
        energies = energies_in_ev(subject.model, [*dimers, apart])
        curves.append(
            {
                "pair": f"{first}–{second}", "energy": np.round(energies[:-1] - energies[-1], 5).tolist(),
                "zbl": _zbl(first, second, distances), "shortest": shortest.get(_key(first, second)),
            }
        )  # fmt: skip
    return {"distances": np.round(distances, 4).tolist(), "curves": curves, "pairs": len(pairs)}


def _key(first: str, second: str) -> tuple[str, str]:
    return (min(first, second), max(first, second))


def _counted(subject: Subject) -> tuple[Counter[tuple[str, str]], dict[tuple[str, str], float]]:
    """How often pairs of elements are neighbours in a sample of the train set, and their shortest distances in Å."""
    from ase.data import chemical_symbols

    counts: Counter[tuple[str, str]] = Counter()
    shortest: dict[tuple[str, str], float] = {}
    try:
        whole = subject.sets.get("train") or subject.sets[subject.judged_sets[0]]
    except NotShownError:
        return counts, shortest
    for index in np.random.default_rng(1).permutation(len(whole.places))[:LOOKED_AT].tolist():
        frame = add_neighbors(whole.frames[index], subject.stored_model.info.r_max)
        edges, cell = frame["edge_index"], frame["cell"][0]
        vectors = frame["positions"][edges[1]] + frame["edge_cell_shift"] @ cell - frame["positions"][edges[0]]
        lengths, numbers = vectors.norm(dim=1).numpy(), frame["atomic_numbers"].numpy()[edges.numpy()]
        codes = numbers.min(axis=0) * 1000 + numbers.max(axis=0)
        for code in np.unique(codes).tolist():
            pair = _key(chemical_symbols[code // 1000], chemical_symbols[code % 1000])
            found = lengths[codes == code]
            counts[pair] += len(found)
            shortest[pair] = min(shortest.get(pair, np.inf), float(found.min()))
    return counts, shortest


def _zbl(first: str, second: str, distances: Any) -> list[float] | None:
    """Energies of ZBL in eV; None if no plugin has it."""
    from equipot import pair_potentials

    try:
        options = pair_potentials.ZBL(units="metal", chemical_species=[first, second])
        pair = options.build_pair_energy(_context(first, second))
    except (EquipotError, AttributeError):
        return None
    r = torch.tensor(distances, dtype=torch.float64)
    found = pair(r, torch.zeros(len(r), dtype=torch.int64), torch.ones(len(r), dtype=torch.int64))
    return [round(float(value), 5) for value in found.detach()]


def _context(first: str, second: str) -> BuildContext:
    names = ("first", "second")
    cutoffs = resolve_cutoffs(names, 10.0, None)
    return BuildContext(
        type_names=names, chemical_species=(first, second), r_max=10.0, cutoffs=cutoffs, model_dtype=torch.float64
    )


def draw(data: Data) -> str:
    """A panel for each pair."""
    shown = len(data["curves"])
    more = f" The {shown} most frequent of {data['pairs']} pairs are shown." if shown < data["pairs"] else ""
    about = (
        "Energy of two atoms relative to the same atoms apart. The train set has no distances as short as those in "
        "the shaded region: there the model extrapolates, and should rise as steeply as ZBL, the repulsion of screened "
        "nuclei."
    )
    return joined([paragraph(about + more), gallery(_panel(data["distances"], one) for one in data["curves"])])


def _panel(distances: list[float], one: Data) -> Markup:
    with style():
        figure, axes = panel(3.4, 2.7)
        axes.plot(distances, one["energy"], color=BLUE, label="model")
        if one["zbl"] is not None:
            axes.plot(distances, one["zbl"], color=ORANGE, linestyle="--", label="ZBL")
        if one["shortest"] is not None:
            axes.axvspan(0.0, one["shortest"], color="#eeeeee", zorder=0, label="no data")
        axes.set_yscale("symlog", linthresh=1.0)
        axes.set_xlim(distances[0], distances[-1])
        low, high = axes.get_ylim()
        axes.set_yticks([value for value in _TICKS if low <= value <= high], minor=False)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.minorticks_off()
        axes.set_xlabel("distance, Å")
        axes.set_ylabel("energy, eV")
        axes.set_title(one["pair"])
        axes.legend()
        at = "" if one["shortest"] is None else f"; the shortest distance in the data is {one['shortest']:.2f} Å"
        lowest = int(np.argmin(one["energy"]))
        first = f"{one['energy'][0]:.3g} eV at {distances[0]:.2f} Å"
        least = f"{one['energy'][lowest]:.3g} eV at {distances[lowest]:.2f} Å"
        alt = f"Dimer curve of {one['pair']}: {first}, lowest {least}{at}"
        return picture(figure, alt)


SECTION = Section("dimers", "Pairs of atoms", data, draw, can_wait=True)
