"""SevenNet, in an environment of its own: a NequIP-like model of comparable size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from side import BaseSide


class Side(BaseSide):
    """Modes: ``eager`` (energies, forces and stress); layers, l and channels as the case has them."""

    DISTRIBUTIONS = ("sevenn", "e3nn")

    def prepare(self, mode: str) -> Callable[[], dict[str, np.ndarray]]:
        """A function that evaluates once."""
        if mode != "eager":
            raise ValueError(f"no mode {mode}")
        import sevenn._keys as keys
        from ase import Atoms
        from sevenn.atom_graph_data import AtomGraphData
        from sevenn.train.dataload import unlabeled_atoms_to_graph

        options = self.case["hyperparameters"]
        model = self._model().eval()
        frame = self.batch
        atoms = Atoms(frame["atomic_numbers"], frame["positions"], cell=frame["cell"][0], pbc=True)
        graph = AtomGraphData.from_numpy_dict(unlabeled_atoms_to_graph(atoms, options["r_max"]))

        def call() -> dict[str, np.ndarray]:
            out = model(graph.clone())
            energy = out[keys.PRED_TOTAL_ENERGY].detach().reshape(-1).numpy()
            return {"total_energy": energy, "forces": out[keys.PRED_FORCE].detach().numpy()}

        return call

    def _model(self) -> torch.nn.Module:
        import sevenn._const as const
        import sevenn._keys as keys
        from sevenn.model_build import build_E3_equivariant_model

        options = self.case["hyperparameters"]
        numbers = sorted(set(self.batch["atomic_numbers"].tolist()))
        config = {
            **const.DEFAULT_E3_EQUIVARIANT_MODEL_CONFIG,
            keys.CUTOFF: options["r_max"],
            keys.NODE_FEATURE_MULTIPLICITY: options["num_features"],
            keys.LMAX: options["l_max"],
            keys.NUM_CONVOLUTION: options["num_layers"],
            keys.CONVOLUTION_WEIGHT_NN_HIDDEN_NEURONS: [options["radial_mlp_width"]],
            keys.IS_PARITY: options["parity"],
            keys.CHEMICAL_SPECIES: numbers,
            keys.NUM_SPECIES: len(numbers),
            keys.TYPE_MAP: {number: index for index, number in enumerate(numbers)},
            keys.SHIFT: 0.0,
            keys.SCALE: 1.0,
            keys.CONV_DENOMINATOR: options["avg_num_neighbors"] ** 0.5,
        }
        model = build_E3_equivariant_model(config)
        model.set_is_batch_data(False)
        return model
