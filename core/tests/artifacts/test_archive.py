"""Zip files are untrusted: what was written is read, and anything else is an ArtifactError."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipot.artifacts import _archive as archive
from equipot.errors import ArtifactError
from equipot_test_support import strategies
from equipot_test_support.properties import common, only


def read(path):
    with archive.opened(path) as file:
        return {name: archive.read_member(path, file, name) for name in file.namelist()}


def allowed(name):
    return not name.startswith("/") and "\\" not in name and ".." not in name.split("/")


@common
@given(strategies.MEMBERS)
def test_archives_give_back_what_was_written(tmp_path, members):
    path = tmp_path / "members.zip"
    archive.write_members(path, members)
    if all(map(allowed, members)):
        assert read(path) == members
    else:
        with pytest.raises(ArtifactError, match="forbidden name"):
            read(path)


@common
@given(strategies.MEMBERS, st.data())
def test_damaged_archives_raise_artifact_errors(tmp_path, members, data):
    path = tmp_path / "damaged.zip"
    archive.write_members(path, {name: raw for name, raw in members.items() if allowed(name)})
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(raw[: data.draw(st.integers(0, len(raw)))]) if data.draw(st.booleans()) else bytes(raw))
    with only(ArtifactError, "damaged.zip"):
        read(path)


@common
@given(st.binary(max_size=300))
def test_any_bytes_are_an_archive_or_an_artifact_error(tmp_path, raw):
    path = tmp_path / "any.zip"
    path.write_bytes(raw)
    with only(ArtifactError, "any.zip"):
        read(path)
