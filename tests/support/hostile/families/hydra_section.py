"""Hydra's own section: what it could call, set, read and write, written in all ways in which a config can write it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from hostile import seeds as valid
from hostile.case import TOUCH, Case, pipe
from hostile.families._configs import CHECK, config_case
from hostile.seeds import Seeds

_SYSTEM = {"_target_": "os.system", "command": TOUCH}
_CASTEP = {"_target_": "ase.calculators.castep.shell_stdouterr", "raw_command": TOUCH}
_KERNELS = {"_target_": "equipot_kernels._build.toolchain._version", "command": ["sh", "-c", TOUCH]}
_FACTORY = {"()": "equipot_kernels._build.toolchain._version", "command": ["sh", "-c", TOUCH]}
_FREE = (CHECK, ["train", valid.YAML])

SECTIONS: dict[str, Any] = {
    "callbacks": {"callbacks": {"x": _SYSTEM}},
    "callbacks of a plugin": {"callbacks": {"x": _KERNELS}},
    "callbacks of ase": {"callbacks": {"x": _CASTEP}},
    "callback that pickles": {"callbacks": {"x": {"_target_": "hydra.experimental.callbacks.PickleJobInfoCallback"}}},
    "callback that logs": {"callbacks": {"x": {"_target_": "hydra.experimental.callbacks.LogJobReturnCallback"}}},
    "launcher": {"launcher": _SYSTEM},
    "sweeper": {"sweeper": _SYSTEM},
    "launcher of a plugin": {"launcher": _KERNELS},
    "help": {"help": {"template": _SYSTEM}},
    "hydra_help": {"hydra_help": _SYSTEM},
    "env_set": {"job": {"env_set": {"CXX": f"sh -c '{TOUCH}'", "LD_PRELOAD": "x.so", "PYTHONSTARTUP": "payload.py"}}},
    "env_copy": {"job": {"env_copy": ["HOME"]}},
    "chdir": {"job": {"chdir": True}},
    "job name": {"job": {"name": "../../outside/x"}},
    "job config_name": {"job": {"config_name": "../x"}},
    "override_dirname": {"job": {"config": {"override_dirname": {"kv_sep": "/../"}}}},
    "searchpath": {"searchpath": ["file:///etc", "pkg://antigravity"]},
    "searchpath up": {"searchpath": ["../outside"]},
    "run.dir up": {"run": {"dir": "../outside/run"}},
    "run.dir absolute": {"run": {"dir": "/tmp/equipot-hostile-run"}},
    "run.dir of the system": {"run": {"dir": "/sys/equipot-hostile"}},
    "run.dir home": {"run": {"dir": "${oc.env:HOME}/run"}},
    "run.dir of a null": {"run": {"dir": None}},
    "run.dir of a list": {"run": {"dir": ["a"]}},
    "run.dir with newline": {"run": {"dir": "a\nb\x1b[31m"}},
    "run.dir of many letters": {"run": {"dir": "a" * 5000}},
    "sweep.dir": {"mode": "MULTIRUN", "sweep": {"dir": "../outside/sweep"}},
    "sweep.subdir": {"mode": "MULTIRUN", "sweep": {"subdir": "../../../outside"}},
    "mode": {"mode": "MULTIRUN"},
    "mode of a number": {"mode": 7},
    "output_subdir": {"output_subdir": "../../outside/sub"},
    "output_subdir absolute": {"output_subdir": "/tmp/equipot-hostile-sub"},
    "output_subdir null": {"output_subdir": None},
    "runtime.output_dir": {"runtime": {"output_dir": "../outside/out"}},
    "runtime.cwd": {"runtime": {"cwd": "/sys"}},
    "verbose": {"verbose": True},
    "verbose logger": {"verbose": ["root", "x"]},
    "job_logging file": {
        "job_logging": {"handlers": {"file": {"class": "logging.FileHandler", "filename": "../outside/victim.txt", "mode": "w"}}}
    },
    "job_logging absolute": {
        "job_logging": {"handlers": {"h": {"class": "logging.FileHandler", "filename": "/tmp/equipot-hostile.log"}}}
    },
    "job_logging appends": {
        "job_logging": {"handlers": {"file": {"filename": "../outside/victim.txt", "mode": "a"}}}
    },
    "job_logging truncates the data": {
        "job_logging": {"handlers": {"file": {"filename": "data.xyz", "mode": "w"}}}
    },
    "job_logging rotates": {
        "job_logging": {"handlers": {"h": {"class": "logging.handlers.RotatingFileHandler", "filename": "../outside/x"}}}
    },
    "job_logging socket": {
        "job_logging": {"handlers": {"h": {"class": "logging.handlers.SocketHandler", "host": "127.0.0.1", "port": 9}}, "root": {"handlers": ["h"]}}
    },
    "job_logging http": {
        "job_logging": {"handlers": {"h": {"class": "logging.handlers.HTTPHandler", "host": "127.0.0.1:9", "url": "/"}}, "root": {"handlers": ["h"]}}
    },
    "job_logging smtp": {
        "job_logging": {
            "handlers": {
                "h": {"class": "logging.handlers.SMTPHandler", "mailhost": ["127.0.0.1", 9], "fromaddr": "a", "toaddrs": ["b"], "subject": "c"}
            },
            "root": {"handlers": ["h"]},
        }
    },
    "job_logging syslog": {"job_logging": {"handlers": {"h": {"class": "logging.handlers.SysLogHandler"}}}},
    "job_logging datagrams": {
        "job_logging": {"handlers": {"h": {"class": "logging.handlers.DatagramHandler", "host": "127.0.0.1", "port": 9}}}
    },
    "job_logging factory": {"job_logging": {"handlers": {"h": _FACTORY}}},
    "job_logging factory of os": {"job_logging": {"handlers": {"h": {"()": "os.system", "command": TOUCH}}}},
    "job_logging formatter": {"job_logging": {"formatters": {"simple": {"()": "os.system", "command": TOUCH}}}},
    "job_logging filter": {"job_logging": {"filters": {"f": {"()": "os.system", "command": TOUCH}}}},
    "job_logging ext": {
        "job_logging": {"handlers": {"h": {"class": "logging.StreamHandler", "stream": "ext://os.environ"}}}
    },
    "job_logging cfg": {"job_logging": {"handlers": {"h": {"class": "logging.StreamHandler", "stream": "cfg://root"}}}},
    "job_logging queue": {
        "job_logging": {"handlers": {"h": {"class": "logging.handlers.QueueHandler", "queue": {"()": "os.system", "command": TOUCH}}}}
    },
    "job_logging class": {"job_logging": {"handlers": {"h": {"class": "subprocess.Popen", "args": ["sh", "-c", TOUCH]}}}},
    "job_logging of a number": {"job_logging": 7},
    "job_logging version": {"job_logging": {"version": 99}},
    "hydra_logging file": {
        "hydra_logging": {"handlers": {"h": {"class": "logging.FileHandler", "filename": "../outside/victim.txt", "mode": "w"}}}
    },
    "hydra_logging factory": {"hydra_logging": {"handlers": {"h": _FACTORY}}},
    "unknown key": {"nonsense": {"_target_": "os.system"}},
    "overrides": {"overrides": {"task": ["trainer.callbacks=[{_target_: os.system}]"]}},
    "choices": {"runtime": {"choices": {"x": "../y"}}},
}  # fmt: skip
"""Contents of the section."""


def cases(seeds: Seeds) -> Iterator[Case]:
    """The section as it stands, interpolated, or from a defaults list, in turn; some of all with ``@package``."""
    config = seeds.config()
    harmless = {
        "verbose": "more log lines, nothing else",
        "verbose logger": "more log lines, nothing else",
        "mode": "a sweep of one run",
        "output_subdir null": "no folder for Hydra's own files",
        "run.dir of a null": "the default folder",
        "chdir": "is switched off",
        "env_copy": "is not used by a single run",
        "job config_name": "is not used for a path",
        "choices": "is overwritten",
        "overrides": "is overwritten",
        "runtime.cwd": "is overwritten",
        "runtime.output_dir": "is overwritten",
        "override_dirname": "is not used",
        "help": "is only shown as help",
        "hydra_help": "is only shown as help",
    }
    for number, (name, given) in enumerate(SECTIONS.items()):
        why = harmless.get(name, "")
        if number % 3 == 0:
            yield config_case(name, config, {"hydra": given}, commands=_FREE, harmless=why)
        elif number % 3 == 1:
            yield _interpolated(name, config, given, why)
        else:
            yield _from_defaults(name, config, given, why)
    for name in ("callbacks", "job_logging factory", "env_set", "run.dir up"):
        yield _from_package(name, config, SECTIONS[name])
        yield _from_nested(name, config, SECTIONS[name])
    yield from _other_ways(config)


def _interpolated(name: str, config: dict[str, Any], given: dict[str, Any], why: str) -> Case:
    """Every value of the section stands elsewhere."""
    elsewhere: dict[str, Any] = {}

    def moved(value: Any, key: str) -> Any:
        if isinstance(value, dict) and not any(one.startswith("_") or one == "()" for one in value):
            return {one: moved(item, f"{key}_{number}") for number, (one, item) in enumerate(value.items())}
        elsewhere[key] = value
        return f"${{evil.{key}}}"

    section = moved(given, "n")
    used = {"evil": {**elsewhere, "one": 1}, "trainer": {"max_epochs": "${evil.one}"}}
    return config_case(f"{name}, interpolated", config, {"hydra": section, **used}, commands=_FREE, harmless=why)


def _from_defaults(name: str, config: dict[str, Any], given: dict[str, Any], why: str) -> Case:
    files = {"hydra/evil/evil.yaml": yaml.safe_dump(given, width=1_000_000)}
    changes = {"defaults": ["_self_", {"hydra/evil@hydra": "evil"}]}
    return config_case(f"{name}, from a defaults list", config, changes, commands=_FREE, files=files, harmless=why)


def _from_package(name: str, config: dict[str, Any], given: dict[str, Any]) -> Case:
    text = "# @package _global_\n" + yaml.safe_dump({"hydra": given}, width=1_000_000)
    changes = {"defaults": ["_self_", {"group": "evil"}]}
    return config_case(f"{name}, global", config, changes, commands=_FREE, files={"group/evil.yaml": text})


def _from_nested(name: str, config: dict[str, Any], given: dict[str, Any]) -> Case:
    files = {
        "group/first.yaml": "# @package _global_\ndefaults: [/other/second]\n",
        "other/second.yaml": "# @package hydra\n" + yaml.safe_dump(given, width=1_000_000),
    }
    changes = {"defaults": ["_self_", {"group": "first"}]}
    return config_case(f"{name}, nested", config, changes, commands=_FREE, files=files)


def _other_ways(config: dict[str, Any]) -> Iterator[Case]:
    defaults: dict[str, list[Any]] = {
        "override a logger": ["_self_", {"override hydra/job_logging": "none"}],
        "override a launcher": ["_self_", {"override hydra/launcher": "submitit"}],
        "override a sweeper": ["_self_", {"override hydra/sweeper": "evil"}],
        "up": [{"../../etc": "passwd"}],
        "absolute": ["/etc/passwd"],
        "a pipe": ["pipe"],
        "itself": ["config"],
        "nothing": ["nothing_there"],
        "of null": [None],
        "of numbers": [1, 2],
        "interpolated": [{"group": "${oc.env:HOME}"}],
        "too many": [f"one{index}" for index in range(2000)],
    }
    for name, value in defaults.items():
        files: dict[str, Any] = {"pipe.yaml": pipe} if name == "a pipe" else {}
        if name == "too many":
            files = {f"one{index}.yaml": f"note{index}: 1\n" for index in range(50)}
        why = "logging is switched off" if name == "override a logger" else ""
        yield config_case(f"defaults: {name}", config, {"defaults": value}, commands=_FREE, files=files, harmless=why)
    circle = {"first.yaml": "defaults: [second]\n", "second.yaml": "defaults: [first]\n"}
    yield config_case("defaults: in a circle", config, {"defaults": ["first"]}, commands=_FREE, files=circle)
    for number, section in enumerate((None, [], "x", 7, {"run": None}, {"job": []}, {"": {}}, {"sweep": {"dir": {}}})):
        why = "says nothing" if section in (None, {}, {"run": None}) else ""
        yield config_case(f"section {number} {section!r}", config, {"hydra": section}, commands=_FREE, harmless=why)
