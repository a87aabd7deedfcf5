"""Against numbers of nequip 0.19, made by tests/reference/make_nequip_reference.py in its own environment."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from equipot.graph import Graph, compute_edge_vectors
from equipot.model import GraphModel, NequIPGNNModel
from equipot.pair_potentials import ZBL

FOLDER = Path(__file__).parents[3] / "tests" / "reference" / "nequip"
INDEX = json.loads((FOLDER / "index.json").read_text(encoding="utf-8"))
CASES = INDEX["cases"]
FLOAT32_CASES = [name for name, case in CASES.items() if "float32" in case["dtypes"]]


def _load_peer_weights():
    spec = importlib.util.spec_from_file_location("peer_weights", Path(__file__).with_name("peer_weights.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


from_peer = _load_peer_weights().from_peer


@pytest.fixture(scope="module")
def frames() -> dict[str, torch.Tensor]:
    return load_file(FOLDER / "frames.safetensors")


def build(case: dict, model_dtype: str, weights: dict[str, torch.Tensor]) -> GraphModel:
    options = dict(case["config"])
    pair, units = options.pop("pair_potential"), "metal"
    if pair is not None:
        pair = {name: value for name, value in pair.items() if name != "_target_"}
        options["pair_potential"], units = ZBL(**pair), pair["units"]
    model = NequIPGNNModel(**options, model_dtype=model_dtype).build(units)
    model.load_state_dict(from_peer(weights, model), strict=True)
    return model.eval()


def frame_of(frames: dict[str, torch.Tensor], name: str, case: dict, model: GraphModel) -> Graph:
    """A frame with the stored neighbour list, cut to the pairs' own radii as the data layer does."""
    config = case["config"]
    symbols = INDEX["frames"][name]["symbols"]
    edge_index = frames[f"{name}/r_max={config['r_max']}/edge_index"].long()
    shift = frames.get(f"{name}/r_max={config['r_max']}/edge_cell_shift")
    data = {
        "positions": frames[f"{name}/pos"],
        "cell": frames.get(f"{name}/cell", torch.zeros(3, 3, dtype=torch.float64)).reshape(1, 3, 3),
        "pbc": frames[f"{name}/pbc"].reshape(1, 3),
        "atom_types": torch.tensor([config["type_names"].index(symbol) for symbol in symbols]),
        "batch": torch.zeros(len(symbols), dtype=torch.int64),
        "num_atoms": torch.tensor([len(symbols)]),
        "edge_index": edge_index,
        "edge_cell_shift": torch.zeros(edge_index.shape[1], 3, dtype=torch.float64)
        if shift is None
        else shift.double(),
    }
    vectors = compute_edge_vectors(data["positions"], data["cell"], edge_index, data["edge_cell_shift"], data["batch"])
    types = data["atom_types"][edge_index]
    inside = vectors.norm(dim=1) < model.cutoffs[types[0], types[1]]
    return {**data, "edge_index": edge_index[:, inside], "edge_cell_shift": data["edge_cell_shift"][inside]}


def shifts_of(case: dict, symbols: list[str], stored: dict[str, torch.Tensor]) -> torch.Tensor:
    """E0 of each atom."""
    key = "weights/model.func.per_type_energy_scale_shift.shifts"
    shifts = stored.get(key, torch.zeros(1, 1, dtype=torch.float64)).flatten()
    types = torch.tensor([case["config"]["type_names"].index(symbol) for symbol in symbols])
    return shifts.expand(len(case["config"]["type_names"]))[types]


def part(stored: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in stored.items() if name.startswith(prefix)}


def deviation(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest difference relative to the largest component."""
    scale = expected.abs().max().item()
    difference = (found - expected).abs().max().item()
    return difference / scale if scale > 0 else difference


@pytest.mark.parametrize("name", CASES)
def test_float64_energies_forces_and_stress_equal_the_peer(name, frames):
    case, stored = CASES[name], load_file(FOLDER / CASES[name]["file"])
    model = build(case, "float64", part(stored, "weights/"))
    worst = {"energy": 0.0, "forces": 0.0, "stress": 0.0}
    for frame in case["frames"]:
        data = frame_of(frames, frame, case, model)
        expected, found = part(stored, f"float64/{frame}/"), model(data)
        isolated = shifts_of(case, INDEX["frames"][frame]["symbols"], stored)
        scale = (expected["atomic_energy"] - isolated).abs().clamp(min=1.0)
        error = ((found["atomic_energy"] - expected["atomic_energy"]).abs() / scale).max().item()
        total_scale = max(1.0, (expected["total_energy"] - isolated.sum()).abs().item())
        total = (found["total_energy"] - expected["total_energy"]).abs().item() / total_scale
        worst["energy"] = max(worst["energy"], error, total)
        worst["forces"] = max(worst["forces"], deviation(found["forces"], expected["forces"]))
        if "stress" in expected:
            worst["stress"] = max(worst["stress"], deviation(found["stress"][0], expected["stress"]))
    assert max(worst.values()) < 1e-10, worst


def test_the_reference_has_stress_and_isolated_atoms():
    seen = {name for case in CASES.values() for name in case["frames"]}
    assert any(INDEX["frames"][name]["has_stress"] for name in seen)
    assert "ho_lone" in seen


@pytest.mark.parametrize("name", FLOAT32_CASES)
def test_float32_model_is_as_close_to_float64_as_the_peer(name, frames):
    case, stored = CASES[name], load_file(FOLDER / CASES[name]["file"])
    model = build(case, "float32", part(stored, "weights/"))
    for frame in case["frames"]:
        exact = stored[f"float64/{frame}/forces"]
        found = model(frame_of(frames, frame, case, model))["forces"]
        allowed = max(5e-6, 3.0 * deviation(stored[f"float32/{frame}/forces"], exact))
        assert deviation(found, exact) < allowed, frame


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case["inner_fields"]])
def test_features_after_each_layer_equal_the_peer(name, frames):
    case, stored = CASES[name], load_file(FOLDER / CASES[name]["file"])
    frame = case["inner_fields"]
    model = build(case, "float64", part(stored, "weights/"))
    features = []
    for layer in model.energy.layers:
        layer.register_forward_hook(lambda _module, _args, output: features.append(output.detach()))
    data = frame_of(frames, frame, case, model)
    model(data)
    assert len(features) == case["config"]["num_layers"]
    for index, (layer, ours) in enumerate(zip(model.energy.layers, features, strict=True)):
        expected = stored[f"inner/{frame}/layer{index}_convnet/node_features"]
        assert str(layer.layout_out) == case["layers"][f"layer{index}_convnet"]["irreps_out"]
        torch.testing.assert_close(layer.layout_out.to_e3nn(ours), expected, rtol=1e-10, atol=1e-10)
