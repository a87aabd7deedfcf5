"""Packages: zip files with members that are damaged, edited with fitting digests, or dangerous."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from hostile import seeds as valid
from hostile.case import TOUCH, Case, Content, folder, link_to, pipe, sparse
from hostile.families._bytes import damaged, noise
from hostile.families._package import CONFIG, GOLDEN, MANIFEST, WEIGHTS, Package, zipped
from hostile.families._tensors import HEADERS
from hostile.families._values import ODD_JSON, dealt
from hostile.seeds import Seeds

NAME = "x.equipot.zip"
COMMANDS = (["inspect", NAME], ["package", "verify", NAME], ["eval", NAME, valid.DATA])


def _case(name: str, content: Content, *, harmless: str = "", commands: Any = COMMANDS, **facts: Any) -> Case:
    return Case(name=name, commands=commands, files={NAME: content}, harmless=harmless, **facts)


def cases(seeds: Seeds) -> Iterator[Case]:
    """Damage, the container, every member, and edits with digests that fit."""
    good = seeds.bytes(valid.PACKAGE)
    package = Package(good)
    yield _case("valid", good, harmless="valid")
    yield _case("written again", package.edited(), harmless="valid")
    for name, content in damaged(good):
        why = (
            "zip files may have something before or behind them"
            if name in ("twice", "after noise", "before noise")
            else ""
        )
        yield _case(name, content, harmless=why)
    kinds: dict[str, Content] = {
        "a pipe": pipe, "a folder": folder, "a device": link_to("/dev/zero"), "a link to nothing": link_to("nothing"),
        "a link to itself": link_to(NAME), "5 GB of nothing": sparse(5 * 1024**3), "5 GB after a package": sparse(5 * 1024**3, good),
    }  # fmt: skip
    for kind, content in kinds.items():
        for command in COMMANDS[:1] if "5 GB" in kind else COMMANDS[::2]:
            yield _case(f"{kind}: {command[0]}", content, commands=[command])
    yield from _containers(package, good)
    yield from _members(package)
    yield from _manifests(package)
    yield from _configs(package)
    yield from _weights(package)
    yield from _golden(package)


def _containers(package: Package, good: bytes) -> Iterator[Case]:
    members = package.members
    names = {
        "a path": "../outside/x", "an absolute path": "/tmp/x", "backslashes": "..\\outside\\x", "a drive": "C:\\x",
        "a null": "a\x00b", "escapes": "\x1b[31mx\n", "nothing": "", "a point": ".", "another manifest": "manifest.json ",
        "an unknown member": "x", "a folder": "x/", "many letters": "x" * 60_000, "a pickle": "data.pkl", "a library": "x.so",
        "capitals": "MANIFEST.JSON", "another alphabet": "mаnifest.json",
    }  # fmt: skip
    for name, member in names.items():
        yield _case(f"a member named by {name}", zipped({**members, member: noise(100)}))
    yield _case("compressed", zipped(members, zipfile.ZIP_DEFLATED))
    yield _case("compressed by bzip2", zipped(members, zipfile.ZIP_BZIP2))
    yield _case("compressed by LZMA", zipped(members, zipfile.ZIP_LZMA))
    yield _case("a bomb", zipped({**members, WEIGHTS: bytes(600_000_000)}, zipfile.ZIP_DEFLATED))
    yield _case("5000 members", zipped({**members, **{f"x{index}": b"" for index in range(5000)}}))
    yield _case("a member twice", _doubled(members))
    yield _case("no members", zipped({}))
    offset = good.rindex(b"PK\x05\x06")
    directory = int.from_bytes(good[offset + 16 : offset + 20], "little")
    edits = {
        "encrypted": (directory + 8, b"\x01\x00"), "an unknown compression": (directory + 10, b"\x63\x00"),
        "a size of 4 GB": (directory + 24, b"\xfe\xff\xff\xff"), "a packed size of 4 GB": (directory + 20, b"\xfe\xff\xff\xff"),
        "a place far away": (directory + 42, b"\xfe\xff\xff\xff"), "a wrong checksum": (directory + 16, b"\0\0\0\0"),
        "another version": (directory + 6, b"\xff\x00"), "a name that is too long": (directory + 28, b"\xff\xff"),
        "an extra field that is too long": (directory + 30, b"\xff\xff"), "a comment that is too long": (offset + 20, b"\xff\xff"),
        "another disk": (offset + 4, b"\x07\x00"), "more members than there are": (offset + 10, b"\xff\xff"),
        "no members stated": (offset + 8, b"\0\0\0\0"), "a directory far away": (offset + 16, b"\xfe\xff\xff\xff"),
        "a directory of 4 GB": (offset + 12, b"\xfe\xff\xff\xff"), "another name in front of the member": (30, b"MANIFEST.JSON"),
        "a symbolic link": (directory + 38, struct.pack("<I", (stat.S_IFLNK | 0o777) << 16)), "no local head": (0, b"XX"),
        "another size in front of the member": (22, b"\x01\x00\x00\x00"), "a data descriptor": (6, b"\x08\x00"),
    }  # fmt: skip
    may = (
        "another version",
        "a symbolic link",
        "another size in front of the member",
        "a data descriptor",
        "another disk",
        "a comment that is too long",
        "more members than there are",
        "no members stated",
    )
    for name, (place, new) in edits.items():
        content = bytearray(good)
        content[place : place + len(new)] = new
        why = "the directory counts, and nothing is unpacked" if name in may else ""
        yield _case(f"zip with {name}", bytes(content), harmless=why)
    zip64 = (
        good[:offset]
        + b"PK\x06\x06"
        + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 2**60, 2**60, 2**60, directory)
        + b"PK\x06\x07"
        + struct.pack("<IQI", 0, offset, 1)
        + good[offset:]
    )
    yield _case("zip with lies in 64 bits", zip64, harmless="the old fields count")
    yield _case(
        "a script in front",
        b"#!/bin/sh\ntouch ../outside/CANARY\nexit\n" + good,
        harmless="zip files may have something before them",
    )


def _doubled(members: Mapping[str, bytes]) -> bytes:
    import warnings

    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, raw in [*members.items(), (MANIFEST, b"{}")]:
            archive.writestr(name, raw)
    return out.getvalue()


def _members(package: Package) -> Iterator[Case]:
    for number, name in enumerate((MANIFEST, CONFIG, WEIGHTS, GOLDEN)):
        others = {key: raw for key, raw in package.members.items() if key != name}
        yield _case(f"without {name}", zipped(others))
        raws = {
            "nothing": b"", "noise": noise(500), "a list": b"[]", "null": b"null", "NaN": b'{"a": NaN}', "a BOM": b"\xef\xbb\xbf{}",
            "UTF-16": "{}".encode("utf-16"), "deep brackets": b"[" * 200_000, "deep mappings": b'{"a":' * 100_000,
            "5000 digits": b'{"a": ' + b"9" * 5000 + b"}", "the same key twice": b'{"kind": "package", "kind": "x"}',
            "a pickle": f"cposix\nsystem\n(S'{TOUCH}'\ntR.".encode(), "30 MB": b'{"a": "' + b"x" * 30_000_000 + b'"}',
        }  # fmt: skip
        for what, raw in list(raws.items())[number % 2 :: 2] if number else raws.items():
            digests = {} if name == MANIFEST else {name: raw}
            content = (
                zipped({**package.members, MANIFEST: raw}) if name == MANIFEST else package.edited(members=digests)
            )
            yield _case(f"{name} of {what}", content)


def _manifests(package: Package) -> Iterator[Case]:
    quiet = ("plugins", "provenance", "data", "citations", "versions", "atomic_numbers", "approximations", "compiled")
    for key, what in dealt(package.manifest, [what for what in ODD_JSON if what != "deep"], 3):
        value, why = ODD_JSON[what], "is only shown" if key in quiet else ""
        yield _case(
            f"manifest.{key} is {what}",
            package.edited(
                lambda one, key=key, value=value: one.__setitem__(key, value), bound=key != "hyperparameters"
            ),
            harmless=why,
        )
    for key in package.manifest:
        yield _case(
            f"manifest without {key}",
            package.edited(lambda one, key=key: one.pop(key)),
            harmless="is only shown" if key in quiet else "",
        )
    for key, what in dealt(package.manifest["model"], ("null", "a list", "a text", "a number", "half", "escapes"), 1):
        if (value := ODD_JSON[what]) != package.manifest["model"][key]:
            yield _case(
                f"manifest.model.{key} is {what}",
                package.edited(lambda one, key=key, value=value: one["model"].__setitem__(key, value)),
            )
    for key in list(package.manifest["model"])[::4]:
        yield _case(f"manifest.model without {key}", package.edited(lambda one, key=key: one["model"].pop(key)))
    for name, change in _edits().items():
        yield _case(
            f"manifest with {name}",
            package.edited(change),
            harmless="is only shown" if name.startswith("(shown)") else "",
        )


def _edits() -> dict[str, Callable[[dict[str, Any]], object]]:
    """Changes of the manifest that look right."""

    def model(**values: Any) -> Callable[[dict[str, Any]], object]:
        return lambda one: one["model"].update(values)

    def modifiers(*items: Any) -> Callable[[dict[str, Any]], object]:
        return lambda one: one.__setitem__("modifiers", list(items))

    def plugins(name: str, version: str) -> Callable[[dict[str, Any]], object]:
        return lambda one: one["plugins"].__setitem__(name, version)

    step = {"name": "modify_PerTypeScales", "options": {}, "distribution": "equipot", "version": "0.1.0"}
    return {
        "a larger r_max": model(r_max=6.0),
        "a smaller r_max": model(r_max=1.0),
        "a huge r_max": model(r_max=1e9),
        "an r_max of nothing": model(r_max=0.0),
        "a negative r_max": model(r_max=-3.0),
        "types in another order": model(type_names=["O", "H"]),
        "other types": model(type_names=["C", "N"]),
        "one type": model(type_names=["H"]),
        "100 000 types": model(type_names=[f"T{index}" for index in range(100_000)]),
        "types with escapes": model(type_names=["\x1b[31mH", "O\n"]),
        "the same type twice": model(type_names=["H", "H"]),
        "another unit system": model(units="real"),
        "an unknown unit system": model(units="atomic"),
        "another dtype": model(model_dtype="float64"),
        "a dtype of torch": model(model_dtype="load"),
        "other species": model(chemical_species=["O", "H"]),
        "other outputs": model(outputs=["total_energy"]),
        "outputs of commands": model(outputs=["$(touch CANARY)"]),
        "other inputs": model(inputs=["positions"]),
        "no inputs": model(inputs=[]),
        "another locality": model(locality="strictly_local"),
        "radii by pairs": model(cutoffs=[[1.0, 1.0], [1.0, 1.0]]),
        "radii of another shape": model(cutoffs=[[1.0]]),
        "other elements": lambda one: one.__setitem__("atomic_numbers", [8, 1]),
        "another fingerprint": lambda one: one.__setitem__("fingerprint", "0" * 64),
        "an empty fingerprint": lambda one: one.__setitem__("fingerprint", ""),
        "another kind": lambda one: one.__setitem__("kind", "checkpoint"),
        "a newer format": lambda one: one.__setitem__("format_version", 99),
        "format 0": lambda one: one.__setitem__("format_version", 0),
        "format true": lambda one: one.__setitem__("format_version", True),
        "a plugin that is missing": plugins("equipot-nowhere", "1.0"),
        "a plugin of a command": plugins("x; touch ../outside/CANARY", "1.0"),
        "a plugin with escapes": plugins("x\x1b[31m", "1.0"),
        "a plugin's version of a command": plugins("equipot-nequip", "1.0; touch CANARY"),
        "a plugin's version of escapes": plugins("equipot-nequip", "1.0\x1b[31m"),
        "a newer plugin": plugins("equipot-nequip", "99.0"),
        "a plugin of many letters": plugins("x" * 100_000, "1.0"),
        "10 000 plugins": lambda one: one["plugins"].update({f"x{index}": "1.0" for index in range(10_000)}),
        "an unknown modifier": modifiers({**step, "name": "nothing"}),
        "a modifier of a function": modifiers({**step, "name": "os.system", "options": {"command": TOUCH}}),
        "a modifier that is not persistent": modifiers({**step, "name": "enable_FusedKernels", "distribution": "equipot-kernels"}),
        "a modifier with unknown options": modifiers({**step, "options": {"x": 1}}),
        "a modifier with odd options": modifiers({**step, "options": {"scales": {"H": []}}}),
        "a modifier without a name": modifiers({"options": {}}),
        "a modifier of a number": modifiers(7),
        "a modifier of a text": modifiers("x"),
        "a modifier with a list as its name": modifiers({**step, "name": []}),
        "a modifier with options of a list": modifiers({**step, "options": []}),
        "10 000 modifiers": modifiers(*[step] * 10_000),
        "(shown) escapes in its citations": lambda one: one.__setitem__("citations", ["\x1b[2J\x07"]),
        "(shown) escapes in its provenance": lambda one: one["provenance"].update({"\x1b[2J": "\x1b[31m"}),
        "(shown) citations of numbers": lambda one: one.__setitem__("citations", [1, None, []]),
        "(shown) a long provenance": lambda one: one["provenance"].update({"x": "y" * 5_000_000}),
        "(shown) approximations that allow all": lambda one: one.__setitem__("approximations", {"modules": ["x"], "deviations": {"total_energy": 1e30, "forces": 1e30, "atomic_energy": 1e30, "stress": 1e30}}),
        "approximations of nan": lambda one: one.__setitem__("approximations", {"modules": [], "deviations": {"forces": float("nan")}}),
    }  # fmt: skip


def _configs(package: Package) -> Iterator[Case]:
    for target in (
        "os.system", "builtins.eval", "subprocess.Popen", "equipot_kernels._build.toolchain._version", "equipot_nequip._builder.NequIPBuilder",
        "equipot.model", "equipot.model.", "equipot.model.os", "equipot.model.Nothing", "equipot.model.AllegroModel", "equipot.pair_potentials.ZBL",
        "equipot.train.EMALightningModule", "equipot.data.ASEDataModule", "", None, 7, [], {}, "\x1b[31m", "x" * 100_000, "torch.load",
        "equipot.model.ModelFromPackage", "equipot.model.ModelFromCheckpoint",
    ):  # fmt: skip
        yield _case(
            f"config for {str(target)[:40]!r}",
            package.edited(config=lambda one, target=target: one.__setitem__("_target_", target)),
        )
    options = [key for key in package.config if key != "_target_"]
    for key, what in dealt(options, ("null", "a list", "a mapping", "a text", "half", "true", "a huge number"), 1):
        if ODD_JSON[what] != package.config[key]:
            yield _case(
                f"config.{key} is {what}",
                package.edited(config=lambda one, key=key, what=what: one.__setitem__(key, ODD_JSON[what])),
                harmless="an option without effect: the golden frames are reproduced",
            )
    sizes: dict[str, Any] = {
        "num_features": 10**9, "l_max": 1000, "num_layers": 10**6, "num_bessels": 10**10, "radial_mlp_width": 10**9,
        "radial_mlp_depth": 10**7, "type_names": [f"T{index}" for index in range(100_000)],
    }  # fmt: skip
    several = [{key: value} for key, value in sizes.items()]
    several += [{"l_max": 8}, {"num_layers": 100}, {"l_max": 8, "num_layers": 100}, {"num_features": 8000, "l_max": 3}]
    for options in several:
        known = {key: value for key, value in options.items() if key in package.manifest["model"]}
        yield _case(
            f"config and manifest of {', '.join(options)} {str(list(options.values()))[:20]}",
            package.edited(
                lambda one, known=known: one["model"].update(known), lambda one, options=options: one.update(options)
            ),
            harmless="a single layer has no weights for it" if options == {"l_max": 8} else "",
        )
    changes: dict[str, Callable[[dict[str, Any]], object]] = {
        "an unknown option": lambda one: one.__setitem__("x", 1),
        "private options": lambda one: one.__setitem__("__class__", "x"),
        "a nested target": lambda one: one.__setitem__("pair_potential", {"_target_": "os.system", "command": TOUCH}),
        "a nested function": lambda one: one.__setitem__(
            "pair_potential", {"_target_": "equipot_kernels._build.toolchain._version", "command": ["sh", "-c", TOUCH]}
        ),
        "a nested model": lambda one: one.__setitem__("pair_potential", dict(one)),
        "a nested list of targets": lambda one: one.__setitem__("type_names", [{"_target_": "os.system"}]),
        "keys of Hydra": lambda one: one.update({"_partial_": True, "_recursive_": False, "_convert_": "all"}),
        "a smaller r_max": lambda one: one.__setitem__("r_max", 1.0),
        "no target": lambda one: one.pop("_target_"),
        "no options": lambda one: [one.pop(key) for key in list(one) if key != "_target_"],
        "a nested model 400 deep": lambda one: one.__setitem__("pair_potential", _nested(one, 400)),
    }
    for name, change in changes.items():
        yield _case(f"config with {name}", package.edited(config=change))
        if name != "a smaller r_max":
            continue
        yield _case(f"config with {name}, options as before", package.edited(config=change, bound=False))


def _nested(config: dict[str, Any], depth: int) -> dict[str, Any]:
    made = dict(config)
    for _ in range(depth):
        made = {"_target_": "equipot.pair_potentials.ZBL", "pair_potential": made}
    return made


def _weights(package: Package) -> Iterator[Case]:
    import torch

    for name, member in dealt(HEADERS, (WEIGHTS, GOLDEN), 1):
        yield _case(f"{member} with {name}", package.edited(members={member: HEADERS[name]}))

    def every(function: Callable[[Any], Any]) -> Callable[[dict[str, Any]], object]:
        return lambda state: state.update({name: function(value).contiguous() for name, value in state.items()})

    def first(state: dict[str, Any]) -> str:
        return next(name for name, value in sorted(state.items()) if value.is_floating_point() and value.numel() > 1)

    changes: dict[str, Callable[[dict[str, Any]], object]] = {
        "a changed weight": lambda state: state[first(state)].view(-1)[0].add_(1e-3),
        "a weight of nan": lambda state: state[first(state)].view(-1)[0].fill_(float("nan")),
        "an infinite weight": lambda state: state[first(state)].view(-1)[0].fill_(float("inf")),
        "huge weights": every(lambda value: value * 1e30 if value.is_floating_point() else value),
        "double precision": every(lambda value: value.double() if value.is_floating_point() else value),
        "half precision": every(lambda value: value.half() if value.is_floating_point() else value),
        "other shapes": every(lambda value: value.reshape(-1)),
        "transposed": every(lambda value: value.mT if value.dim() == 2 else value),
        "no weights": lambda state: state.clear(),
        "one weight less": lambda state: state.pop(first(state)),
        "one weight more": lambda state: state.__setitem__("x", torch.zeros(3)),
        "10 000 weights more": lambda state: state.update({f"x{index}": torch.zeros(1) for index in range(10_000)}),
        "a name with escapes": lambda state: state.__setitem__("\x1b[31m\n", torch.zeros(1)),
        "integers": every(lambda value: value.long()),
    }
    for name, change in changes.items():
        yield _case(f"weights with {name}, stated anew", package.with_state(change))


def _golden(package: Package) -> Iterator[Case]:
    import torch

    def suffix(state: dict[str, Any], end: str) -> list[str]:
        return [name for name in state if name.endswith(end)]

    def each(end: str, function: Callable[[Any], Any]) -> Callable[[dict[str, Any]], object]:
        return lambda state: state.update({name: function(state[name]).contiguous() for name in suffix(state, end)})

    changes: dict[str, Callable[[dict[str, Any]], object]] = {
        "no frames": lambda state: state.clear(),
        "one frame": lambda state: [state.pop(name) for name in list(state) if not name.startswith("atom/")],
        "other energies": each("out/total_energy", lambda value: value + 1.0),
        "other forces": each("out/forces", lambda value: value * 2),
        "energies of nan": each("out/total_energy", lambda value: value * np.nan),
        "no energies": lambda state: [state.pop(name) for name in suffix(state, "out/atomic_energy")],
        "no forces": lambda state: [state.pop(name) for name in suffix(state, "out/forces")],
        "types out of range": each("in/atom_types", lambda value: value + 1000),
        "negative types": each("in/atom_types", lambda value: value - 1000),
        "edges out of range": each("in/edge_index", lambda value: value + 10**6),
        "negative edges": each("in/edge_index", lambda value: value - 10**6),
        "edges of one row": each("in/edge_index", lambda value: value[:1]),
        "edges as fractions": each("in/edge_index", lambda value: value.double()),
        "fewer shifts": each("in/edge_cell_shift", lambda value: value[:-1]),
        "another batch": each("in/batch", lambda value: value + 10**9),
        "negative numbers of atoms": each("in/num_atoms", lambda value: value - 100),
        "many atoms": each("in/num_atoms", lambda value: value + 10**12),
        "positions of nan": each("in/positions", lambda value: value * np.nan),
        "positions of two columns": each("in/positions", lambda value: value[:, :2]),
        "positions in one place": each("in/positions", lambda value: value * 0),
        "no inputs": lambda state: [state.pop(name) for name in list(state) if "/in/" in name],
        "an unknown name": lambda state: state.__setitem__("x", torch.zeros(1)),
        "a frame with escapes": lambda state: state.__setitem__("\x1b[31m/in/x", torch.zeros(1)),
        "huge shifts": each("ref/shifts", lambda value: value + 1e30),
        "fewer shifts of atoms": each("ref/shifts", lambda value: value[:0]),
        "a large frame": lambda state: state.update({"big/in/positions": torch.zeros(3_000_000, 3), "big/out/atomic_energy": torch.zeros(1), "big/ref/shifts": torch.zeros(1)}),
        "many frames": lambda state: state.update({f"f{index}{name[name.index('/'):]}": value.clone() for index in range(300) for name, value in list(state.items()) if name.startswith("atom/")}),
    }  # fmt: skip
    for name, change in changes.items():
        why = "every frame is replayed" if name in ("one frame", "many frames") else ""
        if name in ("negative numbers of atoms", "many atoms"):
            why = "models do not read them"
        yield _case(f"golden frames with {name}", package.with_state(change, GOLDEN), harmless=why)
