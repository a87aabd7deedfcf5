"""Write reference numbers of nequip-allegro's Allegro model for a grid of configurations.

Run it in an environment of its own, see README.md::

    oracle/bin/python make_allegro_reference.py

It writes ``allegro/frames.safetensors``, ``allegro/<case>.safetensors`` and ``allegro/index.json``
next to this file. ``--check`` compares a new run with the stored files instead of writing.
"""

from __future__ import annotations

from typing import Any

import peer_reference as ref
import torch

BESSEL = {
    "_target_": "allegro.nn.TwoBodyBesselScalarEmbed",
    "num_bessels": 8,
    "bessel_trainable": False,
    "polynomial_cutoff_p": 6,
}
SPLINE = {"_target_": "allegro.nn.TwoBodySplineScalarEmbed", "num_splines": 16, "spline_span": 12}
BASE: dict[str, Any] = {
    **ref.BASE,
    "radial_chemical_embed": BESSEL,
    "radial_chemical_embed_dim": None,
    "scalar_embed_mlp_hidden_layers_depth": 1,
    "scalar_embed_mlp_hidden_layers_width": 7,
    "scalar_embed_mlp_nonlinearity": "silu",
    "num_scalar_features": 6,
    "num_tensor_features": 3,
    "allegro_mlp_hidden_layers_depth": 1,
    "allegro_mlp_hidden_layers_width": 8,
    "allegro_mlp_nonlinearity": "silu",
    "tp_path_channel_coupling": True,
    "readout_mlp_hidden_layers_depth": 1,
    "readout_mlp_hidden_layers_width": 5,
    "weight_individual_irreps": True,
    "forward_normalize": True,
}
HO_ENERGY = {"per_type_energy_scales": ref.HO_SCALES, "per_type_energy_shifts": ref.HO_SHIFTS}
HO_ZBL = {"pair_potential": {**ref.ZBL, "chemical_species": ["H", "O"]}}
HCO_ALL = {
    "type_names": ref.HCO_TYPES,
    "avg_num_neighbors": ref.HCO_NEIGHBORS,
    "per_type_energy_scales": {"H": 2.5, "C": 1.5, "O": 4.0},
    "per_type_energy_shifts": ref.HCO_SHIFTS,
}


def fresh_cases() -> dict[str, ref.Case]:
    """Weights as the peer draws them; each config lists what differs from ``BASE``."""
    return {
        "l0_two_layers": ref.Case("scalars only; no scales, no shifts", ref.HO, {"seed": 200, "l_max": 0}),
        "l1_parity": ref.Case("no scales, no shifts", (*ref.HO, "ho_lone"), {"seed": 201}),
        "l1_natural_one_layer": ref.Case(
            "one layer, hence one path of the tensor product for each l; linear readout",
            ref.HO,
            {
                "seed": 202,
                "num_layers": 1,
                "parity": False,
                "readout_mlp_hidden_layers_depth": 0,
                "per_type_energy_shifts": ref.HO_SHIFTS,
            },
        ),
        "l1_parity_four_layers": ref.Case(
            "four layers", ref.HO, {"seed": 203, "num_layers": 4, "avg_num_neighbors": ref.HO_NEIGHBORS, **HO_ENERGY}
        ),
        "l2_parity_three_layers": ref.Case(
            "own width of the embedding, everything per type",
            (*ref.HO, "ho_lone"),
            {
                "seed": 204,
                "l_max": 2,
                "num_layers": 3,
                "radial_chemical_embed_dim": 4,
                "avg_num_neighbors": ref.HO_NEIGHBORS,
                **HO_ENERGY,
            },
        ),
        "l2_natural_reversed_types": ref.Case(
            "natural parity; types listed as O, H; one scale for all",
            ref.HO,
            {
                "seed": 205,
                "type_names": ["O", "H"],
                "l_max": 2,
                "parity": False,
                "avg_num_neighbors": ref.HO_NEIGHBORS,
                "per_type_energy_scales": 0.8,
                "per_type_energy_shifts": ref.HO_SHIFTS,
            },
        ),
        "l3_natural_three_types": ref.Case(
            "l_max 3, natural parity, three types, longer radius",
            ref.HCO,
            {"seed": 206, "r_max": 3.5, "l_max": 3, "parity": False, "num_layers": 3, **HCO_ALL},
        ),
        "l3_parity_one_type": ref.Case(
            "l_max 3 with parity, three layers, one type",
            ref.SI,
            {
                "seed": 207,
                "type_names": ["Si"],
                "r_max": 3.5,
                "l_max": 3,
                "num_layers": 3,
                "num_tensor_features": 2,
                "avg_num_neighbors": 13.0,
                "per_type_energy_scales": 17.5,
                "per_type_energy_shifts": -3.5,
            },
        ),
        "spline": ref.Case(
            "spline embedding with the default options",
            (*ref.HO, "ho_lone"),
            {"seed": 208, "radial_chemical_embed": SPLINE},
        ),
        "spline_backward_uncoupled_shared": ref.Case(
            "spline of few bumps, backward scaling, path weights and environment weights shared",
            ref.HCO,
            {
                "seed": 209,
                "l_max": 2,
                "radial_chemical_embed": {**SPLINE, "num_splines": 7, "spline_span": 5},
                "radial_chemical_embed_dim": 5,
                "tp_path_channel_coupling": False,
                "weight_individual_irreps": False,
                "forward_normalize": False,
                **HCO_ALL,
            },
        ),
        "uncoupled": ref.Case(
            "path weights shared by the channels",
            ref.HO,
            {"seed": 210, "l_max": 2, "num_layers": 3, "tp_path_channel_coupling": False, **HO_ENERGY},
        ),
        "uncoupled_one_path": ref.Case(
            "path weights shared, and one path only: l_max 0",
            ref.HO,
            {"seed": 211, "l_max": 0, "num_layers": 1, "tp_path_channel_coupling": False},
        ),
        "shared_irreps": ref.Case(
            "environment weights shared by the irreps",
            ref.HO,
            {"seed": 212, "l_max": 2, "parity": False, "weight_individual_irreps": False, **HO_ENERGY},
        ),
        "backward_deep": ref.Case(
            "backward scaling, two hidden layers in every network",
            ref.HO,
            {
                "seed": 213,
                "forward_normalize": False,
                "scalar_embed_mlp_hidden_layers_depth": 2,
                "allegro_mlp_hidden_layers_depth": 2,
                "readout_mlp_hidden_layers_depth": 2,
                "avg_num_neighbors": ref.HO_NEIGHBORS,
                **HO_ENERGY,
            },
        ),
        "no_hidden_layers": ref.Case(
            "no hidden layers anywhere",
            ref.HO,
            {
                "seed": 214,
                "scalar_embed_mlp_hidden_layers_depth": 0,
                "allegro_mlp_hidden_layers_depth": 0,
                "readout_mlp_hidden_layers_depth": 0,
                **HO_ENERGY,
            },
        ),
        "nonlinearities": ref.Case(
            "tanh, mish and none",
            ref.HO,
            {
                "seed": 215,
                "scalar_embed_mlp_nonlinearity": "tanh",
                "allegro_mlp_nonlinearity": "mish",
                "readout_mlp_nonlinearity": None,
                **HO_ENERGY,
            },
        ),
        **cutoff_cases(),
    }


def cutoff_cases() -> dict[str, ref.Case]:
    """Cutoffs by pair of types, and ZBL."""
    return {
        "asymmetric_cutoffs_three_types": ref.Case(
            "one radius for all neighbours of H, one listed pair of C, O not listed",
            ref.HCO,
            {"seed": 216, "r_max": 3.5, "per_edge_type_cutoff": {"H": 2.125, "C": {"O": 2.625}}, **HCO_ALL},
        ),
        "zbl": ref.Case(
            "ZBL in metal units; shifts but no scales",
            (*ref.HO, "ho_contacts"),
            {"seed": 217, "per_type_energy_shifts": ref.HO_SHIFTS, **HO_ZBL},
        ),
        "zbl_asymmetric_cutoffs": ref.Case(
            "ZBL and R[H,O] != R[O,H]",
            (*ref.HO, "ho_contacts"),
            {
                "seed": 218,
                "l_max": 2,
                "radial_chemical_embed": {**BESSEL, "num_bessels": 5, "polynomial_cutoff_p": 5},
                "per_edge_type_cutoff": ref.HO_ASYMMETRIC,
                "avg_num_neighbors": ref.HO_NEIGHBORS,
                **HO_ENERGY,
                "pair_potential": {**HO_ZBL["pair_potential"], "polynomial_cutoff_p": 4.0},
            },
        ),
        "zbl_asymmetric_cutoffs_spline": ref.Case(
            "ZBL and R[H,O] != R[O,H] with the spline embedding",
            (*ref.HO, "ho_contacts"),
            {
                "seed": 219,
                "radial_chemical_embed": SPLINE,
                "per_edge_type_cutoff": ref.HO_ASYMMETRIC,
                "avg_num_neighbors": ref.HO_NEIGHBORS,
                **HO_ENERGY,
                **HO_ZBL,
            },
        ),
    }


def moved_cases() -> dict[str, ref.Case]:
    """Weights away from their start: by random factors, or by training on real frames."""
    trainable = {"per_type_energy_scales_trainable": True, "per_type_energy_shifts_trainable": True}
    ethanol = {
        **HCO_ALL,
        "r_max": 3.5,
        "avg_num_neighbors": {"H": 6.0, "C": 7.5, "O": 7.0},
        "per_type_energy_shifts": {"H": -13.6, "C": -1027.8, "O": -2040.7},
    }
    return {
        "perturbed_l2_everything": ref.Case(
            "trainable Bessel roots, scales and shifts, asymmetric cutoffs, ZBL, deep readout",
            (*ref.HO, "ho_contacts"),
            {
                "seed": 220,
                "l_max": 2,
                "num_layers": 3,
                "radial_chemical_embed": {**BESSEL, "bessel_trainable": True},
                "readout_mlp_hidden_layers_depth": 2,
                "per_edge_type_cutoff": ref.HO_ASYMMETRIC,
                "avg_num_neighbors": ref.HO_NEIGHBORS,
                "per_type_energy_scales": 1.5,
                "per_type_energy_shifts": ref.HO_SHIFTS,
                **trainable,
                **HO_ZBL,
            },
            perturb=True,
        ),
        "perturbed_l3_four_layers": ref.Case(
            "l_max 3 with parity, four layers, three types",
            ref.HCO,
            {"seed": 221, "l_max": 3, "num_layers": 4, "num_tensor_features": 2, **HCO_ALL},
            perturb=True,
        ),
        "perturbed_spline_natural": ref.Case(
            "spline, natural parity, shared weights",
            ref.HO,
            {
                "seed": 222,
                "l_max": 3,
                "parity": False,
                "radial_chemical_embed": SPLINE,
                "tp_path_channel_coupling": False,
                "weight_individual_irreps": False,
                **HO_ENERGY,
            },
            perturb=True,
        ),
        "trained_l2_ethanol": ref.Case(
            "trained on real frames: ethanol, three types",
            ("ethanol_test", *ref.ETHANOL),
            {"seed": 223, "l_max": 2, "num_scalar_features": 8, "num_tensor_features": 4, **ethanol},
            train=ref.ETHANOL,
        ),
        "trained_l1_ethanol_spline": ref.Case(
            "trained on real frames: ethanol, spline embedding, natural parity",
            ("ethanol_test", *ref.ETHANOL),
            {"seed": 224, "parity": False, "radial_chemical_embed": SPLINE, **ethanol},
            train=ref.ETHANOL,
        ),
        "trained_l2_water": ref.Case(
            "trained on real frames: periodic water with ZBL, asymmetric cutoffs, all that can be trained",
            ("water_test", *ref.WATER),
            {
                "seed": 225,
                "l_max": 2,
                "radial_chemical_embed": {**BESSEL, "bessel_trainable": True},
                "per_edge_type_cutoff": ref.HO_ASYMMETRIC,
                "avg_num_neighbors": {"H": 9.0, "O": 8.0},
                "per_type_energy_scales": 1.5,
                "per_type_energy_shifts": {"H": -10.7, "O": -136.0},
                **trainable,
                **HO_ZBL,
            },
            train=ref.WATER,
        ),
    }


def build(**options: Any) -> torch.nn.Module:
    """nequip-allegro's model."""
    from allegro.model import AllegroModel

    return AllegroModel(**options)


if __name__ == "__main__":
    ref.prepare_peer()
    ref.main(
        ref.Peer(
            name="allegro",
            build=build,
            base=BASE,
            cases={**fresh_cases(), **moved_cases()},
            distributions=("nequip", "nequip-allegro", "torch", "e3nn", "numpy"),
        )
    )
