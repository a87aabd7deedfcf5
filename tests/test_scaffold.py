"""What ``equipot plugins new`` writes works for a stranger, from wheels in a clean environment."""

import ast
import json
import re
import sys
import time
from pathlib import Path

import pytest
import yaml

from equipot_test_support.commands import clean_environment, run
from equipot_test_support.configs import short_run
from equipot_test_support.folders import write_data
from equipot_testing._scaffold import KINDS, new_plugin

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = ROOT / "plugins" / "_template"
BROUGHT = ("force_stress", "testing")
"""First-party plugins that the written ones' tests require."""
NAMES = {
    "model-builder": "tiny-model",
    "pair-potential": "tiny-pair",
    "modifier": "tiny-wall",
    "output-head": "tiny-vector",
    "stats-manager": "tiny-stats",
    "export-target": "tiny-engine",
}


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --------------------------------------------------------------------------- the template


@pytest.mark.parametrize("kind", KINDS)
def test_the_template_is_what_is_written(tmp_path, kind):
    made = new_plugin("template", kind, tmp_path, example=True)
    assert contents(TEMPLATE / kind) == contents(made.folder), "python tools/template.py"


def test_the_template_has_nothing_else():
    assert {path.name for path in TEMPLATE.iterdir()} == {"README.md", *KINDS}


def code_lines(path):
    """Number of lines that are neither blank, comments nor docstrings."""
    text = path.read_text(encoding="utf-8")
    skipped = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            skipped |= set(range(node.lineno, node.end_lineno + 1))
    lines = enumerate(text.splitlines(), start=1)
    return sum(1 for number, line in lines if line.strip() and line.strip()[0] != "#" and number not in skipped)


@pytest.mark.parametrize(
    ("kind", "most"),
    [
        ("pair-potential", 25),
        ("modifier", 40),
        ("stats-manager", 40),
        ("export-target", 40),
        ("output-head", 60),
        ("model-builder", 55),
    ],
)
def test_a_plugin_is_short(kind, most):
    """The pair potential with its formula, a function of two lines; the others with the physics of their example."""
    lines = sum(code_lines(path) for path in (TEMPLATE / kind / "src").rglob("*.py"))
    formula = 2 if kind == "pair-potential" else 0
    assert lines - formula <= most


@pytest.mark.parametrize("example", [False, True])
def test_what_is_written_is_clean(tmp_path, example):
    for kind, name in NAMES.items():
        new_plugin(name, kind, tmp_path, example=example)
    (tmp_path / "ruff.toml").write_text(
        "line-length = 120\nlint.pydocstyle.convention = 'google'\nlint.select = ['E', 'F', 'I', 'D', 'UP', 'B', 'ANN']"
    )
    ruff = [sys.executable, "-m", "ruff"]
    run(*ruff, "check", "--no-cache", "--exclude", "tests", tmp_path, cwd=tmp_path)
    run(*ruff, "format", "--no-cache", "--check", tmp_path, cwd=tmp_path)


# ------------------------------------------------------------------------ a clean environment


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Folder of each kind's package, with working physics."""
    folder = tmp_path_factory.mktemp("written")
    return {kind: new_plugin(name, kind, folder, example=True).folder for kind, name in NAMES.items()}


@pytest.fixture(scope="module")
def clean(written, tmp_path_factory):
    """``bin`` of a fresh environment with wheels of core, the packages and what their tests require."""
    base = tmp_path_factory.mktemp("clean")
    build = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", base / "wheels"]
    for folder in (ROOT / "core", *(ROOT / "plugins" / name for name in BROUGHT), *written.values()):
        run(*build, folder, cwd=base)
    names = [f"equipot-{name}[test]" for name in NAMES.values()]
    return clean_environment(base, base / "wheels", *names)


@pytest.mark.slow
def test_strangers_find_their_plugins(clean, tmp_path):
    listed = {one["id"]: one for one in json.loads(run(clean / "equipot", "plugins", "--json", cwd=tmp_path))}
    assert listed.keys() == {"core", *BROUGHT, *(name.replace("-", "_") for name in NAMES.values())}
    assert {one["state"] for one in listed.values()} == {"ok"}
    assert not [note for one in listed.values() for note in one["notes"]]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_an_installed_core_writes_the_same(clean, tmp_path, kind):
    """The templates are in the wheel."""
    run(clean / "equipot", "plugins", "new", "template", "--kind", kind, "--example", cwd=tmp_path)
    assert contents(tmp_path / "equipot-template") == contents(TEMPLATE / kind)


@pytest.mark.slow
def test_their_tests_pass(clean, written, tmp_path):
    """All packages' tests in one run, as a stranger's environment has them."""
    tests = [folder / "tests" for folder in written.values()]
    options = ["-q", "-p", "no:cacheprovider", "--import-mode=importlib", "-m", "not slow", f"--rootdir={tmp_path}"]
    output = run(clean / "python", "-m", "pytest", *options, *tests, cwd=tmp_path)
    assert re.search(r"^\d+ passed", output, re.MULTILINE)
    report = run(clean / "equipot", "plugins", "check", ".", cwd=written["modifier"])
    assert re.search(r"modifier tiny_wall .*\n  as test_conformance.py says\n  (\d+) of \1 laws hold", report)


@pytest.mark.slow
def test_types_are_right(clean, written, tmp_path):
    sources = [path for folder in written.values() for path in (folder / "src").rglob("*.py")]
    run(
        sys.executable, "-m", "mypy", "--strict", "--python-executable", clean / "python",
        "--cache-dir", ROOT / ".mypy_cache", *sources, cwd=tmp_path,
    )  # fmt: skip


MODEL = {
    "_target_": "equipot.model.modify",
    "modifiers": [{"modifier": "tiny_wall"}],
    "model": {
        "_target_": "equipot.model.TinyModel",
        "type_names": ["H", "O"],
        "r_max": 3.5,
        "per_type_energy_scales": "${training_data_stats:tiny_stats_forces_max}",
        "pair_potential": {"_target_": "equipot.pair_potentials.TinyPair", "depth": 0.1},
    },
}

USE = """
import json
from ase.io import read
from equipot.ase import EquipotCalculator

atoms = read("water.extxyz", "0")
atoms.calc = EquipotCalculator("model.equipot.zip")
print(json.dumps({"energy": atoms.get_potential_energy(), "forces": atoms.get_forces().tolist()}))
"""


@pytest.mark.slow
def test_all_four_train_and_run(clean, tmp_path):
    """Two epochs of training with a model, a pair potential, a modifier and statistics of strangers; package; ASE."""
    write_data(tmp_path, "water_gfn1.extxyz", 6, new="water.extxyz")
    config = short_run("water.extxyz", MODEL, train=4, val=2)
    config["data"]["stats_manager"] = {"_target_": "equipot.data.TinyStats"}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    run(clean / "equipot", "train", "config.yaml", "--output", "run", cwd=tmp_path)
    run(clean / "equipot", "package", "build", "run/last.ckpt", "model.equipot.zip", cwd=tmp_path)
    manifest = json.loads(run(clean / "equipot", "inspect", "--json", "model.equipot.zip", cwd=tmp_path))["manifest"]
    used = {f"equipot-{NAMES[kind]}" for kind in ("model-builder", "pair-potential", "modifier")}
    assert manifest["plugins"].keys() == {*used, "equipot-force-stress"}  # those it needs, not the statistics
    answer = json.loads(run(clean / "python", "-c", USE, cwd=tmp_path))
    total = [sum(force[axis] for force in answer["forces"]) for axis in range(3)]
    assert max(map(abs, total)) < 1e-3
    assert max(abs(one) for force in answer["forces"] for one in force) > 1e-3


@pytest.mark.slow
def test_without_physics_the_tests_say_what_to_write(tmp_path):
    made = [new_plugin(f"unwritten-{kind}", kind, tmp_path) for kind in KINDS]
    options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--target", tmp_path / "site"]
    run(sys.executable, "-m", "pip", "install", *options, *(one.folder for one in made), cwd=tmp_path)
    tests = [str(one.folder / "tests") for one in made]
    arguments = [
        "-q",
        "--tb=line",
        "-p",
        "no:cacheprovider",
        "--import-mode=importlib",
        f"--rootdir={tmp_path}",
        *tests,
    ]
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); import pytest; sys.exit(pytest.main({arguments}))"
    )
    output = run(sys.executable, "-c", code, cwd=tmp_path, expected=1)
    for one in made:
        assert f"write {one.to_write} ({one.source})" in output


def test_writing_is_fast(tmp_path):
    started = time.process_time()
    new_plugin("quick", "pair-potential", tmp_path)
    assert time.process_time() - started < 1.0
