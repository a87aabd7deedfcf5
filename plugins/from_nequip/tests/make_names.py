"""List what configs of nequip and nequip-allegro can name, with all options: ``peer_names.json``.

Nothing here imports equipot. Run it where nequip is installed::

    peer/bin/python plugins/from_nequip/tests/make_names.py plugins/from_nequip/tests/peer_names.json
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "nequip.train", "nequip.train.callbacks", "nequip.data", "nequip.data.transforms", "nequip.data.datamodule",
    "nequip.data.dataset", "nequip.model", "nequip.nn.pair_potential", "allegro.model", "allegro.nn",
)  # fmt: skip

ALSO = {"nequip.nn.pair_potential": ("LennardJones", "SimpleLennardJones", "ZBL")}
"""Packages whose ``__all__`` leaves out what configs name."""

NOT_IN_CONFIGS = {
    "nequip.data": (
        "register_fields", "deregister_fields", "_register_field_prefix", "get_field_type", "from_dict", "from_ase",
        "to_ase", "compute_neighborlist_", "register_neighborlist_backend", "BaseModifier",
    ),
    "nequip.data.dataset": ("AtomicDataset",),
    "nequip.model": ("model_builder", "override_model_compile_mode", "ModelTypeNamesFromPackage"),
    "allegro.nn": ("Allegro_Module", "EdgewiseReduce", "ProductTypeEmbedding", "TwoBodySphericalHarmonicTensorEmbed"),
}  # fmt: skip
"""Functions, base classes and layers, which no config names."""

BUILT = {
    "nequip.model.NequIPGNNModel": "nequip.model.FullNequIPGNNModel",
    "nequip.model.PresetNequIPGNNModel": "nequip.model.FullNequIPGNNModel",
    "allegro.model.AllegroModel": "allegro.model.allegro_models.FullAllegroModel",
}
"""Builders that hand the rest of their options to another one."""

FILLED_IN = {
    "allegro.nn.TwoBodyBesselScalarEmbed": (
        "type_names", "module_output_dim", "forward_weight_init", "scalar_embed_field", "irreps_in",
    ),
    "allegro.nn.TwoBodySplineScalarEmbed": (
        "type_names", "module_output_dim", "forward_weight_init", "scalar_embed_field", "edge_type_field",
        "norm_length_field", "irreps_in",
    ),
    "nequip.model.NequIPGNNModel": ("feature_irreps_hidden", "irreps_edge_sh"),
    "nequip.model.PresetNequIPGNNModel": ("feature_irreps_hidden", "irreps_edge_sh"),
    "allegro.model.AllegroModel": ("irreps_edge_sh", "tensor_track_allowed_irreps"),
    "nequip.model.MuonParamGroups": ("model",),
    "allegro.model.MuonParamGroups": ("model",),
}  # fmt: skip
"""Options that the peer's own code gives, never a config."""

EVERY_BUILDER = ("seed", "model_dtype", "type_names", "compile_mode")


def located(path: str) -> Any:
    """The object of a dotted path."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def parameters(target: Any) -> list[str]:
    """Names of all parameters, those of base classes and further functions that take the rest included."""
    names: list[str] = []
    for one in target.__mro__ if inspect.isclass(target) else (target,):
        if inspect.isclass(one) and one.__module__.split(".")[0] not in ("nequip", "allegro"):
            break
        if inspect.isclass(one) and "__init__" not in vars(one):
            continue
        found = inspect.signature(one.__init__ if inspect.isclass(one) else one).parameters.values()
        plain = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        names += [item.name for item in found if item.name != "self" and item.kind in plain]
        if not any(item.kind is inspect.Parameter.VAR_KEYWORD for item in found):
            break
    return list(dict.fromkeys(names))


def options(path: str) -> list[str]:
    """Options that a config can give to a name."""
    names = parameters(located(path))
    if path in BUILT:
        names += [*EVERY_BUILDER, *parameters(located(BUILT[path]))]
        if path.endswith("PresetNequIPGNNModel"):
            names += parameters(located("nequip.model.NequIPGNNModel"))
    internal = {*FILLED_IN.get(path, ()), "num_datasets", "info_dict"}
    if path.startswith("nequip.data.datamodule.") and not path.endswith(".NequIPDataModule"):
        internal |= {f"{part}_dataset" for part in ("train", "val", "test", "predict")}
    if "modifier" in names and not path.endswith("Manager"):  # how errors and statistics are made of one another
        internal.add("modifier")
    return sorted(set(names) - internal)


def main() -> None:
    """Write the list."""
    found = {}
    for package in PACKAGES:
        module = importlib.import_module(package)
        names = ALSO.get(package) or module.__all__
        for name in (one if isinstance(one, str) else one.__name__ for one in names):
            path = f"{package}.{name}"
            if name not in NOT_IN_CONFIGS.get(package, ()) and callable(located(path)):
                found[path] = options(path)
    from nequip.utils.resolvers import _DEFAULT_RESOLVERS

    facts = {
        "versions": {name: metadata.version(name) for name in ("nequip", "nequip-allegro")},
        "names": found,
        "resolvers": sorted([*_DEFAULT_RESOLVERS, "training_data_stats"]),
        "sections": ["run", "data", "trainer", "training_module", "global_options"],
    }
    Path(sys.argv[1]).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
