import torch

from equipot_electrostatics._frames import FrameRows, largest


def test_values_go_to_rows_and_back():
    num_atoms = torch.tensor([2, 4, 1, 3])
    batch = torch.arange(4).repeat_interleave(num_atoms)
    rows = FrameRows(batch, num_atoms, torch.tensor([True, False, True, True]))
    values = torch.arange(1.0, 11.0, dtype=torch.float64).unsqueeze(1)
    found = rows.gather(values)
    assert found[:, :, 0].tolist() == [[1, 2, 0], [0, 0, 0], [7, 0, 0], [8, 9, 10]]
    assert rows.scatter(found)[:, 0].tolist() == [1, 2, 0, 0, 0, 0, 7, 8, 9, 10]


def test_without_members_they_are_empty():
    batch, num_atoms = torch.zeros(5, dtype=torch.int64), torch.tensor([5])
    assert FrameRows(batch, num_atoms, torch.tensor([False])).empty
    assert not FrameRows(batch, num_atoms, torch.tensor([True])).empty


def test_largest():
    assert largest(torch.tensor([3, 7, 1]), 2) == 7
    assert largest(torch.tensor([1]), 2) == 1
    assert largest(torch.tensor([9], device="meta"), 2) == 2
