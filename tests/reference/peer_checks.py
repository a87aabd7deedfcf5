"""Checks of the reference numbers themselves: neighbour lists, derivatives, a second run."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from peer_frames import Frame, neighbor_list
from safetensors.torch import load, load_file


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


def check_derivatives(
    energy: Callable[[Frame], float], frame: Frame, exact: dict[str, torch.Tensor]
) -> tuple[float, float]:
    """Largest deviation of forces and stress from central differences of the energy."""
    step = 1e-4

    def slope(change: Callable[[float], tuple[np.ndarray, np.ndarray | None]]) -> float:
        plus, minus = (
            energy(dataclasses.replace(frame, pos=pos, cell=cell)) for pos, cell in map(change, (step, -step))
        )
        return (plus - minus) / (2 * step)

    force_error = 0.0
    for atom, axis in itertools.product(range(len(frame.pos)), range(3)):
        unit = np.zeros_like(frame.pos)
        unit[atom, axis] = 1.0
        value = -slope(lambda h, unit=unit: (frame.pos + h * unit, frame.cell))
        force_error = max(force_error, abs(value - float(exact["forces"][atom, axis])))
    stress_error = 0.0
    for a, b in itertools.product(range(3), range(3)) if frame.has_stress else ():
        strain = np.zeros((3, 3))
        strain[a, b] += 0.5
        strain[b, a] += 0.5

        def strained(h: float, strain: np.ndarray = strain):
            deform = np.eye(3) + h * strain
            return frame.pos @ deform, frame.cell @ deform

        value = slope(strained) / abs(np.linalg.det(frame.cell))
        stress_error = max(stress_error, abs(value - float(exact["stress"][a, b])))
    return force_error, stress_error


def largest_difference(folder: Path, files: dict[str, bytes]) -> float:
    """Largest deviation of a new run from the stored files, relative above 1."""
    worst = 0.0
    for name, content in files.items():
        if not name.endswith(".safetensors"):
            continue
        old, new = load_file(folder / name), load(content)
        if old.keys() != new.keys():
            msg = f"{name}: other keys than the stored file"
            raise SystemExit(msg)
        for key, value in old.items():
            if key.startswith("float32/") or not value.numel():  # rounding differs between machines
                continue
            a, b = value.double(), new[key].double()
            worst = max(worst, float(((a - b).abs() / a.abs().clamp(min=1)).max()))
    return worst
