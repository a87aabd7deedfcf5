"""What a budget has room for after the training."""

import pytest

from equipot_fit import _tail as tail
from equipot_fit._speed import StepTime

FAST = StepTime(step=0.02, validation=0.2, start_up=2.0, last_layer=16, frames={"train": 800, "val": 100, "test": 100})


@pytest.fixture(autouse=True)
def _a_compiler(monkeypatch):
    monkeypatch.setattr(tail, "compiler", lambda: True)


def test_much_time_has_room_for_everything():
    found = tail.tail_of(3600.0, FAST)
    assert found.compiles
    assert found.refit_frames == 800
    assert found.skipped == {}
    assert found.seconds == tail.PACKAGE + tail.REPORT + tail.COMPILE
    assert found.seconds + 0.002 * found.frames < 0.1 * 3600


def test_little_time_has_no_room_for_a_compile_and_says_so():
    found = tail.tail_of(300.0, FAST)
    assert not found.compiles
    assert "80 s, more than 10% of the time" in found.skipped["compile"]
    assert 20 <= found.refit_frames < 800
    evaluations = (FAST.last_layer + 2) * (found.refit_frames + 100) * 0.002
    assert evaluations <= tail.REFIT_PART * 300.0
    assert found.seconds + 0.002 * found.frames < 0.2 * 300


def test_frames_that_are_evaluated_later_are_counted():
    """The test set twice, the validation set, both for each weight of the refit, and those of the report."""
    found = tail.tail_of(3600.0, FAST)
    assert found.frames == 2 * 100 + 100 + 18 * (800 + 100) + tail.REPORT_FRAMES + 100 + 500 // 5
    brief = tail.tail_of(3600.0, FAST, brief=True)
    assert found.frames - brief.frames == tail.REPORT_FRAMES + 200
    assert found.seconds - brief.seconds == tail.REPORT + tail.COMPILE


def test_a_test_set_that_does_not_fit_is_evaluated_once_and_in_part():
    """The validation says 2 ms a frame: 30 000 of them are a tenth of ten minutes."""
    huge = StepTime(step=0.02, validation=0.2, start_up=2.0, frames=FAST.frames | {"test": 100_000})
    found = tail.tail_of(600.0, huge, brief=True)
    assert not found.tests
    assert found.frames == 30_000 + 100
    half = StepTime(step=0.02, validation=0.2, start_up=2.0, frames=FAST.frames | {"test": 20_000})
    assert tail.tail_of(600.0, half, brief=True).frames == 20_000 + 100, "once, but not twice"
    slow = StepTime(step=2.0, validation=500.0, start_up=2.0, frames=FAST.frames)
    assert tail.tail_of(60.0, slow, brief=True).frames == tail.FEWEST_TESTED + 100
    assert tail.tail_of(600.0, FAST).tests


def test_a_report_on_large_frames_evaluates_few():
    """Of 2000 atoms each, of which a report looks at 10 000."""
    assert tail.report_frames(FAST.frames) == tail.REPORT_FRAMES + 100 + 500 // 5
    assert tail.report_frames(FAST.frames, 10.0) == tail.report_frames(FAST.frames)
    assert tail.report_frames(FAST.frames, 2000.0) == tail.FEWEST_REPORTED + 5 + 1
    assert tail.report_frames(FAST.frames, 1e6) == tail.FEWEST_REPORTED


def test_without_a_test_set_the_validation_set_is_judged():
    each = StepTime(step=0.02, validation=0.2, start_up=2.0, frames={"train": 40, "val": 5, "test": 0})
    assert tail.tail_of(60.0, each, brief=True).frames == 10


def test_a_slow_model_is_not_refitted():
    slow = StepTime(step=2.0, validation=60.0, start_up=2.0, last_layer=64, frames=FAST.frames)
    found = tail.tail_of(600.0, slow)
    assert found.refit_frames == 0
    assert "more time than the budget" in found.skipped["refit"]


def test_a_model_without_a_last_layer_is_not_refitted():
    other = StepTime(step=0.02, validation=0.2, start_up=2.0, last_layer=0, frames=FAST.frames)
    assert "does not say" in tail.tail_of(3600.0, other).skipped["refit"]


def test_without_a_compiler_nothing_is_compiled(monkeypatch):
    monkeypatch.setattr(tail, "compiler", lambda: False)
    found = tail.tail_of(3600.0, FAST)
    assert not found.compiles
    assert found.skipped["compile"] == "there is no C++ compiler"


def test_a_compiler_is_looked_for_on_the_path(monkeypatch, tmp_path):
    monkeypatch.undo()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert not tail.compiler()
    (tmp_path / "g++").touch(mode=0o755)
    assert tail.compiler()
