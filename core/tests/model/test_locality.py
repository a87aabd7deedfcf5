"""Locality of parts that read what other parts made."""

from types import SimpleNamespace

import pytest

from equipot.model._locality import head_locality, hops_of, joint_locality, term_locality


def part(*requires, locality="strict"):
    return SimpleNamespace(requires=requires, provides=("told",), locality=locality)


def test_the_least_local_part_counts():
    assert joint_locality(["strict", "strict"]) == "strict"
    assert joint_locality(["strict", "hops(1)"]) == "hops(1)"
    assert joint_locality(["hops(3)", "hops(12)"]) == "hops(12)"
    assert joint_locality(["hops(3)", "global"]) == "global"
    assert [hops_of(one) for one in ("strict", "hops(1)", "hops(12)")] == [1, 1, 12]


@pytest.mark.parametrize(
    ("reads", "own", "energy", "found"),
    [
        ((), "strict", "hops(2)", "strict"),
        (("edge_index",), "hops(3)", "hops(2)", "hops(3)"),
        # an atom's own features depend on what its energy depends on
        (("node_features",), "strict", "strict", "strict"),
        (("told",), "strict", "hops(2)", "hops(2)"),
        # those of a neighbour depend on that atom's neighbours
        (("node_features", "edge_index"), "strict", "strict", "hops(2)"),
        (("told", "edge_index"), "strict", "hops(2)", "hops(3)"),
        (("last_layer_features", "edge_index"), "hops(3)", "hops(2)", "hops(5)"),
        (("told",), "hops(1)", "hops(2)", "hops(3)"),
        (("told",), "strict", "global", "global"),
        (("told", "edge_index"), "global", "hops(2)", "global"),
    ],
)
def test_what_is_read_of_neighbours_depends_on_theirs(reads, own, energy, found):
    energy = part(locality=energy)
    assert term_locality(part(*reads, locality=own), energy) == found
    assert head_locality(part(*reads, locality=own), energy, "hops(9)") == found


def test_positions_make_a_term_global_and_not_a_head():
    energy = part(locality="strict")
    assert term_locality(part("positions"), energy) == "global"
    assert head_locality(part("positions"), energy, "strict") == "strict"


def test_energies_depend_on_all_terms():
    energy = part(locality="strict")
    assert head_locality(part("atomic_energy"), energy, "hops(4)") == "hops(4)"
    assert head_locality(part("atomic_energy", "edge_index"), energy, "hops(4)") == "hops(5)"
