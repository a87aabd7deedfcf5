import pytest
import torch
from e3nn import o3

from equipot.nn.irreps import FeatureLayout, Irrep, product_irreps

LAYOUT = FeatureLayout.parse("3x0e + 2x0o + 4x1e + 1x1o + 2x2e")


def test_blocks_do_not_depend_on_the_order_of_the_terms():
    layout = FeatureLayout.parse("2x2e+1x1o+4x1e+2x0o+3x0e")
    assert layout == LAYOUT
    assert str(layout) == "3x0e+2x0o+4x1e+1x1o+2x2e"
    assert [block.start for block in layout.blocks] == [0, 3, 5, 17, 20]
    assert layout.dim == 30


def test_equal_irreps_are_merged_and_empty_ones_dropped():
    assert str(FeatureLayout([(2, Irrep(1, -1)), (3, Irrep(1, -1)), (0, Irrep(0, 1))])) == "5x1o"


def test_multiplicities_and_membership():
    assert LAYOUT.mul(Irrep(1, 1)) == 4
    assert LAYOUT.mul(Irrep(3, 1)) == 0
    assert Irrep(2, 1) in LAYOUT
    assert Irrep(2, -1) not in LAYOUT
    with pytest.raises(KeyError, match="2o is not in 3x0e"):
        LAYOUT.block(Irrep(2, -1))


def test_spherical_harmonics_have_natural_parity():
    assert str(FeatureLayout.spherical_harmonics(3)) == "1x0e+1x1o+1x2e+1x3o"


@pytest.mark.parametrize("text", ["", "3x", "1x1", "2x1o+", "-1x0e"])
def test_unreadable_text_is_refused(text):
    with pytest.raises(ValueError, match="FeatureLayout.parse: cannot be read"):
        FeatureLayout.parse(text)


def test_views_are_channel_last_and_share_memory():
    features = torch.arange(2.0 * LAYOUT.dim).reshape(2, LAYOUT.dim)
    block = LAYOUT.block(Irrep(1, 1))
    view = LAYOUT.view(features, block)
    assert view.shape == (2, 3, 4)
    view[1, 2, 3] = -1.0
    assert features[1, block.start + 2 * 4 + 3] == -1.0


def test_join_undoes_view():
    features = torch.randn(3, LAYOUT.dim)
    assert torch.equal(LAYOUT.join([LAYOUT.view(features, block) for block in LAYOUT.blocks]), features)


def test_round_trip_with_e3nn():
    features = torch.randn(4, LAYOUT.dim, dtype=torch.float64)
    theirs = LAYOUT.to_e3nn(features)
    assert torch.equal(LAYOUT.from_e3nn(theirs), features)
    for part, block in zip(o3.Irreps(str(LAYOUT)).slices(), LAYOUT.blocks, strict=True):
        expected = LAYOUT.view(features, block).transpose(1, 2)
        assert torch.equal(theirs[:, part].reshape(4, block.mul, block.irrep.dim), expected)


def test_empty_batches_keep_their_shape():
    empty = torch.zeros(0, LAYOUT.dim)
    assert LAYOUT.to_e3nn(empty).shape == (0, LAYOUT.dim)
    assert LAYOUT.view(empty, LAYOUT.blocks[2]).shape == (0, 3, 4)


def test_products_agree_with_e3nn():
    for first in ("0e", "1o", "2o", "3e"):
        for second in ("0o", "1e", "2e"):
            ours = product_irreps(
                FeatureLayout.parse(first).blocks[0].irrep, FeatureLayout.parse(second).blocks[0].irrep
            )
            assert [str(irrep) for irrep in ours] == [str(irrep) for irrep in o3.Irrep(first) * o3.Irrep(second)]
