import sys

import pytest

from equipot.config._targets import AllowList, TargetError, resolve_target

HOSTILE = [
    "os.system",
    "posix.system",
    "logging.os.system",
    "functools.partial",
    "hydra.utils.get_method",
    "hydra.utils.instantiate",
    "builtins.eval",
    "builtins.exec",
    "subprocess.Popen",
    "importlib.import_module",
    "torch.load",
    "torch.hub.load",
    "torch.optim.optimizer.functools.partial",
    "torch.optim.lr_scheduler.math.sqrt",
    "torch.nn.Module",
    "torch.nn.Linear",
    "lightning.seed_everything",
    "lightning.logging.os.system",
    "lightning.pytorch.cli.instantiate_class",
    "torchmetrics.functional.accuracy",
    "equipot.plugins.load_target",
    "equipot.config._targets.importlib.import_module",
    "equipot.data.read_atoms",
    "equipot.data.transforms.torch.load",
    "equipot_zbl.os.system",
    "equipot_zbl._potential.torch.load",
    "equipot.model",
    "equipot",
    "torch.optim",
    "a b",
    "",
    3,
    None,
    ["os.system"],
]


@pytest.mark.parametrize("target", HOSTILE, ids=str)
def test_hostile_targets_are_refused(target):
    with pytest.raises(TargetError, match=r"^training_module\.loss\._target_: "):
        resolve_target(target, "training_module.loss")


@pytest.mark.parametrize(
    ("target", "module", "name"),
    [
        ("torch.optim.Adam", "torch.optim.adam", "Adam"),
        ("torch.optim.adam.Adam", "torch.optim.adam", "Adam"),
        ("torch.optim.lr_scheduler.CosineAnnealingLR", "torch.optim.lr_scheduler", "CosineAnnealingLR"),
        ("torch.nn.HuberLoss", "torch.nn.modules.loss", "HuberLoss"),
        ("lightning.Trainer", "lightning.pytorch.trainer.trainer", "Trainer"),
        ("lightning.pytorch.Trainer", "lightning.pytorch.trainer.trainer", "Trainer"),
        ("lightning.pytorch.callbacks.EarlyStopping", "lightning.pytorch.callbacks.early_stopping", "EarlyStopping"),
        ("lightning.pytorch.loggers.CSVLogger", "lightning.pytorch.loggers.csv_logs", "CSVLogger"),
        ("torchmetrics.MeanSquaredError", "torchmetrics.regression.mse", "MeanSquaredError"),
        ("equipot.train.EnergyOnlyLoss", "equipot.train._losses", "EnergyOnlyLoss"),
        ("equipot.model.modify", "equipot.model._modification", "modify"),
        ("equipot.model.InvariantModel", "equipot_invariant.builder", "InvariantModel"),
        ("equipot_invariant.InvariantModel", "equipot_invariant.builder", "InvariantModel"),
        ("equipot.pair_potentials.ZBL", "equipot_zbl._potential", "ZBL"),
        ("equipot_zbl.ZBL", "equipot_zbl._potential", "ZBL"),
    ],
)
def test_allowed_targets(target, module, name):
    found = resolve_target(target, "somewhere")
    assert (found.__module__, found.__name__) == (module, name)


@pytest.mark.parametrize(
    ("peer", "ours"),
    [
        ("nequip.data.datamodule.ASEDataModule", "equipot.data.ASEDataModule"),
        ("nequip.data.transforms.NeighborListTransform", "equipot.data.transforms.NeighborListTransform"),
        ("nequip.data.CommonDataStatisticsManager", "equipot.data.CommonDataStatisticsManager"),
        ("nequip.train.EMALightningModule", "equipot.train.EMALightningModule"),
        ("nequip.nn.pair_potential.ZBL", "equipot.pair_potentials.ZBL"),
        ("nequip.model.InvariantModel", "equipot.model.InvariantModel"),
    ],
)
def test_replacing_the_name_of_the_peer_is_enough(peer, ours):
    replaced = peer.replace("nequip.", "equipot.")
    assert resolve_target(replaced, "somewhere") is resolve_target(ours, "somewhere")
    with pytest.raises(TargetError, match="is not on the list of allowed targets"):
        resolve_target(peer, "somewhere")


@pytest.mark.parametrize(
    ("target", "ours"),
    [
        ("equipot.train._losses.EnergyOnlyLoss", "equipot.train.EnergyOnlyLoss"),
        ("equipot.data._module.ASEDataModule", "equipot.data.ASEDataModule"),
        ("equipot.model.zoo.InvariantModel", "equipot.model.InvariantModel"),
    ],
)
def test_a_path_below_a_public_module_is_known_by_its_name(target, ours):
    """So that the path which Python shows for a class works in configs, too."""
    assert resolve_target(target, "somewhere") is resolve_target(ours, "somewhere")


@pytest.mark.parametrize(
    "target", ["equipot.train._terms.ErrorTerm", "equipot.model.zoo.NoModel", "equipot.data._base.torch.load"]
)
def test_a_path_below_a_public_module_gives_no_further_right(target):
    with pytest.raises(TargetError, match="is not a public name of equipot"):
        resolve_target(target, "somewhere")


@pytest.mark.parametrize(
    ("target", "hint"),
    [
        ("torch.optim.Adan", "did you mean 'Adam'"),
        ("equipot.train.EnergyForcesLoss", "did you mean 'equipot.train.EnergyForceLoss'"),
        ("equipot.model.CubeModel", "pip install equipot-cube"),
        ("equipot_cube.CubeModel", "pip install equipot-cube"),
        ("mine.Loss", "--allow-target mine"),
    ],
)
@pytest.mark.usefixtures("missing_plugin")
def test_refusals_say_what_to_do(target, hint):
    with pytest.raises(TargetError) as error:
        resolve_target(target, "somewhere")
    assert hint in str(error.value)


def test_allow_list_extends_by_package_or_by_name(tmp_path, monkeypatch):
    (tmp_path / "my_losses.py").write_text("from os import system\nclass Mine:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(TargetError):
        resolve_target("my_losses.Mine", "x")
    assert "my_losses" not in sys.modules
    assert resolve_target("my_losses.Mine", "x", AllowList(("my_losses",))).__name__ == "Mine"
    with pytest.raises(TargetError, match="is defined in 'posix'"):
        resolve_target("my_losses.system", "x", AllowList(("my_losses",)))
    assert resolve_target("torch.nn.Linear", "x", AllowList(("torch.nn.Linear",))).__name__ == "Linear"
    monkeypatch.delitem(sys.modules, "my_losses")


def test_nothing_hostile_runs_or_is_imported(folder):
    """Python's audit hook sees every process start and import that the commands would cause."""
    import lightning  # noqa: F401 - what it starts at import is its own

    watching, seen = [], []
    events = ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork")

    def hook(event, args):
        if watching and (event in events or (event == "import" and args[0] == "antigravity")):
            seen.append(event)

    hostile = ["os.system", "subprocess.Popen", "logging.os.system", "functools.partial", "antigravity.webbrowser.open"]
    callbacks = ", ".join(f"{{_target_: {target}, args: [touch, hacked], command: touch hacked}}" for target in hostile)
    sys.addaudithook(hook)
    watching.append(True)
    for command in ("check", "train"):
        problems = folder.errors(f"+trainer.callbacks=[{callbacks}]", command=command)
        assert [text.split("got ")[1].split(";")[0] for text in problems] == [repr(target) for target in hostile]
    for overrides in (
        ["+hydra.callbacks.x={_target_: subprocess.Popen, args: [touch, hacked]}"],
        ["hydra.launcher._target_=os.system"],
        ["hydra.sweeper._target_=os.system", "--multirun"],
    ):
        (problem,) = folder.errors(*overrides, command="train")
        assert "is not on the list of allowed targets" in problem
    watching.clear()
    assert seen == []
    assert not (folder.path / "hacked").exists()
