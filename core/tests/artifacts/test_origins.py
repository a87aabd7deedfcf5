import pytest

from equipot.artifacts import _origins as origins
from equipot.artifacts import write_package
from equipot.errors import ArtifactError


def test_only_plugins_in_use_are_listed(make_model, tmp_path):
    with_zbl = write_package(make_model(), tmp_path / "a.equipot.zip")
    assert set(with_zbl.plugins) == {"equipot-invariant", "equipot-zbl", "equipot-force-stress"}
    without = write_package(make_model(pair_potential=None, do_derivatives=False), tmp_path / "b.equipot.zip")
    assert set(without.plugins) == {"equipot-invariant"}


def test_missing_and_older_plugins_give_the_pip_line():
    with pytest.raises(ArtifactError) as caught:
        origins.check_plugins(
            {"equipot-nowhere": "1.2", "equipot-zbl": "99.0", "equipot-force-stress": "0.0.1"}, "a.equipot.zip"
        )
    assert str(caught.value) == (
        "a.equipot.zip: needs equipot-nowhere 1.2 (not installed), equipot-zbl 99.0 (installed: 0.1.0); "
        "pip install --upgrade 'equipot-nowhere>=1.2' 'equipot-zbl>=99.0'"
    )


@pytest.mark.parametrize("name", ["x; rm -rf", "--index-url=http", "a b", "", "git+https://x"])
def test_a_file_cannot_put_anything_into_the_pip_line(name):
    with pytest.raises(ArtifactError, match="must name distributions") as caught:
        origins.check_plugins({name: "1"}, "a.equipot.zip")
    assert "pip install" not in str(caught.value)
    with pytest.raises(ArtifactError, match="is not a version"):
        origins.check_plugins({"equipot-zbl": "1; rm"}, "a.equipot.zip")


def test_unregistered_components_cannot_be_stored():
    with pytest.raises(ArtifactError, match="'my.Model' is not declared by an installed plugin"):
        origins.components({"_target_": "my.Model", "inner": [{"_target_": "equipot.pair_potentials.ZBL"}]})
    found = origins.components({"_target_": "equipot.model.A", "inner": [{"_target_": "equipot.pair_potentials.ZBL"}]})
    assert found == [("model_builders", "A"), ("pair_potentials", "ZBL")]
