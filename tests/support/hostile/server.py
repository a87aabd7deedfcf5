"""The process in which the commands run: it imports everything once, and forks for each case.

Jobs come as JSON lines on standard input; each answer is a JSON line on standard output. A case that takes too long or
too much memory is killed, with all processes that it started.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from hostile.case import CACHE, HOME, TEMPORARY, WORK
from hostile.watch import Watch, mapped_code

SECONDS = 10.0
"""Time that a case may take: of the processor, or while it waits."""

_PATIENCE = 60.0
"""Time by the clock after which a case is killed even if the machine is busy."""

_IDLE = 0.2
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TOO_MUCH = 1536 * 1024**2
_MODULES = (
    "torch", "torch._dynamo", "lightning", "lightning.pytorch.loggers", "torchmetrics", "hydra", "ase.io",
    "ase.io.extxyz", "ase.db", "ase.db.jsondb", "ase.db.sqlite", "ase.io.trajectory", "h5py", "lmdb",
    "safetensors.torch", "safetensors.numpy", "rich.table", "rich.progress", "equipot._cli.check",
    "equipot._cli.train", "equipot._cli.eval", "equipot._cli.inspect", "equipot._cli.package",
    "equipot._cli.compile", "equipot._cli.runs", "equipot.evaluate", "equipot.artifacts._loading",
    "equipot.artifacts._modify", "equipot.data", "equipot.train", "equipot.ase", "equipot.compile",
    "equipot_toolbox", "equipot_nequip", "equipot_allegro", "equipot_kernels", "equipot_zbl",
    "equipot_force_stress", "equipot_from_nequip", "equipot_fit", "equipot_lammps", "equipot_engines",
    "equipot_simulate", "equipot_dipoles", "equipot_electrostatics", "equipot_uncertainty", "equipot_finetune",
    "equipot_testing",
)  # fmt: skip


def serve() -> None:
    """Answer jobs until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    _warm()
    print(json.dumps("ready"), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(_answer(json.loads(line))), file=answers, flush=True)


def _warm() -> None:
    import importlib

    for name in _MODULES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    from equipot.plugins import plugins

    plugins()


def _answer(job: dict[str, Any]) -> dict[str, Any]:
    sandbox = Path(job["sandbox"])
    resident = _memory(os.getpid())
    start = time.monotonic()
    child = os.fork()
    if not child:
        _run(sandbox, job["commands"], job["environment"])
    stopped, peak = _waited(child, resident)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    found: dict[str, Any] = {"codes": [], "raised": "", "native": []}
    with contextlib.suppress(OSError, ValueError):
        found = json.loads((sandbox / "answer.json").read_text())
    events = (sandbox / "events").read_text().splitlines() if (sandbox / "events").exists() else []
    growth = max(found.pop("peak", 0), peak) - resident
    return {
        **found,
        "events": [json.loads(one) for one in dict.fromkeys(events)],
        "stopped": stopped,
        "seconds": round(time.monotonic() - start, 2),
        "megabytes": max(growth // 1024**2, 0),
        "output": _text(sandbox / "output"),
        "errors": _text(sandbox / "errors"),
    }


def _text(path: Path) -> str:
    with contextlib.suppress(OSError), path.open("rb") as file:
        return file.read(200_000).decode("utf-8", "backslashreplace")
    return ""


def _memory(process: int) -> int:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * _PAGE
    return 0


def _processor(process: int) -> float:
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS
    return 0.0


def _waited(child: int, resident: int) -> tuple[str, int]:
    """Wait for a case; why it was stopped, empty if it ended by itself, and its peak of memory."""
    start, peak, moved = time.monotonic(), 0, [(time.monotonic(), 0.0)]
    pause = 0.005
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            killed = f"died of {signal.Signals(os.WTERMSIG(status)).name}" if os.WIFSIGNALED(status) else ""
            return killed, peak
        peak, used, now = max(peak, _memory(child)), _processor(child), time.monotonic()
        moved = [one for one in moved if one[0] > now - SECONDS] + [(now, used)]
        idle = now - start > SECONDS and used - moved[0][1] < _IDLE
        reason = ""
        if peak > resident + _TOO_MUCH:
            reason = "took too much memory"
        elif used > SECONDS or now - start > _PATIENCE or idle:
            reason = f"hung ({used:.0f} s of the processor)"
        if reason:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return reason, peak
        time.sleep(pause)
        pause = min(pause * 1.2, 0.05)


def _run(sandbox: Path, commands: list[list[str]], environment: dict[str, str]) -> None:
    """The child: run the commands with everything redirected into the sandbox."""
    os.setsid()
    code = 1
    try:
        _die_with_the_server()
        answer = os.open(sandbox / "answer.json", os.O_WRONLY | os.O_CREAT)
        _enter(sandbox, environment)
        codes, raised = _commands(commands)
        found = {"codes": codes, "raised": raised, "native": mapped_code(sandbox), "peak": _peak()}
        os.write(answer, json.dumps(found).encode())
        code = 0
    except BaseException:  # noqa: BLE001 - the child must never go on into the server's loop
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(code)


def _die_with_the_server() -> None:
    """A case never outlives the process that watches it, nor runs on and on unwatched."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    resource.setrlimit(resource.RLIMIT_CPU, (int(_PATIENCE), int(_PATIENCE) + 1))


def _enter(sandbox: Path, environment: dict[str, str]) -> None:
    for name, descriptor in (("output", 1), ("errors", 2)):
        opened = os.open(sandbox / name, os.O_WRONLY | os.O_CREAT)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - open until the process ends
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115 - the same
    own = {"HOME": sandbox / HOME, "TMPDIR": sandbox / TEMPORARY, "EQUIPOT_CACHE_DIR": sandbox / CACHE}
    os.environ.update({**{name: str(path) for name, path in own.items()}, **environment})
    os.environ.pop("XDG_CACHE_HOME", None)
    tempfile.tempdir = None
    os.chdir(sandbox / WORK)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**31, 2**31))
    log = os.open(sandbox / "events", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    Watch(log, sandbox, (WORK, CACHE, TEMPORARY)).start()


def _commands(commands: list[list[str]]) -> tuple[list[int], str]:
    from equipot._cli.main import main

    codes: list[int] = []
    for command in commands:
        try:
            codes.append(main(command))
        except SystemExit as stop:
            codes.append(stop.code if isinstance(stop.code, int) else 1)
        except BaseException:  # noqa: BLE001 - what the user would see as a traceback
            return [*codes, 1], traceback.format_exc()
        if codes[-1]:
            break
    return codes, ""


def _peak() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


if __name__ == "__main__":
    serve()
