"""Where configs may write."""

import pytest

from equipot.config._folders import Folders


@pytest.fixture
def place(tmp_path, monkeypatch):
    work = tmp_path / "work"
    work.mkdir()
    (work / "link").symlink_to(tmp_path)
    monkeypatch.chdir(work)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


def refused(text, *given, run=None):
    return [*Folders(given, run).problems("x", text)]


@pytest.mark.parametrize(
    "text", ["logs", "./a/b", "a.b", "", ".", "link2/x", "val0_epoch/weighted_sum", "{step}-{epoch:02d}"]
)
def test_below_the_working_folder(place, text):
    assert refused(text) == []
    assert refused(str(place / "work" / text)) == []


@pytest.mark.parametrize("text", ["..", "../x", "a/../../x", "a/../b", "/etc", "~", "~/x", "$HOME/x", "link/x", "link"])
def test_elsewhere(place, text):
    (message,) = refused(text)
    assert message == (
        f"x: names a place outside of the working folder and the folder of the run, got {text!r}; "
        f"give it on the command line if you trust it: x={text}"
    )


@pytest.mark.parametrize("text", ["file:///etc", "s3://bucket/x", "sqlite:///x.db", "http://localhost:5000", "file:x"])
def test_addresses(place, text):
    (message,) = refused(text)
    assert message.startswith(f"x: names an address, got {text!r}")
    assert refused(text, text) == []


def test_no_file_names(place):
    (message,) = refused("a/" * 3000)
    assert message.startswith("x: must have at most 1000 characters, got 'a/a/")
    for text, shown in (("a\0b", "a\\x00b"), ("a\nb", "a\\nb"), ("\x1b[31m", "\\x1b[31m"), ("\u202ea", "\\u202ea")):
        assert refused(text) == [f"x: must not contain control characters, got '{shown}'"]


def test_what_the_command_line_gives(place):
    assert refused(f"{place}/scratch", f"{place}/scratch") == []
    assert refused(f"{place}/scratch/a", f"{place}/scratch") == []
    assert refused(f"{place}/scratch2", f"{place}/scratch")
    assert refused(f"{place}/scratch/../b", f"{place}/scratch")
    assert refused(f"{place}/run/checkpoints", run=f"{place}/run") == []
    assert refused(f"{place}/run", run=None)


def test_which_options_count(place):
    resolved = {
        "data": {
            "_target_": "/x",
            "file_path": "/data/x.xyz",
            "cache_dir": "/cache",
            "more": [{"save_dir": ["/a", 3]}],
        },
        "trainer": {"_target_": "/x", "default_root_dir": "/r", "logger": {"uri": "http://x"}, "plugins": ["/p", None]},
        "training_module": {"model": {"package": "/models/x.equipot.zip"}},
        "save_dir": "/variable",
    }
    found = [text.split(":")[0] for text in Folders().config_problems(resolved)]
    assert found == [
        "data.cache_dir",
        "data.more.0.save_dir.0",
        "trainer.default_root_dir",
        "trainer.logger.uri",
        "trainer.plugins.0",
    ]


CHECKPOINT = "+trainer.callbacks=[{{_target_: lightning.pytorch.callbacks.ModelCheckpoint, dirpath: {}}}]"


def test_a_config_is_refused_and_the_command_line_is_not(folder, tmp_path):
    text = (folder.path / "config.yaml").read_text()
    folder.write(text.replace("data:\n", f"data:\n  cache_dir: {tmp_path}/cache\n"))
    (message,) = folder.errors(command="train")
    assert message.startswith("data.cache_dir: names a place outside of the working folder and the folder of the run")
    assert folder.call(f"data.cache_dir={tmp_path}/cache", command="check")[0] == 0
    folder.write(text)
    assert folder.call(CHECKPOINT.format(f"{tmp_path}/checkpoints"), command="check")[0] == 0
    assert folder.call(CHECKPOINT.format("'${hydra:runtime.output_dir}/x'"), command="check")[0] == 0


@pytest.mark.slow
def test_sweeps_may_write_where_the_command_line_says(folder, tmp_path):
    typed = f"+trainer.default_root_dir={tmp_path}/a,{tmp_path}/b"
    code, _, errors = folder.call("-m", typed, f"hydra.sweep.dir={tmp_path}/many", "run=[val]")
    assert code == 0, errors
    assert {path.name for path in (tmp_path / "many").iterdir() if path.is_dir()} == {"0", "1"}
