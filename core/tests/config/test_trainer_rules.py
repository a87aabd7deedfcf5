import lightning
import pytest
from lightning.pytorch import callbacks

from equipot.config._trainer_rules import swaps_weights


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
