"""What is shipped: versions in lockstep, typing, entry points, wheels, and an installation from wheels alone."""

from __future__ import annotations

import ast
import functools
import json
import math
import re
import subprocess
import sys
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from equipot_test_support.commands import clean_environment, run
from equipot_test_support.configs import short_run
from equipot_test_support.folders import write_data

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli", reason="needs tomli on Python 3.10")

ROOT = Path(__file__).resolve().parent.parent

FOLDERS = {"equipot-nequip": "nequip_like", "equipot-allegro": "allegro_like"}
"""Distributions whose folder below ``plugins`` is not called like the plugin."""

PLUGIN_IDS = (
    "nequip",
    "zbl",
    "force_stress",
    "allegro",
    "kernels",
    "from_nequip",
    "toolbox",
    "fit",
    "lammps",
    "engines",
    "simulate",
    "electrostatics",
    "uncertainty",
    "finetune",
    "dipoles",
    "testing",
)


def _distribution(plugin_id):
    name = f"equipot-{plugin_id.replace('_', '-')}"
    return name, (f"plugins/{FOLDERS.get(name, plugin_id)}", f"equipot_{plugin_id}", plugin_id)


PLUGINS = dict(map(_distribution, PLUGIN_IDS))
NOT_STANDARD = ("equipot-testing", "equipot-lammps", "equipot-engines", "equipot-dipoles")
"""What the extra ``standard`` leaves out: for authors, of use with another program alone, or for other labels."""

OURS = {"equipot": ("core", "equipot", "core"), **PLUGINS}
"""Distribution to its folder, its package and the id of its entry point."""


def project(dist: str) -> dict:
    folder = OURS[dist][0]
    return tomllib.loads((ROOT / folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def version() -> str:
    text = (ROOT / "core/src/equipot/_version.py").read_text(encoding="utf-8")
    return re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE).group(1)


def requirements(dist: str) -> dict[str, Requirement]:
    return {canonicalize_name(r.name): r for r in map(Requirement, project(dist)["dependencies"])}


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(r.name): next(iter(r.specifier)).version for r in pinned}


# ---------------------------------------------------------------- metadata


def test_every_package_is_known_here():
    folders = {path.parent.relative_to(ROOT).as_posix() for path in ROOT.glob("plugins/[!_]*/pyproject.toml")}
    assert folders == {folder for folder, _, _ in PLUGINS.values()}


@pytest.mark.parametrize("dist", PLUGINS)
def test_plugins_have_cores_version(dist):
    assert project(dist)["version"] == version()
    major_minor = ".".join(version().split(".")[:2])
    assert str(requirements(dist)["equipot"].specifier) == f"~={major_minor}"


def test_extra_and_citation_have_cores_version():
    standard = {str(Requirement(line)) for line in project("equipot")["optional-dependencies"]["standard"]}
    assert standard == {f"{dist}=={version()}" for dist in PLUGINS if dist not in NOT_STANDARD}
    assert f"\nversion: {version()}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


@pytest.mark.parametrize("dist", OURS)
def test_entry_point_points_to_a_module(dist):
    folder, package, plugin_id = OURS[dist]
    declared = project(dist)["entry-points"]["equipot.plugins.v1"]
    assert declared == {plugin_id: f"{package}.{'_builtin' if dist == 'equipot' else 'plugin'}"}
    assert (ROOT / folder / "src" / Path(*declared[plugin_id].split("."))).with_suffix(".py").is_file()


def test_commands_point_to_modules():
    targets = [("core", target) for target in project("equipot")["scripts"].values()]
    targets.append(("plugins/testing", project("equipot-testing")["entry-points"]["pytest11"]["equipot"]))
    files = [(ROOT / at / "src" / Path(*name.split(":")[0].split("."))).with_suffix(".py") for at, name in targets]
    assert [str(path) for path in files if not path.is_file()] == []


@pytest.mark.parametrize("dist", OURS)
def test_package_is_typed_licensed_and_described(dist):
    folder, package, _ = OURS[dist]
    assert (ROOT / folder / "src" / package / "py.typed").is_file()
    assert (ROOT / folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert (ROOT / folder / "README.md").read_text(encoding="utf-8").startswith(f"# {dist}\n")
    assert project(dist)["license"] == "MIT"


@pytest.mark.parametrize("dist", OURS)
def test_tested_versions_are_allowed(dist):
    ours = set(OURS)
    wrong = [
        f"{requirement}: tested with {pins().get(name)}"
        for name, requirement in requirements(dist).items()
        if name not in ours and (name not in pins() or not requirement.specifier.contains(pins()[name]))
    ]
    assert wrong == []


RUN_ELSEWHERE = ("_peer_export.py",)
"""Scripts that only an interpreter of another environment runs: what they import is installed there."""


def imported(folder: Path) -> set[str]:
    """Top-level names of all absolute imports below a folder, lazy ones too."""
    found = set()
    for path in folder.rglob("*.py"):
        if path.name in RUN_ELSEWHERE:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module.split(".")[0])
    return found


@functools.cache
def owners_of_packages() -> dict[str, list[str]]:
    """Distributions that bring each package; kept, since the metadata of the whole environment are read."""
    return dict(packages_distributions())


@pytest.mark.slow
@pytest.mark.parametrize("dist", OURS)
def test_imports_are_declared(dist):
    folder, package, _ = OURS[dist]
    extras = [Requirement(line) for lines in project(dist).get("optional-dependencies", {}).values() for line in lines]
    declared = set(requirements(dist)) | {canonicalize_name(one.name) for one in extras} | {canonicalize_name(dist)}
    owners = owners_of_packages() | {package: [name] for name, (_, package, _) in OURS.items()}  # ours are editable
    outside = imported(ROOT / folder / "src" / package) - set(sys.stdlib_module_names)
    undeclared = {name for name in outside if not declared & {canonicalize_name(d) for d in owners.get(name, [])}}
    assert undeclared == set()


def test_constraints_are_plain_versions():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    entry = re.compile(r'#.*|[a-z0-9.-]+==[0-9][0-9a-z.]*( ; python_version >= "3\.\d+")?')
    assert [line for line in lines if not entry.fullmatch(line)] == []


# ---------------------------------------------------------------- builds


@pytest.fixture(scope="module")
def dists(tmp_path_factory) -> Path:
    """Folder with an sdist of each package and the wheel built from that sdist, outside of the tree."""
    out = tmp_path_factory.mktemp("dists")
    for folder, _, _ in OURS.values():
        command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT / folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.mark.slow
@pytest.mark.parametrize("dist", OURS)
def test_wheel_holds_the_package_and_nothing_else(dist, dists):
    folder, package, _ = OURS[dist]
    source = ROOT / folder / "src"
    wanted = {
        path.relative_to(source).as_posix()
        for path in (source / package).rglob("*")
        if path.is_file() and not {"__pycache__", "_prebuilt"} & set(path.parts)
    }
    stem = f"{dist.replace('-', '_')}-{version()}"
    info = f"{stem}.dist-info"
    with zipfile.ZipFile(dists / f"{stem}-py3-none-any.whl") as wheel:
        names = set(wheel.namelist())
        metadata = wheel.read(f"{info}/METADATA").decode()
    assert {name for name in names if not name.startswith(info)} == wanted
    assert f"{info}/licenses/LICENSE" in names
    assert "License-Expression: MIT" in metadata
    assert f"# {dist}" in metadata
    assert (dists / f"{stem}.tar.gz").is_file()


# ---------------------------------------------------------------- installation


@pytest.fixture(scope="module")
def installed(dists, tmp_path_factory) -> Path:
    """``bin`` of a fresh environment with our wheels; third parties are borrowed from this one, our own are not."""
    base = tmp_path_factory.mktemp("installed")
    others = [f"{dist}=={version()}" for dist in NOT_STANDARD]
    return clean_environment(base, dists, f"equipot[standard]=={version()}", *others)


@pytest.mark.slow
def test_installed_wheels_list_their_plugins(installed, tmp_path):
    listed = json.loads(run(installed / "equipot", "plugins", "--json", cwd=tmp_path))
    states = {record["id"]: (record["distribution"], record["version"], record["state"]) for record in listed}
    assert states == {plugin_id: (dist, version(), "ok") for dist, (_, _, plugin_id) in OURS.items()}


@pytest.mark.slow
def test_installed_wheels_are_what_is_imported(installed, tmp_path):
    packages = [package for _, package, _ in OURS.values()]
    code = f"import importlib; [print(importlib.import_module(p).__file__) for p in {packages}]"
    files = run(installed / "python", "-c", code, cwd=tmp_path).split()
    assert len(files) == len(packages)
    assert [file for file in files if not Path(file).is_relative_to(installed.parent)] == []


@pytest.mark.slow
@pytest.mark.parametrize("command", ["equipot", "equipot-train", "equipot-compile", "equipot-package"])
def test_installed_commands_show_help(installed, tmp_path, command):
    assert "usage" in run(installed / command, "--help", cwd=tmp_path).lower()


@pytest.fixture(scope="module")
def bare(dists, tmp_path_factory) -> Path:
    """``bin`` of a fresh environment with core's wheel alone."""
    return clean_environment(tmp_path_factory.mktemp("bare"), dists, f"equipot=={version()}")


@pytest.mark.slow
def test_core_works_alone(bare, tmp_path):
    (record,) = json.loads(run(bare / "equipot", "plugins", "--json", cwd=tmp_path))
    assert (record["id"], record["state"]) == ("core", "ok")
    run(bare / "python", "-c", "import equipot.model, equipot.data, equipot.train, equipot.ase", cwd=tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("command", [("new", "morse", "--kind", "pair-potential"), ("check", "zbl")])
def test_core_alone_says_what_brings_the_commands_for_authors(bare, tmp_path, command):
    words = [str(bare / "equipot"), "plugins", *command]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stdout
    assert "pip install equipot-testing" in done.stderr


SYMBOLS = ["C", "H", "O"]
MODEL = {
    "_target_": "equipot.model.NequIPGNNModel",
    "type_names": SYMBOLS,
    "r_max": 4.0,
    "num_layers": 1,
    "l_max": 1,
    "num_features": 4,
    "radial_mlp_width": 8,
    "avg_num_neighbors": "${training_data_stats:num_neighbors_mean}",
    "per_type_energy_shifts": {"C": -1027.6, "H": -13.6, "O": -2041.8},
    "per_type_energy_scales": "${training_data_stats:per_type_forces_rms}",
    "pair_potential": {"_target_": "equipot.pair_potentials.ZBL", "units": "metal", "chemical_species": SYMBOLS},
}

CALCULATE = """\
import json
from ase.io import read
from equipot.ase import EquipotCalculator

atoms = read("frames.extxyz", "0")
label = atoms.get_potential_energy()
atoms.calc = EquipotCalculator("model.equipot.zip")
print(json.dumps({"label": label, "energy": atoms.get_potential_energy(), "forces": atoms.get_forces().tolist()}))
"""


@pytest.fixture
def short_road(installed, tmp_path) -> Path:
    """An empty folder outside of the tree with twelve labelled frames, a config, and the run of it."""
    write_data(tmp_path, "ethanol_pbe.extxyz", 12, new="frames.extxyz")
    config = short_run("frames.extxyz", MODEL, batch_size=4, train=8, val=2, test=2)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    run(installed / "equipot-train", "config.yaml", "--output", "run", cwd=tmp_path)
    return tmp_path


@pytest.mark.slow
def test_installed_wheels_go_the_short_road(installed, short_road):
    results = json.loads((short_road / "run/results.json").read_text(encoding="utf-8"))
    assert set(results) == {"train", "val", "test", "automatic_modifiers"}
    assert 0 < results["test"]["test0_epoch/forces_mae"] < math.inf

    wrote = run(installed / "equipot-package", "build", "run/best.ckpt", "model.equipot.zip", cwd=short_road)
    assert wrote.startswith("wrote model.equipot.zip (ema weights, fingerprint ")
    replayed = run(installed / "equipot-package", "verify", "model.equipot.zip", cwd=short_road)
    assert "reproduces its golden frames" in replayed

    report = json.loads(run(installed / "equipot", "inspect", "--json", "model.equipot.zip", cwd=short_road))
    assert report["verdict"] == "safe"
    needed = ("equipot-nequip", "equipot-zbl", "equipot-force-stress")  # of all that are installed
    assert report["manifest"]["plugins"] == dict.fromkeys(needed, version())

    answer = json.loads(run(installed / "python", "-c", CALCULATE, cwd=short_road))
    assert abs(answer["energy"] - answer["label"]) / 9 < 50  # eV/atom: shifts give the bulk of 4000 eV
    forces = [component for force in answer["forces"] for component in force]
    assert len(forces) == 27
    assert max(map(abs, forces)) > 1e-3
    assert [abs(sum(forces[axis::3])) < 1e-3 for axis in range(3)] == [True] * 3
