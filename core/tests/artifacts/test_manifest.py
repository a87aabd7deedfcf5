import json
import subprocess
import sys

import pytest

from equipot.artifacts import _manifest as manifests
from equipot.artifacts import read_package, write_package
from equipot.artifacts._manifest import Manifest
from equipot.errors import ArtifactError


def plain(**changes):
    return {**json.loads(Manifest(kind="package", model={}).to_json()), **changes}


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
        (b'{"format_version": 1, "kind": "package", "model": 3}', "manifest.model: must be a JSON dict"),
        (
            b'{"format_version": 1, "kind": "package", "model": {}, "plugins": {"a": 1}}',
            "manifest.plugins: must hold strings",
        ),
    ],
)
def test_damaged_manifests_are_refused(raw, message):
    with pytest.raises(ArtifactError, match=message):
        Manifest.from_json(raw, "a.equipot.zip")


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
