import random

import numpy as np
import torch

from equipot.train.callbacks import RandomState


def drawn():
    return random.random(), float(np.random.random()), float(torch.rand(()))  # noqa: NPY002 - the global states


def test_random_states_are_restored_at_the_first_batch(tmp_path):
    saving, resumed = RandomState(), RandomState()
    torch.save(saving.state_dict(), tmp_path / "state")
    expected = drawn()
    resumed.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    between = drawn()
    resumed.on_train_batch_start(None, None, None, 0)
    assert drawn() == expected
    assert between != expected
    resumed.on_train_batch_start(None, None, None, 1)  # once only
    assert drawn() != expected
