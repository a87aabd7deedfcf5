"""The valid package, ready to be changed."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

MANIFEST, CONFIG, WEIGHTS, GOLDEN = "manifest.json", "config.json", "weights.safetensors", "golden.safetensors"


_TIME = (1980, 1, 1, 0, 0, 0)


class Package:
    """The members of the valid package, ready to be changed; digests are computed anew when it is written."""

    def __init__(self, raw: bytes) -> None:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            self.members = {name: archive.read(name) for name in archive.namelist()}
        self.manifest: dict[str, Any] = json.loads(self.members[MANIFEST])
        self.config: dict[str, Any] = json.loads(self.members[CONFIG])

    def edited(
        self,
        manifest: Callable[[dict[str, Any]], object] = lambda _: None,
        config: Callable[[dict[str, Any]], object] = lambda _: None,
        members: Mapping[str, bytes | None] | None = None,
        *,
        bound: bool = True,
    ) -> bytes:
        """A package with changes and fitting digests.

        Args:
            manifest: Changes the manifest in place.
            config: Changes the model's config in place.
            members: Replaced, added or (None) removed members.
            bound: Also compute anew the digests of the options, which the weights carry.
        """
        stated, model = copy.deepcopy(self.manifest), copy.deepcopy(self.config)
        config(model)
        found: dict[str, bytes | None] = {**self.members, CONFIG: json.dumps(model).encode(), **(members or {})}
        manifest(stated)
        if bound and found.get(WEIGHTS) == self.members[WEIGHTS]:
            self._bind(stated, model, found)
        kept = {name: raw for name, raw in found.items() if raw is not None and name != MANIFEST}
        if isinstance(stated.get("files"), dict):
            stated["files"] = {name: hashlib.sha256(raw).hexdigest() for name, raw in kept.items()}
        return zipped({MANIFEST: json.dumps(stated).encode(), **kept})

    def _bind(self, stated: dict[str, Any], model: dict[str, Any], found: dict[str, bytes | None]) -> None:
        from safetensors.torch import load, save

        from equipot.artifacts._fingerprints import fingerprint, option_digests

        try:
            digests = option_digests(model, stated["modifiers"], str(stated["model"]["units"]))
        except Exception:  # noqa: BLE001 - a config of the wrong kind has no digests
            return
        state = load(self.members[WEIGHTS])
        found[WEIGHTS] = save(state, metadata={"hyperparameters": json.dumps(digests, sort_keys=True)})
        if isinstance(stated.get("hyperparameters"), dict):
            stated["hyperparameters"] = digests
        if stated.get("fingerprint") == self.manifest["fingerprint"]:
            stated["fingerprint"] = fingerprint(digests, state)

    def with_state(self, change: Callable[[dict[str, Any]], object], member: str = WEIGHTS) -> bytes:
        """A package with other tensors, whose options are as before."""
        from safetensors.torch import load, save

        raw = self.members[member]
        head = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
        state = load(raw)
        change(state)
        return self.edited(members={member: save(state, metadata=head.get("__metadata__"))})


def zipped(members: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip file."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, raw in members.items():
            archive.writestr(zipfile.ZipInfo(name, _TIME), raw, compress_type=method)
    return out.getvalue()
