"""Processes that a run starts: if one fails, all end, with its message and its exit code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lightning.fabric.utilities.distributed import _set_num_threads_if_needed
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher

from equipot._interrupts import Interrupted
from equipot._processes import is_first

if TYPE_CHECKING:
    import lightning

GRACE = 2.0
"""Seconds that a process other than the first waits before it speaks of an error that the first may have as well."""

PATIENCE = 30.0
"""Seconds that processes have to end by themselves after one failed."""

_WAITING = ("torch.distributed", "torch.nn.parallel", "torch.autograd")
"""Modules of torch that wait for other processes: in collectives, before a step, and in the backward pass."""


class Launcher(_SubprocessScriptLauncher):
    """Starts the other processes as Lightning does, but does not kill this one when one of them fails.

    Lightning's own ends all with SIGKILL, so that neither message nor exit code is that of the error.
    """

    _stopped = False

    def launch(self, function: Callable[..., Any], *args: Any, trainer: Any = None, **kwargs: Any) -> Any:
        """Start the other processes, the first time, and call a function."""
        del trainer
        self.cluster_environment.validate_settings(num_devices=self.num_processes, num_nodes=self.num_nodes)
        if not self.cluster_environment.creates_processes_externally:
            self._call_children_scripts()
            threading.Thread(target=self._watch, daemon=True).start()
        _set_num_threads_if_needed(num_processes=self.num_processes)
        return function(*args, **kwargs)

    def failed(self) -> int:
        """The exit code for a process that failed, 0 if none did; says so of one that was killed."""
        for rank, process in enumerate(self.procs, 1):
            if code := process.poll():
                if code > 0:
                    return code
                killed = f"process {rank} of this run was ended by {signal.Signals(-code).name}"
                print(f"error: {killed}; go on with: --resume auto", file=sys.stderr, flush=True)  # noqa: T201
                return 2
        return 0

    def _watch(self) -> None:
        """End this process if another one failed and this one waits for it without end."""
        while any(process.poll() is None for process in self.procs):
            if any(process.poll() for process in self.procs):
                break
            time.sleep(0.2)
        if any(process.poll() for process in self.procs):
            time.sleep(PATIENCE)
            if self._stopped:
                return
            code = self.failed()
            self.stop()
            os._exit(code)

    def stop(self, patience: float = 0.0) -> None:
        """End the other processes, after some seconds in which they may end by themselves."""
        self._stopped = True
        until = time.monotonic() + patience
        for process in self.procs:
            try:
                process.wait(max(until - time.monotonic(), 0.0))
            except subprocess.TimeoutExpired:
                process.kill()


def watch_processes(trainer: lightning.Trainer) -> Launcher | None:
    """Give a trainer our launcher if it has Lightning's for scripts.

    Args:
        trainer: Before it starts anything.

    Returns:
        The launcher, None if the trainer has none or another.
    """
    strategy = trainer.strategy
    found = strategy.launcher
    if type(found) is not _SubprocessScriptLauncher:
        return None
    launcher = Launcher(found.cluster_environment, found.num_processes, found.num_nodes)
    strategy._launcher = launcher  # noqa: SLF001 - a strategy makes it itself, and has no option for it
    return launcher


def end_together(error: BaseException, launcher: Launcher | None) -> None:
    """Let the processes of a run end with one message, whichever of them failed.

    Args:
        error: Which ends this process.
        launcher: Of the first process, if it started the others.

    Raises:
        SystemExit: If the error only follows from that of another process, with the exit code of that one.
    """
    lost = _is_lost_connection(error)
    if launcher is not None and launcher.procs:
        until = time.monotonic() + (PATIENCE if lost else 0.0)
        while not (code := launcher.failed()) and time.monotonic() < until:
            time.sleep(0.1)
        launcher.stop(PATIENCE if isinstance(error, Interrupted) and error.together else 0.0)
        if code and lost:
            raise SystemExit(code) from None
    elif lost:
        time.sleep(PATIENCE)  # what started the processes ends this one sooner
    elif not is_first() and isinstance(error, Exception):
        time.sleep(GRACE)


def _is_lost_connection(error: BaseException) -> bool:
    """Whether an error was raised in waiting for other processes, which may then have failed."""
    raised = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]
    return isinstance(error, Exception) and bool(raised) and str(raised[-1]).startswith(_WAITING)
