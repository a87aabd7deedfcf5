"""Digests of a model: one for each option, so that a mismatch names the option, and one for the whole model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from equipot.artifacts._encoding import canonical_json
from equipot.containers import children

if TYPE_CHECKING:
    import torch


def option_digests(config: Mapping[str, Any], modifiers: Iterable[Mapping[str, Any]], units: str) -> dict[str, str]:
    """Dotted name of each option that decides what a model computes, to 16 hexadecimal digits of its value's SHA-256.

    The versions of modifiers do not count.
    """
    values = {"units": units, **dict(_options(config, "model"))}
    for index, modifier in enumerate(modifiers):
        values[f"modifiers.{index}.{modifier['name']}"] = modifier["options"]
    return {key: hashlib.sha256(canonical_json(value)).hexdigest()[:16] for key, value in sorted(values.items())}


def _options(config: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    """Path and value of every option. A list counts as one value, since stored files have one digest for it."""
    for place, item in children(config, path):
        if isinstance(item, Mapping) and item:
            yield from _options(item, place)
        else:
            yield place, item


def fingerprint(digests: Mapping[str, str], state: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of all options and weights: equal for equal models, in files of any kind."""
    import torch

    digest = hashlib.sha256(canonical_json(dict(digests)))
    for name, value in sorted(state.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
