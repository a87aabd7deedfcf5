"""What config files may set in Hydra's section, and what only the command line may."""

import pytest

from equipot_test_support.audit import started

CANNOT = (
    "cannot be set in a config file; only folders, names and sweeps can (run.dir, sweeper.params, …); "
    "write it on the command line"
)
ELSEWHERE = "names a place outside of the working folder and the folder of the run"
EVIL = "_target_: subprocess.Popen, args: [touch, hacked]"


def problems(folder, text, *overrides, command="check"):
    config = (folder.path / "config.yaml").read_text()
    folder.write(config + text)
    return folder.errors(*overrides, command=command)


@pytest.fixture
def watched(folder):
    """Processes, connections and imports while the test runs; nothing must be seen, and nothing left behind."""
    import lightning  # noqa: F401 - what it starts at import is its own

    before = {path.name for path in folder.path.parent.iterdir()}
    with started() as seen:
        yield folder
    assert seen == []
    assert {path.name for path in folder.path.parent.iterdir()} == before
    assert {path.name for path in folder.path.iterdir()} <= {"config.yaml", "water.extxyz", "g", "hydra"}


@pytest.mark.slow
@pytest.mark.parametrize("command", ["check", "train"])
@pytest.mark.parametrize(
    ("text", "place"),
    [
        (f"hydra: {{callbacks: {{x: {{{EVIL}}}}}}}", "callbacks.x"),
        (f"hydra: {{callbacks: {{x: '${{evil.n}}'}}}}\nevil: {{n: {{{EVIL}}}}}", "callbacks.x"),
        (f"hydra: {{callbacks: '${{evil}}'}}\nevil: {{n: {{{EVIL}}}}}", "callbacks"),
        ("hydra: {job_logging: {handlers: {h: '${k.h}'}}}\nk: {h: {(): os.system}}", "job_logging.handlers"),
        ("hydra: {job_logging: {handlers: {h: {class: logging.FileHandler, filename: x}}}}", "job_logging.handlers"),
        ("hydra: {job_logging: {handlers: {file: {mode: w}}}}", "job_logging.handlers"),
        ("hydra: {job_logging: {handlers: {file: {filename: x}}}}", "job_logging.handlers"),
        ("hydra: {hydra_logging: {formatters: {simple: {(): os.system}}}}", "hydra_logging.formatters"),
        ("hydra: {job: {env_set: {CXX: evil}}}", "job.env_set"),
        ("hydra: {job: {env_copy: [PATH]}}", "job.env_copy"),
        ("hydra: {launcher: {_target_: os.system}}", "launcher._target_"),
        ("hydra: {sweeper: {_target_: os.system}}", "sweeper._target_"),
        ("hydra: {help: {template: x}}", "help.template"),
        ("hydra: {env: {x: 1}}", "env.x"),
    ],
)
def test_config_files_cannot_set(watched, text, place, command):
    assert f"hydra.{place}: {CANNOT}" in problems(watched, text, command=command)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hydra: {searchpath: ['pkg://antigravity']}", "hydra.searchpath: cannot be set in a config file"),
        ("hydra: {searchpath: '${s}'}\ns: ['pkg://antigravity']", "hydra.searchpath: cannot be set in a config file"),
        ("hydra: '${h}'\nh: {searchpath: ['pkg://antigravity']}", "hydra: must be a mapping, got '${h}'"),
        ("hydra: null", "hydra: must be a mapping, got None"),
        ("hydra: {job: {env_copy: [NOT_SET_ANYWHERE]}}", "config.yaml: refers to 'NOT_SET_ANYWHERE'"),
        ("hydra: {job: {name: ../x}}", "hydra.job.name: must be a plain name, got '../x'"),
        ("hydra: {job: {name: '${n}'}}\nn: ../x", "hydra.job.name: must be a plain name, got '../x'"),
        ("hydra: {job: {name: ..}}", "hydra.job.name: must be a plain name, got '..'"),
        ("hydra: {output_subdir: ../x}", "hydra.output_subdir: must be a plain name, got '../x'"),
        (
            "hydra: {run: {dir: /elsewhere}}",
            f"hydra.run.dir: {ELSEWHERE}, got '/elsewhere'; give it on the command line",
        ),
        ("hydra: {run: {dir: 'a/../../x'}}", f"hydra.run.dir: {ELSEWHERE}"),
        ("hydra: {run: {dir: '${oc.env:HOME}'}}", f"hydra.run.dir: {ELSEWHERE}"),
        (
            "hydra: {run: {dir: '${nowhere}'}}",
            "hydra.run.dir: cannot be resolved: Interpolation key 'nowhere' not found",
        ),
        ("hydra: {sweep: {subdir: ../x}}", f"hydra.sweep.subdir: {ELSEWHERE}"),
        (
            "hydra: {sweeper: {params: {hydra.job.env_set.X: 1}}}",
            "hydra.sweeper.params.hydra.job.env_set.X: cannot be set",
        ),
        ("hydra: {verbose: [1]}", "hydra.verbose: must be true, false or names of loggers"),
    ],
)
def test_values_that_are_refused(watched, text, message):
    assert problems(watched, text)[0].startswith(message)


GROUPS = {
    "global": "# @package _global_\nhydra: {job: {env_set: {X: '1'}}}\n",
    "packaged": "# @package hydra.job\nenv_set: {X: '1'}\n",
}


@pytest.mark.parametrize("group", GROUPS)
def test_groups_are_config_files_too(watched, group):
    (watched.path / "g").mkdir()
    (watched.path / "g" / "evil.yaml").write_text(GROUPS[group])
    assert watched.errors("+g=evil") == [f"hydra.job.env_set: {CANNOT}"]
    text = (watched.path / "config.yaml").read_text()
    watched.write(f"defaults: [g: evil, _self_]\n{text}")
    assert watched.errors(command="train") == [f"hydra.job.env_set: {CANNOT}"]


def test_own_files_do_not_replace_those_of_hydra(watched):
    (watched.path / "hydra" / "launcher").mkdir(parents=True)
    (watched.path / "hydra" / "launcher" / "mine.yaml").write_text("_target_: os.system\n")
    (text,) = watched.errors("hydra/launcher=mine")
    assert "Could not find 'hydra/launcher/mine'" in text
    (watched.path / "hydra" / "launcher" / "mine.yaml").rename(watched.path / "hydra" / "launcher" / "basic.yaml")
    (text,) = watched.errors("hydra/launcher=basic")  # Hydra's warning is an error in tests
    assert text.startswith(("hydra.launcher._target_: ", "config.yaml: 'hydra/launcher/basic' is validated against"))


@pytest.mark.parametrize(
    "text",
    [
        "hydra: {mode: MULTIRUN, sweep: {dir: many}, sweeper: {params: {+g: 'a,b'}}}",
        "hydra: {mode: MULTIRUN, sweep: {dir: many}, overrides: {hydra: [+hydra.job.env_set.X=1], task: [run=val]}}",
    ],
)
def test_each_run_of_a_sweep_is_checked_before_it_starts(folder, text, monkeypatch):
    (folder.path / "g").mkdir()
    for name in "ab":
        (folder.path / "g" / f"{name}.yaml").write_text(GROUPS["global"])
    monkeypatch.delenv("X", raising=False)
    assert problems(folder, text, command="train") == [f"hydra.job.env_set: {CANNOT}"]
    assert not list((folder.path / "many").glob("*/*"))


@pytest.mark.parametrize(
    "text",
    [
        "hydra: {run: {dir: 'runs/${data.seed}'}, job: {name: mine, chdir: true}, verbose: true, output_subdir: null}",
        "hydra: {sweep: {dir: many, subdir: '${hydra.job.num}-${hydra.job.override_dirname}'}, verbose: [lightning]}",
        "hydra: {sweeper: {params: {data.seed: '1,2'}}, launcher: {}, callbacks: {}}",
    ],
)
def test_what_config_files_may_set(folder, text):
    config = (folder.path / "config.yaml").read_text()
    folder.write(config + text)
    assert folder.call(command="check") == (0, "config.yaml: ok (train val test; InvariantModel)\n", "")


def test_the_command_line_may_set_the_rest(folder, tmp_path):
    log = tmp_path / "own.log"
    arguments = [
        f"hydra.run.dir={tmp_path}/runs",
        f"hydra.job_logging.handlers.file.filename={log}",
        "+hydra.job.env_set.X=1",
    ]
    code, _, errors = folder.call(*arguments, "run=[val]")
    assert code == 0, errors
    assert log.is_file()
    assert (tmp_path / "runs" / "results.json").is_file()


def test_targets_of_the_command_line_are_those_of_hydra(watched):
    for typed in (f"+hydra.callbacks.x={{{EVIL}}}", "hydra.launcher._target_=os.system"):
        (text,) = watched.errors(typed, command="train")
        assert "is not on the list of allowed targets" in text
