"""Train small models with nequip on real frames and export them: the data of this plugin's tests.

Nothing here imports equipot. Run it in an environment of its own::

    python -m venv peer
    peer/bin/pip install -r tests/reference/requirements.txt
    peer/bin/python plugins/from_nequip/tests/make_exports.py runs --output plugins/from_nequip/tests/exports

For each case it runs ``nequip-train`` for an epoch on a few frames of ``examples/data``, packages the model where
the case says so, and exports it with ``_peer_export.py`` of this plugin into ``exports/CASE``.
"""

from __future__ import annotations

import argparse
import copy
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import ase.io
import yaml

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[2] / "examples" / "data"
EXPORT = HERE.parent / "src" / "equipot_from_nequip" / "_peer_export.py"
NUM_FRAMES = 2
FRAMES = "few.extxyz"

ZBL = {"_target_": "nequip.nn.pair_potential.ZBL", "units": "metal"}
HO = {"type_names": ["H", "O"]}
HCO = {"type_names": ["H", "C", "O"]}
NEQUIP = {"_target_": "nequip.model.NequIPGNNModel", "num_features": 4, "radial_mlp_width": 8, "num_layers": 2}
ALLEGRO = {
    "_target_": "allegro.model.AllegroModel",
    "num_scalar_features": 8,
    "num_tensor_features": 3,
    "scalar_embed_mlp_hidden_layers_width": 8,
    "allegro_mlp_hidden_layers_width": 8,
    "readout_mlp_hidden_layers_width": 6,
}
NEIGHBORS = {"avg_num_neighbors": "${training_data_stats:num_neighbors_mean}"}
PER_TYPE = {
    "avg_num_neighbors": "${training_data_stats:per_type_num_neighbors_mean}",
    "per_type_energy_scales": "${training_data_stats:per_type_forces_rms}",
    "per_type_energy_shifts": {"H": -13.5, "O": -430.0},
}
ASYMMETRIC = {"H": {"H": 2.5, "O": 3.25}, "O": {"H": 2.75}}

CASES: dict[str, dict[str, Any]] = {
    "nequip_zbl": {
        "data": "ethanol_pbe",
        "model": {
            **NEQUIP, **HCO, **NEIGHBORS, "seed": 1, "model_dtype": "float32", "r_max": 4.0,
            "per_type_energy_shifts": "${training_data_stats:per_atom_energy_mean}",
            "per_type_energy_scales": "${training_data_stats:forces_rms}",
            "pair_potential": {**ZBL, "chemical_species": ["H", "C", "O"]},
        },
    },
    "nequip_everything": {
        "data": "water_gfn1",
        "package": True,
        "model": {
            **NEQUIP, **HO, **PER_TYPE, "seed": 2, "model_dtype": "float64", "r_max": 3.5, "num_layers": 3, "l_max": 2,
            "num_features": [4, 3, 2], "type_embed_num_features": 3, "radial_mlp_depth": 2, "bessel_trainable": True,
            "readout_mlp_hidden_layers_depth": 1, "per_edge_type_cutoff": ASYMMETRIC, "polynomial_cutoff_p": 5,
            "per_type_energy_scales_trainable": True, "per_type_energy_shifts_trainable": True,
            "pair_potential": {**ZBL, "chemical_species": ["H", "O"], "polynomial_cutoff_p": 4.0},
        },
    },
    "nequip_modified": {
        "data": "water_gfn1",
        "module": "nequip.train.NequIPLightningModule",
        "model": {
            "_target_": "nequip.model.modify",
            "modifiers": [{"modifier": "modify_PerTypeScaleShift", "shifts": {"O": -425.0}}],
            "model": {**NEQUIP, **HO, **PER_TYPE, "seed": 3, "model_dtype": "float32", "r_max": 3.5, "parity": False},
        },
    },
    "nequip_finetuned": {
        "data": "water_gfn1",
        "start": "nequip_everything",
        "model": {
            "_target_": "nequip.model.modify",
            "modifiers": [{"modifier": "modify_PerTypeScaleShift", "shifts": {"H": -14.0}}],
            "model": {"_target_": "nequip.model.ModelFromPackage"},
        },
    },
    "nequip_renamed_types": {
        "data": "water_gfn1",
        "species": {"H": "Hw", "O": "Ow"},
        "model": {
            **NEQUIP, **NEIGHBORS, "seed": 4, "model_dtype": "float64", "r_max": 3.0, "type_names": ["Ow", "Hw"],
            "l_max": 3, "num_features": [3, 2, 2, 2], "parity": False,
        },
    },
    "allegro_bessel": {
        "data": "ethanol_pbe",
        "model": {
            **ALLEGRO, **HCO, **NEIGHBORS, "seed": 5, "model_dtype": "float32", "r_max": 4.0, "l_max": 2,
            "per_type_energy_shifts": "${training_data_stats:per_atom_energy_mean}",
            "radial_chemical_embed": {"_target_": "allegro.nn.TwoBodyBesselScalarEmbed", "bessel_trainable": True},
        },
    },
    "allegro_spline": {
        "data": "water_gfn1",
        "model": {
            **ALLEGRO, **HO, **PER_TYPE, "seed": 6, "model_dtype": "float64", "r_max": 3.5, "l_max": 1, "parity": False,
            "num_layers": 3, "tp_path_channel_coupling": False, "weight_individual_irreps": False,
            "per_edge_type_cutoff": ASYMMETRIC,
            "radial_chemical_embed": {
                "_target_": "allegro.nn.TwoBodySplineScalarEmbed", "num_splines": 8, "spline_span": 6,
            },
            "pair_potential": {**ZBL, "chemical_species": ["H", "O"]},
        },
    },
}  # fmt: skip


def leaf(model: dict[str, Any]) -> dict[str, Any]:
    """The builder's section below ``modify``."""
    return leaf(model["model"]) if "model" in model else model


def builder(case: dict[str, Any]) -> dict[str, Any]:
    """The builder's section that a case leads to."""
    return leaf(CASES[case["start"]]["model"] if "start" in case else case["model"])


def config(case: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A training config of one epoch on the frames in a folder; models to start from lie in folders next to it."""
    model = copy.deepcopy(case["model"])
    if "start" in case:
        leaf(model)["package_path"] = str(folder.parent / case["start"] / "best.nequip.zip")
    types, r_max = builder(case)["type_names"], builder(case)["r_max"]
    mapper = {"_target_": "nequip.data.transforms.ChemicalSpeciesToAtomTypeMapper", "model_type_names": types}
    if "species" in case:
        mapper["chemical_species_to_atom_type_map"] = case["species"]
    metrics = {"_target_": "nequip.train.EnergyForceMetrics", "coeffs": {"total_energy_mae": 1.0, "forces_mae": 1.0}}
    module = case.get("module", "nequip.train.EMALightningModule")
    checkpoint = {
        "_target_": "lightning.pytorch.callbacks.ModelCheckpoint",
        "dirpath": "${hydra:runtime.output_dir}",
        "filename": "best",
        "monitor": "val0_epoch/weighted_sum",
    }
    return {
        "run": ["train"],
        "data": {
            "_target_": "nequip.data.datamodule.ASEDataModule",
            "seed": 1,
            "train_file_path": str(folder / FRAMES),
            "val_file_path": str(folder / FRAMES),
            "transforms": [mapper, {"_target_": "nequip.data.transforms.NeighborListTransform", "r_max": r_max}],
            "train_dataloader": {"_target_": "torch.utils.data.DataLoader", "batch_size": 5},
            "val_dataloader": {"_target_": "torch.utils.data.DataLoader", "batch_size": 5},
            "stats_manager": {"_target_": "nequip.data.CommonDataStatisticsManager", "type_names": types},
        },
        "trainer": {
            "_target_": "lightning.Trainer",
            "accelerator": "cpu",
            "max_epochs": 1,
            "enable_progress_bar": False,
            "logger": False,
            "callbacks": [checkpoint],
        },
        "training_module": {
            "_target_": module,
            "loss": {"_target_": "nequip.train.EnergyForceLoss", "coeffs": {"total_energy": 1.0, "forces": 1.0}},
            "val_metrics": metrics,
            "optimizer": {"_target_": "torch.optim.Adam", "lr": 0.01},
            "model": model,
        },
    }


def run(*words: str | Path) -> None:
    """Run a program; its output is shown only where it fails."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{words}\n{done.stdout}\n{done.stderr}")


def make(name: str, scratch: Path) -> Path:
    """Train a case; returns its checkpoint or package."""
    programs, case = Path(sys.executable).parent, CASES[name]
    folder = scratch / name
    folder.mkdir(parents=True)
    ase.io.write(folder / FRAMES, ase.io.read(DATA / f"{case['data']}.extxyz", index=":25"))
    (folder / "config.yaml").write_text(yaml.safe_dump(config(case, folder)), encoding="utf-8")
    run(programs / "nequip-train", "-cp", folder, "-cn", "config", f"hydra.run.dir={folder}/run")
    model = folder / "run" / "best.ckpt"
    if case.get("package"):
        model = folder / "best.nequip.zip"
        run(programs / "nequip-package", "build", folder / "run" / "best.ckpt", model)
    return model


def main() -> None:
    """Make the exports asked for, or the trained models alone."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("scratch", type=Path, help="folder for training runs, which does not exist")
    parser.add_argument("--output", type=Path, help="folder of the exports; without it only models are made")
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for name in args.cases:
        model = make(name, args.scratch.resolve())
        if args.output is not None:
            folder = args.output / name
            folder.mkdir(parents=True, exist_ok=True)
            frames = DATA / f"{CASES[name]['data']}.extxyz"
            run(sys.executable, EXPORT, model, folder, "--frames", frames, "--num-frames", str(NUM_FRAMES))
        print(f"{name}: {model}")  # noqa: T201 - a script


if __name__ == "__main__":
    main()
