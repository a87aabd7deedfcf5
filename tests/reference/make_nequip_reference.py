"""Write reference numbers of nequip's NequIP model for a grid of configurations.

The numbers pin down the model's mathematics from outside: equipot builds a model
with the same hyperparameters, loads the stored weights and must give the stored
energies, forces and stress. Nothing here imports equipot, and nothing is copied
from nequip; it is used as a program. Run it in an environment of its own::

    python -m venv oracle
    oracle/bin/pip install torch==2.13.0
    oracle/bin/pip install nequip==0.19.1 safetensors
    oracle/bin/python make_nequip_reference.py

It writes ``nequip/frames.safetensors``, ``nequip/<case>.safetensors`` and
``nequip/index.json`` next to this file; README.md describes the format.
``--check`` compares a new run with the stored files instead of writing.
"""
# ruff: noqa: T201 (a script that prints)

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import logging
import math
import os
import platform
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

# One thread, so that sums have one order and a second run gives the same bits.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save

ATOMIC_NUMBERS = {"H": 1, "C": 6, "O": 8, "Si": 14}
OUTPUTS = ("atomic_energy", "total_energy", "forces", "stress")
# Derived constants (Clebsch-Gordan tensors, masks of ones): no information in them.
CONSTANT_BUFFERS = ("output_mask", "_w3j_")


# --- frames -----------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Frame:
    """One configuration of atoms, in Å."""

    description: str
    symbols: tuple[str, ...]
    pos: np.ndarray  # [n_atoms, 3]
    cell: np.ndarray | None = None  # [3, 3], rows are the lattice vectors
    pbc: tuple[bool, bool, bool] = (False, False, False)

    @property
    def has_stress(self) -> bool:
        """Whether a stress is stored: only where all three directions are periodic."""
        return all(self.pbc)


def image_shifts(cell: np.ndarray | None, pbc: tuple[bool, ...], reach: float) -> np.ndarray:
    """Integer lattice translations that can bring an image within ``reach`` Å of a point."""
    if cell is None:
        return np.zeros((1, 3), dtype=np.int64)
    heights = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    counts = [math.ceil(reach / h) if p else 0 for h, p in zip(heights, pbc, strict=True)]
    return np.array(list(itertools.product(*(range(-n, n + 1) for n in counts))), dtype=np.int64)


def neighbor_list(frame: Frame, r_max: float) -> tuple[np.ndarray, np.ndarray]:
    """All directed pairs closer than ``r_max``, by trying every image.

    Returns:
        ``edge_index`` [2, n_edges] (row 0 the centre, row 1 the neighbour) and
        ``edge_cell_shift`` [n_edges, 3] with
        ``r_ij = pos[j] - pos[i] + edge_cell_shift @ cell``, sorted.
    """
    pos, n_atoms = frame.pos, len(frame.pos)
    # Atoms may lie outside of the cell, so the span of the positions counts as well.
    span = float(np.linalg.norm(pos[:, None] - pos[None, :], axis=-1).max()) if n_atoms else 0.0
    shifts = image_shifts(frame.cell, frame.pbc, r_max + span)
    translations = shifts @ frame.cell if frame.cell is not None else np.zeros((1, 3))
    vectors = pos[None, :, None] - pos[:, None, None] + translations[None, None]  # [i, j, shift]
    distances = np.linalg.norm(vectors, axis=-1)
    inside = distances < r_max
    same = np.arange(n_atoms)
    inside[same, same, int(np.flatnonzero((shifts == 0).all(axis=1))[0])] = False
    centre, neighbour, image = np.nonzero(inside)
    return np.stack([centre, neighbour]), shifts[image]


def random_positions(
    rng: np.random.Generator,
    count: int,
    box: np.ndarray,
    min_distance: float,
    pbc: tuple[bool, bool, bool] = (False, False, False),
) -> np.ndarray:
    """``count`` random points in the parallelepiped ``box``, no two (nor images) too close."""
    translations = image_shifts(box, pbc, min_distance + float(np.abs(box).sum())) @ box
    nonzero = translations[np.linalg.norm(translations, axis=1) > 0]
    if len(nonzero) and np.linalg.norm(nonzero, axis=1).min() < min_distance:
        msg = "the cell is shorter than the smallest distance"
        raise ValueError(msg)
    points: list[np.ndarray] = []
    for _ in range(200_000):
        trial = rng.random(3) @ box
        gaps = [np.linalg.norm(trial - p + translations, axis=1).min() for p in points]
        if not gaps or min(gaps) > min_distance:
            points.append(trial)
        if len(points) == count:
            return np.stack(points)
    msg = f"no room for {count} atoms at {min_distance} Å"
    raise ValueError(msg)


def crystal(symbols: tuple[str, ...], seed: int) -> Frame:
    """A small triclinic cell; about half of the atoms are moved out of it."""
    rng = np.random.default_rng(seed)
    cell = np.array([[2.9, 0.1, -0.2], [0.7, 2.8, 0.0], [-0.5, 0.9, 3.1]])
    pos = random_positions(rng, len(symbols), cell, 1.0, (True, True, True))
    pos = pos + rng.integers(-1, 2, size=pos.shape) @ cell
    text = "triclinic, periodic, every lattice vector shorter than r_max or near it"
    return Frame(f"{text}; atoms partly outside of the cell", symbols, pos, cell, (True,) * 3)


def molecule(symbols: tuple[str, ...], seed: int, min_distance: float = 0.85) -> Frame:
    """A cluster without cell."""
    rng = np.random.default_rng(seed)
    pos = random_positions(rng, len(symbols), np.diag([2.6, 2.9, 3.2]), min_distance)
    return Frame(f"molecule without cell, distances above {min_distance} Å", symbols, pos - 1.3)


def slab(symbols: tuple[str, ...], seed: int) -> Frame:
    """A layer periodic in two directions, with vacuum along the third."""
    rng = np.random.default_rng(seed)
    cell = np.array([[3.1, 0.0, 0.0], [0.8, 3.3, 0.0], [0.0, 0.4, 18.0]])
    box = np.array([cell[0], cell[1], [0.0, 0.0, 4.0]])
    pos = random_positions(rng, len(symbols), box, 1.0, (True, True, False))
    return Frame("slab, periodic along a and b only", symbols, pos, cell, (True, True, False))


def isolated(symbols: tuple[str, ...], seed: int, alone: int) -> Frame:
    """A cluster plus ``alone`` atoms that are far from everything."""
    rng = np.random.default_rng(seed)
    pos = random_positions(rng, len(symbols), np.diag([2.5, 2.5, 2.5]), 0.85)
    for k in range(alone):
        pos[-1 - k] += np.array([0.0, 25.0, -30.0]) * (k + 1)
    return Frame(f"cluster and {alone} atoms without neighbours, no cell", symbols, pos)


def lone(symbol: str) -> Frame:
    """One atom and no edge at all."""
    return Frame("one atom, no edges", (symbol,), np.array([[0.3, -0.2, 0.1]]))


def make_frames() -> dict[str, Frame]:
    """Every frame by name."""
    return {
        "ho_crystal": crystal(("H", "O", "H", "O", "H"), 11),
        "ho_molecule": molecule(("O", "H", "H", "O", "H", "H", "O"), 12),
        "ho_slab": slab(("H", "O", "O", "H", "H", "O", "H"), 13),
        "ho_isolated": isolated(("O", "H", "O", "H", "H", "O"), 14, alone=2),
        "ho_contacts": molecule(("O", "H", "H", "O", "H", "O"), 15, min_distance=0.55),
        "ho_lone": lone("O"),
        "hco_crystal": crystal(("C", "O", "H", "H", "O", "C"), 21),
        "hco_molecule": molecule(("C", "C", "O", "H", "H", "H", "O", "H"), 22),
        "hco_slab": slab(("O", "C", "H", "C", "O", "H"), 23),
        "si_crystal": crystal(("Si", "Si", "Si", "Si"), 31),
        "si_molecule": molecule(("Si",) * 6, 32, min_distance=1.1),
        "si_isolated": isolated(("Si",) * 5, 33, alone=1),
    }


# --- cases ------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Case:
    """One model configuration and the frames it is run on."""

    description: str
    frames: tuple[str, ...]
    config: dict[str, Any]
    perturb: bool = False  # weights far from their initialisation
    pseudoscalar_gain: float = 1.0  # factor on the weights that make 0o features
    float32: bool = False  # also store what the float32 model gives
    intermediates: str | None = None  # a frame whose inner fields are stored


HO = ("ho_crystal", "ho_molecule", "ho_slab", "ho_isolated")
HCO = ("hco_crystal", "hco_molecule", "hco_slab")
SI = ("si_crystal", "si_molecule", "si_isolated")
ZBL = {"_target_": "nequip.nn.pair_potential.ZBL", "units": "metal"}
BASE: dict[str, Any] = {
    "type_names": ["H", "O"],
    "r_max": 3.0,
    "num_layers": 2,
    "l_max": 1,
    "parity": True,
    "num_features": 4,
    "type_embed_num_features": None,
    "radial_mlp_depth": 1,
    "radial_mlp_width": 8,
    "readout_mlp_hidden_layers_depth": 0,
    "readout_mlp_hidden_layers_width": None,
    "readout_mlp_nonlinearity": "silu",
    "num_bessels": 8,
    "bessel_trainable": False,
    "polynomial_cutoff_p": 6,
    "per_edge_type_cutoff": None,
    "avg_num_neighbors": 8.0,
    "per_type_energy_scales": None,
    "per_type_energy_shifts": None,
    "per_type_energy_scales_trainable": False,
    "per_type_energy_shifts_trainable": False,
    "pair_potential": None,
}
HO_NEIGHBORS = {"H": 5.5, "O": 8.25}
HO_SCALES = {"H": 1.5, "O": 0.625}
HO_SHIFTS = {"H": -1.375, "O": -4.25}
HO_ASYMMETRIC = {"H": {"H": 2.0, "O": 2.9}, "O": {"H": 2.25}}  # O around O: r_max
HCO_TYPES = ["H", "C", "O"]


def make_cases() -> dict[str, Case]:
    """Every case by name; a config lists what differs from ``BASE``."""
    ho_energy = {"per_type_energy_scales": HO_SCALES, "per_type_energy_shifts": HO_SHIFTS}
    return {
        "l0_two_layers": Case(
            "scalars only; no scales, no shifts",
            HO,
            {"seed": 100, "l_max": 0, "num_features": 5},
        ),
        "l1_parity": Case(
            "integer num_features; no scales, no shifts",
            (*HO, "ho_lone"),
            {"seed": 101},
            float32=True,
        ),
        "l1_natural_one_type": Case(
            "one type, natural parity, three layers, one scale and one shift for all",
            SI,
            {
                "seed": 102,
                "type_names": ["Si"],
                "num_layers": 3,
                "parity": False,
                "num_features": 5,
                "r_max": 3.5,
                "avg_num_neighbors": 13.0,
                "per_type_energy_scales": 17.5,
                "per_type_energy_shifts": -3.5,
            },
        ),
        "l2_parity_three_layers": Case(
            "list of features, own type-embedding width, everything per type; inner fields stored",
            (*HO, "ho_lone"),
            {
                "seed": 103,
                "num_layers": 3,
                "l_max": 2,
                "num_features": [6, 4, 3],
                "type_embed_num_features": 5,
                "avg_num_neighbors": HO_NEIGHBORS,
                **ho_energy,
            },
            float32=True,
            intermediates="ho_molecule",
        ),
        "l2_natural_reversed_types": Case(
            "natural parity; types listed as O, H; default width of the readout's hidden layer",
            HO,
            {
                "seed": 104,
                "type_names": ["O", "H"],
                "l_max": 2,
                "parity": False,
                "num_features": [4, 3, 2],
                "readout_mlp_hidden_layers_depth": 1,
                "avg_num_neighbors": HO_NEIGHBORS,
                "per_type_energy_scales": 0.8,
                "per_type_energy_shifts": HO_SHIFTS,
            },
        ),
        "l2_one_layer": Case(
            "a single layer, hence only scalars out of it; radial network with two hidden layers",
            HO,
            {
                "seed": 105,
                "num_layers": 1,
                "l_max": 2,
                "num_features": [5, 3, 2],
                "type_embed_num_features": 3,
                "radial_mlp_depth": 2,
                **ho_energy,
            },
        ),
        "l1_five_layers": Case(
            "five layers; inner fields stored",
            HO,
            {
                "seed": 106,
                "num_layers": 5,
                "num_features": [4, 3],
                "avg_num_neighbors": HO_NEIGHBORS,
                **ho_energy,
            },
            float32=True,
            intermediates="ho_isolated",
        ),
        "l3_parity": Case(
            "l_max 3 with parity, deep radial network, 5 Bessel functions, cutoff power 5",
            HO,
            {
                "seed": 107,
                "l_max": 3,
                "num_features": [4, 3, 2, 2],
                "type_embed_num_features": 2,
                "radial_mlp_depth": 3,
                "radial_mlp_width": 6,
                "num_bessels": 5,
                "polynomial_cutoff_p": 5,
                "avg_num_neighbors": HO_NEIGHBORS,
                "per_type_energy_scales": {"H": 15.0, "O": 6.25},
                "per_type_energy_shifts": HO_SHIFTS,
            },
        ),
        "l3_natural_three_types": Case(
            "l_max 3, natural parity, three layers, three types",
            HCO,
            {
                "seed": 108,
                "type_names": HCO_TYPES,
                "r_max": 3.5,
                "num_layers": 3,
                "l_max": 3,
                "parity": False,
                "num_features": [4, 3, 3, 2],
                "radial_mlp_depth": 2,
                "avg_num_neighbors": {"H": 9.0, "C": 14.0, "O": 11.5},
                "per_type_energy_scales": {"H": 12.5, "C": 7.5, "O": 20.0},
                "per_type_energy_shifts": {"H": -1.5, "C": -7.25, "O": -4.125},
            },
        ),
        "asymmetric_cutoffs": Case(
            "R[H,O] != R[O,H]; one pair not listed",
            HO,
            {
                "seed": 109,
                "l_max": 2,
                "num_features": [4, 3, 2],
                "per_edge_type_cutoff": HO_ASYMMETRIC,
                "avg_num_neighbors": HO_NEIGHBORS,
                **ho_energy,
            },
        ),
        "asymmetric_cutoffs_three_types": Case(
            "one radius for all neighbours of H, one listed pair of C, O not listed",
            HCO,
            {
                "seed": 110,
                "type_names": HCO_TYPES,
                "r_max": 3.5,
                "num_features": [4, 2],
                "per_edge_type_cutoff": {"H": 2.125, "C": {"O": 2.625}},
                "per_type_energy_shifts": {"H": -1.5, "C": -7.25, "O": -4.125},
            },
        ),
        "deep_readout": Case(
            "readout with two hidden layers of another width",
            HO,
            {
                "seed": 111,
                "num_features": [4, 3],
                "readout_mlp_hidden_layers_depth": 2,
                "readout_mlp_hidden_layers_width": 7,
                **ho_energy,
            },
        ),
        "zbl": Case(
            "ZBL in metal units; shifts but no scales",
            (*HO, "ho_contacts"),
            {
                "seed": 112,
                "num_features": [4, 2],
                "per_type_energy_shifts": HO_SHIFTS,
                "pair_potential": {**ZBL, "chemical_species": ["H", "O"]},
            },
            float32=True,
        ),
        "zbl_asymmetric_cutoffs": Case(
            "ZBL and R[H,O] != R[O,H]",
            (*HO, "ho_contacts"),
            {
                "seed": 113,
                "l_max": 2,
                "num_features": [4, 2, 2],
                "polynomial_cutoff_p": 5,
                "per_edge_type_cutoff": HO_ASYMMETRIC,
                "avg_num_neighbors": HO_NEIGHBORS,
                **ho_energy,
                "pair_potential": {
                    **ZBL,
                    "chemical_species": ["H", "O"],
                    "polynomial_cutoff_p": 4.0,
                },
            },
        ),
        "zbl_real_units": Case(
            "ZBL in real units (kcal/mol, Å), three types",
            HCO,
            {
                "seed": 114,
                "type_names": HCO_TYPES,
                "num_features": [3, 2],
                "per_type_energy_scales": 20.0,
                "pair_potential": {
                    **ZBL,
                    "units": "real",
                    "chemical_species": HCO_TYPES,
                },
            },
        ),
        "perturbed_l2_everything": Case(
            "perturbed weights, trainable Bessel roots, scales and shifts, asymmetric cutoffs, ZBL",
            (*HO, "ho_contacts"),
            {
                "seed": 115,
                "num_layers": 3,
                "l_max": 2,
                "num_features": [5, 4, 2],
                "type_embed_num_features": 3,
                "radial_mlp_depth": 2,
                "readout_mlp_hidden_layers_depth": 1,
                "readout_mlp_hidden_layers_width": 6,
                "bessel_trainable": True,
                "per_edge_type_cutoff": HO_ASYMMETRIC,
                "avg_num_neighbors": HO_NEIGHBORS,
                "per_type_energy_scales": 1.5,
                "per_type_energy_shifts": HO_SHIFTS,
                "per_type_energy_scales_trainable": True,
                "per_type_energy_shifts_trainable": True,
                "pair_potential": {**ZBL, "chemical_species": ["H", "O"]},
            },
            perturb=True,
            float32=True,
        ),
        "perturbed_l1_six_layers": Case(
            "perturbed weights, large 0o features; with fewer than six layers no 0o feature (tanh)"
            " reaches the energy; inner fields stored",
            HO,
            {
                "seed": 117,
                "num_layers": 6,
                "num_features": [3, 2],
                "type_embed_num_features": 2,
                "radial_mlp_width": 6,
                "avg_num_neighbors": 0.5,
                "per_type_energy_scales": {"H": 75.0, "O": 31.25},
                "per_type_energy_shifts": HO_SHIFTS,
            },
            perturb=True,
            pseudoscalar_gain=1e5,
            float32=True,
            intermediates="ho_molecule",
        ),
        "perturbed_l3_parity": Case(
            "perturbed weights, l_max 3 with parity, three layers",
            HCO,
            {
                "seed": 116,
                "type_names": HCO_TYPES,
                "num_layers": 3,
                "l_max": 3,
                "num_features": [3, 2, 2, 2],
                "type_embed_num_features": 2,
                "radial_mlp_width": 6,
                "avg_num_neighbors": {"H": 9.0, "C": 14.0, "O": 11.5},
                "per_type_energy_scales": {"H": 12.5, "C": 7.5, "O": 20.0},
                "per_type_energy_shifts": {"H": -1.5, "C": -7.25, "O": -4.125},
            },
            perturb=True,
            float32=True,
        ),
    }


# --- the peer ---------------------------------------------------------------


def prepare_peer() -> None:
    """Set nequip's process-wide state (float64 by default) and silence its advice."""
    from nequip.utils.global_state import set_global_state

    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    # Cases without scales or shifts are meant, and the advice against them is not needed.
    warnings.filterwarnings("ignore", message="Found `per_type_energy")
    set_global_state()


def build(config: dict[str, Any], model_dtype: str) -> torch.nn.Module:
    """nequip's model for ``config``, in evaluation mode."""
    from nequip.model import NequIPGNNModel

    return NequIPGNNModel(model_dtype=model_dtype, do_derivatives=True, **config).eval()


def raise_pseudoscalars(model: torch.nn.Module, gain: float) -> None:
    """Multiply the weights of the 0o paths of each layer's last linear map, in place.

    A fresh model's 0o features are about 1e-6, so that tanh would be the identity
    and their share in the energy below rounding.
    """
    for name, module in model.named_modules():
        if name.endswith("conv.linear_2"):
            for _, path, view in module.weight_views(yield_instruction=True):
                irrep = module.irreps_in[path.i_in].ir
                if (irrep.l, irrep.p) == (0, -1):
                    view.mul_(gain)


def set_weights(model: torch.nn.Module, case: Case, seed: int) -> None:
    """Round every parameter to a float32 number, after moving it if the case is perturbed.

    Rounded, the same weights serve the float64 and the float32 model exactly.
    Perturbed, each tensor has a scale of its own and each entry its own factor.
    """
    generator = torch.Generator().manual_seed(seed + 1000)
    with torch.no_grad():
        raise_pseudoscalars(model, case.pseudoscalar_gain)
        for name, parameter in model.named_parameters():
            if case.perturb:
                # Large moves of the Bessel roots or of the shifts would drown the rest.
                width = 0.05 if any(s in name for s in ("bessel", "shifts")) else 0.5
                scale = 1 - width + 2 * width * torch.rand(1, generator=generator)
                noise = 0.5 * width * torch.randn(parameter.shape, generator=generator)
                parameter.mul_(scale * (1 + noise))
            parameter.copy_(parameter.to(torch.float32).to(parameter.dtype))


def stored_state(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The state dict under nequip's names, without empty tensors and derived constants."""
    return {
        name: value.detach().clone()
        for name, value in model.state_dict().items()
        if value.numel() and not any(part in name for part in CONSTANT_BUFFERS)
    }


def peer_input(frame: Frame, type_names: list[str], r_max: float) -> dict[str, torch.Tensor]:
    """The fields nequip's model reads."""
    edge_index, edge_cell_shift = neighbor_list(frame, r_max)
    n_atoms = len(frame.symbols)
    data = {
        "pos": torch.tensor(frame.pos, dtype=torch.float64),
        "atom_types": torch.tensor([type_names.index(s) for s in frame.symbols]),
        "edge_index": torch.tensor(edge_index),
        "batch": torch.zeros(n_atoms, dtype=torch.int64),
        "num_atoms": torch.tensor([n_atoms]),
    }
    if frame.cell is not None:
        data["cell"] = torch.tensor(frame.cell, dtype=torch.float64).view(1, 3, 3)
        data["edge_cell_shift"] = torch.tensor(edge_cell_shift, dtype=torch.float64)
    return data


def run(model: torch.nn.Module, data: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The model's output on a copy of ``data``."""
    return model({key: value.clone() for key, value in data.items()})


def outputs_of(result: dict[str, torch.Tensor], frame: Frame) -> dict[str, torch.Tensor]:
    """The stored outputs: shapes [n_atoms], [], [n_atoms, 3] and [3, 3]."""
    shapes = {"atomic_energy": (-1,), "total_energy": (), "forces": (-1, 3), "stress": (3, 3)}
    return {
        key: result[key].detach().reshape(shapes[key]).clone() for key in OUTPUTS if key != "stress" or frame.has_stress
    }


def inner_fields(model: torch.nn.Module, data: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What each module of the energy model writes, as ``<module>/<field>``.

    Features are laid out as e3nn lays out irreps: irrep by irrep, channel by
    channel, component innermost.
    """
    wanted = {
        "edge_vectors",
        "edge_lengths",
        "normed_edge_lengths",
        "edge_attrs",
        "edge_embedding",
        "node_attrs",
        "node_features",
        "atomic_energy",
    }
    found: dict[str, torch.Tensor] = {}
    before: dict[str, torch.Tensor] = {}

    def keep(name: str):
        def hook(_module, _args, result) -> None:
            for field in wanted & set(result):
                if before.get(field) is not result[field]:
                    before[field] = result[field]
                    found[f"{name}/{field}"] = result[field].detach().clone()

        return hook

    handles = [module.register_forward_hook(keep(name)) for name, module in model.model.func.named_children()]
    run(model, data)
    for handle in handles:
        handle.remove()
    return found


# --- files ------------------------------------------------------------------


def frames_file(frames: dict[str, Frame], radii: dict[str, set[float]]) -> dict[str, torch.Tensor]:
    """The frames and their neighbour lists, one for every radius that is used."""
    tensors: dict[str, torch.Tensor] = {}
    for name, frame in frames.items():
        numbers = [ATOMIC_NUMBERS[symbol] for symbol in frame.symbols]
        tensors[f"{name}/pos"] = torch.tensor(frame.pos, dtype=torch.float64)
        tensors[f"{name}/atomic_numbers"] = torch.tensor(numbers)
        tensors[f"{name}/pbc"] = torch.tensor(frame.pbc)
        if frame.cell is not None:
            tensors[f"{name}/cell"] = torch.tensor(frame.cell, dtype=torch.float64)
        for r_max in sorted(radii[name]):
            edge_index, edge_cell_shift = neighbor_list(frame, r_max)
            tensors[f"{name}/r_max={r_max}/edge_index"] = torch.tensor(edge_index).to(torch.int32)
            if frame.cell is not None:
                shifts = torch.tensor(edge_cell_shift).to(torch.int8)
                tensors[f"{name}/r_max={r_max}/edge_cell_shift"] = shifts
    return tensors


def case_file(case: Case, config: dict[str, Any], frames: dict[str, Frame]):
    """Weights and outputs of one case, and its float64 model."""
    model = build(config, "float64")
    set_weights(model, case, config["seed"])
    state = stored_state(model)
    models = {"float64": model}
    if case.float32:
        models["float32"] = build(config, "float32")
        models["float32"].load_state_dict(model.state_dict())
    tensors = {f"weights/{name}": value for name, value in state.items()}
    for name in case.frames:
        data = peer_input(frames[name], config["type_names"], config["r_max"])
        for dtype, peer in models.items():
            for key, value in outputs_of(run(peer, data), frames[name]).items():
                tensors[f"{dtype}/{name}/{key}"] = value
        if name == case.intermediates:
            for key, value in inner_fields(model, data).items():
                tensors[f"inner/{name}/{key}"] = value
    return tensors, model


def model_facts(model: torch.nn.Module) -> dict[str, Any]:
    """Names of the parameters and the irreps of each layer, as text."""
    parts = dict(model.model.func.named_children())
    layers = {
        name: {
            "irreps_in": str(part.irreps_in["node_features"]),
            "irreps_out": str(part.irreps_out["node_features"]),
        }
        for name, part in parts.items()
        if name.endswith("_convnet")
    }
    return {"parameters": [name for name, _ in model.named_parameters()], "layers": layers}


def frame_facts(frame: Frame) -> dict[str, Any]:
    """What the index says about a frame."""
    return {
        "description": frame.description,
        "symbols": list(frame.symbols),
        "pbc": list(frame.pbc),
        "has_cell": frame.cell is not None,
        "has_stress": frame.has_stress,
    }


def make_all() -> tuple[dict[str, bytes], dict[str, torch.nn.Module]]:
    """All files by name, as bytes, and the float64 models by case."""
    frames, cases = make_frames(), make_cases()
    files: dict[str, bytes] = {}
    models: dict[str, torch.nn.Module] = {}
    radii: dict[str, set[float]] = {name: set() for name in frames}
    index: dict[str, Any] = {
        "format": 1,
        "made_by": "make_nequip_reference.py",
        "versions": {
            **{name: version(name) for name in ("nequip", "torch", "e3nn", "numpy")},
            "python": platform.python_version(),
        },
        "units": {"length": "Å", "energy": "eV (zbl_real_units: kcal/mol)"},
        "frames": {name: frame_facts(frame) for name, frame in frames.items()},
        "cases": {},
    }
    for name, case in cases.items():
        config = {**BASE, **case.config}
        tensors, models[name] = case_file(case, config, frames)
        files[f"{name}.safetensors"] = save(tensors)
        for frame in case.frames:
            radii[frame].add(config["r_max"])
        index["cases"][name] = {
            "description": case.description,
            "file": f"{name}.safetensors",
            "config": config,
            "perturbed": case.perturb,
            "dtypes": ["float64", "float32"] if case.float32 else ["float64"],
            "frames": list(case.frames),
            "inner_fields": case.intermediates,
            **model_facts(models[name]),
        }
    files["frames.safetensors"] = save(frames_file(frames, radii))
    text = json.dumps(index, indent=1, ensure_ascii=False)
    files["index.json"] = (text + "\n").encode()
    return files, models


# --- checks -----------------------------------------------------------------


def check_neighbors(frames: dict[str, Frame]) -> int:
    """Compare the neighbour lists with nequip's own; return how many edges agree."""
    from nequip.data import compute_neighborlist_, from_dict

    total = 0
    for name, frame in frames.items():
        for r_max in (3.0, 3.5):
            plain = {
                "pos": torch.tensor(frame.pos),
                "atom_types": torch.zeros(len(frame.symbols), dtype=torch.int64),
                "pbc": torch.tensor(frame.pbc),
            }
            if frame.cell is not None:
                plain["cell"] = torch.tensor(frame.cell)
            peer = compute_neighborlist_(from_dict(plain), r_max=r_max)
            shifts = peer["edge_cell_shift"] if frame.cell is not None else None
            peer_index = peer["edge_index"].T.tolist()
            peer_shifts = shifts.long().tolist() if shifts is not None else [[0] * 3] * len(peer_index)
            theirs = sorted(map(tuple, (a + b for a, b in zip(peer_index, peer_shifts, strict=True))))
            index, shift = neighbor_list(frame, r_max)
            ours = sorted(map(tuple, np.concatenate([index.T, shift], axis=1).tolist()))
            if ours != theirs:
                msg = f"{name}: neighbour lists differ at {r_max} Å"
                raise SystemExit(msg)
            total += len(ours)
    return total


def energy_at(model, frame: Frame, config: dict[str, Any], pos, cell) -> float:
    """Total energy of moved atoms; the neighbour list is made anew."""
    moved = dataclasses.replace(frame, pos=pos, cell=cell)
    data = peer_input(moved, config["type_names"], config["r_max"])
    return float(run(model, data)["total_energy"].detach())


def check_derivatives(model, frame: Frame, config: dict[str, Any]) -> tuple[float, float]:
    """Largest deviation of forces and stress from central differences of the energy."""
    step = 1e-4
    data = peer_input(frame, config["type_names"], config["r_max"])
    exact = outputs_of(run(model, data), frame)

    def slope(change) -> float:
        plus = energy_at(model, frame, config, *change(step))
        minus = energy_at(model, frame, config, *change(-step))
        return (plus - minus) / (2 * step)

    force_error = 0.0
    for atom, axis in itertools.product(range(len(frame.pos)), range(3)):
        unit = np.zeros_like(frame.pos)
        unit[atom, axis] = 1.0
        value = -slope(lambda h, unit=unit: (frame.pos + h * unit, frame.cell))
        force_error = max(force_error, abs(value - float(exact["forces"][atom, axis])))
    stress_error = 0.0
    for a, b in itertools.product(range(3), range(3)):
        strain = np.zeros((3, 3))
        strain[a, b] += 0.5
        strain[b, a] += 0.5

        def strained(h: float, strain: np.ndarray = strain):
            deform = np.eye(3) + h * strain
            return frame.pos @ deform, frame.cell @ deform

        value = slope(strained) / abs(np.linalg.det(frame.cell))
        stress_error = max(stress_error, abs(value - float(exact["stress"][a, b])))
    return force_error, stress_error


def compare(folder: Path, files: dict[str, bytes]) -> float:
    """Largest deviation of a new run from the stored files, relative above 1."""
    worst = 0.0
    scratch = folder / ".check.safetensors"
    for name, content in files.items():
        if not name.endswith(".safetensors"):
            continue
        scratch.write_bytes(content)
        with safe_open(folder / name, "pt") as old, safe_open(scratch, "pt") as new:
            if set(old.keys()) != set(new.keys()):
                msg = f"{name}: other keys than the stored file"
                raise SystemExit(msg)
            for key in sorted(old.keys()):
                if key.startswith("float32/"):  # rounding differs between machines
                    continue
                a, b = old.get_tensor(key).double(), new.get_tensor(key).double()
                if a.numel():
                    error = float(((a - b).abs() / a.abs().clamp(min=1)).max())
                    worst = max(worst, error)
        scratch.unlink()
    return worst


def main() -> None:
    """Parse the arguments, make everything, then write or compare."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    here = Path(__file__).resolve().parent / "nequip"
    parser.add_argument("--output", type=Path, default=here, help="folder of the files")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    args = parser.parse_args()
    prepare_peer()
    files, models = make_all()
    frames, cases = make_frames(), make_cases()
    print("neighbour lists agree with nequip's:", check_neighbors(frames), "edges")
    for name, case in cases.items():
        frame = frames[case.frames[0]]
        config = {**BASE, **case.config}
        force, stress = check_derivatives(models[name], frame, config)
        print(f"{name}: central differences, forces {force:.1e}, stress {stress:.1e}")
    if args.check:
        print(f"largest deviation from the stored files: {compare(args.output, files):.1e}")
        return
    args.output.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (args.output / name).write_bytes(content)
        print(f"{name}: {len(content)} bytes")
    print("total:", sum(map(len, files.values())), "bytes")


if __name__ == "__main__":
    main()
