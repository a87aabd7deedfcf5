"""Completion: what click answers, and what bash, zsh and fish make of it when somebody presses TAB."""

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from equipot._cli.main import main

BIN = Path(sys.executable).parent


def completions(line, program="equipot"):
    """What the shell is offered as the next word."""
    words = line.split(" ")
    variable = f"_{program.replace('-', '_').upper()}_COMPLETE"
    settings = {variable: "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run([BIN / program], env={**os.environ, **settings}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [tuple(text.split(",", 1)) for text in done.stdout.split()]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("equipot pl", {"plugins"}),
        ("equipot plugins i", {"index", "info"}),
        ("equipot plugins info z", {"zbl"}),
        ("equipot plugins check z", {"zbl"}),
        ("equipot plugins new a --kind m", {"model-builder", "modifier"}),
        ("equipot describe Z", {"ZBL"}),
        ("equipot describe as", {"ase"}),
        ("equipot compile a b --target a", {"ase"}),
        ("equipot describe SoftA", {"SoftAdapt"}),
        ("equipot describe equipot_toolbox.SoftA", {"equipot_toolbox.SoftAdapt"}),
        ("equipot schema EnergyOnlyL", {"EnergyOnlyLoss"}),
        ("equipot schema Pai", {"PaiNNModel"}),
        ("equipot compile a b --modifiers disable", {"disable_ForceStressOutput"}),
        ("equipot train --o", {"--output", "--overwrite"}),
        ("equipot train --no-p", {"--no-plugins"}),
    ],
)
def test_completion(line, expected):
    assert {text for _, text in completions(line)} == expected


def test_completion_of_files_is_the_shells():
    assert completions("equipot train con") == [("file", "con")]
    assert completions("equipot check examples/") == [("file", "examples/")]
    assert completions("equipot train config.yaml --resume las") == [("file", "las")]


def test_completion_of_the_short_commands():
    assert completions("equipot-package ver", "equipot-package") == [("plain", "verify")]
    assert completions("equipot-train --res", "equipot-train") == [("plain", "--resume")]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script(shell, capsys):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(f" {name}" in script for name in ("equipot", "equipot-train", "equipot-compile", "equipot-package"))


def test_bash_takes_the_script():
    done = subprocess.run(
        ["bash", "-c", f'eval "$({BIN}/equipot completion bash)" && complete -p equipot-train'],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "_equipot_train_completion equipot-train" in done.stdout


# ----------------------------------------------------------------------------- real shells


def typed(shell, keys, end, folder):
    """What an interactive shell shows while keys are pressed, until it shows ``end``."""
    settings = {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(folder), "TERM": "dumb", "COLUMNS": "200"}
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.execvpe(shell[0], shell, {**os.environ, **settings})  # noqa: S606 - the shell under test
    shown = ""
    try:
        for key in keys:
            os.write(terminal, key.encode())
            shown += _read(terminal, wait=1.0)
        deadline = time.monotonic() + 60
        while end not in shown and time.monotonic() < deadline:
            shown += _read(terminal, wait=1.0)
    finally:
        os.close(terminal)
        os.kill(child, 9)
        os.waitpid(child, 0)
    return shown


def _read(terminal, wait):
    """Everything that is shown until nothing more comes for some time."""
    shown = b""
    while select.select([terminal], [], [], wait)[0]:
        shown += os.read(terminal, 65536)
    return shown.decode(errors="replace")


SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], 'eval "$(equipot completion bash)"'),
    "zsh": (["zsh", "-f", "-i"], 'autoload -Uz compinit; compinit -u -D; eval "$(equipot completion zsh)"'),
}


@pytest.fixture
def press(tmp_path):
    """Type into a shell that has the script; a TAB waits for the answer."""

    def press(name, line, end):
        if shutil.which(name) is None:
            pytest.skip(f"needs the shell {name}")
        shell, setup = SHELLS[name]
        keys = [setup, "\r", "\r"]
        for part in line.split("\t"):
            keys += [part, "\t"]
        return typed(shell, [*keys[:-1], "\r"], end, tmp_path)

    return press


@pytest.mark.slow
@pytest.mark.parametrize("name", SHELLS)
def test_tab_completes_commands_names_and_options(name, press):
    end = '"distribution": "equipot-zbl"'
    assert end in press(name, "equipot plu\tinf\tzb\t--js\t", end)


@pytest.mark.slow
@pytest.mark.parametrize("name", SHELLS)
def test_tab_completes_components(name, press):
    assert "equipot.pair_potentials.ZBL  (equipot-zbl" in press(name, "equipot desc\tZB\t", "polynomial_cutoff_p")


@pytest.mark.slow
@pytest.mark.parametrize("name", SHELLS)
def test_tab_completes_files(name, press, tmp_path):
    (tmp_path / "bare_config.yaml").write_text("[]")
    end = "bare_config.yaml: must be a mapping"
    assert end in press(name, "equipot check bare\t", end)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("equipot plu", "plugins"),
        ("equipot plugins info zb", "zbl"),
        ("equipot plugins info --js", "--json"),
        ("equipot describe ZB", "ZBL"),
        ("equipot-train --resu", "--resume"),
        ("equipot check bare", "bare_config.yaml"),
    ],
)
def test_fish_completes(line, expected, tmp_path):
    if shutil.which("fish") is None:
        pytest.skip("needs the shell fish")
    (tmp_path / "bare_config.yaml").write_text("[]")
    script = f'equipot completion fish | source; complete -C "{line}"'
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    done = subprocess.run(
        ["fish", "--no-config", "-c", script],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert [text.split("\t")[0] for text in done.stdout.splitlines()] == [expected], done.stderr
