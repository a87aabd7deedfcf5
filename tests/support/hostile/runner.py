"""Make the sandboxes, send the cases to servers, and judge the answers."""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from hostile.case import CACHE, SECRET, SECRET_NAME, TEMPORARY, WORK, Case, Content
from hostile.verdict import Verdict, judge
from hostile.watch import snapshot


class Server:
    """A process that answers jobs, started again if it ends."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process = self._started()

    def _started(self) -> subprocess.Popen[str]:
        own = {
            "OMP_NUM_THREADS": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "MPLCONFIGDIR": str(self._folder / "matplotlib"),
            "PYTHONPATH": str(Path(__file__).parents[1]),
            SECRET_NAME: SECRET,
        }
        with (self._folder / "server.log").open("a") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "hostile.server"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **own},
                text=True,
            )
        self._line(process)
        return process

    @staticmethod
    def _line(process: subprocess.Popen[str]) -> Any:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError("the server of the hostile inputs died; see its log")
        return json.loads(line)

    def ask(self, case: Case, sandbox: Path) -> dict[str, Any]:
        """What became of a case."""
        job = {
            "sandbox": str(sandbox),
            "commands": [list(one) for one in case.commands],
            "environment": dict(case.environment),
        }
        assert self._process.stdin is not None
        print(json.dumps(job), file=self._process.stdin, flush=True)
        answer: dict[str, Any] = self._line(self._process)
        return answer

    def close(self) -> None:
        """End the process."""
        with self._process:  # closes its pipes and waits
            pass


def run(
    cases: Iterable[Case],
    folder: Path,
    common: Mapping[str, Content],
    *,
    servers: int = 1,
    keep: bool = False,
    seen: Callable[[Verdict], object] = lambda _: None,
) -> list[Verdict]:
    """Try cases.

    Args:
        cases: What to try.
        folder: For the sandboxes.
        common: Files of all cases.
        servers: Processes that work side by side.
        keep: Keep the sandboxes of failed cases.
        seen: Called with each verdict.
    """
    waiting: queue.SimpleQueue[tuple[int, Case]] = queue.SimpleQueue()
    for item in enumerate(cases):
        waiting.put(item)
    verdicts: dict[int, Verdict] = {}
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            own = folder / f"server{number}"
            own.mkdir(parents=True, exist_ok=True)
            server = Server(own)
            while not errors:
                try:
                    index, case = waiting.get_nowait()
                except queue.Empty:
                    break
                verdicts[index] = _tried(case, server, folder / "cases" / f"{index:04d}", common, keep=keep)
                seen(verdicts[index])
            server.close()
        except BaseException as error:  # noqa: BLE001 - raised below, in the caller's thread
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(servers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return [verdicts[index] for index in sorted(verdicts)]


def _tried(case: Case, server: Server, sandbox: Path, common: Mapping[str, Content], *, keep: bool) -> Verdict:
    case.make(sandbox, common)
    inputs = set(snapshot(sandbox / WORK))
    before = _watched(sandbox, inputs)
    answer = server.ask(case, sandbox)
    verdict = judge(case, sandbox, answer, before, _watched(sandbox, inputs))
    if not (keep and verdict.faults):
        remove(sandbox)
    return verdict


def _watched(sandbox: Path, inputs: set[str]) -> dict[str, str]:
    """Everything in a sandbox that a run must leave as it is: its inputs, and all outside the folders it may use."""
    own = (WORK, CACHE, TEMPORARY, "answer.json", "events", "output", "errors")
    facts = {f"../{path}": fact for path, fact in snapshot(sandbox, own).items()}
    work = snapshot(sandbox / WORK)
    return {
        **facts,
        **{
            path: work[path]
            for path in inputs
            if path in work and not work[path].startswith("d") and not path.startswith("run/")
        },
    }


def remove(folder: Path) -> None:
    """Remove a folder, even one whose own folders may not be read."""
    for path, _, _ in os.walk(folder):
        os.chmod(path, 0o700)
    shutil.rmtree(folder)
