"""Checks of the data before a training: what stops it, what is repeated at its end, and how to accept a finding."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from equipot.data import checks
from equipot.data.checks import _consistency
from equipot.files import write_json
from equipot_test_support.faults import changed

STRAY = "training_module.model.per_type_energy_shifts={H: -3000.0, O: 0.0}"


@pytest.fixture(autouse=True)
def fitted(monkeypatch):
    """What the checks by a fit find, in place of the true ones."""
    found = ([], {})
    monkeypatch.setattr(_consistency, "consistency_findings", lambda *_, **__: found)
    return found


def results(folder):
    return json.loads((folder.path / "out" / "results.json").read_text())


def test_sound_data_are_not_mentioned_at_the_end(folder):
    code, output, errors = folder.call("--output", "out", "run=[train]")
    assert code == 0, errors
    assert "Checks of the data: 0 errors, 0 warnings, 1 note" in output
    assert "Warnings about the data" not in output
    assert list(results(folder)) == ["train"]


def test_warnings_are_said_at_the_start_and_at_the_end_and_are_in_the_results(folder):
    code, output, errors = folder.call("--output", "out", "run=[train]", STRAY)
    assert code == 0, errors
    begin, end = output.split("epoch 1/2")
    assert "Checks of the data: 0 errors, 1 warning" in begin
    assert "warning energy-offset: " in begin
    assert "Warnings about the data:\nwarning energy-offset: " in end
    assert "Warnings about the data:" in (folder.path / "out" / "train.log").read_text()
    (one,) = [one for one in results(folder)["data"]["findings"] if one["severity"] == "warning"]
    assert (one["code"], one["count"]) == ("energy-offset", 12)


def test_a_check_that_is_accepted(folder):
    code, output, errors = folder.call("--output", "out", "run=[train]", STRAY, "+data.accept=[energy-offset]")
    assert code == 0, errors
    assert "Warnings about the data" not in output
    assert "accepted: energy-offset (12)" in output
    assert "data" not in results(folder)
    (message,) = folder.errors("+data.accept=[energy-ofset]", command="check")
    assert message == "data.accept.0: unknown check, got 'energy-ofset'; did you mean 'energy-offset'?"


def test_strict_data_stop_at_a_warning(folder):
    messages = folder.errors("--output", "out", STRAY, "+data.strict=true", command="train")
    assert messages[0].startswith("train: energy-offset: less the shifts, energies are 1997 eV per atom")
    assert messages[0].endswith(checks.CHECKS["energy-offset"].advice)
    assert not (folder.path / "out" / "last.ckpt").exists()


def test_errors_stop(folder, fitted):
    check = checks.CHECKS["label-zero"]
    fitted[0].append(checks.Finding(check=check, count=2, example="val0", message="forces are made up"))
    messages = folder.errors("--output", "out", command="train")
    assert messages == [
        f"val0: label-zero: forces are made up; {check.advice}",
        "data: 1 of the checks failed; correct the data, or silence a check with data.accept: [code]",
    ]


def test_paths_from_the_environment_are_not_stored(folder, monkeypatch):
    monkeypatch.setenv("MY_DATA", "water.extxyz")
    folder.change_data(lambda atoms: changed(atoms, positions=0.2 * atoms.positions))
    given = "data.split_dataset.file_path=${oc.env:MY_DATA}"
    code, output, errors = folder.call("--output", "out", "run=[train]", STRAY, given)
    assert code == 0, errors
    assert "water.extxyz, frame" in output
    found = {one["example"] for one in results(folder)["data"]["findings"] if one["severity"] == "warning"}
    assert any(one.startswith("${oc.env:MY_DATA}, frame ") for one in found), found


def test_a_verdict_is_made_once_from_the_frames_that_were_read(folder, monkeypatch):
    from equipot.data import ASEDataModule

    module = ASEDataModule(1, train_file_path="water.extxyz", cache_dir=None)
    module.use_labels(["forces"])
    module.setup()
    monkeypatch.setattr(ASEDataModule, "read_sets", lambda _: pytest.fail("read again"))
    first = module.verdict()
    assert first.sampling == "all 20 frames"
    write_json(folder.path / "verdict.json", first.to_dict())
    with pytest.raises(pytest.fail.Exception, match="read again"):
        module.verdict()


@pytest.mark.slow
def test_what_judges_the_data_may_change_at_a_resume(folder):
    """Without --allow: to accept or refuse a finding changes nothing in the data."""
    assert folder.call("--output", "out", "run=[train]", STRAY, "trainer.max_epochs=1")[0] == 0
    resumed = ["run=[train]", STRAY, "--resume", "out/last.ckpt", "--allow", "trainer.max_epochs"]
    code, output, errors = folder.call("--output", "accepted", *resumed, "+data.accept=[energy-offset]")
    assert code == 0, errors
    assert "accepted: energy-offset (12)" in output
    (message,) = folder.errors("--output", "strict", *resumed, "+data.strict=true", command="train")[:1]
    assert message.startswith("train: energy-offset: ")
    both = ["+data.strict=true", "+data.accept=[energy-offset]"]
    assert folder.call("--output", "both", *resumed, *both)[0] == 0
    (other,) = folder.errors("--output", "seed", *resumed, "data.seed=7", command="train")[:1]
    assert "data.seed" in other, "what changes the split still needs a word"


def test_only_the_first_process_judges(folder, monkeypatch):
    from equipot.data import ASEDataModule

    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(ASEDataModule, "verdict", lambda *_, **__: pytest.fail("judged"))
    code, output, errors = folder.call("--output", "out", "run=[train]", STRAY)
    assert code == 0, errors
    assert "energy-offset" not in output + errors


@pytest.mark.slow
@pytest.mark.parametrize("by", ["torchrun", "lightning"])
def test_two_processes_are_refused_with_one_message(folder, by):
    """DDP with gloo; torchrun starts both at once, Lightning the second one only after the first has judged."""
    command = [sys.executable]
    if by == "torchrun":
        command = [str(Path(sys.executable).with_name("torchrun")), "--nproc-per-node", "2", "--standalone"]
    command += ["-m", "equipot._cli.main", "train", "config.yaml", "--output", "two", "run=[train]", STRAY]
    two = ["+trainer.devices=2", "+trainer.strategy=ddp", "data.train_dataloader.batch_size=1"]
    for strict in (False, True):
        done = subprocess.run(
            [*command, *two, f"+data.strict={str(strict).lower()}", "--overwrite"],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.stdout.count("Checks of the data: 0 errors, ") == 1
        assert (done.returncode != 0) is strict, done.stderr
        errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert len(errors) == (2 if strict else 0), done.stderr
        assert "equipot/train" not in done.stderr, "no traceback, but for that of torchrun itself"
    assert errors[0].startswith("error: train: energy-offset: ")
    assert errors[1].startswith("error: data: 1 of the checks failed")
