"""Signals end a command with one line and the exit code that shells give."""

import signal
import subprocess
import sys
import threading

import pytest

from equipot._interrupts import SIGNALS, Interrupted, handled, ignore_further


@pytest.mark.parametrize("number", SIGNALS)
def test_signals_are_raised_within_the_block_only(number):
    ignored = signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match=f"interrupted by {signal.Signals(number).name}") as caught, handled():
        signal.raise_signal(number)
    assert caught.value.exit_code == 128 + number
    assert not isinstance(caught.value, Exception)
    assert signal.getsignal(number) == before
    signal.signal(number, ignored)  # as nohup may have set it


def test_nothing_interrupts_what_is_left():
    with handled():
        ignore_further()
        signal.raise_signal(signal.SIGTERM)


def test_another_thread_leaves_the_handlers_alone():
    found = []

    def look():
        with handled():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGTERM)]


AT_IMPORT = """
import os, sys

class Sends:
    def find_spec(self, name, path=None, target=None):
        if name == "{module}":
            os.kill(os.getpid(), {number:d})

sys.meta_path.insert(0, Sends())
from equipot._cli.main import main
sys.exit(main({arguments}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("module", ["torch", "equipot_invariant", "lightning.pytorch"])
def test_a_signal_while_a_command_starts(folder, module, number):
    """A plugin whose import is interrupted is not taken for a broken one."""
    script = AT_IMPORT.format(module=module, number=number, arguments=["train", "config.yaml", "--output", "out"])
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=300)
    importing = " while importing plugin 'invariant' (equipot-invariant " if module == "equipot_invariant" else "\n"
    assert done.returncode == 128 + number
    assert done.stderr.startswith(f"interrupted by {number.name}{importing}")
    assert done.stderr.count("\n") == 1
    assert not (folder.path / "out").exists() or list((folder.path / "out").rglob("*.ckpt")) == []


@pytest.mark.slow
def test_a_signal_that_was_ignored_from_the_start_stays_ignored(folder):
    """As after ``nohup``: the run goes on when the terminal is closed."""
    script = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    script += AT_IMPORT.format(module="torch", number=signal.SIGHUP, arguments=["check", "config.yaml"])
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
