"""Values from the environment: used in the run, stored as references."""

import json

import pytest
import torch

from equipot.config._load import compose
from equipot.config._resolve import with_references

SECRET = "hunter2-0815"  # noqa: S105 - nobody's


@pytest.fixture
def secret(monkeypatch):
    monkeypatch.setenv("EQUIPOT_TEST_SECRET", SECRET)
    monkeypatch.setenv("EQUIPOT_TEST_NUMBER", "3")
    return "${oc.env:EQUIPOT_TEST_SECRET}"


def references(tmp_path, text, **statistics):
    (tmp_path / "c.yaml").write_text(text)
    return with_references(compose(tmp_path / "c.yaml")[0], statistics)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("${oc.env:EQUIPOT_TEST_SECRET}", "${oc.env:EQUIPOT_TEST_SECRET}"),
        ("x/${oc.env:EQUIPOT_TEST_SECRET}/y", "x/${oc.env:EQUIPOT_TEST_SECRET}/y"),
        ("${oc.env:NOT_SET_ANYWHERE,5}", "${oc.env:NOT_SET_ANYWHERE,5}"),
        ("${other}", "a ${oc.env:EQUIPOT_TEST_SECRET}"),
        ("${int_mul:${oc.env:EQUIPOT_TEST_NUMBER},2}", "${int_mul:${oc.env:EQUIPOT_TEST_NUMBER},2}"),
        ("${oc.decode:${oc.env:EQUIPOT_TEST_NUMBER}}", "${oc.decode:${oc.env:EQUIPOT_TEST_NUMBER}}"),
        ("${oc.${env}:EQUIPOT_TEST_SECRET}", "${oc.env:EQUIPOT_TEST_SECRET}"),
        ("${training_data_stats:n}", 2.5),
        ("${oc.select:other}", "a ${oc.env:EQUIPOT_TEST_SECRET}"),
    ],
)
def test_references_stay(tmp_path, secret, written, kept):
    text = f"a: [{{b: '{written}'}}]\nother: a {secret}\nenv: env\n"
    found = references(tmp_path, text, n=2.5)
    assert found["a"] == [{"b": kept}]
    assert SECRET not in str(found)


def test_nothing_from_the_environment(tmp_path):
    assert references(tmp_path, "a: 1\nb: ${a}\n") is None


@pytest.mark.slow
def test_a_run_stores_references_and_resumes(folder, monkeypatch):
    monkeypatch.setenv("EQUIPOT_TEST_DATA", "water.extxyz")
    monkeypatch.setenv("EQUIPOT_TEST_RATE", "0.0078125")
    data = "${oc.env:EQUIPOT_TEST_DATA}"
    rate = "${oc.decode:${oc.env:EQUIPOT_TEST_RATE}}"
    arguments = [f"data.split_dataset.file_path='{data}'", f"training_module.optimizer.lr='{rate}'", "run=[train]"]
    code, output, errors = folder.call(*arguments, "--output", "out")
    assert code == 0, errors
    assert "from the environment; the reference is stored, not the value" in output
    config = json.loads((folder.path / "out" / "config.json").read_text())
    assert config["data"]["split_dataset"]["file_path"] == data
    assert config["training_module"]["optimizer"]["lr"] == rate
    record = torch.load(folder.path / "out" / "last.ckpt", weights_only=True)["equipot"]
    assert record["training_config"] == config
    assert list(record["data"]["files"]) == [data]
    assert json.loads((folder.path / "out" / "splits.json").read_text())["file"] == data
    more = ["trainer.max_epochs=3", "--allow", "trainer.max_epochs", "--output", "again", "--resume", "out/last.ckpt"]
    code, _, errors = folder.call(*arguments, *more)
    assert code == 0, errors


@pytest.mark.slow
def test_a_secret_is_in_no_file(folder, secret):
    """Here the prefix of a logger's columns, which that logger itself writes into its own file."""
    places = "save_dir: '${hydra:runtime.output_dir}', name: logger"
    logger = f"trainer.logger={{_target_: lightning.pytorch.loggers.CSVLogger, {places}, prefix: '{secret}'}}"
    for output, *flags in (["out"], ["kept", "--store-env"]):
        code, _, errors = folder.call(logger, "--output", output, *flags, "run=[train]")
        assert code == 0, errors
        files = {
            path.name
            for path in (folder.path / output).rglob("*")
            if path.is_file() and SECRET.encode() in path.read_bytes()
        }
        assert files == (
            {"metrics.csv"} if output == "out" else {"metrics.csv", "config.json", "best.ckpt", "last.ckpt"}
        )


def test_a_model_cannot_depend_on_the_environment_unless_its_values_are_stored(folder, secret):
    typed = "training_module.model.seed='${oc.decode:${oc.env:EQUIPOT_TEST_NUMBER}}'"
    (text,) = folder.errors(typed, command="train")
    what = "comes from the environment, and every file with the model would store its value"
    assert text == f"training_module.model.seed: {what}; write the value itself, or add --store-env"
    code, _, errors = folder.call(typed, "--store-env", "--output", "out", "run=[val]")
    assert code == 0, errors
    assert json.loads((folder.path / "out" / "config.json").read_text())["training_module"]["model"]["seed"] == 3
