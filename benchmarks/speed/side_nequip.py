"""nequip and nequip-allegro, in an environment of their own; used as programs and as they document."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nequip.data import AtomicDataDict as Keys
from nequip.utils.global_state import set_global_state
from side import BaseSide

INPUTS = [
    Keys.POSITIONS_KEY,
    Keys.EDGE_INDEX_KEY,
    Keys.ATOM_TYPE_KEY,
    Keys.CELL_KEY,
    Keys.EDGE_CELL_SHIFT_KEY,
]


class Side(BaseSide):
    """Its modes.

    ``eager``, ``aoti`` (its nequip-compile), ``train``, ``train_compiled`` (its compiled training), ``ase_eager`` and
    ``ase`` (the whole calculator, with the compiled file).
    """

    DISTRIBUTIONS = ("nequip", "nequip-allegro", "e3nn")

    def __init__(self, case: dict[str, Any], batch: dict[str, np.ndarray], folder: Path) -> None:
        set_global_state()
        super().__init__(case, batch, folder)
        self.model = self._build()
        torch.save(dict(self.model.state_dict()), folder / "peer_weights.pt")

    def _build(self, compile_mode: str = "eager") -> torch.nn.Module:
        options = {**self.case["hyperparameters"], "compile_mode": compile_mode}
        if self.case["model"] == "nequip":
            from nequip.model import NequIPGNNModel

            return NequIPGNNModel(**options).eval()
        from allegro.model import AllegroModel

        embedding = {"_target_": "allegro.nn.TwoBodyBesselScalarEmbed", "num_bessels": 8}
        return AllegroModel(radial_chemical_embed=embedding, **options).eval()

    def _data(self) -> dict[str, torch.Tensor]:
        batch = {key: torch.from_numpy(value) for key, value in self.batch.items()}
        data = {
            Keys.POSITIONS_KEY: batch["positions"],
            Keys.EDGE_INDEX_KEY: batch["edge_index"],
            Keys.ATOM_TYPE_KEY: batch["atom_types"],
            Keys.BATCH_KEY: batch["batch"],
            Keys.NUM_NODES_KEY: batch["num_atoms"],
        }
        if bool(batch["pbc"].any()):
            data[Keys.CELL_KEY] = batch["cell"]
            data[Keys.EDGE_CELL_SHIFT_KEY] = batch["edge_cell_shift"]
        return data

    def prepare(self, mode: str) -> Callable[[], Any]:
        """A function that evaluates once."""
        modes = {
            "eager": self._eager,
            "aoti": self._aoti,
            "train": self._train,
            "train_compiled": lambda: self._train("compile"),
            "ase_eager": self._ase_eager,
            "ase": self._ase,
        }
        return modes[mode]()

    def _eager(self) -> Callable[[], dict[str, np.ndarray]]:
        data = self._data()
        return lambda: _outputs(self.model({key: value.clone() for key, value in data.items()}))

    def _compiled_file(self) -> Path:
        """Made once for these hyperparameters, versions and shapes of use."""
        batched = len(self.batch["num_atoms"]) > 1
        facts = [self.case["hyperparameters"], self.case["model"], batched, self.versions()]
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
        path = self.folder.parent / "peer_compiled" / f"{digest}.nequip.pt2"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            self._compile(path, batched=batched)
        return path

    def _compile(self, path: Path, *, batched: bool) -> None:
        """As its command does, which starts from a checkpoint."""
        from nequip.scripts._compile_utils import COMPILE_TARGET_DICT
        from nequip.utils.aot import aot_export_model

        target = COMPILE_TARGET_DICT["batch" if batched else "ase"]
        dims = {
            name: torch.export.dynamic_shapes.Dim(size, min=2, max=torch.inf)
            for name, size in (("graph", "num_frames"), ("node", "num_nodes"), ("edge", "num_edges"))
        }
        data = self._data_with_cell()
        aot_export_model(
            model=self.model,
            device=torch.device("cpu"),
            input_fields=target["input"],
            output_fields=target["output"],
            data=data if batched else target["data_settings"](data),
            batch_map=target["batch_map_settings"](dims),
            output_path=str(path),
            inductor_configs={"aot_inductor.metadata": self._metadata(target)},
        )

    def _metadata(self, target: dict[str, Any]) -> dict[str, str]:
        from nequip.utils.aoti_metadata import NEQUIP_AOTI_INPUTS_KEY, NEQUIP_AOTI_OUTPUTS_KEY, serialize_aoti_keys
        from nequip.utils.global_state import get_latest_global_state

        metadata = {**self.model.metadata, **get_latest_global_state(only_metadata_related=True)}
        metadata = {key: str(int(value)) if isinstance(value, bool) else str(value) for key, value in metadata.items()}
        metadata[NEQUIP_AOTI_INPUTS_KEY] = serialize_aoti_keys(target["input"])
        metadata[NEQUIP_AOTI_OUTPUTS_KEY] = serialize_aoti_keys(target["output"])
        return metadata

    def _data_with_cell(self) -> dict[str, torch.Tensor]:
        """Its compiled models always take a cell: for molecules one that is never used."""
        data = self._data()
        if Keys.CELL_KEY not in data:
            frames, edges = len(self.batch["num_atoms"]), self.batch["edge_index"].shape[1]
            data[Keys.CELL_KEY] = 100.0 * torch.eye(3, dtype=torch.float64).repeat(frames, 1, 1)
            data[Keys.EDGE_CELL_SHIFT_KEY] = torch.zeros(edges, 3, dtype=torch.float64)
        return data

    def _aoti(self) -> Callable[[], dict[str, np.ndarray]]:
        from nequip.model.inference_models import load_compiled_model
        from nequip.scripts._compile_utils import COMPILE_TARGET_DICT

        target = COMPILE_TARGET_DICT["batch" if len(self.batch["num_atoms"]) > 1 else "ase"]
        model, _ = load_compiled_model(str(self._compiled_file()), "cpu", list(target["input"]), list(target["output"]))
        data = {key: value for key, value in self._data_with_cell().items() if key in target["input"]}
        return lambda: _outputs(model(data))

    def _train(self, compile_mode: str = "eager") -> Callable[[], dict[str, np.ndarray]]:
        model = self._build(compile_mode)
        model.load_state_dict(self.model.state_dict())
        model.train()
        data = self._data()
        labels = {key: torch.from_numpy(self.batch[key]) for key in ("energy_label", "forces_label")}
        counts = torch.from_numpy(self.batch["num_atoms"])

        def step() -> dict[str, np.ndarray]:
            for parameter in model.parameters():
                parameter.grad = None
            out = model({key: value.clone() for key, value in data.items()})
            energy = (out[Keys.TOTAL_ENERGY_KEY].reshape(-1) - labels["energy_label"]) / counts
            loss = energy.square().mean() + (out[Keys.FORCE_KEY] - labels["forces_label"]).square().mean()
            loss.backward()
            return {"loss": loss.detach().numpy()}

        return step

    def _ase_eager(self) -> Callable[[], Any]:
        from dynamics import trajectory
        from nequip.data.transforms import ChemicalSpeciesToAtomTypeMapper, NeighborListTransform
        from nequip.integrations.ase import NequIPCalculator

        options = self.case["hyperparameters"]
        names = options["type_names"]
        species = {name: name for name in names}
        transforms = [
            ChemicalSpeciesToAtomTypeMapper(model_type_names=names, chemical_species_to_atom_type_map=species),
            NeighborListTransform(r_max=options["r_max"]),
        ]
        return trajectory(self.batch, NequIPCalculator(self.model, device="cpu", transforms=transforms))

    def _ase(self) -> Callable[[], Any]:
        from dynamics import trajectory
        from nequip.integrations.ase import NequIPCalculator

        file = self._compiled_file()
        calculator = NequIPCalculator.from_compiled_model(file, device="cpu", chemical_species_to_atom_type_map=True)
        return trajectory(self.batch, calculator)


def _outputs(out: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    return {
        "total_energy": out[Keys.TOTAL_ENERGY_KEY].detach().reshape(-1).numpy(),
        "forces": out[Keys.FORCE_KEY].detach().numpy(),
    }
