"""Sections and other places of a config that have a special meaning."""

from __future__ import annotations

import re

from equipot.containers import leaves, nodes

SECTIONS = ("run", "data", "trainer", "training_module")
"""Required sections."""

ROOT_KEYS = (*SECTIONS, "seed")
"""Root keys that are not variables of the user."""

STAGES = ("train", "val", "test")
"""The stages that ``run`` may list."""

MODEL = "training_module.model"
LOSS = "training_module.loss"
MEASURES = ("loss", "train_metrics", "val_metrics", "test_metrics")
"""Options of the training module that compare predictions with labels."""

DEFERRED: dict[str, tuple[str, ...]] = {
    "training_module.optimizer": ("params",),
    "training_module.lr_scheduler": ("optimizer",),
}
"""Sections whose objects need options that exist only later."""

MADE_EARLY = ("data", "trainer.callbacks", *(f"training_module.{name}" for name in MEASURES))
"""Sections whose objects the check makes; their constructors must not read data or write anything."""

_INTERPOLATION = re.compile(r"\$\{\s*([A-Za-z_]\w*)\b(?!(?:\.\w+)*\s*:)")


def is_within(path: str, section: str) -> bool:
    """Whether a dotted path is a section or lies in it.

    Example:
        >>> is_within("data.seed", "data"), is_within("database", "data")
        (True, False)
    """
    return path == section or path.startswith(f"{section}.")


def used_root_keys(container: object) -> set[str]:
    """Root keys that any interpolation ``${key…}`` in an unresolved container names."""
    texts = (leaf for _, leaf in leaves(container) if isinstance(leaf, str))
    return {name for text in texts for name in _INTERPOLATION.findall(text)}


def key_paths(container: object) -> list[str]:
    """Dotted paths of all keys of nested mappings, without entries of lists."""
    return [path for path, _ in nodes(container) if path and not any(part.isdigit() for part in path.split("."))]
