"""Which names and options in configs of nequip and nequip-allegro have a counterpart here.

    python plugins/from_nequip/tests/coverage.py

The names are those of ``peer_names.json``, which make_names.py wrote with the peer. A name is covered if its
alias leads to something installed that configs may name; an option if its translation, for a sample value, is
accepted by the signature of that target or is deliberately dropped.
"""

# ruff: noqa: T201 (a script)

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any, NamedTuple

from equipot.config import TargetError, resolve_target, translate_container
from equipot.config._aliases import aliases
from equipot.config._resolvers import CORE, STATISTICS
from equipot_from_nequip._data_options import DROPPED, STRESS

PEER = json.loads(Path(__file__).with_name("peer_names.json").read_text(encoding="utf-8"))

SAMPLES: dict[str, Any] = {
    "modifiers": [{"modifier": "enable_ForceStressOutput"}],
    "model": {"_target_": "nequip.model.NequIPGNNModel"},
    "transforms": [{"_target_": "nequip.data.transforms.NeighborListTransform", "r_max": 4.0}],
    "key_mapping": {"REF_energy": "total_energy"},
    "split_dataset": {"file_path": "a.xyz", "dataset": {"_target_": "nequip.data.dataset.ASEDataset"}, "train": 1},
    "coeffs": {"total_energy": 1.0},
    "convnet_nonlinearity_scalars": {"e": "silu", "o": "tanh"},
    "convnet_nonlinearity_gates": {"e": "silu", "o": "tanh"},
    "convnet_nonlinearity_type": "gate",
    "convnet_sc": True,
    "learnable_shift": False,
    "convnet_resnet": False,
    "categorical_graph_field_embed": None,
}
"""Values of options that must be of some form; options with one value here have that value."""

IN_DATA_MODULE = tuple(f"nequip.data.transforms.{name}" for name in (*DROPPED, *STRESS))
"""Transforms that the translation of a data module takes care of."""

NEEDED = {"nequip.model.modify": ("model", "modifiers")}
"""Options that go with every other one."""

ONE_VALUE = (
    "categorical_graph_field_embed", "convnet_nonlinearity_gates", "convnet_nonlinearity_scalars",
    "convnet_nonlinearity_type", "convnet_resnet", "convnet_sc", "learnable_shift",
)  # fmt: skip
"""Options of the peer that must have their default here: not covered."""


class Uncovered(NamedTuple):
    """What has no counterpart, and how much there is in all."""

    names: list[str]
    options: list[str]
    all_names: int
    all_options: int


def uncovered() -> Uncovered:
    """Names and options without a counterpart; all options of a name without one are among them."""
    names, options, count = [], [], 0
    for name, given in PEER["names"].items():
        entry = aliases().get(name)
        count += len(given)
        if name in IN_DATA_MODULE:
            continue
        if entry is None or entry.instead:
            names.append(name)
            options += [f"{name}.{option}" for option in given]
        else:
            options += [f"{name}.{option}" for option in given if not is_covered(name, option)]
    return Uncovered(names, options, len(PEER["names"]), count)


def is_covered(name: str, option: str) -> bool:
    """Whether an option can be given."""
    if option in ONE_VALUE:
        return False
    node = {key: SAMPLES[key] for key in NEEDED.get(name, ())}
    node |= {"_target_": name, option: SAMPLES.get(option, 1)}
    config = {"node": node}
    if name.startswith("nequip.data.dataset."):
        config = {"data": {"_target_": "nequip.data.datamodule.NequIPDataModule", "train_dataset": node}}
    translated, problems = translate_container(config)
    if problems:
        return False
    made = translated["data"]["train_dataset"] if "data" in translated else translated["node"]
    try:
        target = resolve_target(made.pop("_target_"), "node")
    except TargetError:
        return False
    parameters = inspect.signature(target).parameters
    open_ended = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
    return open_ended or made.keys() <= parameters.keys()


def uncovered_resolvers() -> list[str]:
    """Resolvers without a counterpart."""
    known = {*CORE, STATISTICS, *(name for name, one in aliases("resolver").items() if one.target)}
    return [name for name in PEER["resolvers"] if name not in known]


def main() -> None:
    """Print the figures, then everything that is not covered."""
    found, resolvers = uncovered(), uncovered_resolvers()
    print(f"names: {found.all_names - len(found.names)} of {found.all_names} covered")
    print(f"options: {found.all_options - len(found.options)} of {found.all_options} covered")
    print(f"resolvers: {len(PEER['resolvers']) - len(resolvers)} of {len(PEER['resolvers'])} covered")
    of_names = [len(given) for name, given in PEER["names"].items() if name in found.names]
    missing = len(found.options) - sum(of_names)
    print(f"options of covered names: {found.all_options - len(found.options)} of ", end="")
    print(f"{found.all_options - len(found.options) + missing} covered")
    of_covered_names = [text for text in found.options if text.rpartition(".")[0] not in found.names]
    print("not covered:", *found.names, *of_covered_names, *resolvers, sep="\n  ")


if __name__ == "__main__":
    main()
