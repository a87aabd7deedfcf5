"""Write reference numbers of nequip's NequIP model for a grid of configurations.

Run it in an environment of its own, see README.md::

    oracle/bin/python make_nequip_reference.py

It writes ``nequip/frames.safetensors``, ``nequip/<case>.safetensors`` and ``nequip/index.json`` next
to this file. ``--check`` compares a new run with the stored files instead of writing.
"""

from __future__ import annotations

from typing import Any

import peer_reference as ref
import torch

BASE: dict[str, Any] = {
    **ref.BASE,
    "num_features": 4,
    "type_embed_num_features": None,
    "radial_mlp_depth": 1,
    "radial_mlp_width": 8,
    "readout_mlp_hidden_layers_depth": 0,
    "readout_mlp_hidden_layers_width": None,
    "num_bessels": 8,
    "bessel_trainable": False,
    "polynomial_cutoff_p": 6,
}


def make_cases() -> dict[str, ref.Case]:
    """Every case by name; a config lists what differs from ``BASE``."""
    ho_energy = {"per_type_energy_scales": ref.HO_SCALES, "per_type_energy_shifts": ref.HO_SHIFTS}
    return {
        "l0_two_layers": ref.Case(
            "scalars only; no scales, no shifts",
            ref.HO,
            {"seed": 100, "l_max": 0, "num_features": 5},
        ),
        "l1_parity": ref.Case(
            "integer num_features; no scales, no shifts",
            (*ref.HO, "ho_lone"),
            {"seed": 101},
        ),
        "l1_natural_one_type": ref.Case(
            "one type, natural parity, three layers, one scale and one shift for all",
            ref.SI,
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
        "l2_parity_three_layers": ref.Case(
            "list of features, own type-embedding width, everything per type; inner fields stored",
            (*ref.HO, "ho_lone"),
            {
                "seed": 103,
                "num_layers": 3,
                "l_max": 2,
                "num_features": [6, 4, 3],
                "type_embed_num_features": 5,
                "avg_num_neighbors": ref.HO_NEIGHBORS,
                **ho_energy,
            },
            intermediates="ho_molecule",
        ),
        "l2_natural_reversed_types": ref.Case(
            "natural parity; types listed as O, H; default width of the readout's hidden layer",
            ref.HO,
            {
                "seed": 104,
                "type_names": ["O", "H"],
                "l_max": 2,
                "parity": False,
                "num_features": [4, 3, 2],
                "readout_mlp_hidden_layers_depth": 1,
                "avg_num_neighbors": ref.HO_NEIGHBORS,
                "per_type_energy_scales": 0.8,
                "per_type_energy_shifts": ref.HO_SHIFTS,
            },
        ),
        "l2_one_layer": ref.Case(
            "a single layer, hence only scalars out of it; radial network with two hidden layers",
            ref.HO,
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
        "l1_five_layers": ref.Case(
            "five layers; inner fields stored",
            ref.HO,
            {
                "seed": 106,
                "num_layers": 5,
                "num_features": [4, 3],
                "avg_num_neighbors": ref.HO_NEIGHBORS,
                **ho_energy,
            },
            intermediates="ho_isolated",
        ),
        "l3_parity": ref.Case(
            "l_max 3 with parity, deep radial network, 5 Bessel functions, cutoff power 5",
            ref.HO,
            {
                "seed": 107,
                "l_max": 3,
                "num_features": [4, 3, 2, 2],
                "type_embed_num_features": 2,
                "radial_mlp_depth": 3,
                "radial_mlp_width": 6,
                "num_bessels": 5,
                "polynomial_cutoff_p": 5,
                "avg_num_neighbors": ref.HO_NEIGHBORS,
                "per_type_energy_scales": {"H": 15.0, "O": 6.25},
                "per_type_energy_shifts": ref.HO_SHIFTS,
            },
        ),
        "l3_natural_three_types": ref.Case(
            "l_max 3, natural parity, three layers, three types",
            ref.HCO,
            {
                "seed": 108,
                "type_names": ref.HCO_TYPES,
                "r_max": 3.5,
                "num_layers": 3,
                "l_max": 3,
                "parity": False,
                "num_features": [4, 3, 3, 2],
                "radial_mlp_depth": 2,
                "avg_num_neighbors": ref.HCO_NEIGHBORS,
                "per_type_energy_scales": {"H": 12.5, "C": 7.5, "O": 20.0},
                "per_type_energy_shifts": ref.HCO_SHIFTS,
            },
        ),
        "asymmetric_cutoffs": ref.Case(
            "R[H,O] != R[O,H]; one pair not listed",
            ref.HO,
            {
                "seed": 109,
                "l_max": 2,
                "num_features": [4, 3, 2],
                "per_edge_type_cutoff": ref.HO_ASYMMETRIC,
                "avg_num_neighbors": ref.HO_NEIGHBORS,
                **ho_energy,
            },
        ),
        "asymmetric_cutoffs_three_types": ref.Case(
            "one radius for all neighbours of H, one listed pair of C, O not listed",
            ref.HCO,
            {
                "seed": 110,
                "type_names": ref.HCO_TYPES,
                "r_max": 3.5,
                "num_features": [4, 2],
                "per_edge_type_cutoff": {"H": 2.125, "C": {"O": 2.625}},
                "per_type_energy_shifts": ref.HCO_SHIFTS,
            },
        ),
        "deep_readout": ref.Case(
            "readout with two hidden layers of another width",
            ref.HO,
            {
                "seed": 111,
                "num_features": [4, 3],
                "readout_mlp_hidden_layers_depth": 2,
                "readout_mlp_hidden_layers_width": 7,
                **ho_energy,
            },
        ),
        "deep_linear_readout": ref.Case(
            "readout with two hidden layers and no nonlinearity",
            ref.HO,
            {
                "seed": 120,
                "num_features": [4, 3],
                "readout_mlp_hidden_layers_depth": 2,
                "readout_mlp_nonlinearity": None,
                **ho_energy,
            },
        ),
        "zbl": ref.Case(
            "ZBL in metal units; shifts but no scales",
            (*ref.HO, "ho_contacts"),
            {
                "seed": 112,
                "num_features": [4, 2],
                "per_type_energy_shifts": ref.HO_SHIFTS,
                "pair_potential": {**ref.ZBL, "chemical_species": ["H", "O"]},
            },
        ),
        "zbl_asymmetric_cutoffs": ref.Case(
            "ZBL and R[H,O] != R[O,H]",
            (*ref.HO, "ho_contacts"),
            {
                "seed": 113,
                "l_max": 2,
                "num_features": [4, 2, 2],
                "polynomial_cutoff_p": 5,
                "per_edge_type_cutoff": ref.HO_ASYMMETRIC,
                "avg_num_neighbors": ref.HO_NEIGHBORS,
                **ho_energy,
                "pair_potential": {
                    **ref.ZBL,
                    "chemical_species": ["H", "O"],
                    "polynomial_cutoff_p": 4.0,
                },
            },
        ),
        "zbl_real_units": ref.Case(
            "ZBL in real units (kcal/mol, Å), three types",
            ref.HCO,
            {
                "seed": 114,
                "type_names": ref.HCO_TYPES,
                "num_features": [3, 2],
                "per_type_energy_scales": 20.0,
                "pair_potential": {
                    **ref.ZBL,
                    "units": "real",
                    "chemical_species": ref.HCO_TYPES,
                },
            },
        ),
        "perturbed_l2_everything": ref.Case(
            "perturbed weights, trainable Bessel roots, scales and shifts, asymmetric cutoffs, ZBL",
            (*ref.HO, "ho_contacts"),
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
                "per_edge_type_cutoff": ref.HO_ASYMMETRIC,
                "avg_num_neighbors": ref.HO_NEIGHBORS,
                "per_type_energy_scales": 1.5,
                "per_type_energy_shifts": ref.HO_SHIFTS,
                "per_type_energy_scales_trainable": True,
                "per_type_energy_shifts_trainable": True,
                "pair_potential": {**ref.ZBL, "chemical_species": ["H", "O"]},
            },
            perturb=True,
        ),
        "perturbed_l1_six_layers": ref.Case(
            "perturbed weights, large 0o features; with fewer than six layers no 0o feature (tanh)"
            " reaches the energy; inner fields stored",
            ref.HO,
            {
                "seed": 117,
                "num_layers": 6,
                "num_features": [3, 2],
                "type_embed_num_features": 2,
                "radial_mlp_width": 6,
                "avg_num_neighbors": 0.5,
                "per_type_energy_scales": {"H": 75.0, "O": 31.25},
                "per_type_energy_shifts": ref.HO_SHIFTS,
            },
            perturb=True,
            pseudoscalar_gain=1e5,
            intermediates="ho_molecule",
        ),
        "perturbed_l3_parity": ref.Case(
            "perturbed weights, l_max 3 with parity, three layers",
            ref.HCO,
            {
                "seed": 116,
                "type_names": ref.HCO_TYPES,
                "num_layers": 3,
                "l_max": 3,
                "num_features": [3, 2, 2, 2],
                "type_embed_num_features": 2,
                "radial_mlp_width": 6,
                "avg_num_neighbors": ref.HCO_NEIGHBORS,
                "per_type_energy_scales": {"H": 12.5, "C": 7.5, "O": 20.0},
                "per_type_energy_shifts": ref.HCO_SHIFTS,
            },
            perturb=True,
        ),
        "trained_l1_ethanol": ref.Case(
            "trained on real frames: ethanol, three types, natural parity, float32 roundings as users see them",
            ("ethanol_test", *ref.ETHANOL),
            {
                "seed": 118,
                "type_names": ref.HCO_TYPES,
                "r_max": 3.5,
                "num_layers": 3,
                "parity": False,
                "num_features": [6, 4],
                "avg_num_neighbors": {"H": 6.0, "C": 7.5, "O": 7.0},
                "per_type_energy_scales": 1.25,
                "per_type_energy_shifts": {"H": -13.6, "C": -1027.8, "O": -2040.7},
            },
            train=ref.ETHANOL,
        ),
        "trained_l2_water": ref.Case(
            "trained on real frames: periodic water with ZBL, asymmetric cutoffs, all that can be trained",
            ("water_test", *ref.WATER),
            {
                "seed": 119,
                "l_max": 2,
                "num_features": [5, 3, 2],
                "bessel_trainable": True,
                "readout_mlp_hidden_layers_depth": 1,
                "per_edge_type_cutoff": ref.HO_ASYMMETRIC,
                "avg_num_neighbors": {"H": 9.0, "O": 8.0},
                "per_type_energy_scales": 1.5,
                "per_type_energy_shifts": {"H": -10.7, "O": -136.0},
                "per_type_energy_scales_trainable": True,
                "per_type_energy_shifts_trainable": True,
                "pair_potential": {**ref.ZBL, "chemical_species": ["H", "O"]},
            },
            train=ref.WATER,
        ),
    }


def build(**options: Any) -> torch.nn.Module:
    """nequip's model."""
    from nequip.model import NequIPGNNModel

    return NequIPGNNModel(**options)


def raise_pseudoscalars(model: torch.nn.Module, case: ref.Case) -> None:
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
    ref.prepare_peer()
    ref.main(
        ref.Peer(
            name="nequip",
            build=build,
            base=BASE,
            cases=make_cases(),
            distributions=("nequip", "torch", "e3nn", "numpy"),
            before=raise_pseudoscalars,
        )
    )
