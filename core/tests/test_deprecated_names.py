"""A registered name on its way out works, warns with replacement and removal, and is stored under the new name."""

import warnings

import pytest

from equipot._cli.main import main
from equipot.options import to_config
from equipot.plugins import plugins, public_target

SOURCE = '''
import dataclasses
from equipot import hookimpl
from equipot.declarations import PairPotentialEntry
from equipot.model import AnalyticPairPotential


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inverse(AnalyticPairPotential):
    """One over the distance."""

    def pair_energy(self, r, type_i, type_j):
        return 1 / r


@hookimpl
def equipot_pair_potentials():
    for name, deprecated in (("AnOldInverse", "use Inverse; AnOldInverse is removed in nice 2.0"), ("Inverse", "")):
        yield PairPotentialEntry(name=name, target=f"{__name__}.Inverse", summary="A test", deprecated=deprecated)
'''
WARNING = (
    "plugin 'nice' (nice-dist 1.2.3): the pair potential 'AnOldInverse' is deprecated: "
    "use Inverse; AnOldInverse is removed in nice 2.0"
)


@pytest.fixture(autouse=True)
def _nice(install, fresh_plugins):
    install("nice-dist", "nice", SOURCE)


def test_the_old_name_warns_and_gives_the_same_class():
    with pytest.warns(FutureWarning) as caught:
        old = plugins().load("pair_potentials", "AnOldInverse")
    assert [str(one.message) for one in caught] == [WARNING]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert plugins().load("pair_potentials", "Inverse") is old


def test_the_new_name_is_stored():
    with pytest.warns(FutureWarning):
        potential = plugins().load("pair_potentials", "AnOldInverse")()
    assert public_target(type(potential)) == "equipot.pair_potentials.Inverse"
    assert to_config(potential)["_target_"] == "equipot.pair_potentials.Inverse"


def test_listing_and_looking_at_others_does_not_warn(capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert main(["plugins"]) == 0
        assert main(["plugins", "info", "nice"]) == 0
        plugins().load("pair_potentials", "ZBL")
    reported = f"deprecated: {WARNING.partition('is deprecated: ')[2]}\n"
    assert reported in capsys.readouterr().out


@pytest.mark.filterwarnings("always::FutureWarning")
def test_a_config_with_the_old_name_passes_and_warns(folder):
    potential = "+training_module.model.pair_potential._target_=equipot.pair_potentials.AnOldInverse"
    with pytest.warns(FutureWarning, match="is deprecated: use Inverse; AnOldInverse is removed in nice 2.0"):
        code, out, err = folder.call(potential, command="check")
    assert code == 0, err
    assert "ok" in out
