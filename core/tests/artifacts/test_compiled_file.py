"""Edited and damaged compiled files. Their native code is replaced by the eager model, so that nothing is compiled."""

import dataclasses
import json
import os
import threading
import zipfile

import pytest
import torch

from equipot.artifacts import TOLERANCE, golden_frames, load_compiled, replay
from equipot.artifacts import _archive as archive
from equipot.artifacts import _compiled_file as compiled_file
from equipot.artifacts import _compiled_model as compiled
from equipot.artifacts import _golden as golden
from equipot.artifacts import _trust as trust
from equipot.artifacts._compiled_file import add_members, read_compiled, stated
from equipot.artifacts._inspect import inspect_file
from equipot.artifacts._stored import store
from equipot.errors import ArtifactError, EquipotError
from equipot.files import file_digest

CODE = "model/data/aotinductor/model/code.wrapper.so"


@pytest.fixture
def eager(make_model):
    return make_model()


def written(path, model, code=None, members=None, **facts):
    """A file as ``compile_model`` writes it, with other bytes for the code."""
    here = compiled.built_for("cpu", portable=False)
    outputs = list(model(golden.random_frames(model.info)["atom"]))
    manifest = store(model, "compiled", where=str(path)).manifest
    manifest = dataclasses.replace(manifest, compiled={**here, "outputs": outputs, "kernels": {}, **facts})
    archive.write_members(path, {"model/version": b"1", CODE: b"native code", **(members or {})})
    add_members(path, manifest, golden.to_bytes(golden.record(model), stated(manifest)), code)
    return path


@pytest.fixture
def pt2(tmp_path, eager, monkeypatch):
    """A file that was not built here; its code, when loaded, is the eager model."""

    def runner(path, device, file=None):
        return lambda inputs: list(eager(dict(zip(eager.info.inputs, inputs, strict=True))).values())

    monkeypatch.setenv("EQUIPOT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(compiled, "open_runner", runner)
    return written(tmp_path / "model.equipot.pt2", eager)


def members_of(path):
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def edited(path, change, *, golden_too=False):
    """Change the manifest, and, as an attacker would, all digests; with ``golden_too`` also its copy."""
    members = members_of(path)
    name = f"model/equipot/{compiled_file.MANIFEST}"
    plain = json.loads(members[name])
    change(plain)
    if golden_too:
        facts = {key: value for key, value in plain.items() if key != "files"}
        frames = golden.from_bytes(members["model/equipot/golden.safetensors"], "x")
        raw = golden.to_bytes(frames, {compiled_file.STATED: json.dumps(facts)})
        members["model/equipot/golden.safetensors"] = raw
    plain["files"] = {key: archive.sha256(raw) for key, raw in members.items() if key != name}
    members[name] = json.dumps(plain).encode()
    archive.write_members(path, members)
    return path


def test_a_whole_file_is_loaded_and_remembered(pt2, eager):
    model = load_compiled(pt2, allow_native=True)
    batch = golden.random_frames(eager.info, 3)["molecule"]
    assert torch.equal(model(batch)["forces"], eager(batch)["forces"])
    assert trust.verified_here(file_digest(pt2))
    assert not trust.built_here(file_digest(pt2))


def swapped(outputs):
    names = {"stress": "virial", "virial": "stress"}
    return [names.get(name, name) for name in outputs]


EDITS = {
    "r_max": lambda plain: plain["model"].update(r_max=4.5),
    "cutoffs": lambda plain: plain["model"].update(cutoffs=None),
    "order of types": lambda plain: plain["model"].update(type_names=["H", "C", "O"], chemical_species=["H", "C", "O"]),
    "units": lambda plain: plain["model"].update(units="real"),
    "species": lambda plain: plain["model"].update(chemical_species=["Si", "H", "O"]),
    "atomic numbers": lambda plain: plain.update(atomic_numbers=[14, 1, 8]),
    "order of outputs": lambda plain: plain["compiled"].update(outputs=swapped(plain["compiled"]["outputs"])),
    "processor": lambda plain: plain["compiled"].update(cpu="DEFAULT"),
    "kernels": lambda plain: plain["compiled"].update(kernels={"enable_FusedKernels": {}}),
    "origin": lambda plain: plain["provenance"].update(source="better.ckpt"),
    "fingerprint": lambda plain: plain.update(fingerprint="0" * 64),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_manifest_is_found_before_any_code_is_loaded(pt2, monkeypatch, name):
    """Its digests are recomputed, and the file is allowed."""
    edited(pt2, EDITS[name])
    monkeypatch.setattr(compiled, "open_runner", lambda *_: pytest.fail("loaded"))
    with pytest.raises(ArtifactError, match=r"manifest\.[a-z._0-9]+: .*"):
        load_compiled(pt2, allow_native=True)
    with pytest.raises(ArtifactError, match="is not what the golden frames were made with"):
        inspect_file(pt2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda plain: plain["model"].update(r_max=4.5, cutoffs=None),
            "the edges of its golden frame '.*' are not those within the stated cutoffs",
        ),
        (lambda plain: plain["model"].update(r_max=3.2), "are not those within the stated cutoffs"),
        (EDITS["cutoffs"], "are not those within the stated cutoffs"),
        (EDITS["species"], "manifest.atomic_numbers: must be .*, as of chemical_species"),
        (EDITS["atomic numbers"], "manifest.atomic_numbers: must be .*, as of chemical_species"),
        (EDITS["order of outputs"], "does not reproduce its golden frames"),
        (lambda plain: plain["compiled"]["outputs"].remove("virial"), r"outputs: lacks \['virial'\]"),
        (lambda plain: plain["compiled"]["outputs"].append("x"), "must give 7 outputs, got 6"),
        (lambda plain: plain["model"].update(type_names=["C", "H"]), "type_names|species|atom_types"),
        (lambda plain: plain["model"].update(edge_sets=[["long", 9.0]]), "golden frames cannot be replayed"),
        (lambda plain: plain["model"].update(inputs=["positions"]), "manifest.model.inputs: lacks"),
        (lambda plain: plain["model"]["inputs"].append("sorcery"), r"has unknown fields, got \['sorcery'\]"),
        (lambda plain: plain["model"].update(r_max=-1.0), "positive cutoffs"),
        (lambda plain: plain["model"].update(chemical_species=["Xx", "H", "O"]), "'Xx' is not an element"),
        (lambda plain: plain["compiled"].update(device="cpu:x"), r"compiled.device: is not a device, got 'cpu:x'"),
        (lambda plain: plain["compiled"].update(device="meta"), "it was compiled for the device 'meta', not 'cpu'"),
        (lambda plain: plain["compiled"].update(outputs=[1, 2]), "compiled.outputs: must be names"),
        (lambda plain: plain["compiled"].update(outputs=["forces"] * 2), "compiled.outputs: must be names, each once"),
        (lambda plain: plain["compiled"].update(outputs=None), "is not of a compiled file"),
        (lambda plain: plain["compiled"].update(cpu=7), "is not of a compiled file"),
        (lambda plain: plain["compiled"].update(kernels=[]), "compiled.kernels: must be a JSON dict"),
        (lambda plain: plain.update(kind="package"), "is not of a compiled file"),
    ],
)
def test_what_an_attacker_states_in_all_places_must_agree_with_the_frames(pt2, change, message):
    """The copy in the golden frames and all digests are changed as well."""
    edited(pt2, change, golden_too=True)
    with pytest.raises(EquipotError, match=message):
        load_compiled(pt2, allow_native=True)
    assert not trust.verified_here(file_digest(pt2))


def frames_with(change):
    def edit(frames):
        return [dataclasses.replace(frame, **change(frame)) for frame in frames]

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (frames_with(lambda one: {"outputs": {**one.outputs, "forces": one.outputs["forces"] * 1.01}}), "reproduce"),
        (frames_with(lambda one: {"shifts": torch.zeros(7, dtype=torch.float64)}), "frame '.*' is incomplete"),
        (frames_with(lambda one: {"inputs": {**one.inputs, "cell": torch.zeros(3)}}), "cell: must have the shape"),
        (frames_with(lambda one: {"inputs": {**one.inputs, "positions": one.inputs["positions"] * torch.nan}}), "x"),
        (frames_with(lambda one: {"inputs": {**one.inputs, "atom_types": one.inputs["atom_types"] + 9}}), "atom_types"),
        (frames_with(lambda one: {"inputs": {"cell": one.inputs["cell"]}}), "frame '.*' is incomplete"),
        (lambda frames: [], "has no golden frames"),
    ],
)
def test_edited_golden_frames(pt2, edit, message):
    members = members_of(pt2)
    name = "model/equipot/golden.safetensors"
    kept = {compiled_file.STATED: compiled_file.read_metadata(members[name], "x")[compiled_file.STATED]}
    members[name] = golden.to_bytes(edit(golden.from_bytes(members[name], "x")), kept)
    manifest = json.loads(members["model/equipot/manifest.json"])
    manifest["files"][name] = archive.sha256(members[name])
    members["model/equipot/manifest.json"] = json.dumps(manifest).encode()
    archive.write_members(pt2, members)
    with pytest.raises(ArtifactError, match=message if message != "x" else str(pt2)):
        load_compiled(pt2, allow_native=True)


@pytest.mark.parametrize("name", ["model/version", CODE, "model/equipot/golden.safetensors"])
def test_every_member_has_its_digest(pt2, name):
    members = members_of(pt2)
    members[name] = members[name][:-1] + bytes([members[name][-1] ^ 1])
    archive.write_members(pt2, members)
    for read in (read_compiled, inspect_file):
        with pytest.raises(ArtifactError, match=f"{name}: does not have the SHA-256 that the manifest states"):
            read(pt2)


def test_a_member_more_or_less(pt2):
    members = members_of(pt2)
    archive.write_members(pt2, {**members, "model/data/more.so": b""})
    with pytest.raises(ArtifactError, match=r"the members that its manifest lists, got \['model/data/more.so'\]"):
        read_compiled(pt2)
    archive.write_members(pt2, {name: raw for name, raw in members.items() if name != CODE})
    with pytest.raises(ArtifactError, match="does not have the members that its manifest lists"):
        read_compiled(pt2)


def test_a_file_of_an_older_equipot(pt2):
    members = members_of(pt2)
    name = "model/equipot/golden.safetensors"
    members[name] = golden.to_bytes(golden.from_bytes(members[name], "x"))
    manifest = json.loads(members["model/equipot/manifest.json"])
    manifest["files"][name] = archive.sha256(members[name])
    members["model/equipot/manifest.json"] = json.dumps(manifest).encode()
    archive.write_members(pt2, members)
    with pytest.raises(ArtifactError, match="was compiled by an older equipot, .*; compile it again"):
        read_compiled(pt2)


# ------------------------------------------------------------- for engines without Python

KERNELS = {"use_Toys": {"distribution": "equipot-toys", "version": "1", "specs": [], "files": ["a.so", "b.so"]}}
BYTES = {"use_Toys": {"a.so": b"kernel a", "b.so": b"kernel b"}}
METADATA = f"{CODE.removesuffix('.so')}_metadata.json"
FACTS = {"equipot_format": "1", "equipot_r_max": "4.0"}


def test_code_of_kernels_travels_with_its_digest(tmp_path, eager):
    path = written(tmp_path / "a.equipot.pt2", eager, BYTES, kernels=KERNELS)
    manifest, _ = read_compiled(path)
    members = members_of(path)
    for file, raw in BYTES["use_Toys"].items():
        name = f"model/equipot/kernels/use_Toys/{file}"
        assert members[name] == raw
        assert manifest.files[name] == archive.sha256(raw)
    assert inspect_file(path).manifest.compiled["kernels"] == KERNELS
    members["model/equipot/kernels/use_Toys/a.so"] = b"kernel c"
    archive.write_members(path, members)
    with pytest.raises(ArtifactError, match="kernels/use_Toys/a.so: does not have the SHA-256"):
        read_compiled(path)


def test_one_that_is_missing_when_the_file_is_made(tmp_path, eager):
    path = written(tmp_path / "a.equipot.pt2", eager, {"use_Toys": {"a.so": b"kernel a"}}, kernels=KERNELS)
    with pytest.raises(
        ArtifactError, match=r"the code of kernels that its manifest states, got \['kernels/use_Toys/b.so'"
    ):
        read_compiled(path)


@pytest.mark.parametrize(
    "name", ["kernels/use_Toys/c.so", "kernels/other/a.so", "kernels/a.so", "more.json", "kernels/use_Toys/a.so/x"]
)
def test_nothing_else_is_in_our_folder(tmp_path, eager, name):
    path = written(tmp_path / "a.equipot.pt2", eager, BYTES, kernels=KERNELS)
    members = {**members_of(path), f"model/equipot/{name}": b""}
    manifest = json.loads(members["model/equipot/manifest.json"])
    manifest["files"][f"model/equipot/{name}"] = archive.sha256(b"")
    members["model/equipot/manifest.json"] = json.dumps(manifest).encode()
    archive.write_members(path, members)
    with pytest.raises(ArtifactError, match=rf"does not hold the code of kernels .*got \['{name}'\]"):
        read_compiled(path)


@pytest.mark.parametrize(
    ("kernels", "words"),
    [
        ({"use_Toys": {"files": ["../a.so"]}}, r"kernels.use_Toys.files: must be names of files"),
        ({"use_Toys": {"files": "a.so"}}, r"kernels.use_Toys.files: must be names of files"),
        ({"../x": {"files": ["a.so"]}}, r"is not the name of a modifier"),
    ],
)
def test_names_of_code_are_plain(tmp_path, eager, kernels, words):
    path = written(tmp_path / "a.equipot.pt2", eager, kernels=kernels)
    with pytest.raises(ArtifactError, match=words):
        read_compiled(path)


def test_engines_read_what_the_manifest_states(tmp_path, eager):
    good = {METADATA: json.dumps({**FACTS, "AOTI_DEVICE_KEY": "cpu"}).encode()}
    path = written(tmp_path / "a.equipot.pt2", eager, members=good, metadata=FACTS)
    assert read_compiled(path)[0].compiled["metadata"] == FACTS
    bad = {METADATA: json.dumps({**FACTS, "equipot_r_max": "4.5"}).encode()}
    with pytest.raises(ArtifactError, match=r"the metadata \['equipot_r_max'\] for engines are not what the manifest"):
        read_compiled(written(tmp_path / "b.equipot.pt2", eager, members=bad, metadata=FACTS))
    with pytest.raises(ArtifactError, match="has no metadata for engines"):
        read_compiled(written(tmp_path / "c.equipot.pt2", eager, metadata=FACTS))
    with pytest.raises(ArtifactError, match="compiled.metadata: must be a JSON dict"):
        read_compiled(written(tmp_path / "d.equipot.pt2", eager, members=good, metadata=[1]))


def pipe(path):
    path.unlink()
    os.mkfifo(path)


DAMAGE = {
    "pipe": pipe,
    "folder": lambda path: (path.unlink(), path.mkdir()),
    "device": lambda path: (path.unlink(), path.symlink_to("/dev/zero")),
    "link to nothing": lambda path: (path.unlink(), path.symlink_to("none")),
    "empty": lambda path: path.write_bytes(b""),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "text": lambda path: path.write_text("model"),
    "no members": lambda path: archive.write_members(path, {}),
    "two roots": lambda path: archive.write_members(
        path, {**members_of(path), "other/equipot/manifest.json": b"{}", "other/equipot/golden.safetensors": b""}
    ),
    "manifest of numbers": lambda path: archive.write_members(
        path, {**members_of(path), "model/equipot/manifest.json": b"[1]"}
    ),
    "deep manifest": lambda path: archive.write_members(
        path, {**members_of(path), "model/equipot/manifest.json": b'{"a":' * 50_000}
    ),
    "golden frames of zeros": lambda path: archive.write_members(
        path, {**members_of(path), "model/equipot/golden.safetensors": bytes(100)}
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_files_are_one_clear_error(pt2, kind):
    DAMAGE[kind](pt2)
    for read in (lambda path: load_compiled(path, allow_native=True), inspect_file):
        with pytest.raises(ArtifactError, match="model.equipot.pt2"):
            read(pt2)


def test_a_file_that_is_replaced_while_it_is_loaded(pt2, eager, monkeypatch):
    """Facts of the old file never come with the code of the new one."""
    runner = compiled.open_runner

    def slow(path, device, file):
        assert os.path.samestat(os.fstat(file.fileno()), path.stat())
        written(path.with_name("new.equipot.pt2"), eager, portable=True).replace(path)
        return runner(path, device)

    monkeypatch.setattr(compiled, "open_runner", slow)
    with pytest.raises(ArtifactError, match="was replaced while it was loaded; load it again"):
        load_compiled(pt2, allow_native=True)


def test_several_threads_at_once(pt2, eager):
    batch = golden.random_frames(eager.info, 4)["triclinic"]
    expected, found = eager(batch)["forces"], []

    def use():
        found.append(torch.equal(load_compiled(pt2, allow_native=True)(batch)["forces"], expected))

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 4
    assert trust.verified_here(file_digest(pt2))


# ------------------------------------------------------------------ what is remembered


def test_only_our_own_records_count(pt2, monkeypatch):
    digest = file_digest(pt2)
    trust.remember(digest, built=True)
    load_compiled(pt2)
    (record,) = trust.folder().glob("*.json")
    record.chmod(0o666)
    with pytest.raises(ArtifactError, match="has no record that you built it"):
        load_compiled(pt2)
    record.chmod(0o600)
    load_compiled(pt2)
    trust.folder().chmod(0o777)
    with pytest.raises(ArtifactError, match="has no record that you built it"):
        load_compiled(pt2)


@pytest.mark.parametrize(
    "content",
    [
        {"built": 1, "verified": []},
        {"built": "true", "verified": []},
        {"built": True},
        {"built": True, "verified": "here"},
        {"built": True, "verified": [1]},
        {"built": True, "verified": [], "more": 1},
        [True],
    ],
)
def test_records_of_other_types_do_not_count(pt2, content):
    from equipot import caches

    digest = file_digest(pt2)
    trust.remember(digest, built=True)
    (record,) = trust.folder().glob("*.json")
    caches.write_entry(record, digest, content)
    assert not trust.built_here(digest)
    assert not trust.verified_here(digest)


def test_a_record_of_another_file_does_not_count(pt2):
    trust.remember("0" * 64, built=True)
    (record,) = trust.folder().glob("*.json")
    record.rename(record.with_name(f"{file_digest(pt2)}.json"))
    with pytest.raises(ArtifactError, match="has no record that you built it"):
        load_compiled(pt2)


def test_what_is_missing_is_said_truly(pt2, monkeypatch, tmp_path):
    """The user built it, but looks with another cache folder."""
    trust.remember(file_digest(pt2), built=True)
    monkeypatch.setenv("EQUIPOT_CACHE_DIR", str(tmp_path / "other"))
    with pytest.raises(ArtifactError) as caught:
        load_compiled(pt2)
    assert f"{tmp_path}/other/compiled does not exist, so there is no record that you built it" in str(caught.value)
    assert "each EQUIPOT_CACHE_DIR and home folder has records of its own" in str(caught.value)
    assert "was not built on this machine" not in str(caught.value)
    assert "has no record that you built it" in inspect_file(pt2).advice


def test_golden_frames_are_there_for_other_engines(pt2, eager):
    """An engine replays them: its own results pass, and others do not."""
    frames = golden_frames(pt2)
    assert [frame.name for frame in frames] == ["atom", "molecule", "triclinic"]
    assert max(replay(eager, frames).values()) <= TOLERANCE["float64"]

    def wrong(inputs):
        outputs = eager(inputs)
        return {**outputs, "forces": outputs["forces"] + 1e-3}

    assert replay(wrong, frames)["forces"] > TOLERANCE["float64"]


def test_edited_golden_frames_are_not_given(pt2):
    edited(pt2, lambda plain: plain["model"].update(r_max=3.0))
    with pytest.raises(ArtifactError, match="is not what the golden frames were made with"):
        golden_frames(pt2)
