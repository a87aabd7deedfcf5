"""Weights of nequip-allegro 0.8 models under the names and in the layouts of equipot-allegro.

Both sides keep the matrices of networks as [in, out], and number the paths of a tensor product alike:
by irrep of the result, then of the tensors, then of the spherical harmonics. What differs:

- environment and tensor weights: channel by channel in the peer, irreps inside; here irrep by irrep,
  channels inside, so the columns that make them change places;
- path weights: [channels, paths], or [paths], without the axis of paths where there is one; here
  [paths, channels], or [paths, 1];
- splines: [pairs, features · splines]; here [pairs, splines, features].
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from equipot.model import GraphModel

_PREFIX = re.compile(r"^(sole_model\.)?(model\.)?(func\.)?")
_FIXED = {
    "energy.two_body.embedding.radial.bessel.roots": "radial_chemical_embed.bessel_encode.bessel_weights",
    "scale_shift.scales": "per_type_energy_scale_shift.scales",
    "scale_shift.shifts": "per_type_energy_scale_shift.shifts",
}
"""Values that keep their order; absent where the model does not have them."""


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
    num_channels = energy.num_channels
    num_scalars = energy.two_body.sizes[0]
    ours = {**_two_body(given, num_scalars, num_channels), **_mlp(given, "edge_readout.mlp_module", "energy.readout")}
    for index, layer in enumerate(energy.layers):
        name = f"energy.layers.{index}"
        latent = _mlp(given, f"allegro.latents.{index}", f"{name}.latent")
        ours.update(_last_reordered(latent, num_scalars, num_channels))
        paths = given[f"allegro.tps.{index}.weights"].reshape(layer.contraction.weights.shape[::-1])
        ours[f"{name}.contraction.weights"] = paths.t()
    own = model.state_dict()
    for name, source in _FIXED.items():
        if name in own:
            ours[name] = given[source].reshape(own[name].shape) if source in given else own[name]
    return {name: value.to(own[name].dtype) for name, value in ours.items()}


def _two_body(given: Mapping[str, torch.Tensor], num_scalars: int, num_channels: int) -> dict[str, torch.Tensor]:
    projection = _mlp(given, "allegro.first_layer_env_embed_projection", "energy.two_body.projection")
    tensor_weights = _mlp(given, "tensor_embed.env_embed_linear", "energy.two_body.tensor_weights")
    return {
        **_embedding(given),
        **_mlp(given, "scalar_embed_mlp.mlp_module", "energy.two_body.mlp"),
        **_last_reordered(projection, num_scalars, num_channels),
        **_last_reordered(tensor_weights, 0, num_channels),
    }


def _embedding(given: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    source, name = "radial_chemical_embed", "energy.two_body.embedding"
    if f"{source}.spline.class_embed.weight" in given:
        num_splines = given[f"{source}.spline.lower"].numel()
        weight = given[f"{source}.spline.class_embed.weight"]
        return {f"{name}.weight": weight.reshape(len(weight), -1, num_splines).transpose(1, 2)}
    return {
        f"{name}.centre.weight": given[f"{source}.type_embed.center_embed.weight"],
        f"{name}.neighbour.weight": given[f"{source}.type_embed.neighbor_embed.weight"],
        **_mlp(given, f"{source}.type_embed.basis_linear", f"{name}.linear"),
    }


def _mlp(given: Mapping[str, torch.Tensor], prefix: str, name: str) -> dict[str, torch.Tensor]:
    """The layers of a network, numbered 0, 2, 4, ... (nonlinearities lie between) or, all linear, 0, 1, 2, ..."""
    layer = re.compile(re.escape(prefix) + r"\.mlp\.(?:(\d+)\.weight|weights\.(\d+))")
    found = {int(match[1] or match[2]): value for key, value in given.items() if (match := layer.fullmatch(key))}
    return {f"{name}.weights.{k}": found[number] for k, number in enumerate(sorted(found))}


def _last_reordered(network: dict[str, torch.Tensor], keep: int, num_channels: int) -> dict[str, torch.Tensor]:
    """A network whose last columns, after the first ``keep``, go from [channel, irrep] to [irrep, channel]."""
    name, last = max(network.items(), key=lambda item: int(item[0].rsplit(".", 1)[1]))
    if last.shape[1] == keep:
        return network
    weights = last[:, keep:].unflatten(1, (num_channels, -1)).transpose(1, 2).flatten(1)
    return {**network, name: torch.cat([last[:, :keep], weights], dim=1)}
