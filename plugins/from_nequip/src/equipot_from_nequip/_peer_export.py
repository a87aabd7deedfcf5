"""Export a model of nequip to plain files. This script runs in a Python interpreter with nequip installed.

This is the only place where a file of nequip is unpickled, which runs any code in it. The script does not import
equipot, and nothing else imports nequip. It writes three files into an existing folder:

``export.json``: builder, hyperparameters, types, radii, versions, names of the frames and of all modules;
``weights.safetensors``: the model's state under nequip's names (averaged weights, if there are any);
``frames.safetensors``: frames and the model's results, such as ``FRAME/pos`` and ``DTYPE/FRAME/forces``.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import os
import struct
import sys
import warnings
from pathlib import Path
from typing import Any

import torch

FORMAT = 1
TABLES = ("output_mask", "w3j")
"""Parts of the names of fixed tables, which are the same in every model."""
DTYPES = {torch.float64: "F64", torch.float32: "F32", torch.int64: "I64", torch.bool: "BOOL"}
MODIFY = "nequip.model.modify"
FROM_FILE = {"nequip.model.ModelFromPackage": "package_path", "nequip.model.ModelFromCheckpoint": "checkpoint_path"}


# --- files -------------------------------------------------------------------


def write_safetensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write tensors in the safetensors format, without the package, which may not be installed here."""
    header, parts, start = {}, [], 0
    for name, value in sorted(tensors.items()):
        raw = value.detach().cpu().contiguous().numpy().tobytes()
        header[name] = {
            "dtype": DTYPES[value.dtype],
            "shape": list(value.shape),
            "data_offsets": [start, start + len(raw)],
        }
        parts.append(raw)
        start += len(raw)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))


def plain(value: Any) -> Any:
    """A value as JSON; objects that JSON cannot represent become text."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


# --- what a file says about itself -------------------------------------------


def stored_config(path: Path) -> dict[str, Any]:
    """The training config in a checkpoint or package, and which weights to use."""
    if path.name.endswith(".nequip.zip"):
        import yaml
        from torch.package.package_importer import PackageImporter

        importer = PackageImporter(str(path))
        config = yaml.safe_load(importer.load_text("model", "config.yaml"))
        return {"config": config, "kind": "package", "weights": "as packaged"}
    # Checkpoints of nequip are pickles. This only runs in nequip's interpreter, after --i-trust-this-file.
    checkpoint = torch.load(path, map_location="cpu", weights_only=False)
    averaged = any(str(key).startswith("ema") for key in checkpoint["state_dict"])
    config = checkpoint["hyper_parameters"]["info_dict"]
    return {"config": config, "kind": "checkpoint", "weights": "ema" if averaged else "raw"}


def leaf_model(config: dict[str, Any], notes: list[str]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The section of the builder, found through ``modify`` and the files of earlier models, and all modifiers."""
    target = config.get("_target_", "")
    if target == MODIFY and isinstance(config.get("modifiers"), list):
        inner, modifiers = leaf_model(dict(config["model"]), notes)
        return inner, [*modifiers, *config["modifiers"]]
    if target in FROM_FILE:
        parent = Path(config[FROM_FILE[target]])
        if not parent.is_file():
            notes.append(f"the model was made from {parent.name}, which is not there: its hyperparameters are unknown")
            return config, []
        notes.append(f"hyperparameters taken from {parent.name}")
        return leaf_model(dict(stored_config(parent)["config"]["training_module"]["model"]), notes)
    return config, []


def species_of(config: dict[str, Any], type_names: list[str]) -> list[str] | None:
    """Chemical symbol of each type, from the data section's type mapper or the names themselves."""
    from ase.data import atomic_numbers

    found: dict[str, str] = {}
    for transform in (config.get("data") or {}).get("transforms") or []:
        if str(transform.get("_target_", "")).endswith(".ChemicalSpeciesToAtomTypeMapper"):
            mapping = transform.get("chemical_species_to_atom_type_map")
            symbols = transform.get("chemical_symbols")
            if mapping:
                found = {name: symbol for symbol, name in mapping.items()}
            elif symbols and len(symbols) == len(type_names):
                found = dict(zip(type_names, symbols, strict=True))
    species = [found.get(name, name) for name in type_names]
    return species if all(symbol in atomic_numbers for symbol in species) else None


# --- frames ------------------------------------------------------------------


def random_frames(type_names: list[str], r_max: float) -> dict[str, dict[str, Any]]:
    """Two triclinic crystals, a molecule and a lone atom; every type occurs."""
    generator = torch.Generator().manual_seed(0)
    count = max(6, len(type_names))
    distance = min(1.3, 0.45 * r_max)

    def place(n_atoms: int, box: torch.Tensor, steps: int) -> torch.Tensor:
        images = torch.cartesian_prod(*[torch.arange(-steps, steps + 1).double()] * 3) @ box
        apart, points = distance, torch.empty(0, 3, dtype=torch.float64)
        while len(points) < n_atoms:
            trial = torch.rand(1, 3, generator=generator, dtype=torch.float64) @ box
            gaps = (points[:, None] - trial + images[None]).norm(dim=-1)
            if not len(points) or float(gaps.min()) > apart:
                points = torch.cat([points, trial])
            apart *= 0.999  # slowly decreases, so that the loop ends
        return points

    def types(n_atoms: int) -> torch.Tensor:
        return torch.randperm(n_atoms, generator=generator) % len(type_names)

    frames: dict[str, dict[str, Any]] = {}
    for name, n_atoms in (("crystal", count), ("dense_crystal", min(count, 6))):
        side = (2.2 if name == "crystal" else 1.9) * distance * n_atoms ** (1 / 3)
        tilt = torch.rand(3, 3, generator=generator, dtype=torch.float64) - 0.5
        cell = (torch.eye(3, dtype=torch.float64) + 0.3 * tilt) * side
        pos = place(n_atoms, cell, 1)
        frames[name] = {"pos": pos, "cell": cell, "pbc": [True] * 3, "atom_types": types(n_atoms)}
    box = torch.eye(3, dtype=torch.float64) * 2.2 * distance * count ** (1 / 3)
    frames["molecule"] = {"pos": place(count, box, 0), "pbc": [False] * 3, "atom_types": types(count)}
    alone = torch.tensor([len(type_names) - 1])
    frames["atom"] = {"pos": torch.zeros(1, 3, dtype=torch.float64), "pbc": [False] * 3, "atom_types": alone}
    return frames


def real_frames(path: Path, species: list[str] | None, limit: int) -> dict[str, dict[str, Any]]:
    """The first frames of a file, read with ASE."""
    import ase.io

    if species is None:
        raise SystemExit(f"{path}: the elements of the model's types are unknown, so it cannot be read")
    frames: dict[str, dict[str, Any]] = {}
    for number, atoms in enumerate(ase.io.iread(path, index=f":{limit}")):
        unknown = sorted(set(atoms.get_chemical_symbols()) - set(species))
        if unknown:
            raise SystemExit(f"{path}: frame {number} has {unknown}, which the model does not know")
        frame: dict[str, Any] = {
            "pos": torch.tensor(atoms.get_positions()),
            "pbc": [bool(flag) for flag in atoms.pbc],
            "atom_types": torch.tensor([species.index(symbol) for symbol in atoms.get_chemical_symbols()]),
        }
        if any(frame["pbc"]):
            frame["cell"] = torch.tensor(atoms.cell[:])
        frames[f"file_{number}"] = frame
    return frames


def packaged_frame(path: Path) -> dict[str, dict[str, Any]]:
    """The training frame in a package."""
    from nequip.model.saved_models.package import data_dict_from_package

    data = data_dict_from_package(str(path))
    pbc = data["pbc"].view(-1).tolist() if "pbc" in data else [False] * 3
    frame: dict[str, Any] = {"pos": data["pos"].double(), "pbc": pbc, "atom_types": data["atom_types"].view(-1)}
    if any(pbc):
        frame["cell"] = data["cell"].view(3, 3).double()
    return {"packaged": frame}


def evaluate(model: Any, frame: dict[str, Any], r_max: float) -> dict[str, torch.Tensor]:
    """The model's results for a frame; the stress only if all three directions are periodic."""
    from nequip.data import compute_neighborlist_, from_dict

    fields = {key: value for key, value in frame.items() if key != "pbc"}
    data = from_dict({**fields, "pbc": torch.tensor(frame["pbc"])})
    output = model(compute_neighborlist_(data, r_max=r_max))
    found = {"atomic_energy": output["atomic_energy"].view(-1), "total_energy": output["total_energy"].view(-1)}
    if "forces" in output:
        found["forces"] = output["forces"].view(-1, 3)
        if all(frame["pbc"]):
            found["stress"] = output["stress"].view(3, 3)
    return {key: value.detach().double() for key, value in found.items()}


# --- models ------------------------------------------------------------------


def is_table(name: str) -> bool:
    """Whether a tensor is a fixed table."""
    return any(part in name for part in TABLES)


def double_model(leaf: dict[str, Any], modifiers: list[dict[str, Any]], model: Any) -> Any:
    """The same model with the same weights in float64."""
    from hydra.utils import get_method
    from nequip.model.modify_utils import modify, only_apply_persistent_modifiers

    options = {**copy.deepcopy(leaf), "model_dtype": "float64"}
    twin = get_method(options.pop("_target_"))(**options)
    if modifiers:
        with only_apply_persistent_modifiers(persistent_only=True):
            twin = modify(twin, modifiers)
    tables = {name: value for name, value in twin.state_dict().items() if is_table(name)}  # those of float64
    twin.load_state_dict({**model.state_dict(), **tables}, strict=True)  # casts
    return twin.eval()


def module_classes(model: Any) -> dict[str, str]:
    """Name to class of every module, except those of torch and e3nn."""
    found = {}
    for name, module in model.named_modules():
        path = f"{type(module).__module__}.{type(module).__qualname__}"
        path = path.split(">.", 1)[1] if path.startswith("<torch_package") else path
        if path.split(".")[0] not in ("torch", "e3nn"):
            found[name] = path
    return found


def versions() -> dict[str, str]:
    """Versions of the packages that compute the results."""
    from importlib import metadata

    found = {"python": sys.version.split()[0]}
    for name in ("torch", "nequip", "nequip-allegro", "e3nn"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def chosen_model(path: Path, key: str) -> Any:
    """One of the models in a file, on the CPU."""
    from nequip.model.saved_models import load_saved_model

    models = load_saved_model(str(path), model_key=None)
    if key not in models:
        raise SystemExit(f"{path}: has no model {key!r}, it has {sorted(models)}; choose with --model-key")
    return models[key].eval().to("cpu")


def example_frames(args: argparse.Namespace, model: Any, kind: str, species: list[str] | None) -> dict[str, Any]:
    """All frames to compare on."""
    frames = random_frames(model.metadata["type_names"].split(), float(model.metadata["r_max"]))
    if kind == "package":
        frames.update(packaged_frame(Path(args.model)))
    if args.frames is not None:
        frames.update(real_frames(Path(args.frames), species, args.num_frames))
    return frames


def frame_tensors(frames: dict[str, Any], models: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Frames and results under their names in the file."""
    tensors = {}
    for name, frame in frames.items():
        inputs = {**frame, "pbc": torch.tensor(frame["pbc"])}
        tensors.update({f"{name}/{key}": value for key, value in inputs.items()})
        for dtype, model in models.items():
            found = evaluate(model, frame, float(model.metadata["r_max"]))
            tensors.update({f"{dtype}/{name}/{key}": value for key, value in found.items()})
    return tensors


def export(args: argparse.Namespace) -> None:
    """Load the model, evaluate it and write the three files."""
    path = Path(args.model)
    notes: list[str] = []
    stored = stored_config(path)
    config, model = stored["config"], chosen_model(path, args.model_key)
    section = config["training_module"]["model"]
    leaf, modifiers = leaf_model(dict(section if "_target_" in section else section[args.model_key]), notes)
    type_names, dtype = model.metadata["type_names"].split(), model.metadata["model_dtype"]
    species = species_of(config, type_names)
    models = {dtype: model}
    if dtype != "float64":
        try:
            models["float64"] = double_model(leaf, modifiers, model)
        except Exception as error:  # noqa: BLE001 - of any kind: only the comparison in float64 is lost
            notes.append(f"no comparison in float64: {type(error).__name__}: {error}")
    frames = example_frames(args, model, stored["kind"], species)
    state = {name: value for name, value in model.state_dict().items() if value.numel() and not is_table(name)}
    facts = {
        "format": FORMAT,
        "versions": versions(),
        "source": path.name,
        "weights": stored["weights"],
        "builder": plain(leaf),
        "modifiers": plain(modifiers),
        "type_names": type_names,
        "chemical_species": species,
        "model_dtype": dtype,
        "allow_tf32": bool((config.get("global_options") or {}).get("allow_tf32", False)),
        "do_derivatives": bool(getattr(model.model, "do_derivatives", False)),
        "modules": module_classes(model),
        "frames": list(frames),
        "dtypes": list(models),
        "notes": notes,
    }
    folder = Path(args.output)
    write_safetensors(folder / "weights.safetensors", state)
    write_safetensors(folder / "frames.safetensors", frame_tensors(frames, models))
    (folder / "export.json").write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def main() -> None:
    """Parse the arguments, prepare nequip and export."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("model", help=".ckpt or .nequip.zip")
    parser.add_argument("output", help="folder that exists")
    parser.add_argument("--model-key", default="sole_model", help="which model of several")
    parser.add_argument("--frames", help="file that ASE reads, with frames to compare on")
    parser.add_argument("--num-frames", type=int, default=4, help="how many of them")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    from nequip.utils.global_state import set_global_state

    set_global_state()
    export(args)


if __name__ == "__main__":
    main()
