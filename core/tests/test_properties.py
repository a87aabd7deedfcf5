"""Laws that hold for any input, tried on what hypothesis makes."""

import contextlib
import json
import math

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from equipot.artifacts import _archive as archive
from equipot.artifacts._manifest import Manifest
from equipot.artifacts._modify import parse_modifier
from equipot.data._loader import BatchOrder
from equipot.data._splits import split_indices
from equipot.errors import ArtifactError, ConfigError
from equipot.nn.irreps import FeatureLayout
from equipot_test_support import strategies

# Examples share a test's folder; none reads what another wrote.
common = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@contextlib.contextmanager
def only(error, where):
    """Allow one kind of error, whose message names its place; any other fails the test."""
    try:
        yield
    except error as raised:
        if where not in str(raised):
            raise


# ------------------------------------------------------------------------ files are untrusted


@common
@given(strategies.MANIFESTS)
def test_any_json_is_a_manifest_or_an_artifact_error(value):
    with only(ArtifactError, "model.equipot.zip"):
        manifest = Manifest.from_json(json.dumps(value).encode(), "model.equipot.zip")
        assert Manifest.from_json(manifest.to_json(), "again") == manifest


@common
@given(st.binary(max_size=200))
def test_any_bytes_are_a_manifest_or_an_artifact_error(raw):
    with pytest.raises(ArtifactError):
        Manifest.from_json(raw, "model.equipot.zip")


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


# ------------------------------------------------------------------------ the command line


@common
@given(st.text(max_size=60))
def test_any_text_is_a_modifier_or_a_config_error(text):
    with only(ConfigError, "--modifiers: "):
        name, options = parse_modifier(text)
        assert name.isidentifier()
        assert all(key.isidentifier() for key in options)


@common
@given(strategies.NAMES, strategies.OPTIONS)
def test_modifiers_are_read_as_they_are_written(name, options):
    text = ",".join(f"{key}={json.dumps(value)}" for key, value in options.items())
    assert parse_modifier(f"{name}:{text}" if options else name) == (name, options)


# ------------------------------------------------------------------------ data


@common
@given(strategies.SIZES, st.integers(0, 2**40), st.integers(0, 5), st.booleans())
def test_batches_of_limited_size_partition_the_frames(sizes, seed, epoch, shuffle):
    limit = max(sizes) + 10
    order = BatchOrder(len(sizes), seed, sizes=sizes, limit=limit, shuffle=shuffle)
    batches = order.batches(epoch)
    assert sorted(frame for batch in batches for frame in batch) == list(range(len(sizes)))
    assert all(sum(sizes[frame] for frame in batch) <= limit for batch in batches)
    assert all(batches)
    assert len(batches) == len(order.batches(epoch + 1)) == len(order)


@common
@given(st.integers(1, 50), st.integers(1, 9), st.integers(0, 2**40), st.integers(0, 5))
def test_batches_of_given_size_partition_the_frames(num_frames, batch_size, seed, epoch):
    batches = BatchOrder(num_frames, seed, batch_size=batch_size).batches(epoch)
    assert sorted(frame for batch in batches for frame in batch) == list(range(num_frames))
    assert [len(batch) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)


@common
@given(st.integers(1, 100), strategies.SPLITS, st.integers(0, 2**40))
def test_parts_of_a_split_are_disjoint_and_of_the_wished_size(num_frames, sizes, seed):
    parts = {}
    with only(ConfigError, "data.split_dataset"):
        parts = split_indices(num_frames, sizes, seed)
    assume(parts)
    indices = [index for part in parts.values() for index in part]
    assert len(set(indices)) == len(indices)
    assert set(indices) <= set(range(num_frames))
    assert parts == split_indices(num_frames, sizes, seed)
    for part, size in sizes.items():
        wished = size if isinstance(size, int) else math.floor(size * num_frames + 1e-9)
        assert wished <= len(parts[part]) <= wished + (not isinstance(size, int))


# ------------------------------------------------------------------------ layouts


@common
@given(strategies.TERMS)
def test_layouts_are_read_as_they_are_written(terms):
    layout = FeatureLayout(terms)
    assume(layout.blocks)
    assert FeatureLayout.parse(str(layout)) == layout
    assert layout.dim == sum(mul * irrep.dim for mul, irrep in terms)
    features = torch.arange(3 * layout.dim, dtype=torch.float64).reshape(3, layout.dim)
    assert torch.equal(layout.join([layout.view(features, block) for block in layout.blocks]), features)
    assert torch.equal(layout.from_e3nn(layout.to_e3nn(features)), features)
