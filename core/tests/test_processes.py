import pytest
import torch.distributed

from equipot import _processes

VARIABLES = ("RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK", "LOCAL_RANK", "NODE_RANK")


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_the_only_process_is_the_first(capsys):
    assert (_processes.rank(), _processes.is_first()) == (0, True)
    _processes.say("trained")
    assert capsys.readouterr().out == "trained\n"


@pytest.mark.parametrize("name", VARIABLES)
def test_every_launcher_numbers_its_processes(monkeypatch, capsys, name):
    monkeypatch.setenv(name, "1")
    assert (_processes.rank(), _processes.is_first()) == (1, False)
    _processes.say("trained")
    assert capsys.readouterr().out == ""
    monkeypatch.setenv(name, "0")
    assert _processes.is_first()


def test_the_number_among_all_counts_more_than_that_on_the_machine(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert _processes.is_first()


def test_a_rank_that_is_not_a_number_is_passed_over(monkeypatch):
    monkeypatch.setenv("RANK", "")
    monkeypatch.setenv("SLURM_PROCID", "2")
    assert _processes.rank() == 2


def test_torch_knows_best(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 4)
    assert _processes.rank() == 4
