"""This project's side: the same weights, with and without the acceleration plugin."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from side import BaseSide

Modifiers = list[tuple[str, dict[str, Any]]]

KERNELS: Modifiers = [("enable_FusedKernels", {"programs": False})]
PROGRAMS: Modifiers = [("enable_FusedKernels", {})]
MODIFIERS: dict[str, dict[str, Modifiers]] = {
    "default": {"inference": [], "training": []},
    "core": {"inference": [], "training": []},
    "fused": {"inference": KERNELS, "training": KERNELS},
    "splines": {
        "inference": [("enable_RadialSplines", {}), *PROGRAMS],
        "training": [("train_with_RadialSplines", {}), *PROGRAMS],
    },
}
"""Modifiers of each variant; ``default`` is what the installed packages do by themselves."""


class Side(BaseSide):
    """Modes: VARIANT (eager), VARIANT-aoti, VARIANT-train, VARIANT-ase (compiled), VARIANT-jit (eager in ASE).

    Variants are ``core``, ``fused`` (exact kernels alone), ``splines`` (radial splines with kernels and programs) and
    ``default`` (what happens without any option: exact kernels and programs).
    """

    DISTRIBUTIONS = ("equipot",)

    def __init__(self, case: dict[str, Any], batch: dict[str, np.ndarray], folder: Path) -> None:
        super().__init__(case, batch, folder)
        self.model = self._build()

    def _build(self) -> Any:
        import equipot.model

        builder = {"nequip": "NequIPGNNModel", "allegro": "AllegroModel"}[self.case["model"]]
        options = dict(self.case["hyperparameters"])
        if self.case["model"] == "allegro":
            from equipot_allegro import TwoBodyBesselScalarEmbed

            options["radial_chemical_embed"] = TwoBodyBesselScalarEmbed(num_bessels=8)
        recipe = getattr(equipot.model, builder)(**options)
        model = recipe.build().eval()
        weights = self.folder / "peer_weights.pt"
        if weights.exists():
            from equipot_from_nequip import convert_weights

            peer = torch.load(weights, weights_only=True)
            model.load_state_dict(convert_weights(peer, model.state_dict(), builder, recipe))
        return model

    def _data(self) -> dict[str, torch.Tensor]:
        data = {key: torch.from_numpy(value) for key, value in self.batch.items() if not key.endswith("_label")}
        return {key: data[key] for key in self.model.info.inputs}

    def prepare(self, mode: str) -> Callable[[], Any]:
        """A function that evaluates once."""
        variant, _, kind = mode.partition("-")
        os.environ["EQUIPOT_AUTOMATIC_MODIFIERS"] = str(int(variant == "default"))  # also those of the calculator
        if kind == "train":
            return self._train(self.modified(variant, "training"))
        model = self.modified(variant, "inference")
        if kind in ("", "jit"):
            return self._call(model) if kind == "" else self._ase(model)
        compiled = self._compiled(model, variant)
        return self._call(compiled) if kind == "aoti" else self._ase(compiled)

    def modified(self, variant: str, use: str) -> Any:
        """The model of a variant, for ``inference`` or ``training``."""
        import equipot.model

        model = self.model
        for name, options in MODIFIERS[variant][use]:
            model = equipot.model.apply_modifier(model, name, options)
        if variant == "default":
            model = equipot.model.apply_automatic(model)[0]
        if model.evaluator is not None:
            model.evaluator.begin_training()  # from the first call on, not from the tenth
        return model

    def _compiled(self, model: Any, variant: str) -> Any:
        """Made once in this run."""
        from equipot.artifacts import load_compiled
        from equipot.compile import compile_model

        path = self.folder / f"{variant}.equipot.pt2"
        if not path.exists():
            compile_model(model, path)
        return load_compiled(path)

    def _call(self, model: Any) -> Callable[[], dict[str, np.ndarray]]:
        data = self._data()
        return lambda: _outputs(model(data))

    def _train(self, model: Any) -> Callable[[], dict[str, np.ndarray]]:
        """Loss and gradients of the parameters, without optimizer, as on the other side."""
        model = copy.deepcopy(model).train()
        data = self._data()
        labels = {key: torch.from_numpy(self.batch[key]) for key in ("energy_label", "forces_label")}
        counts = data["num_atoms"]
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]

        def step() -> dict[str, np.ndarray]:
            for parameter in parameters:
                parameter.grad = None
            out = model(data)
            energy = (out["total_energy"] - labels["energy_label"]) / counts
            loss = energy.square().mean() + (out["forces"] - labels["forces_label"]).square().mean()
            loss.backward(inputs=parameters)
            return {"loss": loss.detach().numpy()}

        return step

    def _ase(self, model: Any) -> Callable[[], Any]:
        from dynamics import trajectory

        from equipot.ase import EquipotCalculator

        return trajectory(self.batch, EquipotCalculator(model))


def _outputs(out: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    return {"total_energy": out["total_energy"].numpy(), "forces": out["forces"].numpy()}
