"""Weights of nequip 0.19 models under the names and in the layouts of equipot-nequip.

nequip keeps the weights of one linear map in one flat tensor: irrep after irrep of the input (of the
convolution's result: 0o, 0e, 1o, 1e, ...), each row-major [in, out]. Radial networks, readout and
embedding have the same shapes on both sides; the columns of the radial networks have the same order.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from equipot.model import GraphModel
    from equipot.nn.irreps import FeatureLayout, Irrep

_PREFIX = re.compile(r"^(sole_model\.)?(model\.)?(func\.)?")


def from_peer(peer: Mapping[str, torch.Tensor], model: GraphModel) -> dict[str, torch.Tensor]:
    """State dict for our model from that of the peer's model with the same hyperparameters.

    Args:
        peer: State dict of the peer's GraphModel; fixed tables in it are not used.
        model: Our model, which gives the layouts.

    Returns:
        Tensors in the dtypes of ``model``, ready for ``load_state_dict(strict=True)``.
    """
    given = {_PREFIX.sub("", name): value for name, value in peer.items()}
    energy: Any = model.energy
    ours = {"energy.type_embedding.weight": given["type_embed.embed_module.weight"]}
    for index, layer in enumerate(energy.layers):
        for name, value in _layer(given, f"layer{index}_convnet.conv", layer).items():
            ours[f"energy.layers.{index}.{name}"] = value
    ours.update(_mlp(given, "per_atom_energy_readout.mlp_module.mlp", "energy.readout"))
    own = model.state_dict()
    fixed = {
        "energy.radial.bessel.roots": "bessel_encode.bessel_weights",
        "scale_shift.scales": "per_type_energy_scale_shift.scales",
        "scale_shift.shifts": "per_type_energy_scale_shift.shifts",
    }
    for name, source in fixed.items():
        if name in own:
            ours[name] = given[source].reshape(own[name].shape) if source in given else own[name]
    return {name: value.to(own[name].dtype) for name, value in ours.items()}


def _layer(given: Mapping[str, torch.Tensor], prefix: str, layer: Any) -> dict[str, torch.Tensor]:
    target = layer.gate.layout_in
    mid = layer.convolution.layout_out
    linear_2_order = sorted((block.irrep for block in mid.blocks), key=lambda irrep: (irrep.l, irrep.p))
    ours = {
        **_linear(given[f"{prefix}.linear_1.weight"], "linear_1", layer.layout_in, layer.layout_in),
        **_mlp(given, f"{prefix}.edge_mlp.mlp", "radial_mlp"),
        **_linear(given[f"{prefix}.linear_2.weight"], "linear_2", mid, target, order=linear_2_order),
    }
    if layer.self_connection is not None:
        width = layer.self_connection.embedding_dim
        flat = given[f"{prefix}.sc.weight"]
        ours.update(_linear(flat, "self_connection", layer.layout_in, target, between=(width,)))
    return ours


def _linear(
    flat: torch.Tensor,
    name: str,
    layout_in: FeatureLayout,
    layout_out: FeatureLayout,
    *,
    order: list[Irrep] | None = None,
    between: tuple[int, ...] = (),
) -> dict[str, torch.Tensor]:
    """Cut a flat weight into one tensor an irrep, of shape [mul_in, *between, mul_out]."""
    ours, start = {}, 0
    for irrep in order or [block.irrep for block in layout_in.blocks]:
        if irrep in layout_out:
            shape = (layout_in.mul(irrep), *between, layout_out.mul(irrep))
            stop = start + math.prod(shape)
            ours[f"{name}.weights.{irrep}"] = flat[start:stop].reshape(shape)
            start = stop
    if start != flat.numel():
        raise ValueError(f"{name}: {flat.numel()} weights, {start} expected")
    return ours


def _mlp(given: Mapping[str, torch.Tensor], prefix: str, name: str) -> dict[str, torch.Tensor]:
    """The layers of a network, numbered 0, 2, 4, ... (nonlinearities lie between) or, all linear, 0, 1, 2, ..."""
    layer = re.compile(re.escape(prefix) + r"\.(?:(\d+)\.weight|weights\.(\d+))")
    found = {int(match[1] or match[2]): value for key, value in given.items() if (match := layer.fullmatch(key))}
    return {f"{name}.weights.{k}": found[number] for k, number in enumerate(sorted(found))}
