"""Laws that a potential must keep, checked on a frame in float64: the words are those of the conformance kit."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from equipot.artifacts import rebuild_model
from equipot.errors import EquipotError
from equipot_fit._report._geometry import atoms_of, energies_in_ev, outputs_of
from equipot_fit._report._html import element, joined, paragraph, table
from equipot_fit._report._section import Data, NotShownError, Section

if TYPE_CHECKING:
    from ase import Atoms

    from equipot.model import GraphModel
    from equipot_fit._report._subject import Subject

TIGHT = {"float64": 1e-9, "float32": 1e-4}
"""Tolerance of exact laws, relative to the largest value or 1."""

LOOSE = {"float64": 2e-6, "float32": 2e-2}
"""Tolerance of forces against finite differences, the same."""

STEP = {"float64": 1e-3, "float32": 1e-2}
"""Å, of finite differences."""

EDGE = 1e-5
"""Distance from the cutoff radius at which smoothness is tested, relative to the radius."""

LARGEST = 300
DISPLACED = 8
"""Atoms along which energies are differentiated: fewer in a large frame, so that ``WORK`` atoms are not exceeded."""

WORK = 2000

PAIRS = 6


def data(subject: Subject) -> Data:
    """Each law, with the largest deviation and what is allowed."""
    frames = [one for one in subject.frames() if len(one.numbers) <= LARGEST]
    if not frames:
        raise NotShownError(f"All frames have more than {LARGEST} atoms, or a single one.")
    model = wide(subject.stored_model)
    chosen = min(frames, key=lambda one: len(one.numbers))
    atoms, dtype = atoms_of(chosen), model.info.model_dtype
    laws = [*_symmetries(model, atoms, TIGHT[dtype])]
    if "forces" in model.info.outputs:
        laws.append(_forces(model, atoms, dtype))
        laws += _smooth(model)
    return {"place": chosen.place, "atoms": len(atoms), "dtype": dtype, "laws": laws}


def wide(model: GraphModel) -> GraphModel:
    """The same model in float64, where exact laws show as such; itself if its builder has no such option."""
    if model.info.model_dtype == "float64" or "model_dtype" not in model.config:
        return model
    try:
        built = rebuild_model({**model.config, "model_dtype": "float64"}, model.modifiers, model.info.units)
        built.load_state_dict(model.state_dict())
    except (EquipotError, RuntimeError):
        return model
    return built.eval()


def _law(law: str, deviation: float, allowed: float, unit: str) -> Data:
    return {"law": law, "deviation": deviation, "allowed": allowed, "unit": unit, "kept": bool(deviation <= allowed)}


def _deviation(actual: Any, expected: Any) -> tuple[float, float]:
    """Largest difference, and the scale it is relative to."""
    actual, expected = torch.as_tensor(actual), torch.as_tensor(expected)
    return float((actual - expected).abs().max()), max(1.0, float(expected.abs().max()))


def _symmetries(model: GraphModel, atoms: Atoms, tolerance: float) -> list[Data]:
    """Rotation with a mirror image, permutation, translation."""
    generator = np.random.default_rng(2)
    turn = np.linalg.qr(generator.normal(size=(3, 3)))[0]
    turn *= -np.sign(np.linalg.det(turn))  # a rotation with an inversion
    order = generator.permutation(len(atoms))
    turned, shifted = atoms.copy(), atoms.copy()
    turned.set_cell(atoms.cell.array @ turn.T, scale_atoms=False)
    turned.set_positions(atoms.positions @ turn.T)
    shifted.positions += generator.normal(size=3) * 10.0
    before, *others = (outputs_of(model, [one]) for one in (atoms, turned, atoms[order], shifted))
    per_atom = float(before["atomic_energy"].abs().max())
    laws = []
    rules = (
        ("E(3) equivariance: energies must not change when the structure is rotated and mirrored", None),
        ("permutation of atoms: energies must not change", order),
        ("translation: energies must not change", None),
    )
    for (law, ordered), after in zip(rules, others, strict=True):
        expected = before["atomic_energy"] if ordered is None else before["atomic_energy"][torch.as_tensor(ordered)]
        laws.append(
            _law(law, _deviation(after["atomic_energy"], expected)[0], tolerance * max(1.0, per_atom), "energy")
        )
    if "forces" in before:
        forces = before["forces"] @ torch.as_tensor(turn.T, dtype=before["forces"].dtype)
        found, scale = _deviation(others[0]["forces"], forces)
        laws.append(_law("E(3) equivariance: forces must turn along", found, tolerance * scale, "force"))
        found, scale = _deviation(others[1]["forces"], before["forces"][torch.as_tensor(order)])
        laws.append(_law("permutation of atoms: forces must follow the atoms", found, tolerance * scale, "force"))
    return laws


def _forces(model: GraphModel, atoms: Atoms, dtype: str) -> Data:
    """Forces of some atoms against four-point differences of the energy."""
    number = max(1, min(DISPLACED, WORK // (12 * len(atoms))))
    chosen = np.random.default_rng(3).permutation(len(atoms))[:number].tolist()
    step, stencil = STEP[dtype], ((-2.0, 1.0 / 12.0), (-1.0, -2.0 / 3.0), (1.0, 2.0 / 3.0), (2.0, -1.0 / 12.0))
    moved = []
    for atom, axis, (offset, _) in itertools.product(chosen, range(3), stencil):
        copy = atoms.copy()
        copy.positions[atom, axis] += offset * step
        moved.append(copy)
    energies = energies_in_ev(model, moved).reshape(-1, len(stencil))
    found = -(energies @ np.array([weight for _, weight in stencil]) / step).reshape(-1, 3)
    factor = float(energies_in_ev(model, [atoms])[0] / float(outputs_of(model, [atoms])["total_energy"][0]))
    forces = outputs_of(model, [atoms])["forces"].numpy()[chosen] * factor
    deviation, scale = _deviation(forces, found)
    return _law(
        "forces are minus the derivative of the energy with respect to the positions",
        deviation,
        LOOSE[dtype] * scale,
        "force",
    )


def _smooth(model: GraphModel) -> list[Data]:
    """A probe moves across the cutoff radius of the nearest atom of a cluster, for some pairs of elements."""
    from ase import Atoms

    species = list(dict.fromkeys(model.info.chemical_species or ()))
    radius = model.info.r_max
    found: dict[str, list[tuple[float, float]]] = {"energy": [], "forces": []}
    if not species or model.info.model_dtype != "float64":
        return []
    pairs = list(itertools.product(species, species))[:PAIRS]
    behind = [[0.0, 0.0, 0.0], [-1.1, 0.5, 0.1], [-0.8, -1.0, 0.4]]
    for centre, probe in pairs:
        symbols = [centre, probe, species[-1], probe]
        places = (0.5 * radius, (1 - 3 * EDGE) * radius, (1 - EDGE) * radius, (1 + EDGE) * radius)
        near, further, inside, outside = (
            outputs_of(model, [Atoms(symbols, [*behind, [distance, 0.0, 0.0]])]) for distance in places
        )
        scale = float((near["atomic_energy"] - outside["atomic_energy"]).abs().max()) + 1e-6
        jump = abs(float(2 * inside["total_energy"] - further["total_energy"] - outside["total_energy"]))
        found["energy"].append((jump, 1e-4 * scale))
        scale = float(near["forces"].abs().max()) + 1e-6
        jump = float((inside["forces"] - outside["forces"]).abs().max())
        found["forces"].append((jump, 1e-3 * scale))
    laws = []
    for what, jumps in found.items():
        jump, allowed = max(jumps, key=lambda one: one[0] / one[1])
        law = f"smoothness at the cutoff radius {radius:g} Å: {what} must be continuous"
        laws.append(_law(law, jump, allowed, "energy" if what == "energy" else "force"))
    return laws


def draw(data: Data) -> str:
    """A table."""
    unit = {"energy": "eV", "force": "eV/Å"}
    rows = [
        (
            one["law"], element("strong", "kept") if one["kept"] else element("strong", "BROKEN", class_="bad"),
            f"{one['deviation']:.2g}", f"{one['allowed']:.2g}", unit[one["unit"]],
        )
        for one in data["laws"]
    ]  # fmt: skip
    broken = [one["law"] for one in data["laws"] if not one["kept"]]
    about = f"On {data['place']} ({data['atoms']} atoms), with the model in {data['dtype']}"
    about += "; smoothness on a cluster of three atoms and a probe." if len(rows) > 4 else "."
    if broken:
        about += f" {len(broken)} of {len(rows)} laws are broken."
    header = ("law", "verdict", "largest deviation", "allowed", "unit")
    return joined([paragraph(about), table(header, rows, texts=("verdict", "unit"))])


SECTION = Section("physics", "Symmetries, forces and smoothness", data, draw, can_wait=True)
