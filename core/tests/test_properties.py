"""Laws that hold for any input, tried on what hypothesis makes."""

import json
import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from equipot._cli.modifiers import parse_modifier
from equipot.artifacts._manifest import Manifest
from equipot.data._loader import BatchOrder
from equipot.data._splits import split_indices
from equipot.errors import ArtifactError, ConfigError
from equipot.nn.irreps import FeatureLayout
from equipot_test_support import strategies
from equipot_test_support.properties import common, only

# ------------------------------------------------------------------------ files are untrusted


@pytest.mark.slow
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
