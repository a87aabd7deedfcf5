import math

import pytest

from equipot.artifacts._encoding import canonical_json, parse_json
from equipot.errors import ArtifactError


def test_equal_values_give_equal_bytes():
    assert canonical_json({"b": 1, "a": "Å"}) == canonical_json({"a": "Å", "b": 1}) == '{"a": "Å", "b": 1}'.encode()
    with pytest.raises(ValueError, match="JSON"):
        canonical_json(math.nan)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b'{"a": 1', "is damaged: JSONDecodeError"),
        (b'{"a": NaN}', "the constant NaN is not JSON"),
        (b"\xff", "is damaged: UnicodeDecodeError"),
        (b"[" * 100000, "is damaged: RecursionError"),
        (b"[1]", "must hold a JSON object, got 'list'"),
    ],
    ids=["cut", "constant", "bytes", "deep", "list"],
)
def test_anything_else_than_a_json_object_is_refused(raw, words):
    with pytest.raises(ArtifactError, match=f"^a.zip: .*{words}"):
        parse_json(raw, "a.zip")
    assert parse_json(b'{"a": 1}', "a.zip") == {"a": 1}
