"""Models of other programs with random weights, as calculators for ``equipot plugins check --calculator``.

Each function runs in the environment of the program it names, see docs/how-to/check-a-plugin.md.
Laws of physics hold for any weights, so nothing is trained.
"""

from __future__ import annotations

from typing import Any

ELEMENTS = ["H", "C", "O"]
ENERGIES = [-13.6, -1027.6, -2041.8]
"""Energies of the isolated atoms, eV."""


def nequip() -> Any:
    """NequIP (nequip 0.19), float32, the program's default."""
    from nequip.model import NequIPGNNModel

    return _nequip_calculator(NequIPGNNModel(**_shared(), num_layers=2, l_max=1, num_features=8, radial_mlp_width=16))


def allegro() -> Any:
    """Allegro (nequip-allegro 0.8), float32, the program's default."""
    from allegro.model import AllegroModel

    radial = {"_target_": "allegro.nn.TwoBodyBesselScalarEmbed", "num_bessels": 8}
    model = AllegroModel(**_shared(), l_max=1, num_layers=1, num_scalar_features=8, radial_chemical_embed=radial)
    return _nequip_calculator(model)


def mace() -> Any:
    """MACE (mace-torch 0.3), float64."""
    import os

    os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"  # its e3nn loads tables in a way that torch 2.6 refuses
    import numpy as np
    import torch
    from e3nn import o3
    from mace import modules
    from mace.calculators import MACECalculator

    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    model = modules.ScaleShiftMACE(
        r_max=4.0,
        num_bessel=8,
        num_polynomial_cutoff=6,
        max_ell=2,
        num_elements=len(ELEMENTS),
        num_interactions=2,
        interaction_cls=block,
        interaction_cls_first=block,
        hidden_irreps=o3.Irreps("8x0e + 8x1o"),
        MLP_irreps=o3.Irreps("8x0e"),
        gate=torch.nn.functional.silu,
        atomic_energies=np.array(ENERGIES),
        avg_num_neighbors=12.0,
        atomic_numbers=[1, 6, 8],
        correlation=2,
        atomic_inter_scale=1.0,
        atomic_inter_shift=0.0,
        radial_MLP=[16],
    )
    return MACECalculator(models=[model], device="cpu", default_dtype="float64")


def torch_sim() -> Any:
    """The Lennard-Jones model of torch-sim 0.3, float64: for ``--elements Ar``."""
    import torch
    from torch_sim.models.lennard_jones import LennardJonesModel

    return LennardJonesModel(
        use_neighbor_list=True, sigma=2.0, epsilon=0.1, cutoff=5.0, dtype=torch.float64, device=torch.device("cpu"),
        compute_forces=True, compute_stress=True,
    )  # fmt: skip


def _shared() -> dict[str, Any]:
    from nequip.utils.global_state import set_global_state

    set_global_state()
    return {
        "seed": 1,
        "model_dtype": "float32",
        "type_names": ELEMENTS,
        "r_max": 4.0,
        "avg_num_neighbors": 12.0,
        "per_type_energy_shifts": dict(zip(ELEMENTS, ENERGIES, strict=True)),
    }


def _nequip_calculator(model: Any) -> Any:
    from nequip.data.transforms import ChemicalSpeciesToAtomTypeMapper, NeighborListTransform
    from nequip.integrations.ase import NequIPCalculator

    species = {element: element for element in ELEMENTS}
    transforms = [
        ChemicalSpeciesToAtomTypeMapper(model_type_names=ELEMENTS, chemical_species_to_atom_type_map=species),
        NeighborListTransform(r_max=4.0),
    ]
    return NequIPCalculator(model.eval(), device="cpu", transforms=transforms)
