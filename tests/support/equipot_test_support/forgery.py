"""Packages taken apart, edited and put together again with all digests right, as a careful forger would do."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from safetensors.torch import load, save

from equipot.artifacts import _archive as archive
from equipot.artifacts._fingerprints import fingerprint, option_digests

MANIFEST, CONFIG = "manifest.json", "config.json"
WEIGHTS, GOLDEN = "weights.safetensors", "golden.safetensors"


def members_of(path: Path) -> dict[str, bytes]:
    """All members of a zip file."""
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


class Forgery:
    """The contents of a package, to be edited.

    Args:
        path: The package.
    """

    def __init__(self, path: Path) -> None:
        members = members_of(path)
        self.path = path
        self.manifest: dict[str, Any] = json.loads(members[MANIFEST])
        self.config: dict[str, Any] = json.loads(members[CONFIG])
        self.weights, self.options = load(members[WEIGHTS]), _metadata(members[WEIGHTS])
        self.golden, self.facts = load(members[GOLDEN]), _metadata(members[GOLDEN])

    def write(self, *, options: bool = True, mark: bool = True) -> None:
        """Put the package together; ``options`` and ``mark`` say whether to repair those digests too."""
        if options:
            model = self.manifest["model"]
            digests = option_digests(self.config, self.manifest["modifiers"], str(model.get("units")))
            self.manifest["hyperparameters"] = digests
            self.options = {"hyperparameters": json.dumps(digests)}
        if mark:
            self.manifest["fingerprint"] = fingerprint(self.manifest["hyperparameters"], self.weights)
        members = {
            CONFIG: json.dumps(self.config).encode(),
            WEIGHTS: save(self.weights, metadata=self.options),
            GOLDEN: save(self.golden, metadata=self.facts or None),
        }
        self.manifest["files"] = {name: archive.sha256(raw) for name, raw in members.items()}
        archive.write_members(self.path, {MANIFEST: json.dumps(self.manifest).encode(), **members})


def _metadata(raw: bytes) -> dict[str, str]:
    found: dict[str, str] = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")]).get("__metadata__", {})
    return found
