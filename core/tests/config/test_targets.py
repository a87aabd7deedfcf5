import sys

import pytest

from equipot.config._places import kinds_at
from equipot.config._targets import AllowList, TargetError, resolve_target
from equipot.plugins import plugins
from equipot_test_support.audit import started

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
    "equipot_zbl.zbl_energy",
    "equipot_zbl._potential.ZBLPairEnergy",
    "equipot_kernels._build.toolchain._version",
    "equipot_kernels._build.cache.load",
    "equipot_toolbox.write_lmdb",
    "equipot_toolbox.convert.main",
    "equipot_toolbox._conflict_free.ConFIG",
    "equipot_toolbox.__main__",
    "lightning.__main__",
    "torchmetrics.MetricCollection",
    "torchmetrics.image.FrechetInceptionDistance",
    "torchmetrics.text.BLEUScore",
    "torch.utils.data.DataLoader",
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
        ("equipot_invariant.builder.InvariantModel", "equipot_invariant.builder", "InvariantModel"),
        ("equipot.pair_potentials.ZBL", "equipot_zbl._potential", "ZBL"),
        ("equipot_zbl.ZBL", "equipot_zbl._potential", "ZBL"),
        ("equipot_toolbox.SoftAdapt", "equipot_toolbox._softadapt", "SoftAdapt"),
        ("equipot.modifiers.modify_PerTypeScaleShift", "equipot.model._modifiers", "modify_PerTypeScaleShift"),
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
        ("equipot_toolbox._softadapt.SoftAdapt", "did you mean 'equipot_toolbox.SoftAdapt'"),
        ("equipot_toolbox.SoftAdpat", "did you mean 'equipot_toolbox.SoftAdapt'"),
        ("equipot_zbl.zbl_energy", "ask its author to declare it with equipot_parts; if you trust it: --allow-target"),
        ("torch.utils.data.DataLoader", "write its options alone"),
        ("torch.load", "allowed are equipot, installed plugins and torch.optim"),
    ],
)
@pytest.mark.usefixtures("missing_plugin")
def test_refusals_say_what_to_do(target, hint):
    with pytest.raises(TargetError) as error:
        resolve_target(target, "somewhere")
    assert hint in str(error.value)


PLACES = {
    "data": ("equipot.data.ASEDataModule", "a data module"),
    "data.transforms.0": ("equipot.data.transforms.NeighborListTransform", "a transform"),
    "data.stats_manager": ("equipot.data.CommonDataStatisticsManager", "a stats manager"),
    "data.stats_manager.metrics.0.field": ("equipot.data.NumNeighbors", "a field"),
    "data.stats_manager.metrics.1.metric": ("equipot.data.Mean", "a reduction"),
    "data.split_dataset.dataset": ("equipot_toolbox.NPZDataset", "a dataset"),
    "data.val_dataset.1.0": ("equipot_toolbox.NPZDataset", "a dataset"),
    "trainer": ("lightning.Trainer", "a trainer"),
    "trainer.callbacks.3": ("lightning.pytorch.callbacks.EarlyStopping", "a callback"),
    "trainer.logger": ("lightning.pytorch.loggers.CSVLogger", "a logger"),
    "trainer.strategy": ("lightning.pytorch.strategies.DDPStrategy", "a strategy"),
    "trainer.profiler": ("lightning.pytorch.profilers.SimpleProfiler", "a profiler"),
    "trainer.plugins.0": (
        "lightning.pytorch.plugins.environments.SLURMEnvironment",
        "a precision or a cluster environment",
    ),
    "training_module": ("equipot.train.EMALightningModule", "a training module"),
    "training_module.loss": ("equipot.train.EnergyOnlyLoss", "a loss"),
    "training_module.val_metrics": ("equipot_toolbox.MetricsManager", "metrics or a loss"),
    "training_module.average": ("equipot.train.ExponentialMovingAverage", "a weight average"),
    "training_module.gradients": ("equipot_toolbox.ConFIG", "a gradient combination"),
    "training_module.optimizer": ("torch.optim.SGD", "an optimizer"),
    "training_module.lr_scheduler": ("torch.optim.lr_scheduler.StepLR", "a scheduler"),
    "training_module.lr_scheduler.scheduler.schedulers.0": ("torch.optim.lr_scheduler.StepLR", "a scheduler"),
    "training_module.model": ("equipot.model.InvariantModel", "a model builder or a recipe"),
    "training_module.model.model": ("equipot.model.modify", "a model builder or a recipe"),
    "training_module.model.pair_potential": ("equipot.pair_potentials.ZBL", "a pair potential"),
    "training_module.model.energy_terms.x": ("equipot.pair_potentials.ZBL", "an energy term or a pair potential"),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_place_takes_classes_of_its_kind_only(place):
    fitting, words = PLACES[place]
    assert resolve_target(fitting, place).__name__ == fitting.rpartition(".")[2]
    for other, (target, _) in PLACES.items():
        if not set(kinds_at(other)) & set(kinds_at(place)):
            with pytest.raises(TargetError) as error:
                resolve_target(target, place)
            assert str(error.value).startswith(f"{place}._target_: must be {words}, got {target!r}; it is ")


def test_where_the_kind_is_unknown_any_of_the_list_is_possible():
    place = "training_module.loss.metrics.0.metric"
    assert kinds_at(place) == ()
    assert resolve_target("torchmetrics.MeanSquaredError", place).__name__ == "MeanSquaredError"
    with pytest.raises(TargetError, match=r"must be a metric; if you trust it: --allow-target torchmetrics\.Metric"):
        resolve_target("torchmetrics.Metric", place)  # abstract, and not one of numbers


def test_what_a_plugin_declares_must_be_a_class(install):
    """Also where the target of another kind of declaration is a function."""
    source = (
        "from equipot import hookimpl\nfrom equipot.declarations import *\n@hookimpl\ndef equipot_pair_potentials():\n"
        "    yield PairPotentialEntry(name='Runs', target='os.system', summary='Hostile')\n"
    )
    install("hostile-dist", "hostile", source)
    plugins.cache_clear()
    try:
        for target in ("equipot.pair_potentials.Runs", "os.system"):
            with pytest.raises(TargetError, match=r"plugin 'hostile' \(hostile-dist 1.2.3\): 'os.system', .* class"):
                resolve_target(target, "somewhere")
    finally:
        plugins.cache_clear()


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

    hostile = ["os.system", "subprocess.Popen", "logging.os.system", "functools.partial", "antigravity.webbrowser.open"]
    callbacks = ", ".join(f"{{_target_: {target}, args: [touch, hacked], command: touch hacked}}" for target in hostile)
    with started() as seen:
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
    assert seen == []
    assert not (folder.path / "hacked").exists()
