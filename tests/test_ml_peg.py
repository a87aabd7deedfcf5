"""Tables of ML-PEG: what is missing in them, no number or too large is a fault. The nightly test runs ML-PEG itself."""

import json
import math
import os
from pathlib import Path

import pytest

from equipot_test_support import ROOT
from equipot_test_support.scripts import load_script

PYTHON = os.environ.get("EQUIPOT_ML_PEG_PYTHON")
GHOST, HYDROGEN = "Ghost atoms max ΔF", "Random hydrogen mean ΔF"
LIMITS = {GHOST: 1e-5, HYDROGEN: 1e-5}

script = load_script("tests/ml_peg/physicality.py")


@pytest.fixture
def stored():
    """A table as ML-PEG 0.7.0 writes it; its failed calculations are NaN, null or 'NaN'."""
    return script.read_table(ROOT / "tests/ml_peg/table_of_0.7.0.json")


def test_a_table_is_read_with_its_units(stored):
    table, units = stored
    assert table["good"] == {GHOST: 0.0, HYDROGEN: 2e-07}
    assert math.isnan(table["failed"][GHOST])
    assert all(math.isnan(value) for value in table["incomplete"].values())
    assert units == {GHOST: "meV/Å", HYDROGEN: ""}


def test_what_is_no_number_or_too_large_is_a_fault(stored):
    table, _ = stored
    assert script.faults("locality", {"good": table["good"]}, ["good"], LIMITS) == []
    assert script.faults("locality", table, list(table), LIMITS) == [
        f"locality, failed: {GHOST} must be at most 1e-05, got nan",
        f"locality, incomplete: {GHOST} must be at most 1e-05, got nan",
        f"locality, incomplete: {HYDROGEN} must be at most 1e-05, got nan",
        f"locality, wrong: {GHOST} must be at most 1e-05, got 0.5",
    ]


def test_a_missing_model_or_metric_is_a_fault(stored):
    table = {"good": stored[0]["good"]}
    assert script.faults("locality", table, ["good", "other"], LIMITS) == ["locality: no row of other"]
    assert script.faults("locality", {}, [], LIMITS) == ["locality: no row"]
    more = script.faults("locality", table, ["good"], {**LIMITS, "new": 1.0})
    assert more == ["locality, good: new must be at most 1.0, got nan"]
    fewer = script.faults("locality", table, ["good"], {GHOST: 1e-5})
    assert fewer == [f"locality, good: {HYDROGEN} has no limit here"]


def test_a_negative_number_is_no_way_around_a_limit():
    assert script.faults("locality", {"one": {GHOST: -1.0}}, ["one"], {GHOST: 1e-5})


def test_the_stored_result_holds_the_limits_of_the_script():
    content = json.loads((ROOT / "docs/results/ml_peg/physicality.json").read_text(encoding="utf-8"))
    limits = {(test, metric): limit for test, one in script.LIMITS.items() for metric, limit in one.items()}
    assert {(test, metric): float(limit) for test, metric, _, limit, *_ in content["rows"]} == limits
    for test, metric, _, _, *values in content["rows"]:
        assert len(values) == 4
        assert all(0.0 <= float(value) <= limits[test, metric] for value in values)


@pytest.mark.nightly
@pytest.mark.skipif(not PYTHON, reason="needs EQUIPOT_ML_PEG_PYTHON: an interpreter that has ML-PEG (make ml-peg)")
def test_physicality_tests_of_ml_peg(tmp_path):
    out = tmp_path / "physicality.json"
    assert script.examine(Path(PYTHON), out, list(script.LIMITS)) == []
    assert len(json.loads(out.read_text(encoding="utf-8"))["rows"]) == sum(map(len, script.LIMITS.values()))
