"""What hypothesis makes for the property tests: JSON, options, splits, sizes of frames, layouts, archives."""

import string

from hypothesis import strategies as st

from equipot.nn.irreps import Irrep

NAMES = st.text(string.ascii_letters + "_", min_size=1, max_size=8)
"""Identifiers, keywords of Python among them."""

NUMBERS = st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)

JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
"""Anything that JSON can say."""

FIELDS = (
    "kind", "model", "modifiers", "plugins", "versions", "atomic_numbers", "hyperparameters", "fingerprint", "files",
    "provenance", "data", "approximations", "compiled", "citations", "format_version",
)  # fmt: skip

MANIFESTS = JSON | st.fixed_dictionaries(
    {"kind": st.sampled_from(["package", "checkpoint"]) | JSON, "format_version": st.just(1) | JSON},
    optional={name: JSON for name in FIELDS if name not in ("kind", "format_version")},
)
"""JSON objects that look more or less like manifests, and any other JSON."""

OPTIONS = st.dictionaries(NAMES, JSON.filter(lambda value: not _has_quotes(value)), max_size=4)
"""Options of a modifier by name; texts without escaped quotes."""


def _has_quotes(value: object) -> bool:
    if isinstance(value, dict):
        return any(_has_quotes(item) for pair in value.items() for item in pair)
    if isinstance(value, list):
        return any(map(_has_quotes, value))
    return isinstance(value, str) and ('"' in value or "\\" in value)


SPLITS = st.dictionaries(
    st.sampled_from(["train", "val", "test"]),
    st.integers(0, 40) | st.floats(0.0, 1.0) | st.sampled_from([0.5, 0.25]),
    min_size=1,
)
"""Sizes of the parts of a data set, as numbers of frames and as fractions."""

SIZES = st.lists(st.integers(1, 30), min_size=1, max_size=40)
"""Atoms of each frame of a small set."""

IRREPS = st.builds(Irrep, st.integers(0, 3), st.sampled_from([1, -1]))
TERMS = st.lists(st.tuples(st.integers(0, 4), IRREPS), min_size=1, max_size=6)
"""Multiplicities and irreps, also equal ones and none of one."""

MEMBER_NAMES = st.text(string.ascii_letters + string.digits + "._-/\\", min_size=1, max_size=12)
MEMBERS = st.dictionaries(MEMBER_NAMES, st.binary(max_size=60), max_size=4)
"""Members of an archive, also of names that a reader must refuse."""
