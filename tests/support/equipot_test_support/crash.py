"""Trainings that are killed at some instant, and resumed: each in a process forked from this one, which is warm."""

import importlib
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import torch

from equipot.containers import leaves
from equipot_test_support.checkpoints import PARTS

INSTANTS = {
    "processor time": 0,
    "start": 1,
    "statistics": 1,
    "half a write": 40,
    "flush": 40,
    "before rename": 20,
    "after rename": 20,
    "validation": 9,
    "batch": 12,
    "row": 9,
    "test": 1,
    "end": 1,
}
"""What a run can be killed by: having used so many seconds, or being somewhere for the n-th time, n at most this."""


STATISTICS = "statistics"
"""Folder in which the runs keep them."""


class Trainings:
    """Runs of one config in one folder.

    Args:
        folder: With ``config.yaml`` and its data.
        overrides: Of Hydra.
        program: What runs, given all arguments, in the folder; default: ``equipot train config.yaml``.
    """

    def __init__(self, folder, overrides=(), program=None):
        self.folder = Path(folder)
        self.program = program or _train
        self.overrides = [f"+data.cache_dir={STATISTICS}", *overrides]
        _warm()

    def train(self, output, *arguments, kill=None, fresh=False):
        """Train in a process of its own.

        Args:
            output: Name of the run's folder.
            *arguments: Further ones of the command.
            kill: An instant and a number, or None; a third entry is the signal, SIGKILL unless given.
            fresh: Whether the statistics are not known yet.

        Returns:
            The exit code, negative for a signal; and the processor time used, in seconds.
        """
        if fresh:
            shutil.rmtree(self.folder / STATISTICS, ignore_errors=True)
        child = os.fork()
        if child == 0:
            self._in_child(["--output", output, *self.overrides, *arguments], kill)
        return _wait(child, kill[1] if kill and kill[0] == "processor time" else float("inf"))

    def _in_child(self, arguments, kill):
        code = 70
        try:
            os.chdir(self.folder)
            os.environ["EQUIPOT_CACHE_DIR"] = str(self.folder / "cache")
            log = os.open("log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(log, 1)
            os.dup2(log, 2)
            sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
                signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
            if kill and kill[0] != "processor time":
                _arm(*kill)
            code = self.program(arguments)
        except BaseException:  # noqa: BLE001 - must not go on as the tests' own process
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def log(self):
        """What all processes printed."""
        return (self.folder / "log.txt").read_text(encoding="utf-8", errors="replace")


def _train(arguments):
    from equipot._cli.main import main

    return main(["train", "config.yaml", *arguments])


def _warm():
    """Import what a training imports, so that no fork has to."""
    names = ("lightning.pytorch.callbacks", "equipot._cli.main", "equipot._cli.runs", "equipot._cli.train")
    for name in (
        *names,
        "equipot.data._module",
        "equipot.train._losses",
        "equipot.train._metrics",
        "equipot.train.callbacks",
    ):
        importlib.import_module(name)
    from equipot.model import InvariantModel
    from equipot.plugins import plugins

    plugins()
    assert InvariantModel
    torch.set_num_threads(1)


def _wait(child, limit):
    """Wait for a process; kill it when it has used so much processor time."""
    used = 0.0
    while True:
        done, status, usage = os.wait4(child, os.WNOHANG if limit < float("inf") else 0)
        if done:
            code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
            return code, usage.ru_utime + usage.ru_stime
        try:
            used = int(Path(f"/proc/{child}/schedstat").read_text(encoding="ascii").split()[0]) / 1e9
        except (OSError, IndexError, ValueError):
            used = limit
        if used >= limit:
            os.kill(child, signal.SIGKILL)
            limit = float("inf")
        else:
            time.sleep(0.001)


def _arm(instant, number, by=signal.SIGKILL):
    """Let this process send itself a signal when it is somewhere for the n-th time."""
    import lightning

    from equipot import caches
    from equipot.train import _run
    from equipot.train._checkpoints import _Target
    from equipot.train._module import LightningModule
    from equipot.train._records import MetricsFile

    places = {
        "start": (lightning, "seed_everything"),
        "statistics": (caches, "write_entry"),
        "half a write": (_Target, "write"),
        "flush": (os, "fsync"),
        "before rename": (Path, "replace"),
        "after rename": (Path, "replace"),
        "validation": (LightningModule, "validation_step"),
        "batch": (LightningModule, "training_step"),
        "row": (MetricsFile, "log_metrics"),
        "test": (LightningModule, "test_step"),
        "end": (_run, "results_table"),
    }
    owner, name = places[instant]
    original, left = getattr(owner, name), [number]

    def counting(*arguments, **options):
        left[0] -= 1
        if left[0] == 0 and instant != "after rename":
            if instant == "half a write":
                target, data = arguments
                target.file.write(bytes(data)[: len(data) // 2])
                target.file.flush()
            os.kill(os.getpid(), by)
        result = original(*arguments, **options)
        if left[0] == 0:
            os.kill(os.getpid(), by)
        return result

    setattr(owner, name, counting)


def run_differences(whole, run):
    """Everything in which the folder of a run differs from that of another: names of files, with paths of entries."""
    found = []
    for name in ("last.ckpt", "best.ckpt"):
        one, other = _everything(whole / name), _everything(run / name)
        keys = sorted(one.keys() | other.keys())
        found += [f"{name}: {key}" for key in keys if not _same(one.get(key), other.get(key))]
    for name in ("results.json", "splits.json", "logs/metrics.csv", "config.json"):
        texts = [path.read_bytes() if path.exists() else None for path in (whole / name, run / name)]
        if texts[0] != texts[1]:
            found.append(name)
    left = [path.name for path in run.glob(".*") if path.name != ".hydra"]
    return [*found, *(f"left over: {name}" for name in left)]


def _same(one, other):
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return torch.equal(one, other)
    return type(one) is type(other) and (one == other or (one != one and other != other))  # noqa: PLR0124


def _everything(path):
    """All of a checkpoint that is the run's own, by dotted path."""
    checkpoint = torch.load(path, weights_only=True)
    parts = {key: checkpoint[key] for key in PARTS}
    parts["loop"] = checkpoint["equipot"]["loop"]
    parts["callbacks"] = {key: one for key, one in checkpoint["callbacks"].items() if "ModelCheckpoint" not in key}
    return dict(leaves(parts))
