"""Loggers by one word."""

import importlib.util

import pytest

from equipot.config._loggers import logger_problems, logger_words


@pytest.mark.parametrize(
    ("given", "words"),
    [("csv", ["csv"]), (["csv", "wandb"], ["csv", "wandb"]), (True, None), ([], None), ({"_target_": "x"}, None)],
)
def test_words(given, words):
    assert logger_words(given) == words


def test_an_unknown_word():
    assert list(logger_problems("tensorbord")) == [
        "trainer.logger: unknown logger, got 'tensorbord'; write csv, tensorboard, wandb, or a mapping with _target_"
    ]


def test_a_package_that_is_missing(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "wandb" else find(name))
    assert list(logger_problems(["csv", "wandb"])) == [
        "trainer.logger: wandb needs the package wandb; pip install wandb"
    ]
    assert list(logger_problems("csv")) == []
