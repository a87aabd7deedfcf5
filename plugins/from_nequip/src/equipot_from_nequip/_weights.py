"""Convert weights of nequip's models to the names and layouts of ours.

NequIP: nequip keeps the weights of one linear map in one flat tensor: irrep after irrep of the input (of
the convolution's result: 0o, 0e, 1o, 1e, ...), each row-major [in, out]. Radial networks, readout and
embedding have the same shapes on both sides; the columns of the radial networks have the same order.

Allegro: both sides keep matrices as [in, out] and number the paths of a tensor product in the same way. They differ
in the order of environment and tensor weights ([channel, irrep] there, [irrep, channel] here), of path weights
([channels, paths] or [paths] there, [paths, channels] or [paths, 1] here), and of splines ([pairs,
features · splines] there, [pairs, splines, features] here).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch

from equipot.errors import ArtifactError, problem

State = Mapping[str, torch.Tensor]

_PREFIX = re.compile(r"^(sole_model\.)?(model\.)?(func\.)?")
_LAYER = re.compile(r"\.(?:(\d+)\.weight|weights\.(\d+))")
"""What follows the name of a network: a layer's number, with nonlinearities counted or not."""
_IRREP = re.compile(r"\.(\d+)([eo])$")
UNUSED = re.compile(
    r"edge_norm\.|pair_potential\.(atomic_numbers|_qqr2exesquare)$|(radial_chemical_embed\.)?bessel_encode\.bessel_weights$"
    r"|radial_chemical_embed\.spline\.(lower|upper)|.*(w3j|output_mask)"
)
"""Tensors of nequip that follow from hyperparameters; ``output_mask`` and ``w3j`` are tables of e3nn."""


class Taken:
    """Nequip's tensors, with a record of those that were used."""

    def __init__(self, peer: State) -> None:
        self.given = {_PREFIX.sub("", name): value for name, value in peer.items()}
        self.used: set[str] = set()

    def __getitem__(self, name: str) -> torch.Tensor:
        """A tensor by its short name.

        Raises:
            ArtifactError: If there is no tensor of this name.
        """
        if name not in self.given:
            raise ArtifactError(problem("weights", "the model of nequip has no such tensor", got=name))
        self.used.add(name)
        return self.given[name]

    def names(self, prefix: str) -> list[str]:
        """Names that begin with a prefix."""
        return [name for name in self.given if name.startswith(prefix)]

    def rest(self) -> list[str]:
        """Names of tensors that were not used although they do not follow from hyperparameters."""
        left = self.given.keys() - self.used
        return sorted(name for name in left if self.given[name].numel() and not UNUSED.match(name))


def convert_weights(peer: State, own: State, family: str, builder: Any) -> dict[str, torch.Tensor]:
    """Convert the state dict of nequip's model to that of our model with the same hyperparameters.

    Args:
        peer: State dict of nequip's GraphModel; fixed tables in it are ignored.
        own: ``state_dict()`` of our model, for names, shapes and data types.
        family: Registered name of our builder.
        builder: Our builder, for the numbers of features.

    Returns:
        Tensors in the data types of ``own``, ready for ``load_state_dict(strict=True)``.

    Raises:
        ArtifactError: If names or shapes do not match.
    """
    taken = Taken(peer)
    ours = {**CONVERTERS[family](taken, own, builder), **_fixed(taken, own)}
    missing, extra = sorted(own.keys() - ours.keys()), sorted(ours.keys() - own.keys())
    if missing or extra or taken.rest():
        parts = {"missing": missing, "unknown here": extra, "not used": taken.rest()}
        text = "; ".join(f"{what}: {names}" for what, names in parts.items() if names)
        raise ArtifactError(problem("weights", f"do not match ({text})"))
    wrong = [
        f"{name} {tuple(value.shape)}, expected {tuple(own[name].shape)}"
        for name, value in ours.items()
        if value.shape != own[name].shape
    ]
    if wrong:
        raise ArtifactError(problem("weights", f"have different shapes: {'; '.join(wrong)}"))
    return {name: value.to(own[name].dtype) for name, value in ours.items()}


def _fixed(taken: Taken, own: State) -> dict[str, torch.Tensor]:
    """Scales and shifts, which every model of ours has; if nequip's has none, they stay 1 and 0."""
    ours = {}
    for name in ("scales", "shifts"):
        source = f"per_type_energy_scale_shift.{name}"
        key = f"scale_shift.{name}"
        ours[key] = taken[source].flatten() if source in taken.given else own[key]
    return ours


def nequip(taken: Taken, own: State, builder: Any) -> dict[str, torch.Tensor]:
    """Embedding, radial basis, layers and readout of the NequIP model."""
    del builder
    ours = {
        "energy.type_embedding.weight": taken["type_embed.embed_module.weight"],
        **network(taken, "per_atom_energy_readout.mlp_module.mlp", "energy.readout"),
    }
    if (roots := "energy.radial.bessel.roots") in own:  # trained
        ours[roots] = taken["bessel_encode.bessel_weights"].flatten()
    for index in range(_count(own, "energy.layers.")):
        source, target = f"layer{index}_convnet.conv", f"energy.layers.{index}"
        ours.update(network(taken, f"{source}.edge_mlp.mlp", f"{target}.radial_mlp"))
        ours.update(_linear(taken[f"{source}.linear_1.weight"], own, f"{target}.linear_1", _even_first))
        ours.update(_linear(taken[f"{source}.linear_2.weight"], own, f"{target}.linear_2", _odd_first))
        if any(name.startswith(f"{target}.self_connection.") for name in own):
            ours.update(_linear(taken[f"{source}.sc.weight"], own, f"{target}.self_connection", _even_first))
    return ours


def _count(own: State, prefix: str) -> int:
    numbers = [int(name.removeprefix(prefix).split(".")[0]) for name in own if name.startswith(prefix)]
    return max(numbers, default=-1) + 1


def _even_first(irrep: tuple[int, str]) -> tuple[int, bool]:
    """Order of hidden features: 0e, 0o, 1e, 1o, ..."""
    return irrep[0], irrep[1] == "o"


def _odd_first(irrep: tuple[int, str]) -> tuple[int, bool]:
    """Order of the convolution's result: 0o, 0e, 1o, 1e, ..."""
    return irrep[0], irrep[1] == "e"


def _linear(
    flat: torch.Tensor, own: State, name: str, order: Callable[[tuple[int, str]], tuple[int, bool]]
) -> dict[str, torch.Tensor]:
    """Split a flat weight into one tensor per irrep, with our shapes."""
    irreps = {
        (int(found[1]), found[2]): key
        for key in own
        if key.startswith(f"{name}.weights.") and (found := _IRREP.search(key))
    }
    ours, start = {}, 0
    for irrep in sorted(irreps, key=order):
        key = irreps[irrep]
        stop = start + own[key].numel()
        ours[key] = flat[start:stop].reshape(own[key].shape) if stop <= flat.numel() else flat[start:]
        start = stop
    if start != flat.numel():
        raise ArtifactError(problem(f"weights: {name}", f"has {flat.numel()} numbers, expected {start}"))
    return ours


def network(taken: Taken, prefix: str, name: str) -> dict[str, torch.Tensor]:
    """The layers of a network.

    nequip numbers them 0, 2, 4, ..., since nonlinearities lie between, and those of a linear network 0, 1, 2, ...

    Args:
        taken: Nequip's tensors.
        prefix: Nequip's name of the network.
        name: Our name of the network.
    """
    matches = (_LAYER.fullmatch(key, len(prefix)) for key in taken.names(prefix))
    layers = {int(match[1] or match[2]): match.string for match in matches if match}
    return {f"{name}.weights.{index}": taken[layers[number]] for index, number in enumerate(sorted(layers))}


def allegro(taken: Taken, own: State, builder: Any) -> dict[str, torch.Tensor]:
    """Two-body part, layers and readout of the Allegro model."""
    num_scalars, num_channels = builder.num_scalar_features, builder.num_tensor_features
    two_body = "energy.two_body"
    projection = network(taken, "allegro.first_layer_env_embed_projection.mlp", f"{two_body}.projection")
    tensor_weights = network(taken, "tensor_embed.env_embed_linear.mlp", f"{two_body}.tensor_weights")
    ours = {
        **_pair_embedding(taken, own),
        **network(taken, "scalar_embed_mlp.mlp_module.mlp", f"{two_body}.mlp"),
        **_irreps_first(projection, num_scalars, num_channels),
        **_irreps_first(tensor_weights, 0, num_channels),
        **network(taken, "edge_readout.mlp_module.mlp", "energy.readout"),
    }
    for index in range(_count(own, "energy.layers.")):
        target = f"energy.layers.{index}"
        latent = network(taken, f"allegro.latents.{index}.mlp", f"{target}.latent")
        ours.update(_irreps_first(latent, num_scalars, num_channels))
        name = f"{target}.contraction.weights"
        ours[name] = taken[f"allegro.tps.{index}.weights"].reshape(own[name].shape[::-1]).t()
    return ours


def _pair_embedding(taken: Taken, own: State) -> dict[str, torch.Tensor]:
    source, target = "radial_chemical_embed", "energy.two_body.embedding"
    if f"{target}.weight" in own:  # a spline
        num_splines = own[f"{target}.weight"].shape[1]
        weight = taken[f"{source}.spline.class_embed.weight"]
        return {f"{target}.weight": weight.reshape(len(weight), -1, num_splines).transpose(1, 2)}
    ours = {
        f"{target}.centre.weight": taken[f"{source}.type_embed.center_embed.weight"],
        f"{target}.neighbour.weight": taken[f"{source}.type_embed.neighbor_embed.weight"],
        **network(taken, f"{source}.type_embed.basis_linear.mlp", f"{target}.linear"),
    }
    if (roots := f"{target}.radial.bessel.roots") in own:  # trained
        ours[roots] = taken[f"{source}.bessel_encode.bessel_weights"].flatten()
    return ours


def _irreps_first(layers: dict[str, torch.Tensor], keep: int, num_channels: int) -> dict[str, torch.Tensor]:
    """Reorder a network's last columns, those after ``keep``, from [channel, irrep] to [irrep, channel]."""
    name, last = max(layers.items(), key=lambda item: int(item[0].rsplit(".", 1)[1]))
    if last.shape[1] == keep:
        return layers
    weights = last[:, keep:].unflatten(1, (num_channels, -1)).transpose(1, 2).flatten(1)
    return {**layers, name: torch.cat([last[:, :keep], weights], dim=1)}


CONVERTERS: dict[str, Callable[[Taken, State, Any], dict[str, torch.Tensor]]] = {
    "AllegroModel": allegro,
    "NequIPGNNModel": nequip,
    "PresetNequIPGNNModel": nequip,
}
"""For each builder, the function that converts the weights of its energy module."""
