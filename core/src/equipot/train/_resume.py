"""Resume: read the config a checkpoint was made with, and refuse to go on with another one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypedDict

from packaging.version import InvalidVersion, Version

from equipot.artifacts._checkpoint import load_plain
from equipot.artifacts._schema import Shown, check_fits
from equipot.containers import leaves, nodes, plain
from equipot.errors import ArtifactError, ConfigError, did_you_mean, problem
from equipot.train._position import Position

_VERSION = "pytorch-lightning_version"


def checkpoint_data(path: Path) -> dict[str, Any]:
    """What a checkpoint says of the run it belongs to.

    Args:
        path: A ``.ckpt`` file of a training run.

    Returns:
        The entry ``equipot``: ``training_config``, ``data`` and others; and ``weights_only``.

    Raises:
        ArtifactError: If the file is missing, damaged or no checkpoint of equipot.
    """
    checkpoint = load_plain(path)
    record = checkpoint.get("equipot")
    if not isinstance(record, dict) or "training_config" not in record:
        raise ArtifactError(problem(str(path), "was not written by an equipot training run"))
    weights_only = "optimizer_states" not in checkpoint
    if not weights_only:
        _check_run(checkpoint, str(path))
        _check_record(record, f"{path}.equipot")
    return {**record, "weights_only": weights_only}


_Run = TypedDict(
    "_Run",
    {
        "epoch": int,
        "global_step": int,
        "pytorch-lightning_version": str,
        "optimizer_states": list[dict[str, Any]],
        "lr_schedulers": list[dict[str, Any]],
        "callbacks": dict[str, Any],
    },
)
"""What Lightning stores of a run, and restores without looking at it."""


class _Loop(TypedDict):
    """The entry ``equipot.loop``."""

    epochs_closed: int
    metrics: dict[str, Any]
    loader: dict[str, Any]
    measures: dict[str, Any]
    position: Position


def _check_record(record: Mapping[str, Any], where: str) -> None:
    data = record.get("data", {})
    check_fits(record["training_config"], dict[str, Any], f"{where}.training_config")
    check_fits(data, dict[str, Any], f"{where}.data")
    check_fits(data.get("frames", {}), dict[str, Any], f"{where}.data.frames")
    if _position(record) is not None:
        check_fits(record["loop"], _Loop, f"{where}.loop")


def _check_run(checkpoint: Mapping[str, Any], where: str) -> None:
    check_fits({key: checkpoint[key] for key in _Run.__annotations__ if key in checkpoint}, _Run, where)
    if not checkpoint["optimizer_states"]:
        raise ArtifactError(problem(f"{where}.optimizer_states", "is empty", hint="the file was edited or damaged"))
    try:
        Version(checkpoint[_VERSION])
    except InvalidVersion:
        got = Shown(checkpoint[_VERSION])
        raise ArtifactError(problem(f"{where}.{_VERSION}", "is not a version", got=got)) from None


def newest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint of a run that is farthest, None if there is none that can be read.

    Args:
        folder: Of the run.
    """
    found = []
    for path in sorted(folder.glob("[!.]*.ckpt")):
        try:
            record = checkpoint_data(path)
        except ArtifactError:
            continue
        if record["weights_only"]:
            continue
        at = _position(record)
        # a file without a position is taken if it is the only one: the run must be refused, not start again over it
        order = (-1, 0, False) if at is None else (at["epoch"], at["batch"], at["validated"])
        found.append((*order, path.name == "last.ckpt", path))
    return max(found)[-1] if found else None


def check_position(record: Mapping[str, Any], path: Path) -> None:
    """Refuse to continue the training of a checkpoint that does not say where its run was.

    Args:
        record: As ``checkpoint_data`` gives it.
        path: The checkpoint.

    Raises:
        ArtifactError: If an equipot that did not store the position wrote it.
    """
    if record["weights_only"]:
        hint = "equipot.model.ModelFromCheckpoint in the config starts from its weights"
        raise ArtifactError(problem(str(path), "holds weights only and cannot be resumed", hint=hint))
    if _position(record) is None:
        written = record.get("versions", {}).get("equipot", "an older version")
        what = f"was written by equipot {written}, which did not store the position in the run, and cannot be resumed"
        hint = "train again; equipot.model.ModelFromCheckpoint in the config starts from its weights"
        raise ArtifactError(problem(str(path), what, hint=hint))


def _position(record: Mapping[str, Any]) -> dict[str, Any] | None:
    loop = record.get("loop")
    position = loop.get("position") if isinstance(loop, dict) else None
    return position if isinstance(position, dict) else None


def check_same_data(saved: Mapping[str, Any], now: Mapping[str, Any], path: Path) -> None:
    """Refuse to go on with other frames.

    Args:
        saved: Entry ``data`` of the checkpoint.
        now: The same of this run.
        path: The checkpoint.

    Raises:
        ConfigError: Naming the sets.
    """
    before, after = saved.get("frames", {}), now.get("frames", {})
    different = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    if different:
        what = f"the data differ from those of the interrupted run in {', '.join(different)}"
        raise ConfigError(problem(str(path), what, hint="resume with the same files and split"))


JUDGING = ("data.accept", "data.strict")
"""Options that judge the data and change nothing in them: they may differ, and what they say now counts."""


def check_same_config(saved: Mapping[str, Any], now: Mapping[str, Any], allow: Iterable[str] = ()) -> list[str]:
    """Compare the config of the interrupted run with the present one.

    Args:
        saved: Resolved config of the checkpoint.
        now: Resolved config of this run.
        allow: Keys that may differ, with everything below them.

    Returns:
        The allowed differences, worded.

    Raises:
        ConfigError: With every difference that is not allowed, and names in ``allow`` that are not keys.
    """
    saved, now, allowed = plain(saved), plain(now), (*allow, *JUDGING)
    before, after = dict(leaves(saved)), dict(leaves(now))
    known = sorted({path for config in (saved, now) for path, _ in nodes(config)} - {""})
    problems = [
        problem("--allow", "no such key in the config", got=key, hint=did_you_mean(key, known))
        for key in allow
        if key not in known
    ]
    accepted = []
    for key in dict.fromkeys([*before, *after]):
        old, new = before.get(key, _ABSENT), after.get(key, _ABSENT)
        if _same(old, new):
            continue
        text = f"{key}: {old!r} in the checkpoint, {new!r} now"
        if any(key == one or key.startswith(one + ".") for one in allowed):
            accepted.append(text)
        else:
            problems.append(f"{text}; to resume with the change: --allow {key}")
    if problems:
        raise ConfigError(problems)
    return accepted


class _Absent:
    def __repr__(self) -> str:
        return "absent"


_ABSENT = _Absent()


def _same(old: object, new: object) -> bool:
    return old is new or (type(old) is type(new) and (old == new or (old != old and new != new)))  # noqa: PLR0124 - NaN
