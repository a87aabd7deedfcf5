"""Run the peer on a grid of configurations and write what it gives: shared by all its models.

``make_nequip_reference.py`` and ``make_allegro_reference.py`` list the cases. The numbers pin down a
model's mathematics from outside: equipot builds a model with the same hyperparameters, loads the
stored weights and must give the stored energies, forces and stress. Nothing here imports equipot,
and nothing is copied from the peer; it is used as a program.
"""
# ruff: noqa: T201 (for scripts that print)

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import os
import platform
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

# One thread, so that sums have one order and a second run gives the same bits.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from peer_checks import check_derivatives, check_neighbors, largest_difference
from peer_frames import ATOMIC_NUMBERS, Frame, make_frames, neighbor_list
from safetensors.torch import load_file, save

OUTPUTS = ("atomic_energy", "total_energy", "forces", "stress")
TOLERANCE = 1e-9
"""Of a second run on any machine, relative above 1."""
# Derived constants (Clebsch-Gordan tensors, masks of ones): no information in them.
CONSTANT_BUFFERS = ("output_mask", "w3j")

HO = ("ho_crystal", "ho_molecule", "ho_slab", "ho_isolated")
HCO = ("hco_crystal", "hco_molecule", "hco_slab")
SI = ("si_crystal", "si_molecule", "si_isolated")
ZBL = {"_target_": "nequip.nn.pair_potential.ZBL", "units": "metal"}
HO_NEIGHBORS = {"H": 5.5, "O": 8.25}
HO_SCALES = {"H": 1.5, "O": 0.625}
HO_SHIFTS = {"H": -1.375, "O": -4.25}
HO_ASYMMETRIC = {"H": {"H": 2.0, "O": 2.9}, "O": {"H": 2.25}}  # O around O: r_max
HCO_TYPES = ["H", "C", "O"]
HCO_NEIGHBORS = {"H": 9.0, "C": 14.0, "O": 11.5}
HCO_SHIFTS = {"H": -1.5, "C": -7.25, "O": -4.125}
ETHANOL = ("ethanol_train0", "ethanol_train1", "ethanol_train2")
WATER = ("water_train0", "water_train1")
BASE: dict[str, Any] = {
    "type_names": ["H", "O"],
    "r_max": 3.0,
    "per_edge_type_cutoff": None,
    "l_max": 1,
    "parity": True,
    "num_layers": 2,
    "readout_mlp_nonlinearity": "silu",
    "avg_num_neighbors": 8.0,
    "per_type_energy_scales": None,
    "per_type_energy_shifts": None,
    "per_type_energy_scales_trainable": False,
    "per_type_energy_shifts_trainable": False,
    "pair_potential": None,
}
"""Options that both models have, as cases leave them."""


@dataclasses.dataclass(frozen=True)
class Case:
    """One model configuration and the frames it is run on."""

    description: str
    frames: tuple[str, ...]
    config: dict[str, Any]
    perturb: bool = False  # weights far from their initialisation
    train: tuple[str, ...] = ()  # frames that the peer is trained on first
    pseudoscalar_gain: float = 1.0  # factor on the weights that make 0o features
    intermediates: str | None = None  # a frame whose inner fields are stored


@dataclasses.dataclass(frozen=True)
class Peer:
    """A model of the peer and its cases."""

    name: str  # of the folder
    build: Callable[..., torch.nn.Module]  # (model_dtype=…, do_derivatives=…, **config)
    base: dict[str, Any]  # config that the cases change
    cases: dict[str, Case]
    distributions: tuple[str, ...]  # whose versions the index names
    before: Callable[[torch.nn.Module, Case], None] = lambda model, case: None  # edits fresh weights

    def config(self, case: Case) -> dict[str, Any]:
        """All options of a case."""
        return {**self.base, **case.config}

    def model(self, case: Case, model_dtype: str) -> torch.nn.Module:
        """The peer's model, in evaluation mode."""
        return self.build(model_dtype=model_dtype, do_derivatives=True, **self.config(case)).eval()


def prepare_peer() -> None:
    """Set nequip's process-wide state (float64 by default) and silence its advice."""
    from nequip.utils.global_state import set_global_state

    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    # Cases without scales or shifts are meant, and the advice against them is not needed.
    warnings.filterwarnings("ignore", message="Found `per_type_energy")
    set_global_state()


# --- weights ----------------------------------------------------------------


def train(model: torch.nn.Module, peer: Peer, case: Case, frames: dict[str, Frame]) -> None:
    """Some steps of Adam on energies and forces of real frames, so that weights leave their start."""
    config = peer.config(case)
    batches = [(frames[name], peer_input(frames[name], config)) for name in case.train]
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    model.train()
    for _ in range(10):
        for frame, data in batches:
            result = run(model, data)
            energy = (result["total_energy"].sum() - frame.energy) / len(frame.symbols)
            forces = result["forces"] - torch.tensor(frame.forces)
            optimizer.zero_grad()
            (energy.square() + forces.square().mean()).backward()
            optimizer.step()
    model.eval()


def set_weights(model: torch.nn.Module, case: Case, seed: int) -> None:
    """Round every parameter to a float32 number, after moving it if the case is perturbed.

    Rounded, the same weights serve the float64 and the float32 model exactly.
    Perturbed, each tensor has a scale of its own and each entry its own factor.
    """
    generator = torch.Generator().manual_seed(seed + 1000)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if case.perturb:
                # Large moves of the Bessel roots or of the shifts would drown the rest.
                width = 0.05 if any(s in name for s in ("bessel", "shifts")) else 0.5
                scale = 1 - width + 2 * width * torch.rand(1, generator=generator)
                noise = 0.5 * width * torch.randn(parameter.shape, generator=generator)
                parameter.mul_(scale * (1 + noise))
            parameter.copy_(parameter.to(torch.float32).to(parameter.dtype))


def stored_state(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The state dict under the peer's names, without empty tensors and derived constants."""
    return {
        name: value.detach().clone()
        for name, value in model.state_dict().items()
        if value.numel() and not any(part in name for part in CONSTANT_BUFFERS)
    }


# --- runs -------------------------------------------------------------------


def peer_input(frame: Frame, config: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The fields the peer's model reads."""
    edge_index, edge_cell_shift = neighbor_list(frame, config["r_max"])
    n_atoms = len(frame.symbols)
    data = {
        "pos": torch.tensor(frame.pos, dtype=torch.float64),
        "atom_types": torch.tensor([config["type_names"].index(s) for s in frame.symbols]),
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
    for name, used in radii.items():
        frame = frames[name]
        numbers = [ATOMIC_NUMBERS[symbol] for symbol in frame.symbols]
        tensors[f"{name}/pos"] = torch.tensor(frame.pos, dtype=torch.float64)
        tensors[f"{name}/atomic_numbers"] = torch.tensor(numbers)
        tensors[f"{name}/pbc"] = torch.tensor(frame.pbc)
        if frame.cell is not None:
            tensors[f"{name}/cell"] = torch.tensor(frame.cell, dtype=torch.float64)
        for r_max in sorted(used):
            edge_index, edge_cell_shift = neighbor_list(frame, r_max)
            tensors[f"{name}/r_max={r_max}/edge_index"] = torch.tensor(edge_index).to(torch.int32)
            if frame.cell is not None:
                shifts = torch.tensor(edge_cell_shift).to(torch.int8)
                tensors[f"{name}/r_max={r_max}/edge_cell_shift"] = shifts
    return tensors


def case_file(peer: Peer, case: Case, frames: dict[str, Frame], stored: Path | None):
    """Weights and outputs of one case, and its float64 model.

    Trained weights are taken from the ``stored`` file if there is one: another machine's rounding
    would grow from step to step.
    """
    config = peer.config(case)
    model = peer.model(case, "float64")
    if case.train and stored is not None:
        weights = {name.removeprefix("weights/"): value for name, value in load_file(stored).items()}
        model.load_state_dict({**model.state_dict(), **{k: v for k, v in weights.items() if k in model.state_dict()}})
    else:
        with torch.no_grad():
            peer.before(model, case)
        if case.train:
            train(model, peer, case, frames)
        set_weights(model, case, config["seed"])
    state = stored_state(model)
    models = {"float64": model, "float32": peer.model(case, "float32")}
    models["float32"].load_state_dict(model.state_dict())
    tensors = {f"weights/{name}": value for name, value in state.items()}
    for name in case.frames:
        data = peer_input(frames[name], config)
        for dtype, one in models.items():
            for key, value in outputs_of(run(one, data), frames[name]).items():
                tensors[f"{dtype}/{name}/{key}"] = value
        if name == case.intermediates:
            for key, value in inner_fields(model, data).items():
                tensors[f"inner/{name}/{key}"] = value
    return tensors, model


def model_facts(model: torch.nn.Module) -> dict[str, Any]:
    """Names of the parameters and the irreps of each message-passing layer, as text."""
    layers = {
        name: {
            "irreps_in": str(part.irreps_in["node_features"]),
            "irreps_out": str(part.irreps_out["node_features"]),
        }
        for name, part in model.model.func.named_children()
        if name.endswith("_convnet")
    }
    return {"parameters": [name for name, _ in model.named_parameters()], **({"layers": layers} if layers else {})}


def frame_facts(frame: Frame) -> dict[str, Any]:
    """What the index says about a frame."""
    return {
        "description": frame.description,
        "symbols": list(frame.symbols),
        "pbc": list(frame.pbc),
        "has_cell": frame.cell is not None,
        "has_stress": frame.has_stress,
    }


def make_all(peer: Peer, stored: Path | None) -> tuple[dict[str, bytes], dict[str, torch.nn.Module]]:
    """All files by name, as bytes, and the float64 models by case."""
    frames = make_frames()
    files: dict[str, bytes] = {}
    models: dict[str, torch.nn.Module] = {}
    radii: dict[str, set[float]] = {}
    described = {}
    for name, case in peer.cases.items():
        file = f"{name}.safetensors"
        tensors, models[name] = case_file(peer, case, frames, stored / file if stored else None)
        files[file] = save(tensors)
        config = peer.config(case)
        for frame in case.frames:
            radii.setdefault(frame, set()).add(config["r_max"])
        described[name] = {
            "description": case.description,
            "file": file,
            "config": config,
            "weights": "trained" if case.train else "perturbed" if case.perturb else "fresh",
            "frames": list(case.frames),
            "inner_fields": case.intermediates,
            **model_facts(models[name]),
        }
    index = {
        "format": 2,
        "made_by": f"make_{peer.name}_reference.py",
        "versions": {**{name: version(name) for name in peer.distributions}, "python": platform.python_version()},
        "units": {"length": "Å", "energy": "eV (zbl_real_units: kcal/mol)"},
        "frames": {name: frame_facts(frames[name]) for name in radii},
        "cases": described,
    }
    files["frames.safetensors"] = save(frames_file(frames, radii))
    files["index.json"] = (json.dumps(index, indent=1, ensure_ascii=False) + "\n").encode()
    return files, models


def main(peer: Peer) -> None:
    """Parse the arguments, make everything, then write or compare."""
    parser = argparse.ArgumentParser(description=f"Write the reference numbers of {peer.name}.")
    here = Path(__file__).resolve().parent / peer.name
    parser.add_argument("--output", type=Path, default=here, help="folder of the files")
    parser.add_argument("--check", action="store_true", help="compare with the stored files instead of writing")
    args = parser.parse_args()
    frames = make_frames()
    files, models = make_all(peer, args.output if args.check else None)
    print("neighbour lists agree with nequip's:", check_neighbors(frames), "edges")
    for name, case in peer.cases.items():
        config, frame = peer.config(case), frames[case.frames[0]]

        def energy(moved: Frame, name: str = name, config: dict[str, Any] = config) -> float:
            return float(run(models[name], peer_input(moved, config))["total_energy"].detach())

        exact = outputs_of(run(models[name], peer_input(frame, config)), frame)
        force, stress = check_derivatives(energy, frame, exact)
        print(f"{name}: central differences, forces {force:.1e}, stress {stress:.1e}")
    if args.check:
        worst = largest_difference(args.output, files)
        print(f"largest deviation from the stored files: {worst:.1e}")
        if worst > TOLERANCE:
            raise SystemExit(f"{peer.name}: the peer does not give the stored numbers again")
        return
    args.output.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (args.output / name).write_bytes(content)
        print(f"{name}: {len(content)} bytes")
    print("total:", sum(map(len, files.values())), "bytes")
