"""Write reference numbers of nequip's NequIP model for a grid of configurations.

Run it in an environment of its own, see README.md::

    oracle/bin/python make_nequip_reference.py

It writes ``nequip/frames.safetensors``, ``nequip/<case>.safetensors`` and ``nequip/index.json`` next
to this file. ``--check`` compares a new run with the stored files instead of writing.
"""

from __future__ import annotations

from typing import Any

import peer_reference
import torch
from peer_reference import (
    ETHANOL,
    HCO,
    HCO_NEIGHBORS,
    HCO_SHIFTS,
    HCO_TYPES,
    HO,
    HO_ASYMMETRIC,
    HO_NEIGHBORS,
    HO_SCALES,
    HO_SHIFTS,
    SI,
    WATER,
    ZBL,
    Case,
    Peer,
)

BASE: dict[str, Any] = {
    "type_names": ["H", "O"],
    "r_max": 3.0,
    "num_layers": 2,
    "l_max": 1,
    "parity": True,
    "num_features": 4,
    "type_embed_num_features": None,
    "radial_mlp_depth": 1,
    "radial_mlp_width": 8,
    "readout_mlp_hidden_layers_depth": 0,
    "readout_mlp_hidden_layers_width": None,
    "readout_mlp_nonlinearity": "silu",
    "num_bessels": 8,
    "bessel_trainable": False,
    "polynomial_cutoff_p": 6,
    "per_edge_type_cutoff": None,
    "avg_num_neighbors": 8.0,
    "per_type_energy_scales": None,
    "per_type_energy_shifts": None,
    "per_type_energy_scales_trainable": False,
    "per_type_energy_shifts_trainable": False,
    "pair_potential": None,
}


def make_cases() -> dict[str, Case]:
    """Every case by name; a config lists what differs from ``BASE``."""
    ho_energy = {"per_type_energy_scales": HO_SCALES, "per_type_energy_shifts": HO_SHIFTS}
    return {
        "l0_two_layers": Case(
            "scalars only; no scales, no shifts",
            HO,
            {"seed": 100, "l_max": 0, "num_features": 5},
        ),
        "l1_parity": Case(
            "integer num_features; no scales, no shifts",
            (*HO, "ho_lone"),
            {"seed": 101},
        ),
        "l1_natural_one_type": Case(
            "one type, natural parity, three layers, one scale and one shift for all",
            SI,
            {
                "seed": 102,
                "type_names": ["Si"],
                "num_layers": 3,
                "parity": False,
                "num_features": 5,
                "r_max": 3.5,
                "avg_num_neighbors": 13.0,
                "per_type_energy_scales": 17.5,
                "per_type_energy_shifts": -3.5,
            },
        ),
        "l2_parity_three_layers": Case(
            "list of features, own type-embedding width, everything per type; inner fields stored",
            (*HO, "ho_lone"),
            {
                "seed": 103,
                "num_layers": 3,
                "l_max": 2,
                "num_features": [6, 4, 3],
                "type_embed_num_features": 5,
                "avg_num_neighbors": HO_NEIGHBORS,
                **ho_energy,
            },
            intermediates="ho_molecule",
        ),
        "l2_natural_reversed_types": Case(
            "natural parity; types listed as O, H; default width of the readout's hidden layer",
            HO,
            {
                "seed": 104,
                "type_names": ["O", "H"],
                "l_max": 2,
                "parity": False,
                "num_features": [4, 3, 2],
                "readout_mlp_hidden_layers_depth": 1,
                "avg_num_neighbors": HO_NEIGHBORS,
                "per_type_energy_scales": 0.8,
                "per_type_energy_shifts": HO_SHIFTS,
            },
        ),
        "l2_one_layer": Case(
            "a single layer, hence only scalars out of it; radial network with two hidden layers",
            HO,
            {
                "seed": 105,
                "num_layers": 1,
                "l_max": 2,
                "num_features": [5, 3, 2],
                "type_embed_num_features": 3,
                "radial_mlp_depth": 2,
                **ho_energy,
            },
        ),
        "l1_five_layers": Case(
            "five layers; inner fields stored",
            HO,
            {
                "seed": 106,
                "num_layers": 5,
                "num_features": [4, 3],
                "avg_num_neighbors": HO_NEIGHBORS,
                **ho_energy,
            },
            intermediates="ho_isolated",
        ),
        "l3_parity": Case(
            "l_max 3 with parity, deep radial network, 5 Bessel functions, cutoff power 5",
            HO,
            {
                "seed": 107,
                "l_max": 3,
                "num_features": [4, 3, 2, 2],
                "type_embed_num_features": 2,
                "radial_mlp_depth": 3,
                "radial_mlp_width": 6,
                "num_bessels": 5,
                "polynomial_cutoff_p": 5,
                "avg_num_neighbors": HO_NEIGHBORS,
                "per_type_energy_scales": {"H": 15.0, "O": 6.25},
                "per_type_energy_shifts": HO_SHIFTS,
            },
        ),
        "l3_natural_three_types": Case(
            "l_max 3, natural parity, three layers, three types",
            HCO,
            {
                "seed": 108,
                "type_names": HCO_TYPES,
                "r_max": 3.5,
                "num_layers": 3,
                "l_max": 3,
                "parity": False,
                "num_features": [4, 3, 3, 2],
                "radial_mlp_depth": 2,
                "avg_num_neighbors": HCO_NEIGHBORS,
                "per_type_energy_scales": {"H": 12.5, "C": 7.5, "O": 20.0},
                "per_type_energy_shifts": HCO_SHIFTS,
            },
        ),
        "asymmetric_cutoffs": Case(
            "R[H,O] != R[O,H]; one pair not listed",
            HO,
            {
                "seed": 109,
                "l_max": 2,
                "num_features": [4, 3, 2],
                "per_edge_type_cutoff": HO_ASYMMETRIC,
                "avg_num_neighbors": HO_NEIGHBORS,
                **ho_energy,
            },
        ),
        "asymmetric_cutoffs_three_types": Case(
            "one radius for all neighbours of H, one listed pair of C, O not listed",
            HCO,
            {
                "seed": 110,
                "type_names": HCO_TYPES,
                "r_max": 3.5,
                "num_features": [4, 2],
                "per_edge_type_cutoff": {"H": 2.125, "C": {"O": 2.625}},
                "per_type_energy_shifts": HCO_SHIFTS,
            },
        ),
        "deep_readout": Case(
            "readout with two hidden layers of another width",
            HO,
            {
                "seed": 111,
                "num_features": [4, 3],
                "readout_mlp_hidden_layers_depth": 2,
                "readout_mlp_hidden_layers_width": 7,
                **ho_energy,
            },
        ),
        "deep_linear_readout": Case(
            "readout with two hidden layers and no nonlinearity",
            HO,
            {
                "seed": 120,
                "num_features": [4, 3],
                "readout_mlp_hidden_layers_depth": 2,
                "readout_mlp_nonlinearity": None,
                **ho_energy,
            },
        ),
        "zbl": Case(
            "ZBL in metal units; shifts but no scales",
            (*HO, "ho_contacts"),
            {
                "seed": 112,
                "num_features": [4, 2],
                "per_type_energy_shifts": HO_SHIFTS,
                "pair_potential": {**ZBL, "chemical_species": ["H", "O"]},
            },
        ),
        "zbl_asymmetric_cutoffs": Case(
            "ZBL and R[H,O] != R[O,H]",
            (*HO, "ho_contacts"),
            {
                "seed": 113,
                "l_max": 2,
                "num_features": [4, 2, 2],
                "polynomial_cutoff_p": 5,
                "per_edge_type_cutoff": HO_ASYMMETRIC,
                "avg_num_neighbors": HO_NEIGHBORS,
                **ho_energy,
                "pair_potential": {
                    **ZBL,
                    "chemical_species": ["H", "O"],
                    "polynomial_cutoff_p": 4.0,
                },
            },
        ),
        "zbl_real_units": Case(
            "ZBL in real units (kcal/mol, Å), three types",
            HCO,
            {
                "seed": 114,
                "type_names": HCO_TYPES,
                "num_features": [3, 2],
                "per_type_energy_scales": 20.0,
                "pair_potential": {
                    **ZBL,
                    "units": "real",
                    "chemical_species": HCO_TYPES,
                },
            },
        ),
        "perturbed_l2_everything": Case(
            "perturbed weights, trainable Bessel roots, scales and shifts, asymmetric cutoffs, ZBL",
            (*HO, "ho_contacts"),
            {
                "seed": 115,
                "num_layers": 3,
                "l_max": 2,
                "num_features": [5, 4, 2],
                "type_embed_num_features": 3,
                "radial_mlp_depth": 2,
                "readout_mlp_hidden_layers_depth": 1,
                "readout_mlp_hidden_layers_width": 6,
                "bessel_trainable": True,
                "per_edge_type_cutoff": HO_ASYMMETRIC,
                "avg_num_neighbors": HO_NEIGHBORS,
                "per_type_energy_scales": 1.5,
                "per_type_energy_shifts": HO_SHIFTS,
                "per_type_energy_scales_trainable": True,
                "per_type_energy_shifts_trainable": True,
                "pair_potential": {**ZBL, "chemical_species": ["H", "O"]},
            },
            perturb=True,
        ),
        "perturbed_l1_six_layers": Case(
            "perturbed weights, large 0o features; with fewer than six layers no 0o feature (tanh)"
            " reaches the energy; inner fields stored",
            HO,
            {
                "seed": 117,
                "num_layers": 6,
                "num_features": [3, 2],
                "type_embed_num_features": 2,
                "radial_mlp_width": 6,
                "avg_num_neighbors": 0.5,
                "per_type_energy_scales": {"H": 75.0, "O": 31.25},
                "per_type_energy_shifts": HO_SHIFTS,
            },
            perturb=True,
            pseudoscalar_gain=1e5,
            intermediates="ho_molecule",
        ),
        "perturbed_l3_parity": Case(
            "perturbed weights, l_max 3 with parity, three layers",
            HCO,
            {
                "seed": 116,
                "type_names": HCO_TYPES,
                "num_layers": 3,
                "l_max": 3,
                "num_features": [3, 2, 2, 2],
                "type_embed_num_features": 2,
                "radial_mlp_width": 6,
                "avg_num_neighbors": HCO_NEIGHBORS,
                "per_type_energy_scales": {"H": 12.5, "C": 7.5, "O": 20.0},
                "per_type_energy_shifts": HCO_SHIFTS,
            },
            perturb=True,
        ),
        "trained_l1_ethanol": Case(
            "trained on real frames: ethanol, three types, natural parity, float32 roundings as users see them",
            ("ethanol_test", *ETHANOL),
            {
                "seed": 118,
                "type_names": HCO_TYPES,
                "r_max": 3.5,
                "num_layers": 3,
                "parity": False,
                "num_features": [6, 4],
                "avg_num_neighbors": {"H": 6.0, "C": 7.5, "O": 7.0},
                "per_type_energy_scales": 1.25,
                "per_type_energy_shifts": {"H": -13.6, "C": -1027.8, "O": -2040.7},
            },
            train=ETHANOL,
        ),
        "trained_l2_water": Case(
            "trained on real frames: periodic water with ZBL, asymmetric cutoffs, all that can be trained",
            ("water_test", *WATER),
            {
                "seed": 119,
                "l_max": 2,
                "num_features": [5, 3, 2],
                "bessel_trainable": True,
                "readout_mlp_hidden_layers_depth": 1,
                "per_edge_type_cutoff": HO_ASYMMETRIC,
                "avg_num_neighbors": {"H": 9.0, "O": 8.0},
                "per_type_energy_scales": 1.5,
                "per_type_energy_shifts": {"H": -10.7, "O": -136.0},
                "per_type_energy_scales_trainable": True,
                "per_type_energy_shifts_trainable": True,
                "pair_potential": {**ZBL, "chemical_species": ["H", "O"]},
            },
            train=WATER,
        ),
    }


def build(**options: Any) -> torch.nn.Module:
    """nequip's model."""
    from nequip.model import NequIPGNNModel

    return NequIPGNNModel(**options)


def raise_pseudoscalars(model: torch.nn.Module, case: Case) -> None:
    """Multiply the weights of the 0o paths of each layer's last linear map, in place.

    A fresh model's 0o features are about 1e-6, so that tanh would be the identity
    and their share in the energy below rounding.
    """
    for name, module in model.named_modules():
        if name.endswith("conv.linear_2"):
            for _, path, view in module.weight_views(yield_instruction=True):
                irrep = module.irreps_in[path.i_in].ir
                if (irrep.l, irrep.p) == (0, -1):
                    view.mul_(case.pseudoscalar_gain)


if __name__ == "__main__":
    peer_reference.prepare_peer()
    peer_reference.main(
        Peer(
            name="nequip",
            build=build,
            base=BASE,
            cases=make_cases(),
            distributions=("nequip", "torch", "e3nn", "numpy"),
            before=raise_pseudoscalars,
        )
    )
