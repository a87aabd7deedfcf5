"""``equipot eval`` with predictions of ``equipot predict``, on a cluster: the same errors as in one process."""

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import read, write

from equipot._cli.main import main
from equipot_test_support.engines import record_capability

LABELS = ["--labels", "total_energy=REF_energy", "forces=REF_forces", "--label-weights", "frame=weight"]


@pytest.fixture
def labelled(place, make_crystal):
    """Two files: periodic frames with weights, a molecule without a stress, and an isolated atom."""
    random, frames = np.random.default_rng(0), [make_crystal(seed=seed) for seed in range(4)]
    frames += [Atoms("Cu2", [[0, 0, 0], [0, 0, 2.3]]), Atoms("Cu", info={"config_type": "IsolatedAtom"})]
    for number, atoms in enumerate(frames):
        atoms.info |= {"REF_energy": random.normal(), "weight": 1.0 + number}
        atoms.arrays["REF_forces"] = random.normal(size=(len(atoms), 3))
        if atoms.pbc.all():
            atoms.info["stress"] = random.normal(size=9) * 1e-3
    write("one.extxyz", frames[:2])
    write("two.extxyz", frames[2:])
    return place


@pytest.fixture
def evaluate(labelled, capfd):
    """Run ``equipot eval MODEL one.extxyz two.extxyz …``: what ``--json`` prints, and standard error."""

    def run(*options, model=labelled.model):
        capfd.readouterr()
        code = main(["eval", str(model), "one.extxyz", "two.extxyz", *LABELS, "--json", *map(str, options)])
        out, err = capfd.readouterr()
        assert code == 0, err
        return json.loads(out), err

    return run


def numbers(found, path=""):
    """All numbers of an evaluation, by their place in it."""
    if isinstance(found, (int, float)):
        return {path: found}
    pairs = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
    return {key: value for name, one in pairs for key, value in numbers(one, f"{path}/{name}").items()}


def assert_equal(found, expected):
    ours, theirs = numbers(found), {key: one for key, one in numbers(expected).items() if "automatic" not in key}
    assert len(theirs) > 50
    assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-9)


@pytest.mark.slow
def test_errors_on_a_cluster_are_those_of_one_process(evaluate, cluster):
    """All that ``--json`` prints; a second run computes only what is missing."""
    expected, _ = evaluate()
    found, _ = evaluate(*cluster, "--out", "all")
    assert_equal(found, expected)
    assert_equal(json.loads(Path("all/metrics.json").read_text(encoding="utf-8")), expected)
    records = sorted(Path("all/predictions").rglob("records/*.json"))
    assert len(records) == 6
    kept = {path: path.stat().st_mtime_ns for path in records[1:]}
    records[0].unlink()
    again, err = evaluate(*cluster, "--out", "all")
    assert "1 of 2 structures to compute" in err
    assert_equal(again, expected)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    import distributed

    line = "equipot eval MODEL DATA --out DIR --scheduler ADDRESS"
    record_capability("Dask", "errors on labelled data", version=distributed.__version__, command=line)


@pytest.mark.slow
def test_errors_of_a_float32_model_in_other_units(evaluate, cluster, tmp_path):
    from equipot.artifacts import write_package
    from equipot.model import InvariantModel

    recipe = InvariantModel(type_names=["Cu"], r_max=4.0, seed=1, model_dtype="float32", avg_num_neighbors=12.0)
    write_package(recipe.build("real").eval(), tmp_path / "other.equipot.zip")
    expected, _ = evaluate(model="other.equipot.zip")
    found, _ = evaluate(*cluster, "--out", "all", model="other.equipot.zip")
    ours, theirs = numbers(found), {key: one for key, one in numbers(expected).items() if "automatic" not in key}
    assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-4)


@pytest.mark.slow
def test_unknown_elements_and_changed_files(labelled, cluster):
    write("two.extxyz", [*read("two.extxyz", ":"), Atoms("He", info={"REF_energy": 1.0, "weight": 1.0})])
    text = labelled.error("eval", *LABELS, *cluster, "--out", "all", structure="two.extxyz")
    assert text.startswith("two.extxyz, frame 4: atom types: no type for ['He']")  # as without a cluster
    write("two.extxyz", read("one.extxyz", ":"))
    text = labelled.error("eval", *LABELS, *cluster, "--out", "all", structure="two.extxyz")
    assert "the run to go on with has other structure" in text
