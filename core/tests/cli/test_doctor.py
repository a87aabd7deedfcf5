"""``equipot doctor``: what it shows, what it hides, and what it finds broken."""

import json

import pytest
import torch

from equipot import __version__
from equipot._cli import _doctor_facts
from equipot._cli.main import main

HEADER = "from equipot import hookimpl\nfrom equipot.declarations import *\n"
COMMAND = (
    HEADER + "@hookimpl\ndef equipot_commands():\n"
    "    yield CommandEntry(name='ask', target='a.b', summary='A test', diagnosis=f'{__name__}.diagnosis')\n"
)
SECTIONS = ["environment", "variables", "versions", "torch", "models", "compiler", "plugins", "caches"]


@pytest.fixture(autouse=True)
def _alone(monkeypatch, fresh_plugins, tmp_path):
    """Only core and what a test installs, an empty cache, and requirements that are met."""
    del fresh_plugins
    monkeypatch.setenv("EQUIPOT_PLUGINS", "none")
    monkeypatch.setenv("EQUIPOT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(_doctor_facts, "_requires", lambda distribution: ["numpy>=1"])
    monkeypatch.setattr("equipot._cli.common._shown", set())
    monkeypatch.delenv("CXX", raising=False)


@pytest.fixture
def doctor(capsys):
    def run(*arguments):
        code = main(["doctor", *arguments])
        return code, capsys.readouterr().out

    return run


def in_json(doctor):
    code, out = doctor("--json")
    found = json.loads(out)
    assert code == (1 if found["broken"] else 0)
    return found


def test_the_whole_as_json(doctor, tmp_path):
    (tmp_path / "cache" / "kernels").mkdir(parents=True, mode=0o700)
    (tmp_path / "cache" / "kernels" / "a.so").write_bytes(b"0" * 1500)
    for folder in (tmp_path / "cache", tmp_path / "cache" / "kernels"):
        folder.chmod(0o700)
    found = in_json(doctor)
    assert found["broken"] == []
    assert list(found) == [*SECTIONS, "broken"]
    assert found["environment"]["equipot"] == __version__
    assert found["versions"]["torch"] == torch.__version__
    assert found["torch"]["default dtype"] == "float32"
    assert found["plugins"]["core"]["state"] == "ok"
    assert found["plugins"]["core"]["milliseconds"] > 0
    assert found["caches"]["kernels"] == "1 files, 1.5 kB"


def test_lines_fit_and_the_end_says_that_nothing_is_broken(doctor):
    code, out = doctor()
    assert code == 0
    assert out.endswith("\n\nnothing is broken\n")
    assert [line for line in out.splitlines() if len(line) > 80] == []


def test_a_plugin_that_fails_is_broken(doctor, monkeypatch, install):
    monkeypatch.setenv("EQUIPOT_PLUGINS", "bad")
    install("bad-dist", "bad", f"raise ValueError({'very ' * 60!r})\n")
    code, out = doctor()
    assert code == 1
    assert "\nbroken: plugin 'bad' (bad-dist 1.2.3) is failed: ValueError: very very" in out
    assert " ".join(out.split()).endswith("very; mend or uninstall bad-dist")
    assert [line for line in out.splitlines() if len(line) > 80] == []


def test_no_secret_is_shown(doctor, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home-of-jane"))
    monkeypatch.setenv("EQUIPOT_CACHE_DIR", str(tmp_path / "home-of-jane" / "cache"))
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    code, out = doctor("--json")
    assert code == 0
    assert "0123456789abcdef" not in out
    assert "WANDB" not in out
    assert "jane" not in out
    assert json.loads(out)["variables"]["EQUIPOT_CACHE_DIR"] == "~/cache"


def test_a_missing_or_old_requirement_is_broken(doctor, monkeypatch):
    wanted = {"equipot": ["numpy<1", "not-there>=3", "torch<1; extra=='x'"]}
    monkeypatch.setattr(_doctor_facts, "_requires", lambda distribution: wanted.get(distribution, []))
    numpy, missing = in_json(doctor)["broken"]
    assert numpy.endswith(", equipot needs numpy<1: pip install 'numpy<1'")
    assert missing == "not-there is missing, equipot needs not-there>=3: pip install 'not-there>=3'"


def test_no_compiler_is_broken(doctor, monkeypatch):
    monkeypatch.setenv("CXX", "not-a-compiler")
    (text,) = in_json(doctor)["broken"]
    assert text.startswith("CXX names 'not-a-compiler', which is not there: equipot compile needs one; apt install g++")


def test_a_folder_for_temporary_files_that_is_missing_is_broken(doctor, monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "gone"))
    (text,) = in_json(doctor)["broken"]
    assert text.startswith("TMPDIR: the folder for temporary files does not exist")


def test_too_many_threads_are_broken(doctor, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4096)
    (text,) = in_json(doctor)["broken"]
    assert text.startswith("torch uses 4096 threads on ")


def test_a_cache_of_others_is_broken(doctor, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(0o777)
    (text,) = in_json(doctor)["broken"]
    assert text.endswith(
        "cache is not used: other users can write to it; set EQUIPOT_CACHE_DIR to a folder of your own"
    )


def test_plugins_say_what_they_know_about_the_machine(doctor, monkeypatch, install):
    monkeypatch.setenv("EQUIPOT_PLUGINS", "bad")
    install(
        "bad-dist", "bad", COMMAND + "def diagnosis():\n    return {'pair style': 'built'}, ['it is not: build it']\n"
    )
    found = in_json(doctor)
    assert found["ask"] == {"pair style": "built"}
    assert found["broken"] == ["it is not: build it"]


def test_a_diagnosis_that_fails_names_the_plugin(doctor, monkeypatch, install):
    monkeypatch.setenv("EQUIPOT_PLUGINS", "bad")
    install("bad-dist", "bad", COMMAND + "def diagnosis():\n    return 1 / 0\n")
    found = in_json(doctor)
    assert found["broken"] == ["ask: PluginError: plugin 'bad' (bad-dist 1.2.3): ZeroDivisionError: division by zero"]


def test_side_effects_of_imports_are_shown_and_not_broken(doctor, monkeypatch, install):
    monkeypatch.setenv("EQUIPOT_PLUGINS", "bad")
    install("bad-dist", "bad", "print('hello')\n")
    code, out = doctor()
    assert code == 0
    assert "    importing it printed 'hello'\n" in out
