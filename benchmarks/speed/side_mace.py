"""MACE, in an environment of its own: a model of comparable size, with other mathematics."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import torch
from side import BaseSide

os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"  # its e3nn keeps constants of its own in a pickle

from e3nn import o3
from mace import modules


class Side(BaseSide):
    """Modes: ``eager`` (energies and forces). Two layers, l up to 2, as many channels as the case has."""

    DISTRIBUTIONS = ("mace-torch", "e3nn")

    def prepare(self, mode: str) -> Callable[[], dict[str, np.ndarray]]:
        """A function that evaluates once."""
        if mode != "eager":
            raise ValueError(f"no mode {mode}")
        model, data = self._model().eval(), self._data()

        def call() -> dict[str, np.ndarray]:
            out = model({key: value.clone() for key, value in data.items()}, compute_force=True)
            return {"total_energy": out["energy"].detach().numpy(), "forces": out["forces"].detach().numpy()}

        return call

    def _model(self) -> torch.nn.Module:
        options = self.case["hyperparameters"]
        channels, l_max = options["num_features"], options["l_max"]
        torch.manual_seed(options["seed"])
        torch.set_default_dtype(getattr(torch, options["model_dtype"]))
        numbers = sorted(set(self.batch["atomic_numbers"].tolist()))
        return modules.ScaleShiftMACE(
            r_max=options["r_max"],
            num_bessel=8,
            num_polynomial_cutoff=6,
            max_ell=l_max,
            interaction_cls=modules.interaction_classes["RealAgnosticResidualInteractionBlock"],
            interaction_cls_first=modules.interaction_classes["RealAgnosticResidualInteractionBlock"],
            num_interactions=2,
            num_elements=len(numbers),
            hidden_irreps=o3.Irreps("+".join(f"{channels}x{l}{'eo'[l % 2]}" for l in range(l_max + 1))),
            MLP_irreps=o3.Irreps("16x0e"),
            atomic_energies=np.zeros(len(numbers)),
            avg_num_neighbors=options["avg_num_neighbors"],
            atomic_numbers=numbers,
            correlation=3,
            gate=torch.nn.functional.silu,
            atomic_inter_scale=1.0,
            atomic_inter_shift=0.0,
        )

    def _data(self) -> dict[str, torch.Tensor]:
        dtype = getattr(torch, self.case["hyperparameters"]["model_dtype"])
        batch = {key: torch.from_numpy(value) for key, value in self.batch.items()}
        numbers = torch.unique(batch["atomic_numbers"])
        one_hot = (batch["atomic_numbers"][:, None] == numbers).to(dtype)
        shifts = batch["edge_cell_shift"]
        counts = batch["num_atoms"]
        return {
            "positions": batch["positions"].to(dtype),
            "node_attrs": one_hot,
            "edge_index": batch["edge_index"].flip(0),
            "unit_shifts": shifts.to(dtype),
            "shifts": (shifts @ batch["cell"][0]).to(dtype),
            "cell": batch["cell"].reshape(-1, 3).to(dtype),
            "batch": batch["batch"],
            "ptr": torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)]),
            "head": torch.zeros(len(counts), dtype=torch.int64),
        }
