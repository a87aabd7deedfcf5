"""Signals end a run at its next step; it goes on as if there had been none."""

import signal

import pytest
from ase.io import write

from equipot_test_support.crash import Trainings, run_differences
from equipot_test_support.water import CONFIG, water_frames


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with the unbroken run of 2 epochs with 3 batches each."""
    folder = tmp_path_factory.mktemp("signals")
    write(folder / "water.extxyz", water_frames())
    (folder / "config.yaml").write_text(CONFIG.replace("  logger: false\n", ""))
    made = Trainings(folder)
    code, _ = made.train("whole")
    assert code == 0, made.log()
    return made


_OTHERS = (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
ALL = [signal.SIGTERM, *(pytest.param(one, marks=pytest.mark.slow) for one in _OTHERS)]
"""SIGTERM, which schedulers send, always; the others, which take the same way, among the slow tests."""


@pytest.mark.parametrize("number", ALL)
def test_a_signal_ends_the_run_at_its_next_step(made, number):
    name = number.name
    code, _ = made.train(name, kill=("batch", 5, number))
    assert code == 128 + number, made.log()
    last = made.folder / name / "last.ckpt"
    assert f"interrupted by {name}; go on with: --resume '{last}'\n" in made.log()
    assert made.train(name, "--resume", "auto")[0] == 0, made.log()
    assert run_differences(made.folder / "whole", made.folder / name) == []


@pytest.mark.slow
def test_a_signal_ends_a_validation_which_is_begun_again(made):
    code, _ = made.train("val", kill=("validation", 2, signal.SIGTERM))
    assert code == 143, made.log()
    assert made.train("val", "--resume", "auto")[0] == 0, made.log()
    assert run_differences(made.folder / "whole", made.folder / "val") == []


def test_a_signal_before_the_first_step(made):
    code, _ = made.train("early", kill=("flush", 3, signal.SIGTERM), fresh=True)
    assert code == 143, made.log()
    assert "interrupted by SIGTERM; no checkpoint was written yet\n" in made.log()


@pytest.mark.slow
@pytest.mark.parametrize("number", ALL)
@pytest.mark.parametrize("instant", ["start", "statistics"])
def test_a_signal_before_training(made, instant, number):
    name = f"{instant} {number.name}"
    code, _ = made.train(name, kill=(instant, 1, number), fresh=True)
    text = made.log()
    assert (code, "Traceback" in text) == (128 + number, False)
    assert text.endswith(f"interrupted by {number.name}; no checkpoint was written yet\n")
    assert left_over(made.folder) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", ALL[:2])
@pytest.mark.parametrize("instant", ["test", "end"])
def test_a_signal_after_training(made, instant, number):
    """In the final test, and when the results are there: they are whole or not there."""
    name = f"{instant} {number.name}"
    code, _ = made.train(name, kill=(instant, 1, number))
    text = made.log()
    assert (code, "Traceback" in text) == (128 + number, False)
    last = made.folder / name / "last.ckpt"
    assert text.endswith(f"interrupted by {number.name}; go on with: --resume '{last}'\n")
    assert left_over(made.folder) == []
    assert made.train(name, "--resume", "auto")[0] == 0, made.log()
    assert run_differences(made.folder / "whole", made.folder / name) == []


def left_over(folder):
    """Temporary files of writers that did not come to their end."""
    return [path for path in folder.rglob(".*") if path.is_file()]
