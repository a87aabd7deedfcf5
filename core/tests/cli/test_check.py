"""``equipot check``: golden messages of configs that cannot be run, one test for each promise."""

# ruff: noqa: E501, ISC004 - messages are written here as users see them

import pytest

from equipot._cli.main import main

ZBL = "{_target_: equipot.pair_potentials.ZBL, units: real, chemical_species: [H, O]}"

CHECKS = [
    ("unknown key", ["+dta=1"], "dta: unknown key; did you mean 'data'?"),
    ("unknown option", ["+data.sed=1"], "data.sed: unknown option; did you mean 'seed'?"),
    (
        "unknown option of a model",
        ["+training_module.model.num_chanels=3"],
        "training_module.model.num_chanels: unknown option; did you mean 'num_channels'?",
    ),
    (
        "unknown option of the trainer",
        ["+trainer.max_epoch=3"],
        "trainer.max_epoch: unknown option; did you mean 'max_epochs'?",
    ),
    ("wrong type", ["training_module.model.seed=1.5"], "training_module.model.seed: must be an integer, got 1.5"),
    ("range", ["cutoff_radius=-1.0"], "training_module.model.r_max: must be greater than 0, got -1.0"),
    (
        "choice",
        ["training_module.model.model_dtype=float16"],
        "training_module.model.model_dtype: must be 'float32' or 'float64', got 'float16'",
    ),
    ("ema range", ["+training_module.ema_decay=1.0"], "training_module.ema_decay: must be less than 1, got 1.0"),
    (
        "missing plugin",
        ["training_module.model._target_=equipot.model.CubeModel"],
        "training_module.model._target_: no model builder named 'CubeModel'; installed: [",
    ),
    (
        "missing plugin, its own path",
        ["training_module.model._target_=equipot_cube.CubeModel"],
        "training_module.model._target_: is not on the list of allowed targets, got 'equipot_cube.CubeModel'; "
        "no installed plugin has the package 'equipot_cube'; pip install equipot-cube",
    ),
    (
        "shift of a type that is none",
        ["training_module.model.per_type_energy_shifts={H: -1.0, O: -2.0, C: -3.0}"],
        "training_module.model.per_type_energy_shifts.C: unknown type name; type names: H, O",
    ),
    (
        "type without a shift",
        ["training_module.model.per_type_energy_shifts={H: -1.0}"],
        "training_module.model.per_type_energy_shifts: no value for the types ['O'], got {'H': -1.0}; "
        "give one for each of ['H', 'O']",
    ),
    (
        "readout that shifts isolated atoms",
        [
            "training_module.model._target_=equipot.model.NequIPGNNModel",
            "+training_module.model.readout_mlp_nonlinearity=softplus",
        ],
        "training_module.model.readout_mlp_nonlinearity: softplus is not 0 at 0, so an isolated atom would not get "
        "exactly its energy shift; use one of silu, mish, gelu, ssp, tanh",
    ),
    (
        "unknown statistic",
        ["training_module.model.avg_num_neighbors='${training_data_stats:num_neighbours_mean}'"],
        "training_module.model.avg_num_neighbors: unknown statistic, got 'num_neighbours_mean'; "
        "did you mean 'num_neighbors_mean'?",
    ),
    (
        "statistic in a text",
        ["training_module.model.avg_num_neighbors='x${training_data_stats:num_neighbors_mean}'"],
        "training_module.model.avg_num_neighbors: a statistic cannot be part of a longer text, "
        "got 'x${training_data_stats:num_neighbors_mean}'; write ${training_data_stats:NAME} alone",
    ),
    (
        "statistic of the wrong type",
        ["training_module.model.avg_num_neighbors='${training_data_stats:per_type_forces_rms}'"],
        "training_module.model.avg_num_neighbors: must be a number, got {'H': 1.0, 'O': 1.0}",
    ),
    (
        "unknown interpolation",
        ["training_module.model.type_names='${chemical_symbol}'"],
        "training_module.model.type_names: unknown interpolation, got '${chemical_symbol}'; did you mean 'chemical_symbols'?",
    ),
    (
        "units",
        [f"+training_module.model.pair_potential={ZBL}"],
        "training_module.model.pair_potential.units: must equal data.units = 'metal', got 'real'",
    ),
    (
        "r_max mismatch",
        ["+data.transforms=[{_target_: equipot.data.transforms.NeighborListTransform, r_max: 3.0}]"],
        "data.transforms.0.r_max: differs from the model's r_max = 4.0, got 3.0",
    ),
    (
        "forces without derivatives",
        ["+training_module.model.do_derivatives=false"],
        "training_module.loss: needs forces, which an energy-only model does not predict; use an EnergyOnly class, or do_derivatives: true",
    ),
    (
        "monitor of the schedule",
        ["training_module.lr_scheduler.monitor=val0_epoch/weigthed_sum"],
        "training_module.lr_scheduler.monitor: unknown metric, got 'val0_epoch/weigthed_sum'; did you mean 'val0_epoch/weighted_sum'?",
    ),
    (
        "monitor of a set that is not there",
        ["training_module.lr_scheduler.monitor=val1_epoch/weighted_sum"],
        "training_module.lr_scheduler.monitor: unknown metric, got 'val1_epoch/weighted_sum'",
    ),
    (
        "monitor of a checkpoint",
        ["+trainer.callbacks=[{_target_: lightning.pytorch.callbacks.ModelCheckpoint, monitor: val0_epoch/force_mae}]"],
        "trainer.callbacks.0.monitor: unknown metric, got 'val0_epoch/force_mae'; did you mean 'val0_epoch/forces_mae'?",
    ),
    (
        "weight swapping",
        ["+trainer.callbacks=[{_target_: lightning.pytorch.callbacks.StochasticWeightAveraging, swa_lrs: 0.1}]"],
        "trainer.callbacks.0: swaps the model's weights, got 'StochasticWeightAveraging'",
    ),
    (
        "inference mode",
        ["+trainer.inference_mode=true"],
        "trainer.inference_mode: is always False, got True; remove it",
    ),
    ("stage", ["run=[train,tset]"], "run.1: unknown stage, got 'tset'; did you mean 'test'?"),
    (
        "loss name",
        ["+training_module.loss.coeffs.force=1"],
        "training_module.loss.coeffs.force: unknown label; did you mean 'forces'?",
    ),
    (
        "plateau without monitor",
        ["~training_module.lr_scheduler.monitor"],
        "training_module.lr_scheduler.monitor: ReduceLROnPlateau needs a metric to monitor; for example val0_epoch/weighted_sum",
    ),
    ("required section", ["~trainer"], "trainer: required section is missing"),
    ("override without value", ["data.seed"], "override 'data.seed': "),
    (
        "override of nothing",
        ["data.seeed=1"],
        "Could not override 'data.seeed'; To append to your config use +data.seeed=1; did you mean 'data.seed'?",
    ),
    (
        "override with new keys",
        ["data.train_dataloader={max_atoms: 30}"],
        "to give it keys that it does not have, write ++data.train_dataloader={…}",
    ),
    (
        "value that an optimizer refuses",
        ["training_module.optimizer.lr=-1"],
        "training_module.optimizer: invalid options for Adam: Invalid learning rate: -1",
    ),
    (
        "value that a scheduler refuses",
        ["training_module.lr_scheduler.scheduler.factor=2.0"],
        "training_module.lr_scheduler.scheduler: invalid options for ReduceLROnPlateau: Factor should be < 1.0.",
    ),
    ("no loss", ["~training_module.loss"], "training_module.loss: required option is missing; run has 'train'"),
    (
        "target outside the allow list",
        ["training_module.optimizer._target_=os.system"],
        "training_module.optimizer._target_: is not on the list of allowed targets, got 'os.system'; allowed are "
        "equipot, installed plugins and torch.optim, torch.nn, lightning, torchmetrics; if you trust it: --allow-target os",
    ),
    (
        "kind of section",
        ["trainer._target_=lightning.pytorch.callbacks.Timer", "~trainer.max_epochs"],
        "trainer._target_: must be a trainer, got 'lightning.pytorch.callbacks.Timer'; it is a callback",
    ),
]


@pytest.mark.usefixtures("missing_plugin")
@pytest.mark.parametrize(("overrides", "message"), [pytest.param(*case[1:], id=case[0]) for case in CHECKS])
def test_check_finds(folder, overrides, message):
    assert any(message in text for text in folder.errors(*overrides)), folder.errors(*overrides)


def test_check_passes_what_is_right(folder):
    code, output, errors = folder.call(command="check")
    assert (code, output, errors) == (0, "config.yaml: ok (train val test; InvariantModel)\n", "")


def test_all_problems_come_at_once(folder):
    overrides = ["+data.sed=1", "cutoff_radius=-1.0", "+trainer.max_epoch=3", "training_module.optimizer.lr=fast"]
    code, _, text = folder.call(*overrides, command="check")
    assert code == 2
    places = [line.removeprefix("error: ").split(":")[0] for line in text.splitlines() if line.startswith("error: ")]
    assert places == ["data.sed", "trainer.max_epoch", "training_module.optimizer.lr", "training_module.model.r_max"]
    assert text.splitlines()[-1] == "4 errors"


def test_check_reads_no_data(folder):
    (folder.path / "water.extxyz").unlink()
    assert folder.call(command="check")[0] == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("run: [train", "config.yaml:2: not valid YAML: "),
        ("run: 1\nrun: 2\n", "config.yaml:2: not valid YAML: found duplicate key run"),
        ("- 1\n", "config.yaml: must be a mapping"),
        ("", "config.yaml: must be a mapping"),
    ],
    ids=["syntax", "duplicate", "list", "empty"],
)
def test_bad_yaml(folder, text, message):
    folder.write(text)
    assert folder.errors()[0].startswith(message)


def test_no_config_file(folder):
    (folder.path / "config.yaml").unlink()
    assert folder.errors() == ["config.yaml: no such config file; the first argument is the path of a YAML file"]


def test_a_name_that_would_be_an_interpolation(folder, capfd):
    (folder.path / "config.yaml").rename(folder.path / "${x}.yaml")
    assert main(["train", "${x}.yaml"]) == 2
    assert capfd.readouterr().err == "error: ${x}.yaml: the name of a config must not contain ${; rename the file\n"


def test_options_that_nobody_has(folder):
    assert folder.errors("--resum", "x.ckpt", command="train") == ["--resum: unknown option; did you mean '--resume'?"]
    assert folder.errors("--allow-targets=mine") == [
        "--allow-targets=mine: unknown option; did you mean '--allow-target'?"
    ]


# ------------------------------------------------------------------ models from packages


def _start_from(folder, package):
    text = (folder.path / "config.yaml").read_text()
    model = f"  model: {{_target_: equipot.model.ModelFromPackage, package_path: {package}}}\n"
    unused = ("cutoff_radius:", "chemical_symbols:")
    kept = [line for line in text[: text.index("  model:")].splitlines(True) if not line.startswith(unused)]
    folder.write("".join(kept) + model)


def test_package_that_is_not_there(folder):
    _start_from(folder, "none.equipot.zip")
    assert folder.errors() == ["training_module.model.package_path: none.equipot.zip: there is no such file"]


def test_truncated_package(folder, package_file):
    (folder.path / "cut.equipot.zip").write_bytes(package_file.read_bytes()[:-400])
    _start_from(folder, "cut.equipot.zip")
    (text,) = folder.errors()
    assert text.startswith("training_module.model.package_path: cut.equipot.zip: cannot be read as a zip file")


LOADER = "++data.train_dataloader._target_=torch.utils.data.DataLoader"


def test_torch_s_loader_means_ours(folder):
    code, out, err = folder.call(LOADER, "++data.train_dataloader.num_workers=0", command="check")
    assert (code, err) == (0, ""), out
    (problem,) = folder.errors(LOADER, "++data.train_dataloader.drop_last=true")
    assert problem.startswith("data.train_dataloader.drop_last: unknown option")
