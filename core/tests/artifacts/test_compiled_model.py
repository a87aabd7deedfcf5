"""What is checked before and around native code: inputs, the machine, trust, folders, pickles."""

import copy
import dataclasses
import os
import pickle
import shutil
from pathlib import Path

import pytest
import torch

from equipot.artifacts import _compiled_model as compiled
from equipot.artifacts import _trust as trust
from equipot.artifacts import load
from equipot.artifacts._compiled_model import check_fits, prepare
from equipot.artifacts._manifest import Manifest
from equipot.compile import compile_model
from equipot.compile._aotinductor import _own_inductor_cache
from equipot.errors import ArtifactError, DataError
from equipot.files import file_digest


def ready(batch, info):
    return dict(zip(info.inputs, prepare(batch, info, torch.device("cpu")), strict=True))


def test_inputs_of_any_type_and_stride_are_converted(batch, info):
    odd = {
        **batch,
        "positions": batch["positions"].t().contiguous().t(),
        "edge_index": batch["edge_index"].t().contiguous().t().to(torch.int32),
        "edge_cell_shift": batch["edge_cell_shift"].to(torch.float32),
        "atom_types": batch["atom_types"].to(torch.uint8),
        "pbc": batch["pbc"].to(torch.int64),
        "batch": torch.stack([batch["batch"], batch["batch"]], dim=1)[:, 0],
    }
    prepared = ready(odd, info)
    for key, value in prepared.items():
        assert value.is_contiguous(), key
        assert value.dtype == batch[key].dtype, key
        assert torch.equal(value, batch[key]), key


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b.pop("cell"), r"the inputs \['cell'\] are missing"),
        (lambda b: b.update(positions=b["positions"][:, :2]), r"positions: must have the shape \[n_atoms, 3\]"),
        (lambda b: b.update(positions=b["positions"][:-1]), "positions: must have the shape"),
        (lambda b: b.update(cell=b["cell"][0]), "cell: must have the shape"),
        (lambda b: b.update(edge_index=b["edge_index"].t()), "edge_index: must have the shape"),
        (lambda b: b.update(edge_index=b["edge_index"] + 100), "edge_index: must be from 0 to 11, got"),
        (lambda b: b.update(edge_index=b["edge_index"] - 1), "edge_index: must be from 0 to 11, got"),
        (lambda b: b.update(edge_cell_shift=b["edge_cell_shift"][:-1]), "must have as many edges"),
        (lambda b: b.update(edge_index=b["edge_index"].flip(1)), "edge_index: must be sorted by centre"),
        (lambda b: b.update(atom_types=b["atom_types"] + 2), "atom_types: must be from 0 to 2"),
        (lambda b: b.update(batch=b["batch"] + 1), "batch: must be from 0 to 2"),
    ],
)
def test_wrong_inputs_never_reach_native_code(batch, info, change, message):
    change(batch)
    with pytest.raises(DataError, match=message):
        prepare(batch, info, torch.device("cpu"))


@pytest.fixture
def with_ghosts(info):
    return dataclasses.replace(info, inputs=(*info.inputs, "owned"))


def test_all_atoms_are_owned_unless_it_is_said(batch, with_ghosts):
    assert ready(batch, with_ghosts)["owned"].tolist() == [True] * len(batch["atom_types"])
    owned = torch.arange(len(batch["atom_types"])) % 2 == 0
    prepared = ready({**batch, "owned": owned.to(torch.uint8)}, with_ghosts)
    assert torch.equal(prepared["owned"], owned)
    assert list(prepared) == list(with_ghosts.inputs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b.update(owned=b["owned"][:-1]), r"owned: must have the shape \[n_atoms\]"),
        (lambda b: b.update(owned=b["owned"].unsqueeze(1)), r"owned: must have the shape \[n_atoms\]"),
        (lambda b: b.update(edge_index=b["edge_index"] + 100), "edge_index: must be from 0 to 11, got"),
        (lambda b: b.pop("positions"), r"the inputs \['positions'\] are missing"),
        (lambda b: (b.pop("owned"), b.pop("atom_types")), r"the inputs \['atom_types', 'owned'\] are missing"),
    ],
)
def test_wrong_inputs_with_ghosts_never_reach_native_code(batch, with_ghosts, change, message):
    batch["owned"] = torch.ones_like(batch["atom_types"], dtype=torch.bool)
    change(batch)
    with pytest.raises(DataError, match=message):
        prepare(batch, with_ghosts, torch.device("cpu"))


def facts(**changes):
    here = {
        "device": "cpu",
        "torch": compiled.public_torch_version(),
        "platform": compiled.platform_name(),
        "cpu": trust.cpu_capability(),
        "outputs": [],
    }
    return Manifest(kind="compiled", model={}, compiled={**here, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"torch": "2.9.0"}, "it was compiled by torch 2.9.0, but this is torch"),
        ({"device": "cuda"}, "it was compiled for the device 'cuda', not 'cpu'"),
        ({"platform": "plan9 mips"}, "it was compiled for plan9 mips"),
    ],
)
def test_what_does_not_fit_is_reported(changes, message):
    check_fits(facts(), Path("a.equipot.pt2"), torch.device("cpu"))
    with pytest.raises(ArtifactError, match=message) as caught:
        check_fits(facts(**changes), Path("a.equipot.pt2"), torch.device("cpu"))
    assert "compile it again here: equipot compile MODEL a.equipot.pt2 --device cpu" in str(caught.value)


def test_a_lesser_processor_is_reported(monkeypatch):
    monkeypatch.setattr(trust, "cpu_capability", lambda: "AVX2")
    with pytest.raises(ArtifactError, match="it needs a processor with AVX512, but this one has AVX2"):
        check_fits(facts(cpu="AVX512"), Path("a.equipot.pt2"), torch.device("cpu"))
    check_fits(facts(cpu="AVX2"), Path("a.equipot.pt2"), torch.device("cpu"))


def test_only_files_built_here_are_trusted(tmp_path, monkeypatch):
    monkeypatch.setenv("EQUIPOT_CACHE_DIR", str(tmp_path / "cache"))
    assert not trust.built_here("aa")
    trust.remember("aa", built=False)
    assert trust.verified_here("aa")
    assert not trust.built_here("aa")
    trust.remember("aa", built=True)
    trust.remember("aa", built=False)
    assert trust.built_here("aa")
    monkeypatch.setattr(trust.platform, "node", lambda: "elsewhere")
    assert not trust.verified_here("aa")


def test_a_cache_that_cannot_be_written_warns(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EQUIPOT_CACHE_DIR", str(tmp_path / "file"))
    trust.remember("aa", built=True)
    assert "set EQUIPOT_CACHE_DIR to another folder" in caplog.text


def test_other_zip_files_are_no_compiled_files(package_file, tmp_path):
    path = tmp_path / "a.equipot.pt2"
    shutil.copy(package_file, path)
    with pytest.raises(ArtifactError, match="is not a compiled file of equipot; make one with equipot compile"):
        load(path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ArtifactError, match="truncated"):
        load(path)


def test_no_folder_for_temporary_files(tmp_path, make_model, monkeypatch):
    """The message is about the folder, and comes before anything is compiled or loaded."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "none"))
    message = r"TMPDIR: the folder for temporary files does not exist, .*; set TMPDIR to a folder that allows it"
    with pytest.raises(ArtifactError, match=message):
        compiled.open_runner(tmp_path / "a.equipot.pt2", torch.device("cpu"))
    with pytest.raises(ArtifactError, match=message):
        compile_model(make_model(), tmp_path / "a.equipot.pt2")
    assert not list(tmp_path.iterdir())


def test_the_cache_of_torchs_compiler_must_be_ours(tmp_path, monkeypatch, caplog):
    """By default it is a folder in /tmp whose name everybody can guess."""
    variable, headers = "TORCHINDUCTOR_CACHE_DIR", {"aot_inductor.precompile_headers": False}
    default, given, own = (tmp_path / name for name in ("default", "given", "inductor"))
    monkeypatch.setenv("EQUIPOT_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("torch._inductor.runtime.cache_dir_utils.default_cache_dir", lambda: str(default))
    monkeypatch.setenv(variable, str(default))  # torch itself does so

    def used():
        with _own_inductor_cache() as options:
            return Path(os.environ[variable]), options

    assert used() == (default, {})
    assert default.stat().st_mode & 0o777 == 0o700
    default.chmod(0o777)
    assert used() == (own, headers), "torch always keeps its headers in the default folder"
    assert not caplog.text
    assert os.environ[variable] == str(default)
    monkeypatch.setenv(variable, str(given))
    assert used() == (given, headers)
    given.chmod(0o775)
    assert used() == (own, headers)
    assert f"{variable}={given} is not used: other users can write to it" in caplog.text
    own.chmod(0o775)
    folder, _ = used()
    assert folder not in (own, given, default)
    assert not folder.exists(), "a temporary one"


def stand_in(info, runner):
    return compiled.CompiledModel(runner, facts(outputs=["total_energy"]), info)


def test_a_pickle_is_the_path_and_digest_of_the_file(info, batch, tmp_path, monkeypatch):
    path = tmp_path / "model.equipot.pt2"
    path.write_bytes(b"code" * 100_000)
    monkeypatch.chdir(tmp_path)
    code = compiled.LoadedFile(Path("model.equipot.pt2"), file_digest(path), torch.device("cpu"), lambda inputs: [1.0])
    model = stand_in(info, code)
    assert model(batch) == {"total_energy": 1.0}
    assert copy.deepcopy(model) is model
    sent = pickle.dumps(model)
    assert len(sent) < 10_000
    loads = []
    monkeypatch.setattr(
        compiled,
        "_loaded",
        lambda *args, **options: loads.append((args, options)) or stand_in(info, lambda inputs: [2.0]),
    )
    arrived = pickle.loads(sent)  # noqa: S301 - our own bytes
    assert arrived.info == info
    assert loads == []
    for _ in range(2):
        assert arrived(batch) == {"total_energy": 2.0}
    assert loads == [((path, torch.device("cpu")), {"allowed": file_digest(path)})]


def test_a_file_that_changed_or_is_gone_is_one_error(info, batch, tmp_path):
    path = tmp_path / "model.equipot.pt2"
    path.write_bytes(b"code")
    sent = pickle.dumps(stand_in(info, compiled.LoadedFile(path, file_digest(path), torch.device("cpu"), list)))
    path.write_bytes(b"other")
    arrived = pickle.loads(sent)  # noqa: S301 - our own bytes
    with pytest.raises(ArtifactError) as caught:
        arrived(batch)
    assert str(caught.value) == (
        f"{path}: a compiled model was sent here as the path of its file, but the file has changed since; load the new "
        "file where the work is handed out"
    )
    path.unlink()
    with pytest.raises(ArtifactError, match=r"but there is no such file; keep it where all processes can read it"):
        arrived(batch)
    path.mkdir()
    with pytest.raises(ArtifactError, match="the file has changed since"):
        arrived(batch)


def test_code_that_is_in_no_file_cannot_be_pickled(info):
    with pytest.raises(TypeError, match="can only be pickled if it was loaded from a file"):
        pickle.dumps(stand_in(info, list))
