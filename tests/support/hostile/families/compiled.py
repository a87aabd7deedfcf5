"""Compiled files: containers, manifests, golden frames and kernel specs that lie, with digests that fit.

Their code is no code, so that even a file that is allowed runs nothing; all but the last check comes before.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

from hostile import seeds as valid
from hostile.case import TOUCH, Case, Content, folder, link_to, pipe, sparse
from hostile.families._bytes import damaged
from hostile.families._package import zipped
from hostile.families._tensors import HEADERS
from hostile.families._values import ODD_JSON
from hostile.seeds import Seeds

NAME = "x.equipot.pt2"
STRICT = ["eval", NAME, valid.DATA]
ALLOWED = [*STRICT, "--allow-native"]
CODE, MANIFEST, GOLDEN = (
    "model/data/aotinductor/model/code.wrapper.so",
    "model/equipot/manifest.json",
    "model/equipot/golden.safetensors",
)
_KERNEL = {"distribution": "equipot-kernels", "version": "0.1.0"}
_SPEC = {
    "family": "convolution",
    "dtype": "float32",
    "layout_in": "2x0e",
    "layout_edge": "1x0e",
    "paths": [[0, 0, 0, 1]],
}

SPECS: dict[str, Any] = {
    "an unknown family": [{**_SPEC, "family": "sorcery"}],
    "code in a layout": [{**_SPEC, "layout_in": f'2x0e"; system("{TOUCH}"); //'}],
    "code in a type": [{**_SPEC, "dtype": f'float; system("{TOUCH}")'}],
    "code in a path": [{**_SPEC, "paths": [[f'0); system("{TOUCH}"', 0, 0, 1]]}],
    "a path beyond": [{**_SPEC, "paths": [[10**9, 0, 0, 1]]}],
    "a layout of a billion": [{**_SPEC, "layout_in": "1000000000x0e"}],
    "a high degree": [{**_SPEC, "layout_in": "1x400e", "layout_edge": "1x400e"}],
    "a million paths": [{**_SPEC, "paths": [[0, 0, 0, 1]] * 10**6}],
    "paths of a mapping": [{**_SPEC, "paths": {"0": 1}}],
    "entries that nobody knows": [{**_SPEC, "include": "/etc/passwd"}],
    "a spec of a text": ["convolution"],
    "specs of a text": "convolution",
    "no specs": None,
    "100 000 specs": [_SPEC] * 100_000,
}  # fmt: skip
"""Kernel specs in the manifest."""


class Compiled:
    """The members of a compiled file whose code is no code."""

    def __init__(self, seeds: Seeds) -> None:
        import dataclasses

        from equipot.artifacts import _compiled_model as compiled
        from equipot.artifacts import _golden as golden
        from equipot.artifacts._compiled_file import stated
        from equipot.artifacts._loading import read
        from equipot.artifacts._stored import store

        model = read(seeds.path(valid.PACKAGE), "ema").build().eval()
        outputs = list(model(golden.random_frames(model.info)["atom"]))
        facts = {**compiled.built_for("cpu", portable=False), "outputs": outputs, "kernels": {}}
        self.manifest = dataclasses.replace(store(model, "compiled", where=NAME).manifest, compiled=facts)
        self.frames = golden.record(model)
        self._to_bytes, self._stated = golden.to_bytes, stated

    def edited(
        self,
        change: Callable[[dict[str, Any]], object] = lambda _: None,
        members: dict[str, bytes | None] | None = None,
        *,
        everywhere: bool = True,
    ) -> bytes:
        """A file with changes of its manifest; all digests fit, and with ``everywhere`` also its copy in the frames."""
        from equipot.artifacts import _archive as archive

        plain: dict[str, Any] = json.loads(self.manifest.to_json())
        before = copy.deepcopy(plain)
        change(plain)
        facts = {key: value for key, value in (plain if everywhere else before).items() if key != "files"}
        golden = self._to_bytes(
            self.frames,
            {**self._stated(self.manifest), **{key: json.dumps(facts) for key in self._stated(self.manifest)}},
        )
        found = {"model/version": b"1", CODE: b"native code", GOLDEN: golden, **(members or {})}
        kept = {name: raw for name, raw in found.items() if raw is not None and name != MANIFEST}
        if isinstance(plain, dict):
            plain["files"] = {name: archive.sha256(raw) for name, raw in kept.items()}
        return zipped({**kept, MANIFEST: found.get(MANIFEST) or json.dumps(plain).encode()})


def _case(name: str, content: Content, *commands: list[str], **facts: Any) -> Case:
    return Case(name=name, commands=commands or [ALLOWED], files={NAME: content}, **facts)


def cases(seeds: Seeds) -> Iterator[Case]:
    """Files as they are, damaged, with edited manifests and with kernel specs."""
    compiled = Compiled(seeds)
    good = compiled.edited()
    yield _case("not built here", good, STRICT, place="--allow-native")
    yield _case("code that is no code", good, allowed=("code",))
    yield _case(
        "a script as code", compiled.edited(members={CODE: f"#!/bin/sh\n{TOUCH}\n".encode()}), allowed=("code",)
    )
    yield _case("inspected", good, ["inspect", NAME], harmless="its code is not loaded")
    for name, content in damaged(good):
        if "flipped" not in name:
            yield _case(name, content, harmless="")
    kinds: dict[str, Content] = {
        "a pipe": pipe, "a folder": folder, "a device": link_to("/dev/zero"), "a link to itself": link_to(NAME), "1 GB": sparse(1024**3),
    }  # fmt: skip
    for name, content in kinds.items():
        yield _case(name, content)
        yield _case(f"{name}, inspected", content, ["inspect", NAME])
    for name, specs in SPECS.items():
        entry = {"enable_FusedKernels": {**_KERNEL, "specs": specs}}
        yield _case(f"kernels: {name}", compiled.edited(lambda one, entry=entry: one["compiled"].update(kernels=entry)))
    for name, kernels in {
        "a list": [],
        "of nobody": {"os.system": {**_KERNEL, "specs": [_SPEC]}},
        "of a scale": {"modify_PerTypeScales": {**_KERNEL, "specs": [_SPEC]}},
    }.items():
        yield _case(
            f"kernels: {name}", compiled.edited(lambda one, kernels=kernels: one["compiled"].update(kernels=kernels))
        )
    yield from _manifests(compiled)


def _manifests(compiled: Compiled) -> Iterator[Case]:
    changes: dict[str, Callable[[dict[str, Any]], object]] = {
        "another device": lambda one: one["compiled"].update(device="cuda:99"),
        "a device of a command": lambda one: one["compiled"].update(device=f"cpu; {TOUCH}"),
        "another platform": lambda one: one["compiled"].update(platform="x"),
        "another torch": lambda one: one["compiled"].update(torch="99.0"),
        "another r_max": lambda one: one["model"].update(r_max=6.0, cutoffs=None),
        "an unknown output": lambda one: one["compiled"]["outputs"].append("x"),
        "a million outputs": lambda one: one["compiled"].update(outputs=[f"x{index}" for index in range(10**6)]),
        "escapes": lambda one: one["compiled"].update(outputs=["\x1b[2J"]),
    }  # fmt: skip
    for name, change in changes.items():
        yield _case(f"manifest of {name}", compiled.edited(change), ["inspect", NAME], ALLOWED, allowed=("code",))
        yield _case(f"manifest alone of {name}", compiled.edited(change, everywhere=False))
    for key in ("compiled", "model", "files"):
        for what in ("null", "a list", "a long text"):
            yield _case(
                f"{key} of {what}",
                compiled.edited(lambda one, key=key, what=what: one.__setitem__(key, ODD_JSON[what])),
            )
    for name in ("a head beyond the file", "a deep head", "a shape that overflows"):
        yield _case(f"golden frames with {name}", compiled.edited(members={GOLDEN: HEADERS[name]}))
    for name, member in {
        "up": "../outside/x",
        "absolute": "/tmp/equipot-hostile-x",
        "another root": "other/equipot/manifest.json",
    }.items():
        yield _case(f"a member named {name}", compiled.edited(members={member: b"x"}))
