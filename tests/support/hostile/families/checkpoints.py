"""Checkpoints: pickles that call something, tensors that lie about their storage, and edited entries."""

from __future__ import annotations

import copy
import io
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

from hostile import seeds as valid
from hostile.case import CANARY, TOUCH, Case, Content, folder, link_to, pipe, sparse
from hostile.families._bytes import damaged, noise
from hostile.families._values import ODD_JSON, dealt
from hostile.seeds import Seeds

NAME = "x.ckpt"
COMMANDS = (["inspect", NAME], ["package", "build", NAME, "made.equipot.zip"], ["eval", NAME, valid.DATA])
_RESUME = (["train", valid.YAML, "--output", "run", "--resume", NAME],)


class Call:
    """Calls something when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


PAYLOADS: dict[str, Callable[[], Any]] = {
    "os.system": lambda: Call(os.system, TOUCH),
    "open": lambda: Call(open, CANARY, "w"),
    "eval": lambda: Call(eval, f"open({CANARY!r}, 'w')"),
    "exec": lambda: Call(exec, f"open({CANARY!r}, 'w')"),
    "os.mkdir": lambda: Call(os.mkdir, CANARY),
    "os.remove": lambda: Call(os.remove, "../outside/victim.txt"),
    "a class of equipot": lambda: Call(_class("equipot.data", "ASEDataModule")),
    "a function of equipot": lambda: Call(_class("equipot.files", "write_text"), CANARY, "x"),
    "torch.load": lambda: Call(_class("torch", "load"), valid.DATA),
    "a function of torch": lambda: Call(_class("torch.hub", "load"), "a/b", "c"),
    "numpy": lambda: Call(_class("numpy", "fromfile"), valid.DATA),
    "an import": lambda: Call(__import__, "antigravity"),
}
"""Objects that do something when they are unpickled."""


def _class(module: str, name: str) -> Any:
    import importlib

    return getattr(importlib.import_module(module), name)


def _saved(content: Any, **options: Any) -> bytes:
    import torch

    out = io.BytesIO()
    torch.save(content, out, **options)
    return out.getvalue()


def _with_pickle(good: bytes, raw: bytes) -> bytes:
    """The valid checkpoint with another pickle."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(good)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            new.writestr(name, raw if name.endswith("data.pkl") else old.read(name))
    return out.getvalue()


def _case(name: str, content: Content, *, harmless: str = "", commands: Any = COMMANDS, **facts: Any) -> Case:
    return Case(
        name=name, commands=commands, files={NAME: content, **facts.pop("files", {})}, harmless=harmless, **facts
    )


def cases(seeds: Seeds) -> Iterator[Case]:
    """Damage, pickles, entries and weights."""
    import torch

    good = seeds.bytes(valid.CHECKPOINT)
    loaded = torch.load(io.BytesIO(good), map_location="cpu", weights_only=True)
    config = {valid.YAML: seeds.bytes(valid.YAML)}
    yield _case("valid", good, harmless="valid")
    yield _case("written again", _saved(loaded), harmless="valid")
    yield _case("valid, resumed", good, commands=_RESUME, files=config, harmless="valid")
    for name, content in damaged(good):
        why = "zip files may have something before and behind them" if name in ("twice", "before noise") else ""
        yield _case(name, content, harmless=why)
        if "cut off" in name:
            yield _case(f"{name}, resumed", content, harmless=why, commands=_RESUME, files=config)
    kinds: dict[str, Content] = {
        "a pipe": pipe, "a folder": folder, "a device": link_to("/dev/zero"), "a link to nothing": link_to("nothing"),
        "a link to itself": link_to(NAME), "5 GB of nothing": sparse(5 * 1024**3), "5 GB after a checkpoint": sparse(5 * 1024**3, good),
    }  # fmt: skip
    for kind, content in kinds.items():
        for command in COMMANDS[:1] if "5 GB" in kind else (COMMANDS[2], *_RESUME):
            yield _case(f"{kind}: {command[0]}", content, commands=[command], files=config)
    yield from _pickles(loaded, good, config)
    yield from _entries(loaded, config)
    yield from _tensors(loaded)


def _pickles(loaded: dict[str, Any], good: bytes, config: dict[str, Content]) -> Iterator[Case]:
    for name, payload in PAYLOADS.items():
        yield _case(f"{name}, resumed", _saved({**loaded, "loops": payload()}), commands=_RESUME, files=config)
    for name, place in dealt(PAYLOADS, ("root", "equipot", "state_dict", "callbacks", "the old format", "a pickle"), 2):
        made = PAYLOADS[name]()
        if place == "the old format":
            content = _saved({**loaded, "x": made}, _use_new_zipfile_serialization=False)
        else:
            content = (
                pickle.dumps(made)
                if place == "a pickle"
                else _saved(made if place == "root" else {**loaded, place: made})
            )
        yield _case(f"{name} as {place}", content)
    raws = {
        "protocol 0": f"cos\nsystem\n(S'{TOUCH}'\ntR.".encode(), "of nothing": b"", "a stop": b".", "without an end": b"\x80\x02}q\x00",
        "deep": b"\x80\x02" + b"(" * 1_000_000 + b".", "deep lists": b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".",
        "a long text": b"\x80\x04\x8d" + (2**62).to_bytes(8, "little") + b"x.", "a long number": b"\x80\x02\x8b" + (2**30).to_bytes(4, "little") + b"\xff.",
        "many entries": b"\x80\x02" + b"N" * 20_000_000 + b".", "a name at run time": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c" + bytes([len(TOUCH)]) + TOUCH.encode() + b"\x85R.",
        "an extension": b"\x80\x02\x82\x01.", "a persistent number": b"\x80\x02K\x05Q.", "a persistent text": b"\x80\x02PX\n.",
        "a memo that is missing": b"\x80\x02h\x63.", "another protocol": b"\x80\xff.", "noise": noise(5000), "a buffer": b"\x80\x05\x97.",
        "an object": b"\x80\x02ctorch\nTensor\n)\x81}b.", "an instance": b"(itorch\nTensor\n.",
    }  # fmt: skip
    for name, raw in raws.items():
        yield _case(f"a pickle {name}", _with_pickle(good, raw))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in ("storages", "tensors", "pickle", "../outside/CANARY"):
            info = tarfile.TarInfo(name)
            info.size = 50
            archive.addfile(info, io.BytesIO(f"cos\nsystem\n(S'{TOUCH}'\ntR.".encode().ljust(50)))
    yield _case("a tar file", out.getvalue())
    yield _case("a script", b"#!/bin/sh\ntouch ../outside/CANARY\n")
    yield _case("a package", _renamed(good))
    members = {"compressed": (zipfile.ZIP_DEFLATED, {}), "two pickles": (0, {"other/data.pkl": raws["protocol 0"]}), "a path": (0, {"../outside/x": b"x"}),
               "a script inside": (0, {"archive/code/x.py": b"raise SystemExit"}), "constants": (0, {"archive/constants.pkl": raws["protocol 0"]})}  # fmt: skip
    for name, (method, more) in members.items():
        made = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(good)) as old, zipfile.ZipFile(made, "w", method) as new:
            for one in old.namelist():
                new.writestr(one, old.read(one))
            for one, raw in more.items():
                new.writestr(one, raw)
        yield _case(
            f"zip {name}",
            made.getvalue(),
            harmless="the other members are not read" if name in ("a path", "a script inside", "constants") else "",
        )


def _renamed(good: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as new:
        new.writestr("manifest.json", b"{}")
        new.writestr("data", good)
    return out.getvalue()


def _laughs(levels: int = 40) -> Any:
    made: Any = ["ha"]
    for _ in range(levels):
        made = [made, made]
    return made


def _circle() -> Any:
    made: list[Any] = []
    made.append(made)
    return made


def _deep(levels: int = 5000) -> Any:
    made: Any = 1
    for _ in range(levels):
        made = [made]
    return made


def _entries(loaded: dict[str, Any], config: dict[str, Content]) -> Iterator[Case]:
    odd: dict[str, Any] = {
        **{key: value for key, value in ODD_JSON.items() if key != "deep"},
        "laughs": _laughs(),
        "a circle": _circle(),
        "bytes": b"x",
    }
    for key, what in dealt(("equipot", "state_dict", "epoch", "global_step"), tuple(odd), 5):
        why = (
            "is only shown"
            if key in ("epoch", "global_step") and what in ("null", "a number", "half", "true", "a huge number")
            else ""
        )
        yield _case(f"{key} is {what}", _saved({**loaded, key: odd[what]}), harmless=why)
    for key in ("equipot", "state_dict", "epoch", "global_step"):
        yield _case(
            f"without {key}",
            _saved({one: value for one, value in loaded.items() if one != key}),
            harmless="is only shown" if key in ("epoch", "global_step") else "",
        )
    for key, what in dealt(loaded["equipot"], ("null", "a list", "a text", "a number", "laughs", "a circle"), 2):
        why = (
            "is only shown"
            if key in ("versions", "training_config", "data", "weights", "plugins", "approximations", "loop")
            else ""
        )
        yield _case(
            f"equipot.{key} is {what}",
            _saved({**loaded, "equipot": {**loaded["equipot"], key: odd[what]}}),
            harmless=why,
        )
    for key, what in dealt(
        ("config", "modifiers", "info"), ("null", "a list", "a text", "a number", "laughs", "a circle", "a mapping"), 3
    ):
        changed = copy.deepcopy(loaded)
        changed["equipot"]["model"][key] = odd[what]
        if odd[what] != loaded["equipot"]["model"][key]:
            yield _case(
                f"equipot.model.{key} is {what}",
                _saved(changed),
                harmless="no modifiers" if (key, what) == ("modifiers", "a list") else "",
            )
    changes: dict[str, Callable[[dict[str, Any]], object]] = {
        "a model of a function": lambda model: model["config"].__setitem__("_target_", "os.system"),
        "a model of a plugin's function": lambda model: model["config"].update({"_target_": "equipot_kernels._build.toolchain._version", "command": ["sh", "-c", TOUCH]}),
        "an unknown option": lambda model: model["config"].__setitem__("x", 1),
        "an option of a number": lambda model: model["config"].__setitem__(5, 1),
        "an option of laughs": lambda model: model["config"].__setitem__("type_names", _laughs()),
        "a billion features": lambda model: model["config"].__setitem__("num_features", 10**9),
        "l_max 1000": lambda model: model["config"].__setitem__("l_max", 1000),
        "a million layers": lambda model: model["config"].__setitem__("num_layers", 10**6),
        "another r_max": lambda model: model["info"].__setitem__("r_max", 6.0),
        "other types": lambda model: model["info"].__setitem__("type_names", ["O", "H"]),
        "another unit system": lambda model: model["info"].__setitem__("units", "real"),
        "another dtype": lambda model: model["info"].__setitem__("model_dtype", "float64"),
        "an unknown modifier": lambda model: model["modifiers"].append({"name": "x", "options": {}, "distribution": "equipot", "version": "1"}),
        "a modifier of a text": lambda model: model["modifiers"].append("x"),
        "a modifier without options": lambda model: model["modifiers"].append({"name": "modify_PerTypeScales"}),
        "escapes": lambda model: model["info"].__setitem__("type_names", ["\x1b[31m", "\n"]),
    }  # fmt: skip
    for name, change in changes.items():
        changed = copy.deepcopy(loaded)
        change(changed["equipot"]["model"])
        yield _case(f"equipot.model with {name}", _saved(changed))
    yield from _resumed(loaded, config, odd)


def _resumed(loaded: dict[str, Any], config: dict[str, Content], odd: dict[str, Any]) -> Iterator[Case]:
    """Entries that a training that goes on reads."""
    keys = (
        "loops",
        "optimizer_states",
        "lr_schedulers",
        "callbacks",
        "state_dict",
        "epoch",
        "global_step",
        "hyper_parameters",
        "pytorch-lightning_version",
    )
    for key, what in dealt(keys, ("null", "a list", "a mapping", "a text", "a number", "escapes", "laughs"), 2):
        yield _case(
            f"resumed with {key} of {what}",
            _saved({**loaded, key: odd[what]}),
            commands=_RESUME,
            files=config,
            harmless="not read: equipot's own entry counts" if key in ("hyper_parameters", "loops") else "",
        )
    for key, what in dealt(("loop", "training_config", "data"), ("null", "a list", "a mapping", "a text", "laughs"), 3):
        changed = {**loaded, "equipot": {**loaded["equipot"], key: odd[what]}}
        yield _case(f"resumed with equipot.{key} of {what}", _saved(changed), commands=_RESUME, files=config)
    for key in loaded["equipot"]["loop"]["position"]:
        changed = copy.deepcopy(loaded)
        changed["equipot"]["loop"]["position"][key] = "x"
        yield _case(f"resumed at {key} of a text", _saved(changed), commands=_RESUME, files=config)
    for key in loaded["state_dict"]:
        if key.startswith("ema") and "." not in key.removeprefix("ema."):
            yield _case(
                f"without {key}",
                harmless="only a training that goes on reads it",
                content=_saved(
                    {**loaded, "state_dict": {one: value for one, value in loaded["state_dict"].items() if one != key}}
                ),
            )


def _tensors(loaded: dict[str, Any]) -> Iterator[Case]:
    import torch

    state = loaded["state_dict"]
    name = next(
        key
        for key, value in state.items()
        if key.startswith("ema.") and value.is_floating_point() and value.numel() > 3
    )
    value = state[name]

    def with_(**changes: Any) -> bytes:
        return _saved({**loaded, "state_dict": {**state, **changes.get("tensors", {})}})

    one = torch.ones(1)
    made: dict[str, Any] = {
        "a trillion copies of a number": torch.as_strided(one, (10**12,), (0,)),
        "copies of the right shape": torch.as_strided(one, tuple(value.shape), (0,) * value.dim()),
        "transposed memory": value.mT.contiguous().mT if value.dim() > 1 else value,
        "another shape": value.reshape(-1)[:1],
        "no elements": value.reshape(-1)[:0],
        "nan": value * float("nan"),
        "infinity": value * float("inf"),
        "huge numbers": value * 1e30,
        "double precision": value.double(),
        "half precision": value.half(),
        "integers": value.long(),
        "complex numbers": value.to(torch.complex64),
        "a sparse tensor": value.to_sparse(),
        "a quantized tensor": torch.quantize_per_tensor(value.float(), 0.1, 0, torch.qint8),
        "a meta tensor": value.to("meta"),
        "a parameter": torch.nn.Parameter(value),
        "a number": 1.0,
        "a text": "x",
        "a list": [1.0],
        "nothing": None,
    }
    for what, tensor in made.items():
        why = "the same numbers" if what in ("transposed memory", "a parameter") else ""
        why = "numbers" if what == "huge numbers" else why
        yield _case(f"a weight of {what}", with_(tensors={name: tensor}), harmless=why)
    ema = {key: tensor for key, tensor in state.items() if key.startswith("ema.")}
    raw = {key: tensor for key, tensor in state.items() if not key.startswith("ema.")}
    few = dict(list(ema.items())[:2])
    edits: dict[str, dict[Any, Any]] = {
        "no averaged weights": raw,
        "two averaged weights": {**raw, **few},
        "no raw weights": ema,
        "no weights": {},
        "weights of other names": {f"x{key}": tensor for key, tensor in state.items()},
        "a name of a number": {**state, 5: one},
        "a name of a tuple": {**state, (1, 2): one},
        "a name of nothing": {**state, None: one},
        "a name with escapes": {**state, "ema.\x1b[31m\n": one},
        "10 000 more": {**state, **{f"ema.x{index}": one for index in range(10_000)}},
    }
    for what, changed in edits.items():
        why = "raw weights are not read" if what == "no raw weights" else ""
        yield _case(f"state with {what}", _saved({**loaded, "state_dict": changed}), harmless=why)
    good = _saved(loaded)
    out = {
        "byteorder big": ("byteorder", b"big"),
        "byteorder of noise": ("byteorder", noise(50)),
        "version 99": ("version", b"99"),
        "a version of noise": ("version", noise(50)),
        "alignment": (".storage_alignment", b"-5"),
    }
    for what, (member, new) in out.items():
        yield _case(
            f"zip with {what}", _with_member(good, member, new), harmless="is not used" if what == "alignment" else ""
        )
    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        pickled = archive.read(next(one for one in archive.namelist() if one.endswith("data.pkl")))
        storage = next(one for one in archive.namelist() if "/data/" in one)
    yield _case("without a storage", _with_member(good, storage.split("/", 1)[1], None))
    yield _case("a storage of a byte", _with_member(good, storage.split("/", 1)[1], b"x"))
    yield _case(
        "a storage of 100 MB",
        _with_member(good, storage.split("/", 1)[1], bytes(100_000_000)),
        harmless="the rest is not used",
    )
    for what, (old, new) in {
        "FloatStorage": (b"FloatStorage", b"LongStorage\n"),
        "DoubleStorage": (b"FloatStorage", b"ByteStorage "),
    }.items():
        if old in pickled:
            yield _case(f"storages instead of {what}", _with_pickle(good, pickled.replace(old, new[: len(old)])))
    numbers = b"K\x00K\x04K\x04\x86"
    for what, new in {
        "an offset": b"K\x7fK\x04K\x04\x86",
        "a negative size": b"K\x00J\xff\xff\xff\xffK\x04\x86",
        "a size of 2³⁰": b"K\x00J\x00\x00\x00\x40K\x04\x86",
    }.items():
        if numbers in pickled:
            yield _case(f"tensors with {what}", _with_pickle(good, pickled.replace(numbers, new, 1)))


def _with_member(good: bytes, name: str, raw: bytes | None) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(good)) as old, zipfile.ZipFile(out, "w") as new:
        root = old.namelist()[0].split("/")[0]
        for one in old.namelist():
            if one != f"{root}/{name}":
                new.writestr(one, old.read(one))
        if raw is not None:
            new.writestr(f"{root}/{name}", raw)
    return out.getvalue()
