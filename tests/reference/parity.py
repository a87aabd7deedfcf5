"""Compare equipot with the stored reference numbers of nequip and nequip-allegro.

``tests/test_peer_parity.py`` loads this file; run on its own it prints the largest deviations::

    python tests/reference/parity.py [nequip] [allegro]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file

from equipot.config import resolve_target
from equipot.graph import Graph, compute_edge_vectors
from equipot.model import GraphModel, ModelBuilder
from equipot_from_nequip import convert_weights

MODELS = {"nequip": "NequIPGNNModel", "allegro": "AllegroModel"}
"""Our builder of each folder."""
PLACES = {"nequip.nn.pair_potential": "equipot.pair_potentials", "allegro.nn": "equipot_allegro"}
"""Where the peer's components are here."""
FLOAT64_TOLERANCE = 1e-10
FLOAT32_TOLERANCE = 5e-6


class Deviation(NamedTuple):
    """Largest deviations from the peer over some frames, relative as the names say."""

    energy: float = 0.0
    """Of atomic and total energies, to max(1, |E - E0|)."""
    forces: float = 0.0
    """To the largest component in the frame."""
    stress: float = 0.0
    """Likewise."""

    def largest(self, other: Deviation) -> Deviation:
        """The larger of each."""
        return Deviation(*map(max, zip(self, other, strict=True)))


class Reference:
    """The reference numbers of one model.

    Args:
        name: ``nequip`` or ``allegro``.
    """

    def __init__(self, name: str) -> None:
        self.folder = Path(__file__).parent / name
        self.index = json.loads((self.folder / "index.json").read_text(encoding="utf-8"))
        self.cases: dict[str, Any] = self.index["cases"]
        self.frames = load_file(self.folder / "frames.safetensors")
        self.family = MODELS[name]
        self.builder = resolve_target(f"equipot.model.{self.family}", name)

    def stored(self, name: str) -> dict[str, torch.Tensor]:
        """Weights and outputs of a case."""
        return load_file(self.folder / self.cases[name]["file"])

    def recipe(self, name: str, model_dtype: str) -> ModelBuilder:
        """Our builder with the options of a case."""
        options = {key: component(value) for key, value in self.cases[name]["config"].items()}
        recipe: ModelBuilder = self.builder(**options, model_dtype=model_dtype)
        return recipe

    def fresh_model(self, name: str, model_dtype: str) -> GraphModel:
        """Our model of a case with its own initial weights."""
        recipe = self.recipe(name, model_dtype)
        return recipe.build(getattr(recipe.pair_potential, "units", "metal"))

    def model(self, name: str, model_dtype: str) -> GraphModel:
        """Our model with the weights of a case."""
        model = self.fresh_model(name, model_dtype)
        peer = part(self.stored(name), "weights/")
        recipe = self.recipe(name, model_dtype)
        model.load_state_dict(convert_weights(peer, model.state_dict(), self.family, recipe), strict=True)
        return model.eval()

    def batch(self, name: str, frame: str, model: GraphModel) -> Graph:
        """A frame with the stored neighbour list, cut to the pairs' own radii as the data layer does."""
        config = self.cases[name]["config"]
        symbols = self.index["frames"][frame]["symbols"]
        edge_index = self.frames[f"{frame}/r_max={config['r_max']}/edge_index"].long()
        shift = self.frames.get(f"{frame}/r_max={config['r_max']}/edge_cell_shift")
        data = {
            "positions": self.frames[f"{frame}/pos"],
            "cell": self.frames.get(f"{frame}/cell", torch.zeros(3, 3, dtype=torch.float64)).reshape(1, 3, 3),
            "pbc": self.frames[f"{frame}/pbc"].reshape(1, 3),
            "atom_types": torch.tensor([config["type_names"].index(symbol) for symbol in symbols]),
            "batch": torch.zeros(len(symbols), dtype=torch.int64),
            "num_atoms": torch.tensor([len(symbols)]),
        }
        shift = torch.zeros(edge_index.shape[1], 3, dtype=torch.float64) if shift is None else shift.double()
        vectors = compute_edge_vectors(data["positions"], data["cell"], edge_index, shift, data["batch"])
        types = data["atom_types"][edge_index]
        inside = vectors.norm(dim=1) < model.cutoffs[types[0], types[1]]
        return {**data, "edge_index": edge_index[:, inside], "edge_cell_shift": shift[inside]}

    def isolated(self, name: str, frame: str, stored: dict[str, torch.Tensor]) -> torch.Tensor:
        """E0 of each atom."""
        names = self.cases[name]["config"]["type_names"]
        key = "weights/model.func.per_type_energy_scale_shift.shifts"
        shifts = stored.get(key, torch.zeros(1, 1, dtype=torch.float64)).flatten().expand(len(names))
        return shifts[torch.tensor([names.index(symbol) for symbol in self.index["frames"][frame]["symbols"]])]

    def deviations(self, name: str, model_dtype: str, against: str | None = None) -> dict[str, Deviation]:
        """What our model makes of each frame of a case, compared with the peer.

        Args:
            name: The case.
            model_dtype: Of our model.
            against: Of the peer's; None: the same.
        """
        stored, model = self.stored(name), self.model(name, model_dtype)
        found = {}
        for frame in self.cases[name]["frames"]:
            output = model(self.batch(name, frame, model))
            isolated = self.isolated(name, frame, stored)
            found[frame] = compare(output, part(stored, f"{against or model_dtype}/{frame}/"), isolated)
        return found

    def peer_rounding(self, name: str) -> dict[str, Deviation]:
        """How far the peer's float32 model is from its float64 model, frame by frame."""
        stored = self.stored(name)
        return {
            frame: compare(
                part(stored, f"float32/{frame}/"),
                part(stored, f"float64/{frame}/"),
                self.isolated(name, frame, stored),
            )
            for frame in self.cases[name]["frames"]
        }

    def initial_weights(self) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        """Ours and the peer's initial weights by case and parameter, where they are many enough to compare."""
        pairs = {}
        for name in (name for name, case in self.cases.items() if case["weights"] == "fresh"):
            theirs = dict(self.model(name, "float64").named_parameters())
            for parameter, ours in self.fresh_model(name, "float64").named_parameters():
                if parameter.startswith("energy.") and "roots" not in parameter and ours.numel() >= 40:
                    pairs[f"{name}: {parameter}"] = (ours.detach(), theirs[parameter].detach())
        return pairs


def component(value: Any) -> Any:
    """Options, with the peer's components replaced by ours."""
    if not isinstance(value, dict) or "_target_" not in value:
        return value
    place, _, name = value["_target_"].rpartition(".")
    target = resolve_target(f"{PLACES[place]}.{name}", "reference")
    return target(**{key: item for key, item in value.items() if key != "_target_"})


def part(stored: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The tensors under a prefix."""
    return {name.removeprefix(prefix): value for name, value in stored.items() if name.startswith(prefix)}


def compare(found: Graph, expected: Graph, isolated: torch.Tensor) -> Deviation:
    """Deviations of one frame; ``isolated`` is E0 of each atom."""
    scale = (expected["atomic_energy"] - isolated).abs().clamp(min=1.0)
    atomic = ((found["atomic_energy"] - expected["atomic_energy"]).abs() / scale).max().item()
    total_scale = max(1.0, (expected["total_energy"] - isolated.sum()).abs().item())
    total = (found["total_energy"].squeeze() - expected["total_energy"]).abs().item() / total_scale
    stress = relative(found["stress"].squeeze(0), expected["stress"]) if "stress" in expected else 0.0
    return Deviation(max(atomic, total), relative(found["forces"], expected["forces"]), stress)


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest difference relative to the largest component."""
    scale = expected.abs().max().item()
    difference = (found - expected).abs().max().item()
    return difference / scale if scale > 0 else difference


def main() -> None:
    """Print the largest deviations over all cases."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("models", nargs="*", default=list(MODELS), help=" ".join(MODELS))
    for name in parser.parse_args().models:
        reference = Reference(name)
        rows = {"float64": Deviation(), "float32": Deviation(), "float32, the peer's own rounding": Deviation()}
        for case in reference.cases:
            sources = (reference.deviations(case, "float64"), reference.deviations(case, "float32"))
            for row, found in zip(rows, (*sources, reference.peer_rounding(case)), strict=True):
                for deviation in found.values():
                    rows[row] = rows[row].largest(deviation)
        print(f"{name}: {len(reference.cases)} cases, {len(reference.index['frames'])} frames")  # noqa: T201
        for row, worst in rows.items():
            values = f"energy {worst.energy:.1e}, forces {worst.forces:.1e}, stress {worst.stress:.1e}"
            print(f"  {row}: {values}")  # noqa: T201
        if max(rows["float64"]) > FLOAT64_TOLERANCE:
            raise SystemExit(f"{name}: the float64 models differ by more than {FLOAT64_TOLERANCE}")


if __name__ == "__main__":
    main()
