"""Faults of plugins stay inside: each is reported in exact words, and stops neither another plugin nor the help."""

import builtins
import multiprocessing
import os
import random
import re
import signal
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from equipot._cli.main import main
from equipot.errors import PluginError
from equipot.plugins import plugins

HEADER = "from equipot import hookimpl\nfrom equipot.declarations import *\n"
HOOK = "@hookimpl\ndef equipot_pair_potentials():\n"
ENTRY = "    yield PairPotentialEntry(name={0!r}, target={1!r}, summary='A test')\n"


def declaring(name, target="math.sqrt"):
    return HEADER + HOOK + ENTRY.format(name, target)


MISSPELLED = "PluginError: equipot_pair_potental: unknown hook; "
MISSPELLED += "did you mean 'equipot_pair_potentials'?"

FAULTS = {
    "import fails": ("import surely_not_there\n", "ModuleNotFoundError: No module named 'surely_not_there'"),
    "exits": ("raise SystemExit(3)\n", "SystemExit: 3"),
    "exits in the hook": (HEADER + "@hookimpl\ndef equipot_modifiers():\n    raise SystemExit\n", "SystemExit"),
    "misspelled hook": (
        HEADER + "@hookimpl\ndef equipot_pair_potental():\n    return ()\n",
        MISSPELLED,
    ),
    "one name twice": (
        declaring("Twin") + ENTRY.format("Twin", "math.cos"),
        "PluginError: equipot_pair_potentials yields the name 'Twin' twice",
    ),
    "a name of core's": (
        HEADER + "@hookimpl\ndef equipot_model_builders():\n"
        "    yield ModelBuilderEntry(name='ModelBuilder', target='a.b', summary='A test')\n",
        "PluginError: declares the model builder 'ModelBuilder', a name of core's; choose another",
    ),
    "no dotted path": (
        declaring("Flat", "flat"),
        "ValueError: PairPotentialEntry.target: not a dotted path, got 'flat'; write 'package.module.Name'",
    ),
}


@pytest.mark.usefixtures("fresh_plugins")
@pytest.mark.parametrize(("source", "error"), FAULTS.values(), ids=FAULTS)
def test_a_plugin_that_fails_is_named_and_stops_nothing(install, capsys, source, error):
    install("faulty-dist", "faulty", source)
    install("sound-dist", "sound", declaring("Sound"))
    assert main(["--help"]) == 0
    shown = capsys.readouterr()
    assert "Train, validate and test" in shown.out
    assert f"warning: plugin 'faulty' (faulty-dist 1.2.3) is failed: {error}" in shown.err.splitlines()
    assert main(["plugins"]) == 0
    assert "faulty-dist" in capsys.readouterr().out
    assert plugins().lookup("pair_potentials", "Sound").entry.target == "math.sqrt"
    assert main(["plugins", "info", "faulty"]) == 0
    shown = capsys.readouterr().out
    assert f"state: failed\nerror: {error}\n" in shown


@pytest.mark.usefixtures("fresh_plugins")
def test_a_module_that_is_registered_twice(install, tmp_path):
    module = install("twice-dist", "first", declaring("Sound"))
    (tmp_path / "twice_dist-1.2.3.dist-info" / "entry_points.txt").write_text(
        f"[equipot.plugins.v1]\nfirst = {module}\nsecond = {module}\n", encoding="utf-8"
    )
    states = {record.id: (record.state, record.error) for record in plugins().records}
    assert states["first"] == ("ok", None)
    assert states["second"] == (
        "failed",
        f"PluginError: its module {module!r} is that of the plugin 'first' already; name it once",
    )
    assert plugins().lookup("pair_potentials", "Sound").plugin == "first"


@pytest.mark.usefixtures("fresh_plugins")
def test_a_target_that_does_not_exist(install):
    install("hollow-dist", "hollow", declaring("Hollow", "math.not_there"))
    with pytest.raises(PluginError) as caught:
        plugins().load("pair_potentials", "Hollow")
    assert str(caught.value) == (
        "plugin 'hollow' (hollow-dist 1.2.3): cannot import 'math.not_there' of pair potential 'Hollow': "
        "AttributeError: module 'math' has no attribute 'not_there'"
    )


@pytest.mark.usefixtures("fresh_plugins")
def test_a_name_of_two_distributions(install, capsys):
    install("one-dist", "one", declaring("Taken"))
    install("two-dist", "two", declaring("Taken", "math.cos"))
    assert main(["plugins"]) == 0
    line = "ambiguous: pair_potentials.Taken is declared by one-dist 1.2.3 and two-dist 1.2.3; use the full path of one"
    assert line in " ".join(capsys.readouterr().out.split())
    with pytest.raises(PluginError) as caught:
        plugins().load("pair_potentials", "Taken")
    assert str(caught.value) == (
        "pair potential 'Taken' is declared by one-dist 1.2.3 (math.sqrt) and two-dist 1.2.3 (math.cos); "
        "use the full path of one of them"
    )


# ---------------------------------------------------------------- what importing may not do

SIDE_EFFECTS = {
    "prints": ("print('hello', 'there')", "importing it printed 'hello there'"),
    "sets the environment": (
        "import os\nos.environ['OMP_NUM_THREADS'] = '64'\ndel os.environ['EQUIPOT_TEST_FAULTS']",
        "importing it changed the environment (EQUIPOT_TEST_FAULTS, OMP_NUM_THREADS); undone",
    ),
    "filters warnings": (
        "import warnings\nwarnings.simplefilter('ignore')",
        "importing it changed the warning filters; undone",
    ),
    "seeds": ("import random\nrandom.seed(4711)", "importing it changed Python's random generator; undone"),
    "seeds numpy": ("import numpy\nnumpy.random.seed(4711)", "importing it changed numpy's random generator; undone"),
    "seeds torch": ("import torch\ntorch.manual_seed(4711)", "importing it changed torch's random generator; undone"),
    "sets the default dtype": (
        "import torch\ntorch.set_default_dtype(torch.float64)",
        "importing it changed torch's default dtype; undone",
    ),
    "changes the folder": ("import os\nos.chdir('/')", "importing it changed the current folder; undone"),
    "replaces a function of torch": (
        "import torch\ntorch.relu = torch.nn.functional.relu6",
        "importing it replaced torch.relu; undone",
    ),
    "wraps a function of torch": (
        "import functools, torch\ntorch.linalg.norm = functools.wraps(torch.linalg.norm)(lambda *a: 2 * len(a))",
        "importing it replaced torch.linalg.norm; undone",
    ),
    "replaces methods": (
        "import torch\ntorch.Tensor.relu = torch.Tensor.tanh\ntorch.nn.Module.eval = lambda module: module",
        "importing it replaced torch.Tensor.relu, torch.nn.Module.eval; undone",
    ),
    "replaces a class": (
        "import torch\nclass Linear(torch.nn.Linear):\n    pass\ntorch.nn.Linear = Linear",
        "importing it replaced torch.nn.Linear; undone",
    ),
    "replaces and deletes functions of numpy": (
        "import numpy\nnumpy.sum = sum\ndel numpy.linalg.inv",
        "importing it replaced numpy.sum, numpy.linalg.inv; undone",
    ),
    "replaces a builtin": ("import builtins\nbuiltins.sorted = list", "importing it replaced builtins.sorted; undone"),
    "handles signals": (
        "import signal\nsignal.signal(signal.SIGTERM, print)\nsignal.signal(signal.SIGUSR2, signal.SIG_IGN)",
        "importing it changed the handlers of SIGTERM, SIGUSR2; undone",
    ),
    "writes to file descriptor 1": ("import os\nos.write(1, b'below Python')", "importing it printed 'below Python'"),
    "redirects output": (
        "import os\nnowhere = os.open(os.devnull, os.O_WRONLY)\nos.dup2(nowhere, 1)\nos.close(nowhere)",
        "importing it redirected standard output; undone",
    ),
    "closes messages": ("import os\nos.close(2)", "importing it redirected standard error; undone"),
    "starts a thread": (
        "import threading, time\nthreading.Thread(target=time.sleep, args=(0.2,), name='sleeper').start()",
        "importing it left threads running (sleeper), so that forking is unsafe",
    ),
    "chooses how processes start": (
        "import multiprocessing\nmultiprocessing.set_start_method('spawn', force=True)",
        "importing it changed the start method of processes; undone",
    ),
}


def state():
    return {
        "environment": dict(os.environ),
        "filters": list(warnings.filters),
        "random": random.getstate(),
        "numpy": np.random.get_state()[1].tolist(),  # noqa: NPY002 - what plugins might seed
        "torch": torch.get_rng_state().tolist(),
        "dtype": torch.get_default_dtype(),
        "folder": Path.cwd(),
        "functions": [torch.relu, torch.linalg.norm, torch.nn.Linear, np.sum, np.linalg.inv, builtins.sorted],
        "methods": [vars(torch.nn.Module)["eval"], "relu" in vars(torch.Tensor)],
        "handlers": [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGUSR2)],
        "streams": [os.fstat(number).st_ino for number in (1, 2)],
        "processes": multiprocessing.get_start_method(allow_none=True),
    }


@pytest.mark.slow
@pytest.mark.usefixtures("fresh_plugins")
@pytest.mark.parametrize(("statements", "note"), SIDE_EFFECTS.values(), ids=SIDE_EFFECTS)
def test_what_importing_did_is_undone_and_reported(install, monkeypatch, capsys, statements, note):
    monkeypatch.setenv("EQUIPOT_TEST_FAULTS", "1")
    install("loud-dist", "loud", f"{statements}\n{declaring('Loud')}")
    before = state()
    assert main(["plugins", "--json"]) == 0
    assert state() == before
    output = capsys.readouterr()
    assert output.out.startswith("[")  # nothing was printed into the JSON
    (record,) = [record for record in plugins().records if record.id == "loud"]
    assert (record.state, record.notes) == ("ok", [note])
    assert f"warning: plugin 'loud' (loud-dist 1.2.3): {note}" in output.err.splitlines()


LAZY_PACKAGE = """
def __getattr__(name):
    if name == "thing":
        from late_part import thing
        return thing
    raise AttributeError(name)
"""
THING = "from equipot.model import PairPotential\nclass thing(PairPotential):\n    pass\n"


@pytest.mark.usefixtures("fresh_plugins")
@pytest.mark.parametrize("target", ["late_part.thing", "late_package.thing"])
def test_seeds_and_dtype_are_kept_when_a_component_is_imported(install, tmp_path, monkeypatch, caplog, target):
    (tmp_path / "late_package.py").write_text(LAZY_PACKAGE, encoding="utf-8")
    monkeypatch.delitem(sys.modules, "late_part", raising=False)
    source = "import random, torch\nrandom.seed(4711)\ntorch.set_default_dtype(torch.float64)\nprint('hi')\n"
    (tmp_path / "late_part.py").write_text(source + THING, encoding="utf-8")
    install("late-dist", "late", f"import late_package\n{declaring('Late', target)}")
    before = state()
    assert plugins().load("pair_potentials", "Late").__name__ == "thing"
    assert state() == before
    reported = "; ".join(record.getMessage() for record in caplog.records)
    assert reported == "; ".join(
        f"plugin 'late' (late-dist 1.2.3): importing it {what}"
        for what in (
            "printed 'hi'",
            "changed Python's random generator; undone",
            "changed torch's default dtype; undone",
        )
    )


@pytest.mark.usefixtures("fresh_plugins")
@pytest.mark.parametrize("switch", [{"EQUIPOT_STRICT_PLUGINS": "1"}, {"EQUIPOT_PLUGINS": "zbll"}])
def test_no_switch_hides_the_help(install, monkeypatch, capsys, switch):
    install("faulty-dist", "faulty", "raise SystemExit(3)\n")
    for name, value in switch.items():
        monkeypatch.setenv(name, value)
    assert main(["--help"]) == 0
    output = capsys.readouterr()
    assert re.search(r"  plugins +List", output.out)
    assert output.err.startswith("error: ")
