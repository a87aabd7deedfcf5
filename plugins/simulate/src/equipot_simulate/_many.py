"""Many structures over Dask: results are written as they come, and a second run goes on with what is missing."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import pickle
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from equipot.errors import ConfigError, DataError, problem
from equipot.files import write_json
from equipot_simulate._folder import RESULTS
from equipot_simulate._many_files import write_tables
from equipot_simulate._pacing import Pace
from equipot_simulate._setup import needs, note, say
from equipot_simulate._stopping import Stopping, stopping
from equipot_simulate._tasks import MdTask, Record, Task, arrive, run_folder

if TYPE_CHECKING:
    from ase import Atoms

    from equipot_simulate._many_options import Many
    from equipot_simulate._setup import ModelOptions

_PLAN = "plan.json"
_RECORDS = "records"
_AHEAD = 1000
"""Pieces of work that are handed out before their results are back."""

_PATIENCE = 60.0
"""Seconds to connect to a cluster."""


def run_many(
    task: Task,
    frames: Sequence[Atoms],
    model: ModelOptions,
    needed: Sequence[str],
    folder: Path,
    source: dict[str, Any],
    many: Many,
) -> int:
    """Compute all structures that have no record yet.

    Args:
        task: What is done with each.
        frames: The structures.
        model: How the model is loaded.
        needed: What it must have.
        folder: Of the results; locked by the caller.
        source: Where model and structures come from.
        many: Where to compute.

    Returns:
        Exit code: 0, 1 if structures failed, that of a signal if one came.
    """
    plan = {
        "command": type(task).__name__.removesuffix("Task").lower(),
        **source,
        "frames": _digest(frames),
        "options": {**task.options(), "weights": model.weights, "types": model.types},
    }
    _require_same(folder / _PLAN, json.loads(json.dumps(plan)))
    calculator = model.calculator(*needed)
    (folder / _RECORDS).mkdir(exist_ok=True)
    missing = _missing(folder, len(frames), task)
    note(f"{len(missing)} of {len(frames)} structures to compute")
    with stopping() as stop:
        if missing:
            with _client(many, len(missing)) as client:
                work = [missing[start : start + task.at_once] for start in range(0, len(missing), task.at_once)]
                pieces = [[(index, frames[index]) for index in indices] for indices in work]
                _compute(client, task, pieces, pickle.dumps(calculator), folder, stop)
    return _close(folder, plan, frames, stop)


# ------------------------------------------------------------------------ what is there


def _digest(frames: Sequence[Atoms]) -> str:
    """Tells structures apart that come from one file, such as a chosen frame or a repeated cell."""
    digest = hashlib.sha256()
    for atoms in frames:
        for array in (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc):
            digest.update(np.ascontiguousarray(array, dtype=np.float64).tobytes())
    return digest.hexdigest()


def _require_same(path: Path, plan: dict[str, Any]) -> None:
    """Write the plan, or compare it with that of the run that goes on."""
    if not path.exists():
        write_json(path, plan)
        return
    before = json.loads(path.read_text(encoding="utf-8"))
    changed = [name for name in {**before, **plan} if before.get(name) != plan.get(name)]
    if changed:
        what = f"the run to go on with has other {', '.join(changed)}"
        raise ConfigError(problem(str(path), what, hint="give the same arguments, or --overwrite to start again"))


def records(folder: Path) -> dict[int, Record]:
    """All records, by index; what cannot be read counts as missing."""
    found = {}
    for path in sorted((folder / _RECORDS).glob("[0-9]*.json")):
        with contextlib.suppress(ValueError, KeyError):
            record = json.loads(path.read_text(encoding="utf-8"))
            found[int(record["index"])] = record
    return found


def _missing(folder: Path, number: int, task: Task) -> list[int]:
    """Structures without a result; of dynamics also those with fewer steps than are asked for now."""
    done = {index: one for index, one in records(folder).items() if one["status"] == "ok"}
    if isinstance(task, MdTask):
        done = {index: one for index, one in done.items() if one["results"]["steps"] >= task.run["steps"]}
    return [index for index in range(number) if index not in done]


# ----------------------------------------------------------------------------- cluster


@contextlib.contextmanager
def _client(many: Many, number: int) -> Iterator[Any]:
    """A client of the cluster at an address, or of one that is started here and ends with the block."""
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise needs("distributed", "dask", "many structures") from None
    if many.scheduler is not None:
        named = {"scheduler_file": many.scheduler} if Path(many.scheduler).is_file() else {"address": many.scheduler}
        try:
            client = Client(**named, timeout=_PATIENCE)
        except (OSError, ValueError, TimeoutError) as error:
            raise ConfigError(problem("--scheduler", f"no connection: {error}", got=many.scheduler)) from None
        with client:
            yield client
        return
    with (
        tempfile.TemporaryDirectory(prefix="equipot-") as scratch,
        LocalCluster(
            n_workers=min(many.workers, number),
            threads_per_worker=1,
            memory_limit=0,  # a limit would end workers that others can do without
            dashboard_address="127.0.0.1:0",  # None would take the port 8787, which another cluster may have
            scheduler_kwargs={"dashboard": False},
            silence_logs=logging.CRITICAL,  # what matters is in the records
            local_directory=scratch,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def _compute(client: Any, task: Task, pieces: Sequence[Any], pickled: bytes, folder: Path, stop: Stopping) -> None:
    """Hand out all pieces of work and write their records as they come."""
    from distributed import as_completed

    calculator = client.submit(arrive, pickled, pure=False)
    waiting = iter(pieces)
    running: dict[Any, list[int]] = {}

    def hand_out() -> Any:
        for piece in waiting:
            future = client.submit(task, piece, calculator, pure=False)
            running[future] = [index for index, _ in piece]
            return future
        return None

    total, done = sum(map(len, pieces)), 0
    pace = Pace("structures", total)
    results = as_completed([future for _ in range(min(_AHEAD, len(pieces))) if (future := hand_out()) is not None])
    while running:
        if stop.number:
            client.cancel(list(running))
            return
        for future in _ready(results):
            for record in _records_of(future, running.pop(future), task):
                write_json(folder / _RECORDS / f"{record['index']:06d}.json", record)
                done += 1
            if (more := hand_out()) is not None:
                results.add(more)
            pace.update(done)


def _ready(results: Any) -> list[Any]:
    """Futures that are done by now; waits for a second at most, so that signals are seen."""
    import time

    if not results.has_ready():
        time.sleep(0.02 if results.count() else 0.0)
    return list(results.next_batch(block=False)) if results.has_ready() else []


def _records_of(future: Any, indices: list[int], task: Task) -> list[Record]:
    """The records of a piece of work, also if its workers died or it failed with an error that nobody expected."""
    if future.status == "finished":
        found = future.result()
        return [_visible(record, task) for record in found]
    if future.status in {"cancelled", "lost"}:
        raise DataError(problem("--scheduler", "the cluster was lost", hint="go on with --resume"))
    error = future.exception()
    reason = f"{type(error).__name__}: {error}"
    if type(error).__name__ == "KilledWorker":
        reason = "the processes that computed it died again and again, perhaps for lack of memory"
    return [{"index": index, "status": "failed", "reason": reason, "results": {}} for index in indices]


def _visible(record: Record, task: Task) -> Record:
    """The record, as failed if its files are not here."""
    if isinstance(task, MdTask) and record["status"] == "ok":
        folder = run_folder(Path(task.folder), record["index"])
        if not (folder / RESULTS).is_file():
            reason = f"the workers do not write into {folder}: it must be on a disk that all machines share"
            return {**record, "status": "failed", "reason": reason}
    return record


# --------------------------------------------------------------------------------- end


def _close(folder: Path, plan: dict[str, Any], frames: Sequence[Atoms], stop: Stopping) -> int:
    """Write tables and the summary, and say how it ended."""
    found = records(folder)
    failed = {index: one["reason"] for index, one in found.items() if one["status"] != "ok"}
    missing = len(frames) - len(found)
    status = "interrupted" if stop.number else "failures" if failed else "finished"
    write_tables(folder, plan["command"], found, frames)
    write_json(
        folder / RESULTS,
        {**plan, "status": status, "structures": len(frames), "done": len(found) - len(failed), "failed": failed},
    )
    say(f"{len(found) - len(failed)} of {len(frames)} structures done, {len(failed)} failed; see {folder}")
    for index, reason in list(failed.items())[:5]:
        note(f"frame {index} failed: {reason}")
    if failed or missing:
        say("the same command with --resume computes what is missing")
    if stop.number:
        note(f"interrupted by {stop.name}")
    return stop.exit_code or (1 if failed else 0)
