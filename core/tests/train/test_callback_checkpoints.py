"""What a ModelCheckpoint of the config keeps, after resumes and kills."""

import json
import shutil

import pytest
import torch

pytestmark = pytest.mark.slow

OF_LIGHTNING = "_target_: lightning.pytorch.callbacks.ModelCheckpoint"
BEST_TWO = f"{{{OF_LIGHTNING}, monitor: val0_epoch/forces_mae, save_top_k: 2, filename: 'top{{step}}'}}"
NEWEST = f"{{{OF_LIGHTNING}, every_n_train_steps: 2, filename: 'at{{step}}'}}"
EVERY = f"{{{OF_LIGHTNING}, every_n_train_steps: 1, save_top_k: -1, filename: 'each{{step}}', dirpath: whole/each}}"
RUINED = ["training_module.optimizer.lr=0.3", "~training_module.lr_scheduler"]


def callbacks(*given):
    return f"+trainer.callbacks=[{','.join(given)}]"


def names(folder):
    return sorted(path.name for path in folder.glob("*.ckpt"))


def kept(folder, monitor="val0_epoch/forces_mae"):
    """Names and scores that the callback with a monitor knows at the end of a run."""
    states = torch.load(folder / "last.ckpt", weights_only=True)["callbacks"]
    (state,) = [one for key, one in states.items() if "ModelCheckpoint" in key and repr(monitor) in key]
    paths = [state["best_model_path"], state["kth_best_model_path"], *state["best_k_models"]]
    assert all(path.startswith(str(folder)) for path in paths if path)
    return {path.rsplit("/", 1)[1]: float(score) for path, score in state["best_k_models"].items()}


@pytest.fixture
def made(folder):
    """The unbroken run of four epochs and one of two, with the best two and the newest step of the callbacks."""
    given = [callbacks(BEST_TWO, NEWEST), *RUINED]
    assert folder.call("--output", "whole", "trainer.max_epochs=4", *given)[0] == 0
    assert folder.call("--output", "part", "trainer.max_epochs=2", *given)[0] == 0
    return folder


def go_on(folder, output, resumed):
    arguments = ["--resume", resumed, "--allow", "trainer.max_epochs", "trainer.max_epochs=4"]
    code, _, errors = folder.call("--output", output, *arguments, callbacks(BEST_TWO, NEWEST), *RUINED)
    assert (code, "ckpt_path" in errors) == (0, False), errors


@pytest.mark.parametrize("output", ["part", "moved", "other"])
def test_the_best_ones_travel_with_a_resume(made, output):
    whole = made.path / "whole"
    if output == "moved":
        (made.path / "part").rename(made.path / "moved")
    go_on(made, output, f"{'part' if output == 'other' else output}/last.ckpt")
    run = made.path / output
    assert names(run) == names(whole)
    assert kept(run) == kept(whole)
    assert (run / "results.json").read_text() == (whole / "results.json").read_text()


def test_nothing_of_others_is_overwritten_or_removed(made):
    """A file of the same name in the new folder stays, and the callback forgets its own of that name."""
    (name, *_) = kept(made.path / "part")
    other = made.path / "other"
    other.mkdir()
    (other / name).write_text("of somebody else")
    before = names(made.path / "part")
    go_on(made, "other", "part/last.ckpt")
    assert (other / name).read_text() == "of somebody else"
    assert name not in kept(other)
    assert names(made.path / "part") == before


def test_files_of_steps_that_are_trained_again_are_replaced(folder):
    """Resumed in its own folder from a step in the middle, as after a kill: no second version of any file."""
    given = [callbacks(BEST_TWO, EVERY), "trainer.max_epochs=3", *RUINED]
    assert folder.call("--output", "whole", *given)[0] == 0
    whole = folder.path / "whole"
    top, each, results = names(whole), names(whole / "each"), json.loads((whole / "results.json").read_text())
    shutil.copytree(whole, folder.path / "copy")
    assert folder.call("--output", "whole", "--resume", "whole/each/eachstep=4.ckpt", *given)[0] == 0
    assert (names(whole), names(whole / "each")) == (top, each)
    assert kept(whole) == kept_before(folder.path / "copy")
    assert json.loads((whole / "results.json").read_text()) == results


def kept_before(copy):
    states = torch.load(copy / "last.ckpt", weights_only=True)["callbacks"]
    (state,) = [one for key, one in states.items() if "ModelCheckpoint" in key and "forces_mae" in key]
    return {path.rsplit("/", 1)[1]: float(score) for path, score in state["best_k_models"].items()}


def test_a_callback_as_in_configs_of_nequip_shares_our_files(folder):
    given = "{" + OF_LIGHTNING + ", monitor: val0_epoch/weighted_sum, filename: best, save_last: true}"
    assert folder.call("--output", "out", callbacks(given), "trainer.max_epochs=1")[0] == 0
    again = ["--resume", "auto", "--allow", "trainer.max_epochs"]
    assert folder.call("--output", "out", callbacks(given), *again)[0] == 0
    assert names(folder.path / "out") == ["best.ckpt", "last.ckpt"]


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ("monitor: val0_epoch/forces_mae, filename: best", "would replace best.ckpt, which has the smallest"),
        ("filename: last", "would replace last.ckpt, from which runs are resumed"),
        ("save_last: true, save_weights_only: true", "would replace last.ckpt, from which runs are resumed"),
    ],
)
def test_callbacks_that_would_replace_our_files_are_refused(folder, options, what):
    given = callbacks(f"{{{OF_LIGHTNING}, {options}}}")
    (text,) = folder.errors("--output", "out", given, command="train")
    assert text.startswith(f"trainer.callbacks: {what}")


def test_callbacks_that_cannot_be_told_apart_are_refused(folder):
    (text,) = folder.errors("--output", "out", callbacks(BEST_TWO, BEST_TWO), command="train")
    hint = "let them differ in monitor, mode or in when they save"
    assert text == f"trainer.callbacks: two ModelCheckpoints cannot be told apart; {hint}"


def test_files_with_weights_only_are_not_resumed(folder):
    given = callbacks(f"{{{OF_LIGHTNING}, every_n_train_steps: 1, save_weights_only: true, filename: light}}")
    assert folder.call("--output", "out", given, "trainer.max_epochs=1")[0] == 0
    (text,) = folder.errors("--output", "out", given, "--resume", "out/light.ckpt", command="train")
    assert "light.ckpt: holds weights only and cannot be resumed; equipot.model.ModelFromCheckpoint" in text
    (folder.path / "out" / "last.ckpt").unlink()
    (folder.path / "out" / "best.ckpt").unlink()
    code, output, _ = folder.call("--output", "out", given, "--resume", "auto", "trainer.max_epochs=1")
    assert (code, "resuming" in output) == (0, False)
