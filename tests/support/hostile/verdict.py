"""What became of a case: refused, accepted, or one of the failures."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hostile.case import CACHE, SECRET, TEMPORARY, WORK, Case
from hostile.watch import changes

MEMORY_MB = 500
"""Memory that a case may take besides twice the size of its files."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_ERROR = re.compile(r"^error: \S", re.MULTILINE)
_TRACEBACK = "Traceback (most recent call last)"
_KINDS = {"process": "started a process", "network": "used the network", "code": "ran code", "pickle": "unpickled"}
_OWN = str(Path(__file__).parent)
_LEAK_LIMIT = 64 * 1024**2


@dataclass
class Verdict:
    """The outcome of one case."""

    case: Case
    outcome: str
    """``refused``, ``accepted`` or ``failed``."""

    faults: list[str] = field(default_factory=list)
    """What must not have happened, each with its place."""

    message: str = ""
    """The refusal, or the end of what was printed."""

    seconds: float = 0.0
    megabytes: int = 0
    executions: int = 0
    writes: int = 0
    tracebacks: int = 0
    hangs: int = 0


def judge(
    case: Case, sandbox: Path, answer: Mapping[str, Any], before: dict[str, str], after: dict[str, str]
) -> Verdict:
    """Judge an answer of the server; the snapshots are of the sandbox without what the run may write."""
    executed, written = _events(case, answer)
    written += changes(before, after)
    faults = [*executed, *written, *_leaks(sandbox)]
    raised = _raised(answer)
    if raised:
        faults.append(f"traceback: {raised}")
    if answer["stopped"]:
        faults.append(answer["stopped"])
    limit = MEMORY_MB + 2 * _size(case, sandbox) // 1024**2
    if answer["megabytes"] > limit:
        faults.append(f"took {answer['megabytes']} MB, allowed {limit}")
    if not answer["stopped"] and not raised:
        faults += _answered(case, answer)
    accepted = bool(answer["codes"]) and answer["codes"][-1] == 0
    outcome = "failed" if faults else "accepted" if accepted else "refused"
    return Verdict(
        case,
        outcome,
        faults,
        _message(answer),
        answer["seconds"],
        answer["megabytes"],
        executions=len(executed),
        writes=len(written),
        tracebacks=bool(raised),
        hangs=answer["stopped"].startswith("hung"),
    )


def _events(case: Case, answer: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    executed, written = [], []
    for kind, event, arguments, place in answer["events"]:
        text = f"{event}{arguments} in {place}"
        if any(f"{event}{arguments}".startswith(one) for one in case.allowed):
            continue
        if kind == "write":
            written.append(f"wrote outside: {text}")
        else:
            executed.append(f"{_KINDS[kind]}: {text}")
    if not case.allowed:
        executed += [f"ran native code: {path}" for path in answer["native"]]
    return executed, written


def _raised(answer: Mapping[str, Any]) -> str:
    text = answer["raised"] or answer["errors"]
    if _TRACEBACK not in text and not answer["raised"]:
        return ""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    places = [line for line in lines if line.startswith("File ") and "/equipot" in line and _OWN not in line]
    own = re.sub(r'File ".*?/(?:src|tests)/(\S+)", line (\d+), in (\S+)', r"\1:\2 \3", places[-1]) if places else "?"
    return f"{lines[-1][:200]} at {own}"


def _answered(case: Case, answer: Mapping[str, Any]) -> list[str]:
    """Faults of exit code and message."""
    code, faults = (answer["codes"] or [1])[-1], []
    text = f"{answer['output']}\n{answer['errors']}"
    if found := _CONTROL.search(text):
        faults.append(f"control character {found.group()!r} in what is printed")
    if code == 0 and not case.harmless:
        faults.append("accepted")
    elif code not in (0, 2):
        faults.append(f"exit code {code}")
    elif code == 2:
        if not _ERROR.search(answer["errors"]):
            faults.append("no error message")
        elif case.place and case.place not in answer["errors"]:
            faults.append(f"the message does not mention {case.place!r}")
        if len(answer["errors"]) > 20_000:
            faults.append(f"the message has {len(answer['errors'])} characters")
    return faults


def _message(answer: Mapping[str, Any]) -> str:
    errors = [line for line in answer["errors"].splitlines() if line.startswith("error: ")]
    return (errors or answer["errors"].splitlines()[-1:] or answer["output"].splitlines()[-1:] or [""])[0][:300]


def _size(case: Case, sandbox: Path) -> int:
    """Bytes of the files of a case."""
    paths = [sandbox / WORK / name for name in case.files]
    return sum(path.stat().st_size for path in paths if path.is_file())


def _leaks(sandbox: Path) -> list[str]:
    """Files of the run that hold the secret."""
    files = [path for name in (WORK, CACHE, TEMPORARY) for path in (sandbox / name).rglob("*")]
    plain = [path for path in files if path.is_file() and not path.is_symlink() and path.stat().st_size < _LEAK_LIMIT]
    found = [path.relative_to(sandbox) for path in plain if SECRET.encode() in path.read_bytes()]
    return [f"wrote a secret: {path}" for path in found]
