"""Progress is shown for long work, when asked for, and where it can be read."""

import sys

import pytest

from equipot import _progress


@pytest.fixture
def shown(monkeypatch):
    """As after ``show``, with a clock that moves on request."""
    now = {"seconds": 0.0}
    monkeypatch.setitem(_progress._state, "shown", True)
    monkeypatch.setattr(_progress.time, "monotonic", lambda: now["seconds"])
    return now


def work(now, step, count=10):
    done = []
    for item in _progress.track(list(range(count)), "reading data"):
        now["seconds"] += step
        done.append(item)
    assert done == list(range(count))


def test_nothing_unless_asked_for(shown, monkeypatch, capsys):
    monkeypatch.setitem(_progress._state, "shown", False)
    work(shown, 1000.0)
    assert capsys.readouterr().err == ""


def test_a_log_gets_a_line_a_minute_with_the_time_left(shown, capsys):
    work(shown, 31.0)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "reading data: 20 %, 248 s left"
    assert len(lines) == 4


def test_short_work_leaves_no_line(shown, capsys):
    work(shown, 5.0)
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar_after_two_seconds(shown, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    work(shown, 0.1)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    work(shown, 1.0)
    assert "reading data" in capsys.readouterr().err


def test_a_loop_that_is_left_ends_the_bar(shown, monkeypatch):
    ended = []
    monkeypatch.setattr(_progress._Lines, "end", lambda _: ended.append(True))

    def divide():
        return [1 / item for item in _progress.track([1, 0], "dividing")]

    with pytest.raises(ZeroDivisionError):
        divide()
    assert ended == [True]
