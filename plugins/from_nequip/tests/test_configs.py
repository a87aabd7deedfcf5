"""Configs of nequip: they run as they are, on real frames. Beside tests/configs/tutorial.yaml, parts of others."""

import copy
from pathlib import Path

import ase.io
import pytest
import yaml

from equipot._cli.main import main
from equipot.artifacts import read_checkpoint
from equipot.config._aliases import translate
from equipot.config._check import check_config
from equipot.config._load import compose
from equipot.errors import ConfigError
from equipot_from_nequip._exported import read_export
from equipot_from_nequip._importer import import_model, write

HERE = Path(__file__).parent
DATA = HERE.parents[2] / "examples" / "data"
TUTORIAL = yaml.safe_load((HERE / "configs" / "tutorial.yaml").read_text(encoding="utf-8"))
TRAIN, NEQUIP = "nequip.train", "nequip.model.NequIPGNNModel"


def sized(**changes):
    """The tutorial on the CPU without its logger, and what else is to be changed at the root."""
    config = copy.deepcopy(TUTORIAL)
    config["trainer"] |= {"accelerator": "cpu", "logger": False}
    return config | changes


def small():
    """The same with nothing but sizes made smaller, and no bar and table printed."""
    config = sized(num_features=4, num_layers=2, cutoff_radius=3.5)
    config["data"]["train_dataloader"]["num_workers"] = 0
    config["trainer"] |= {"max_epochs": 2, "enable_progress_bar": False, "enable_model_summary": False}
    config["training_module"]["model"]["radial_mlp_width"] = 8
    return config


def changed(data=None, callbacks=None, **module):
    """The small config with other data, callbacks and parts of the training module."""
    config = small()
    config["training_module"] |= module
    if data is not None:
        config["data"] = data
    if callbacks is not None:
        config["trainer"]["callbacks"] = callbacks
    return config


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, with a few frames of water: labels by the usual keys, and by keys of their own."""
    monkeypatch.chdir(tmp_path)
    frames = ase.io.read(DATA / "water_gfn1.extxyz", index=":20")
    ase.io.write("water.xyz", frames, format="extxyz")
    for atoms in frames:
        results = atoms.calc.results
        virial = -atoms.get_stress(voigt=False) * atoms.get_volume()
        atoms.info |= {"REF_energy": results["energy"], "REF_virial": virial}
        atoms.info["negative"] = -atoms.get_stress(voigt=False)
        atoms.arrays["REF_forces"] = results["forces"]
        atoms.calc = None
    ase.io.write("ref.xyz", frames, format="extxyz")
    return tmp_path


def saved(config):
    Path("config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return "config.yaml"


def check(config):
    composed, hydra = compose(saved(config))
    return check_config(composed, hydra=hydra)


def train(config, capsys, *overrides):
    code = main(["train", saved(config), "--output", "out", "--overwrite", *overrides])
    assert code == 0, capsys.readouterr().err
    assert Path("out", "results.json").is_file()


# ------------------------------------------------------------------------ the tutorial


@pytest.mark.slow
def test_the_tutorial_trains_unchanged_but_for_its_size(folder, capsys):
    train(small(), capsys)
    out = capsys.readouterr().out
    assert "per_type_forces_rms: H" in out
    assert "test0" in out
    stored = read_checkpoint(folder / "out" / "best.ckpt")
    assert stored.config["_target_"] == "equipot.model.NequIPGNNModel"
    assert "nequip." not in (folder / "out" / "config.json").read_text().replace("equipot_nequip.", "")


def test_the_tutorial_is_valid_as_it_is(folder):
    checked = check(TUTORIAL)
    assert checked.statistics == ["num_neighbors_mean", "per_type_forces_rms", "per_atom_energy_mean"]
    assert (checked.recipe.num_layers, checked.recipe.num_features, checked.recipe.radial_mlp_width) == (4, 32, 64)


# ------------------------------------------------------------------------ parts of other configs


def model(target=NEQUIP, **options):
    common = {
        "_target_": target,
        "seed": 1,
        "model_dtype": "float64",
        "type_names": "${model_type_names}",
        "r_max": "${cutoff_radius}",
        "avg_num_neighbors": "${training_data_stats:num_neighbors_mean}",
        "per_type_energy_shifts": {"H": -13.5, "O": -430.0},
    }
    sizes = {"num_layers": 2, "num_features": 3, "radial_mlp_width": 8} if "NequIP" in target else {}
    return common | sizes | options


def allegro(embed):
    embedding = {"_target_": f"allegro.nn.{embed}"}
    sizes = {"l_max": 1, "num_scalar_features": 4, "num_tensor_features": 2}
    return model("allegro.model.AllegroModel", **sizes, radial_chemical_embed=embedding)


def transforms(*names):
    mapper = {"_target_": "nequip.data.transforms.ChemicalSpeciesToAtomTypeMapper", "chemical_symbols": ["H", "O"]}
    pairs = {"_target_": "nequip.data.transforms.NeighborListTransform", "r_max": 3.5, "backend": "ase"}
    return [mapper, pairs, *({"_target_": f"nequip.data.transforms.{name}"} for name in names)]


def data(
    target="nequip.data.datamodule.ASEDataModule", manager="CommonDataStatisticsManager", file="ref.xyz", **options
):
    files = {"train_file_path": file, "val_file_path": [file, file], "test_file_path": file}
    return {
        "_target_": target,
        "seed": 1,
        **(files if target.endswith("ASEDataModule") else {}),
        "train_dataloader": {"_target_": "torch.utils.data.DataLoader", "batch_size": 4},
        "stats_manager": {
            "_target_": f"nequip.data.stats_manager.{manager}",
            "type_names": "${model_type_names}",
            "dataloader_kwargs": {"batch_size": 2},
        },
        **options,
    }  # fmt: skip


REF = {"REF_energy": "total_energy", "REF_forces": "forces"}
VIRIAL = {"key_mapping": {**REF, "REF_virial": "virial"}, "transforms": transforms("VirialToStressTransform")}
DATA_SETS = {
    "dataset": {"_target_": "nequip.data.dataset.ASEDataset", "file_path": "ref.xyz", **VIRIAL},
    "train": 12,
    "val": 4,
    "test": 4,
}
STRESS = {
    "loss": {"_target_": f"{TRAIN}.EnergyForceStressLoss", "ignore_nan": {"stress": True}},
    "val_metrics": {
        "_target_": f"{TRAIN}.EnergyForceStressMetrics",
        "coeffs": {"total_energy_rmse": 1.0, "forces_rmse": 1.0, "stress_rmse": 1.0, "forces_mae": None},
    },
}
STATISTICS = [
    {"field": {"_target_": "nequip.data.NumNeighbors"}, "metric": {"_target_": "nequip.data.Mean"},
     "name": "num_neighbors_mean"},
    {"field": "forces", "metric": {"_target_": "nequip.data.RootMeanSquare"}, "per_type": True,
     "name": "per_type_forces_rms"},
    {"field": {"_target_": "nequip.data.PerAtomModifier", "field": "total_energy"},
     "metric": {"_target_": "nequip.data.Mean"}, "name": "per_atom_energy_mean"},
]  # fmt: skip
HUBER = {
    "_target_": f"{TRAIN}.MetricsManager",
    "type_names": "${model_type_names}",
    "metrics": [
        {
            "name": "energy_per_atom",
            "field": {"_target_": "nequip.data.PerAtomModifier", "field": "total_energy"},
            "coeff": 1,
            "metric": {"_target_": f"{TRAIN}.HuberLoss", "delta": 0.01},
        },
        {"field": "forces", "coeff": 10, "per_type": True, "metric": {"_target_": f"{TRAIN}.MeanSquaredError"}},
    ],
}
STRATA = {"_target_": f"{TRAIN}.StratifiedHuberForceLoss", "delta_dict": {0: 0.01, 1: 0.02}}
ENERGY_ONLY = {
    "loss": {"_target_": f"{TRAIN}.EnergyOnlyLoss"},
    "val_metrics": {"_target_": f"{TRAIN}.EnergyOnlyMetrics", "coeffs": {"per_atom_energy_mae": 1.0}},
    "model": model("nequip.model.NequIPGNNEnergyModel"),
}
COEFFS = {"per_atom_energy_mse": 5.0, "forces_mse": 1.0}
MODIFIED = {
    "_target_": "nequip.model.modify",
    "modifiers": [
        {"modifier": "enable_OpenEquivariance"},
        {"modifier": "modify_PerTypeScaleShift", "shifts": {"H": -12.0}},
    ],
    "model": model("nequip.model.nequip_models.NequIPGNNModel"),
}
PRESET = model("nequip.model.PresetNequIPGNNModel", preset="S", num_features=[3, 2], num_layers=1)

CALLBACKS = {
    "LossCoefficientScheduler": {"schedule": {1: COEFFS}},
    "LinearLossCoefficientScheduler": {"final_coeffs": COEFFS, "transition_epochs": 1},
    "LossCoefficientMonitor": {"interval": "epoch", "frequency": 1},
    "SoftAdapt": {"beta": 1.1, "interval": "epoch", "frequency": 1},
    "TestTimeXYZFileWriter": {"out_file": "predicted", "output_fields_from_original_dataset": ["forces"]},
    "TrainingStatsMonitor": {"log_freq": 1},
}
PARTS = {
    "modify": changed(model=MODIFIED),
    "preset": changed(model=PRESET),
    "allegro, Bessel": changed(model=allegro("TwoBodyBesselScalarEmbed")),
    "allegro, splines": changed(model=allegro("scalarembed.TwoBodySplineScalarEmbed")),
    "virial": changed(data(**VIRIAL), **STRESS),
    "stress of other sign": changed(
        data(key_mapping={**REF, "negative": "stress"}, transforms=transforms("StressSignFlipTransform")), **STRESS
    ),
    "data sets": changed(data("nequip.data.datamodule.NequIPDataModule", split_dataset=DATA_SETS), **STRESS),
    "stress": changed(**STRESS),
    "statistics": changed(data(key_mapping=REF, stats_manager={
        "_target_": "nequip.data.DataStatisticsManager", "metrics": STATISTICS, "type_names": "${model_type_names}",
    })),
    "Huber": changed(loss=HUBER),
    "strata": changed(loss={**HUBER, "metrics": [{"field": "forces", "coeff": 1, "metric": STRATA}]}),
    "Muon": changed(lr_scheduler=None, optimizer={
        "_target_": f"{TRAIN}.MuonWithAuxAdam",
        "param_groups": {"_target_": "nequip.model.MuonParamGroups", "muon": {"lr": 0.01}, "adam": {"lr": 0.01}},
    }),
    "schedule-free": changed(
        _target_=f"{TRAIN}.ScheduleFreeLightningModule", lr_scheduler=None,
        optimizer={"_target_": "schedulefree.AdamWScheduleFree", "lr": 0.01},
    ),
    "ConFIG": changed(_target_=f"{TRAIN}.EMAConFIGLightningModule"),
    "energy only": changed(data(manager="EnergyOnlyDataStatisticsManager", file="water.xyz"), **ENERGY_ONLY),
    **{name: changed(callbacks=[{"_target_": f"{TRAIN}.callbacks.{name}", **options}])
       for name, options in CALLBACKS.items()},
}  # fmt: skip
PARTS["plain module"] = changed(_target_=f"{TRAIN}.lightning.NequIPLightningModule")
for _name in ("plain module", "schedule-free"):
    PARTS[_name]["training_module"].pop("ema_decay")


QUICK = ("modify", "allegro, splines", "virial", "data sets", "Huber", "schedule-free", "SoftAdapt")


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_parts_of_other_configs_are_understood(folder, name):
    assert "nequip." not in str(check(PARTS[name]).resolved).replace("equipot_nequip.", "")


@pytest.mark.slow
@pytest.mark.parametrize("config", PARTS.values(), ids=PARTS)
def test_parts_of_other_configs_train(folder, capsys, config):
    train(config, capsys)


def test_labels_say_what_key_mappings_and_stress_transforms_said(folder):
    assert check(PARTS["virial"]).resolved["data"]["labels"] == {
        "total_energy": "REF_energy",
        "forces": "REF_forces",
        "stress": {"key": "REF_virial", "convention": "virial"},
    }
    assert check(PARTS["stress of other sign"]).resolved["data"]["labels"]["stress"] == {
        "key": "negative",
        "convention": "negative_stress",
    }
    assert not check(small()).resolved["data"].keys() & {"labels", "transforms"}


def test_stresses_are_read_as_they_were_meant(folder):
    values = []
    for name in ("virial", "stress of other sign", "stress"):
        frames = check(PARTS[name]).data.dataset("train")
        stresses = {
            tuple(frames[index]["positions"][0].tolist()): frames[index]["stress"] for index in range(len(frames))
        }
        values.append(stresses)
    for key in values[0].keys() & values[2].keys():
        assert values[0][key].allclose(values[2][key], atol=1e-7)
        assert values[1][key].allclose(values[2][key], atol=1e-7)


def test_simple_ddp_becomes_lightnings(folder):
    config = small()
    config["trainer"]["strategy"] = {"_target_": f"{TRAIN}.SimpleDDPStrategy"}
    assert check(config).resolved["trainer"]["strategy"]["_target_"] == "lightning.pytorch.strategies.DDPStrategy"


def test_types_that_are_no_elements_keep_their_mapper(folder):
    config = small()
    mapper = config["data"]["transforms"][0]
    mapper["chemical_species_to_atom_type_map"] = {"H": "Hw", "O": "Ow"}
    config |= {"model_type_names": ["Ow", "Hw"]}
    config["training_module"]["model"].pop("pair_potential")
    (kept,) = check(config).resolved["data"]["transforms"]
    assert kept["_target_"] == "equipot.data.transforms.ChemicalSpeciesToAtomTypeMapper"
    assert kept["model_type_names"] == ["Ow", "Hw"]


def test_a_model_moved_over_can_be_trained_further(folder, capsys):
    peer = read_export(HERE / "exports" / "nequip_modified")
    write(import_model(peer), peer, "model.equipot.zip", HERE / "exports" / "nequip_modified" / "export.json")
    start = {"_target_": "nequip.model.ModelFromPackage", "package_path": "model.equipot.zip", "compile_mode": "eager"}
    config = changed(model=start)
    config["chemical_symbols"] = "${type_names_from_package:model.equipot.zip}"
    config["cutoff_radius"] = "${cutoff_radius_from_package:model.equipot.zip}"
    train(config, capsys, "trainer.max_epochs=1")


# ------------------------------------------------------------------------ what has no counterpart


def problems(config):
    with pytest.raises(ConfigError) as caught:
        check(config)
    return caught.value.problems


REFUSED = {
    "TF32": (
        {**small(), "global_options": {"allow_tf32": True}},
        "global_options.allow_tf32: has no counterpart, got True; add to trainer.callbacks: {_target_: equipot",
    ),
    "resume": (
        {**small(), "ckpt_path": "last.ckpt"},
        "ckpt_path: has no counterpart, got 'last.ckpt'; equipot train CONFIG --resume FILE.ckpt",
    ),
    "fixed option": (changed(model=model(convnet_resnet=True)), "model.convnet_resnet: is always False, got True"),
    "builder": (
        changed(model=model("nequip.model.FullNequIPGNNModel")),
        "model._target_: has no counterpart, got 'nequip.model.FullNequIPGNNModel'; use NequIPGNNModel",
    ),
    "package": (
        changed(model={"_target_": "nequip.model.ModelFromPackage", "package_path": "big.nequip.zip"}),
        "is a package of nequip, got 'big.nequip.zip'; equipot import-nequip big.nequip.zip big.equipot.zip --i-trust",
    ),
    "download": (
        changed(data("nequip.data.datamodule.rMD17DataModule")),
        "data._target_: has no counterpart, got 'nequip.data.datamodule.rMD17DataModule'; training downloads nothing",
    ),
    "field": (
        changed(data(key_mapping={"q": "charge"})),
        "data.key_mapping: unknown label, got 'charge'",
    ),
    "unknown": (changed(loss={"_target_": f"{TRAIN}.EnergyLoss"}), "did you mean 'nequip.train.Energy"),
    "resolver": (
        {**small(), "cutoff_radius": "${big_dataset_stats:MPTrj,5.0}"},
        "has no counterpart; write the numbers, or ${training_data_stats:NAME}",
    ),
    "package in a resolver": (
        {**small(), "cutoff_radius": "${cutoff_radius_from_package:big.nequip.zip}"}, "is a package of nequip"
    ),
    "models": (changed(model={**MODIFIED, "modifiers": {"a": []}}), "model.modifiers: must be a list"),
    "splits": (
        changed(data("nequip.data.datamodule.NequIPDataModule", split_dataset=[DATA_SETS, DATA_SETS])),
        "data.split_dataset: must have one entry, got 2",
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("config", "message"), REFUSED.values(), ids=REFUSED)
def test_what_has_no_counterpart_is_named_with_what_to_use(folder, config, message):
    found = problems(config)
    assert any(message in one for one in found), found


def test_the_translation_leaves_configs_of_equipot_alone(folder):
    config = compose(HERE.parents[2] / "examples" / "ethanol.yaml")[0]
    assert translate(config)[0] is config
