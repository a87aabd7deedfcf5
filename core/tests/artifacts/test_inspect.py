"""Hostile and damaged files: ``equipot inspect`` and loading give one line, exit 2, quickly."""

import io
import os
import pickle
import struct
import time
import zipfile

import pytest
import torch

from equipot._cli.main import main
from equipot.artifacts import load_model
from equipot.errors import ArtifactError
from equipot_test_support.forgery import Forgery, members_of


def zip_bytes(members, **options):
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", **options) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return raw.getvalue()


def overlapping(raw):
    """Two entries of the central directory that point to the same member."""
    start = raw.index(b"PK\x01\x02")
    second = raw.index(b"PK\x01\x02", start + 4)
    place = second + 42
    return raw[:place] + raw[start + 42 : start + 46] + raw[place + 4 :]


def lying_size(raw):
    """The first member states a size of almost 4 GB in the central directory."""
    place = raw.index(b"PK\x01\x02") + 20
    return raw[:place] + struct.pack("<II", 2**32 - 2, 2**32 - 2) + raw[place + 8 :]


def many_members(raw):
    return zip_bytes({f"m{number}": b"" for number in range(5000)})


def huge_directory(raw):
    """An end record that states a list of members of 3 GB."""
    place = raw.rindex(b"PK\x05\x06") + 12
    return raw[:place] + struct.pack("<I", 3 * 10**9) + raw[place + 4 :]


def header(raw, text):
    """Weights whose safetensors header is a text."""
    members = {**dict(_members(raw)), "weights.safetensors": struct.pack("<Q", len(text)) + text + b"\0" * 64}
    return zip_bytes(members)


def _members(raw):
    with zipfile.ZipFile(io.BytesIO(raw)) as file:
        return [(name, file.read(name)) for name in file.namelist()]


def manifest(text):
    return lambda raw: zip_bytes({**dict(_members(raw)), "manifest.json": text})


SHAPE = b'{"a": {"dtype": "F32", "shape": [4611686018427387904, 4], "data_offsets": [0, 64]}}'
PACKAGES = {
    "empty": lambda raw: b"",
    "text": lambda raw: b"hello",
    "half": lambda raw: raw[: len(raw) // 2],
    "overlapping": overlapping,
    "size": lying_size,
    "members": many_members,
    "directory": huge_directory,
    "compressed": lambda raw: zip_bytes(dict(_members(raw)), compression=zipfile.ZIP_DEFLATED),
    "absolute": lambda raw: zip_bytes({**dict(_members(raw)), "/etc/passwd": b""}),
    "parent": lambda raw: zip_bytes({**dict(_members(raw)), "../a": b""}),
    "deep manifest": manifest(b'{"a": ' * 500 + b"1" + b"}" * 500),
    "deeper manifest": manifest(b'{"a": ' * 5000 + b"1" + b"}" * 5000),
    "infinite": manifest(b'{"kind": "package", "format_version": 1, "model": {}, "data": {"x": 1e999}}'),
    "number": manifest(b'{"format_version": ' + b"9" * 5000 + b"}"),
    "surrogate": manifest(b'{"kind": "\\ud800"}'),
    "types": manifest(b'{"kind": "package", "format_version": 1, "model": [], "modifiers": {}}'),
    "list": manifest(b"[]"),
}
CHECKPOINTS = {
    "empty": lambda raw: b"",
    "text": lambda raw: b"hello",
    "half": lambda raw: raw[: len(raw) // 2],
    "overlapping": overlapping,
    "size": lying_size,
    "compressed": lambda raw: zip_bytes(dict(_members(raw)), compression=zipfile.ZIP_DEFLATED),
    "no pickle": lambda raw: zip_bytes({"a/data": b""}),
    "two pickles": lambda raw: zip_bytes({**dict(_members(raw)), "b/data.pkl": b"."}),
    "pickle of nothing": lambda raw: zip_bytes({"a/data.pkl": b""}),
    "pickle of junk": lambda raw: zip_bytes({"a/data.pkl": b"\xff" * 50, "a/version": b"3\n"}),
    "pickle of a list": lambda raw: zip_bytes({"a/data.pkl": pickle.dumps([1], protocol=2), "a/version": b"3\n"}),
    "missing storage": lambda raw: zip_bytes({k: v for k, v in _members(raw) if not k.endswith("/data/0")}),
    "short storage": lambda raw: zip_bytes({k: v[:8] if k.endswith("/data/0") else v for k, v in _members(raw)}),
    "legacy": lambda raw: _legacy(),
}


def _legacy():
    raw = io.BytesIO()
    torch.save({"state_dict": {}}, raw, _use_new_zipfile_serialization=False)
    return raw.getvalue()


def check_refused(path, capsys):
    start = time.monotonic()
    code = main(["inspect", str(path)])
    shown = capsys.readouterr()
    assert (code, shown.out) == (2, "")
    assert shown.err.startswith("error: ")
    assert shown.err.count("\n") == 1
    with pytest.raises(ArtifactError) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("change", PACKAGES.values(), ids=PACKAGES)
def test_hostile_packages(package_file, change, capsys):
    package_file.write_bytes(change(package_file.read_bytes()))
    check_refused(package_file, capsys)


@pytest.mark.parametrize("change", CHECKPOINTS.values(), ids=CHECKPOINTS)
def test_hostile_checkpoints(make_model, make_checkpoint, change, capsys):
    path = make_checkpoint(make_model())
    path.write_bytes(change(path.read_bytes()))
    check_refused(path, capsys)


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"{}", b'{"__metadata__": 3}', b'{"a": 1}', SHAPE, b'{"__metadata__": {"hyperparameters": "["}}'],
)
def test_headers_of_tensors_that_lie(package_file, text, capsys):
    package_file.write_bytes(header(package_file.read_bytes(), text))
    check_refused(package_file, capsys)


@pytest.mark.parametrize("suffix", [".ckpt", ".equipot.zip", ".equipot.pt2"])
def test_pipes_folders_and_dangling_links(tmp_path, suffix, capsys):
    pipe, folder, link = (tmp_path / f"{name}{suffix}" for name in ("pipe", "folder", "link"))
    os.mkfifo(pipe)
    folder.mkdir()
    link.symlink_to(tmp_path / "nowhere")
    for path in (pipe, folder, link):
        check_refused(path, capsys)


def test_forged_packages_stay_whole(package_file):
    """The helper of these tests changes nothing by itself."""
    before = members_of(package_file)
    Forgery(package_file).write()
    assert members_of(package_file).keys() == before.keys()
    load_model(package_file)
