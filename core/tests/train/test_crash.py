"""Runs that are killed again and again, at any instant, end as the unbroken run does.

The sample is ``slow``; the long one ``nightly``, and ``make test-crash`` runs it alone. ``EQUIPOT_CRASHES`` sets how
many kills it makes on each file system.
"""

import os
import random
import shutil
import sys
from pathlib import Path

import pytest
from ase.io import write

from equipot_test_support.checkpoints import saving
from equipot_test_support.crash import INSTANTS, Trainings, run_differences
from equipot_test_support.mounts import mounted_tmpfs
from equipot_test_support.water import CONFIG, water_frames

pytestmark = pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="needs Linux")

STOPPING = "{_target_: lightning.pytorch.callbacks.EarlyStopping, monitor: val0_epoch/forces_rmse, patience: 1}"
VARIANTS = {
    "plain": [],
    "validation inside": ["+trainer.val_check_interval=2", "+trainer.log_every_n_steps=1"],
    "own checkpoints": [saving(2), "+trainer.check_val_every_n_epoch=2"],
    "accumulation": ["+trainer.accumulate_grad_batches=2", "+trainer.log_every_n_steps=1", saving(1)],
    "steps": ["+trainer.max_steps=8", saving(1)],
    "early stop": [f"+trainer.callbacks=[{STOPPING}]", "training_module.optimizer.lr=0.3"],
    "part of the batches": ["+trainer.limit_train_batches=2", saving(1)],
}
"""Overrides of a run of 4 epochs with 3 batches each."""


@pytest.fixture
def tmpfs(tmp_path):
    """A file system of its own, in memory."""
    with mounted_tmpfs(tmp_path / "tmpfs", "200m") as path:
        yield path


def trainings(folder, variant):
    """A folder with data, config, and the unbroken run."""
    folder.mkdir()
    write(folder / "water.extxyz", water_frames())
    text = CONFIG.replace("max_epochs: 2", "max_epochs: 4").replace("  logger: false\n", "")
    (folder / "config.yaml").write_text(text)
    made = Trainings(folder, VARIANTS[variant])
    code, seconds = made.train("whole")
    assert code == 0, made.log()
    return made, seconds


def chain(made, dice, seconds, name, length):
    """Kill a run up to so many times, let it end, and compare; gives the kills that hit."""
    made_of = []
    for _ in range(length):
        instant = dice.choice(tuple(INSTANTS))
        number = dice.uniform(0.02, seconds) if instant == "processor time" else dice.randint(1, INSTANTS[instant])
        code, _ = made.train(name, "--resume", "auto", kill=(instant, number), fresh=not made_of)
        assert code in (0, -9), made.log()[-3000:]
        if code == -9:
            made_of.append((instant, number))
    code, _ = made.train(name, "--resume", "auto")
    assert code == 0, f"{made_of}: {made.log()[-3000:]}"
    found = run_differences(made.folder / "whole", made.folder / name)
    assert found == [], f"{made_of}: {made.log()[-3000:]}"
    shutil.rmtree(made.folder / name)
    return len(made_of)


def crash(folder, kills, seed=0, variants=tuple(VARIANTS)):
    """Chains of up to 4 kills, over all variants, until there were so many."""
    dice, survived, chains, made = random.Random(seed), 0, 0, {}
    while survived < kills:
        variant = variants[chains % len(variants)]
        if variant not in made:
            made[variant] = trainings(folder / variant.replace(" ", "_"), variant)
        survived += chain(*made[variant][:1], dice, made[variant][1], f"chain {chains}", dice.randint(1, 4))
        chains += 1
    sys.stdout.write(f"{survived} kills in {chains} chains survived\n")


@pytest.mark.slow
def test_killed_and_resumed(tmp_path):
    crash(tmp_path, 8, variants=("plain", "validation inside"))


@pytest.mark.nightly
@pytest.mark.parametrize("variant", VARIANTS)
def test_killed_often(tmp_path, variant):
    crash(tmp_path, int(os.environ.get("EQUIPOT_CRASHES", "105")) // len(VARIANTS), variants=(variant,))


@pytest.mark.nightly
def test_killed_often_on_another_file_system(tmpfs):
    crash(tmpfs, int(os.environ.get("EQUIPOT_CRASHES", "105")), seed=1)
