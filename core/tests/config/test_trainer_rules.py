import lightning
import pytest
from lightning.pytorch import callbacks

from equipot.config._trainer_rules import swaps_weights, trainer_problems


class EMAWeightAveraging(lightning.Callback):
    """Has the name of a callback that swaps weights, but is another class."""


@pytest.mark.parametrize(
    ("callback", "swaps"),
    [
        (callbacks.StochasticWeightAveraging, True),
        (callbacks.WeightAveraging, True),
        (callbacks.EMAWeightAveraging, True),
        (callbacks.EarlyStopping, False),
        (EMAWeightAveraging, False),
    ],
)
def test_callbacks_are_recognised_by_their_class(callback, swaps):
    assert swaps_weights(callback) is swaps


@pytest.mark.parametrize("name", ["max_epochs", "max_steps"])
def test_limits_are_not_negative(name):
    assert list(trainer_problems({"trainer": {name: -3}}, {})) == [
        f"trainer.{name}: must not be negative, got -3; -1 means no limit"
    ]
    assert [text for value in (-1, 0, 3, None) for text in trainer_problems({"trainer": {name: value}}, {})] == []
