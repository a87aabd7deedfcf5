"""Comparison of checkpoints, number by number."""

import torch

from equipot.containers import leaves

PARTS = ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "epoch")


def state(path, *, toolbox=False):
    """What a checkpoint says of training, by dotted path.

    Args:
        path: ``.ckpt``.
        toolbox: Sums and coefficients of the loss and the states of callbacks, too.
    """
    checkpoint = torch.load(path, weights_only=True)
    kept = {key: checkpoint[key] for key in PARTS}
    if toolbox:
        kept["callbacks"] = {key: one for key, one in checkpoint["callbacks"].items() if "ModelCheckpoint" not in key}
        kept["measures"] = checkpoint["equipot"]["loop"]["measures"]
    return dict(leaves(kept))


def differences(one, other, **what):
    """Paths of all entries that differ between two checkpoints."""
    one, other = state(one, **what), state(other, **what)
    same = {
        key: torch.equal(one[key], other[key]) if isinstance(one[key], torch.Tensor) else one[key] == other[key]
        for key in one.keys() & other.keys()
    }
    return [key for key in sorted(one.keys() | other.keys()) if not same.get(key, False)]


def saving(every):
    """Override with which a run keeps a checkpoint every so many steps, as ``step3.ckpt``."""
    return (
        "+trainer.callbacks=[{_target_: lightning.pytorch.callbacks.ModelCheckpoint, filename: 'step{step}', "
        f"save_top_k: -1, every_n_train_steps: {every}, "
        "auto_insert_metric_name: false, enable_version_counter: false}]"
    )
