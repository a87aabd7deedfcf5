"""Options of nequip's data section that have another form here; see ``_options``."""

from __future__ import annotations

from typing import Any

from equipot.errors import ConfigError, problem, unknown
from equipot.fields import LABELS
from equipot_from_nequip._options import Options, without

DROPPED = (
    "NeighborListTransform", "SortedNeighborListTransform", "NeighborListPruneTransform", "AddNaNStressTransform",
    "NonPeriodicCellTransform",
)  # fmt: skip
"""Transforms that are not needed: neighbour lists follow from the model, masks and boxes from the data."""

STRESS = {"VirialToStressTransform": ("virial", "virial"), "StressSignFlipTransform": ("stress", "negative_stress")}
"""Transforms that define the stress: the field that holds it, and the name of its convention here."""

DEFAULTS = {"total_energy": "energy", "forces": "forces"}
"""Labels that need no mapping, and their keys in files."""

FIELDS = {"pos": "positions"}
"""Fields of nequip that have another name here."""

UNUSED = ("include_keys", "exclude_keys", "predict_file_path", "predict_dataset", "predict_dataloader")
"""Further fields to read, and data to predict on; neither has an effect on training."""

DATASETS = "nequip.data.dataset."


def type_mapper(options: Options) -> Options:
    """The mapper from elements to types; an older form of it lists symbols in the order of the types."""
    if options.get("chemical_symbols") is not None and "model_type_names" not in options:
        options = {**options, "model_type_names": options["chemical_symbols"]}
    return without(options, "chemical_symbols")


def neighbor_list(options: Options) -> Options:
    """A neighbour list; the library that finds the pairs does not matter."""
    return without(options, "backend", "backend_kwargs")


def stats_manager(options: Options) -> Options:
    """A statistics manager; how frames are batched does not change a statistic."""
    return without(options, "dataloader_kwargs")


def dataset(options: Options) -> Options:
    """A data set of a data module; its transforms and labels move to the data module."""
    options = without(options, *UNUSED, "transforms")
    if "file_name" in options:
        files = options.pop("file_name")
        several = isinstance(files, str) and ";" in files
        options["file_path"] = files.split(";") if several else files
    if isinstance(options.get("key_mapping"), dict):
        options["key_mapping"] = {key: FIELDS.get(name, name) for key, name in options["key_mapping"].items()}
    return options


def ase_data_module(options: Options) -> Options:
    """Files that ASE reads, with labels by key and without transforms that are not needed.

    Raises:
        ConfigError: If a field is not a label here.
    """
    mapping = options.get("key_mapping")
    return _read(without(options, *UNUSED, "key_mapping"), mapping, options.get("transforms"))


def frame_data_module(options: Options) -> Options:
    """Single data sets; their transforms and labels move to the data module.

    Raises:
        ConfigError: If a field is not a label here, or there are several splits.
    """
    options = without(options, *UNUSED)
    split = options.get("split_dataset")
    if isinstance(split, list):
        if len(split) != 1:
            raise ConfigError(problem("split_dataset", "must have one entry", got=len(split), hint="merge the sets"))
        split = options["split_dataset"] = split[0]
    found: list[Options] = []
    for name in ("train_dataset", "val_dataset", "test_dataset"):
        if name in options:
            options[name] = _taken(options[name], found)
    if isinstance(split, dict):
        options["split_dataset"] = {**split, "dataset": _taken(split.get("dataset"), found)}
    mapping = next((one["key_mapping"] for one in found if one.get("key_mapping")), None)
    return _read(options, mapping, next((one["transforms"] for one in found if one.get("transforms")), None))


def _taken(node: Any, found: list[Options]) -> Any:
    """Data sets without transforms and, if ASE reads them, without label keys; these are appended to ``found``."""
    if isinstance(node, list):
        return [_taken(item, found) for item in node]
    if not isinstance(node, dict) or not str(node.get("_target_", "")).startswith(DATASETS):
        return node
    read_by_ase = node["_target_"].endswith(".ASEDataset")
    moved = ("transforms", "key_mapping") if read_by_ase else ("transforms",)
    found.append({name: node[name] for name in moved if name in node})
    return without(node, *moved)


def _read(options: Options, key_mapping: Any, transforms: Any) -> Options:
    """The options with labels and the transforms that are still needed."""
    options = _plain_loaders(without(options, "transforms"))
    if isinstance(key_mapping, str) or isinstance(transforms, str):  # an interpolation
        raise ConfigError(problem("transforms", "must be written out, as must key_mapping", got=transforms))
    labels: dict[str, Any] = {FIELDS.get(name, name): key for key, name in (key_mapping or {}).items()}
    if wrong := [unknown("key_mapping", name, LABELS, "label") for name in labels if name not in LABELS]:
        raise ConfigError(wrong)
    kept = []
    for transform in transforms or []:
        name = str(transform.get("_target_", "")).rpartition(".")[2] if isinstance(transform, dict) else ""
        if name in STRESS:
            field, convention = STRESS[name]
            labels["stress"] = {"key": labels.pop(field, field), "convention": convention}
        elif name not in DROPPED and not _is_plain_mapper(name, transform):
            kept.append(transform)
    if labels:
        options["labels"] = {**DEFAULTS, **labels}
    if kept:
        options["transforms"] = kept
    return options


def _plain_loaders(options: Options) -> Options:
    """Options of the data loaders without their class; training has its own loaders, which can be resumed."""
    return {
        key: without(value, "_target_") if key.endswith("_dataloader") and isinstance(value, dict) else value
        for key, value in options.items()
    }


def _is_plain_mapper(name: str, transform: Any) -> bool:
    """Whether a mapper only does what follows from the model's type names."""
    return name == "ChemicalSpeciesToAtomTypeMapper" and not transform.get("chemical_species_to_atom_type_map")
