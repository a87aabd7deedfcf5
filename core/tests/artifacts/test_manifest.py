import json
import subprocess
import sys

import pytest

from equipot.artifacts import _manifest as manifests
from equipot.artifacts import read_package, write_package
from equipot.artifacts._manifest import Manifest
from equipot.errors import ArtifactError

FACTS = {
    "type_names": ["H"],
    "chemical_species": None,
    "r_max": 3,
    "cutoffs": None,
    "model_dtype": "float64",
    "units": "metal",
    "locality": "strict",
    "edge_sets": [["zbl", 2.0]],
    "inputs": [],
    "outputs": [],
}


def plain(**changes):
    return {**json.loads(Manifest(kind="package", model=FACTS).to_json()), **changes}


def parse(values):
    return Manifest.from_json(json.dumps(values).encode(), "a.equipot.zip")


def test_manifest_survives_the_round_trip(make_model, tmp_path):
    manifest = write_package(make_model(), tmp_path / "a.equipot.zip")
    assert Manifest.from_json(manifest.to_json(), "x") == manifest
    assert manifest.atomic_numbers == [6, 1, 8]
    assert any("Ziegler" in text for text in manifest.citations)
    assert manifest.model["r_max"] == 4.0
    assert manifest.model["outputs"] == ["atomic_energy", "total_energy", "forces", "stress", "virial"]


def test_a_newer_format_says_to_upgrade():
    with pytest.raises(
        ArtifactError, match=r"a.equipot.zip: made with a newer equipot \(format 99.*\); pip install --upgrade equipot"
    ):
        parse(plain(format_version=99))


def test_an_older_format_is_upgraded_step_by_step(monkeypatch):
    monkeypatch.setattr(manifests, "FORMAT_VERSION", 3)
    monkeypatch.setattr(
        manifests,
        "UPGRADES",
        {
            1: lambda old: {**old, "fingerprint": "one"},
            2: lambda old: {**old, "fingerprint": old["fingerprint"] + " two"},
        },
    )
    assert parse(plain(format_version=1)).fingerprint == "one two"
    monkeypatch.setattr(manifests, "UPGRADES", {1: manifests.UPGRADES[1]})
    with pytest.raises(ArtifactError, match="has format 2, which this equipot can no longer read"):
        parse(plain(format_version=1))


@pytest.mark.parametrize("version", [0, -1, "1", 1.0, True, None])
def test_format_versions_are_positive_integers(version):
    with pytest.raises(ArtifactError, match="format_version: must be a positive integer"):
        parse(plain(format_version=version))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"{", "is damaged"),
        (b"\xff\xfe", "is damaged"),
        (b"[1]", "must hold a JSON object"),
        (b'{"a": NaN}', "the constant NaN is not JSON"),
        (b'{"a": ' * 100_000, "is damaged"),
        (b'{"format_version": 1}', "manifest.kind: is missing"),
    ],
)
def test_damaged_manifests_are_refused(raw, message):
    with pytest.raises(ArtifactError, match=message):
        Manifest.from_json(raw, "a.equipot.zip")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": 3}, "model: must be a mapping, got 3"),
        ({"model": {}}, "model.chemical_species: is missing"),
        ({"model": FACTS | {"pressure": 1}}, "model.pressure: is an unknown entry; .* pip install --upgrade equipot"),
        ({"model": FACTS | {"units": "atomic"}}, r"model.units: must be one of \['metal', 'real'\], got 'atomic'"),
        ({"model": FACTS | {"units": ["metal"]}}, "model.units: must be one of"),
        ({"model": FACTS | {"type_names": "H"}}, "model.type_names: must be a list, got 'H'"),
        ({"model": FACTS | {"type_names": [1]}}, "model.type_names.0: must be a string, got 1"),
        ({"model": FACTS | {"r_max": True}}, "model.r_max: must be a number, got True"),
        ({"model": FACTS | {"cutoffs": [3.0]}}, "model.cutoffs.0: must be a list, got 3.0"),
        ({"model": FACTS | {"edge_sets": [["zbl"]]}}, "model.edge_sets.0: must have 2 items"),
        ({"plugins": {"a": 1}}, "plugins.a: must be a string, got 1"),
        ({"modifiers": [{"name": "x"}]}, "modifiers.0.distribution: is missing"),
        ({"modifiers": [3]}, "modifiers.0: must be a mapping"),
        ({"atomic_numbers": ["H"]}, "atomic_numbers.0: must be an integer"),
        ({"fingerprint": None}, "fingerprint: must be a string"),
        ({"citations": {}}, "citations: must be a list"),
    ],
)
def test_entries_of_a_wrong_type_are_named(changes, message):
    assert parse(plain()) == Manifest(kind="package", model=FACTS)
    with pytest.raises(ArtifactError, match=f"a.equipot.zip: manifest.{message}"):
        parse(plain(**changes))


def test_equal_models_give_equal_manifests(make_model, tmp_path):
    first = write_package(make_model(), tmp_path / "a.equipot.zip").to_json()
    second = write_package(make_model(), tmp_path / "b.equipot.zip").to_json()
    one, two = json.loads(first), json.loads(second)
    for manifest in (one, two):
        manifest["provenance"].pop("created")
    assert one == two


def test_reading_a_manifest_imports_no_torch(package_file):
    code = (
        "import sys\nfrom equipot.artifacts import inspect_file\n"
        f"report = inspect_file({str(package_file)!r})\n"
        "assert report.verdict == 'safe', report\n"
        "heavy = {'torch', 'e3nn', 'ase', 'numpy', 'equipot_invariant.builder'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_info_survives_the_round_trip(make_model, package_file):
    assert read_package(package_file).info() == make_model().info


@pytest.mark.parametrize(("kind", "suffix"), manifests.SUFFIXES.items())
def test_kinds_of_files_by_their_names(kind, suffix):
    assert manifests.kind_of(f"folder/a{suffix}") == kind
    with pytest.raises(ArtifactError, match=r"unknown file type; known: \.ckpt, \.equipot\.zip, \.equipot\.pt2"):
        manifests.kind_of(f"folder/a{suffix}.txt")
