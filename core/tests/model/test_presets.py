import dataclasses

import pytest

from equipot.errors import ConfigError
from equipot.model import FROM_PRESET, apply_preset

PRESETS = {"S": {"depth": 1, "width": 8}, "XL": {"depth": 9, "width": 64}}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
    preset: str
    depth: int = FROM_PRESET
    width: int = FROM_PRESET

    def __post_init__(self):
        apply_preset(self, PRESETS)


def test_a_preset_fills_in_what_is_not_given():
    network = Network(preset="xl", depth=2)
    assert (network.preset, network.depth, network.width) == ("xl", 2, 64)


@pytest.mark.parametrize(
    ("preset", "advice"), [("XXL", "did you mean 'XL'?"), ("tiny", "presets: S, XL"), (3, "presets: S, XL")]
)
def test_unknown_preset(preset, advice):
    with pytest.raises(ConfigError) as error:
        Network(preset=preset)
    assert str(error.value) == f"Network.preset: unknown preset, got '{preset}'; {advice}"
