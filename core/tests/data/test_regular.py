"""Frames read the short way are those of ASE to the last bit, and everything unusual goes the whole way."""

import gzip

import numpy as np
import pytest
import torch

from equipot.data import _regular
from equipot.data._collection import collect_frames
from equipot.data._frames import label_contract
from equipot.data._packed import SameButNumbers
from equipot.data._readers import read_placed
from equipot.data._regular import RegularFrames, read_regular
from equipot.errors import DataError

LATTICE = 'Lattice="{} 0.1 0.0 0.0 5.5 0.2 0.3 0.0 6.0"'
PROPERTIES = "Properties=species:S:1:pos:R:3:forces:R:3"


def text(rng, comment=None, *, n=None, columns=6, symbols=("H", "C", "Si"), lattice=LATTICE):
    """A frame; ``comment`` may name ``{energy}``, ``{nine}`` and ``{six}``."""
    n = n or int(rng.integers(2, 6))
    numbers = {name: " ".join(repr(float(x)) for x in rng.normal(size=k)) for name, k in (("nine", 9), ("six", 6))}
    comment = comment or f"{PROPERTIES} energy={{energy}}"
    head = f"{lattice.format(5 + rng.random())} {comment.format(energy=-10 * rng.random(), **numbers)}"
    rows = [f"{rng.choice(symbols)} {' '.join(f'{x:.8f}' for x in rng.normal(size=columns) * 3)}\n" for _ in range(n)]
    return f"{n}\n{head.strip()}\n{''.join(rows)}"


def write(tmp_path, frames, name="data.extxyz"):
    (tmp_path / name).write_text("".join(frames))
    return str(tmp_path / name)


def both(file, labels=None, *, mask_nan=False):
    """The collection read the short way and the whole way, and how many frames were read the short way."""
    contract = label_contract(labels)
    regular, short = RegularFrames(contract), []

    def watched():
        for place, atoms in read_regular([file], None, regular):
            short.append(isinstance(atoms, SameButNumbers))
            yield place, atoms

    fast = collect_frames(watched(), contract, mask_nan=mask_nan, learn=regular.learn)
    slow = collect_frames(read_placed([file]), contract, mask_nan=mask_nan)
    return fast, slow, sum(short)


def assert_same(fast, slow):
    for name in ("reports", "places", "keys", "isolated", "notes", "groups"):
        assert getattr(fast, name) == getattr(slow, name), name
    assert len(fast.frames) == len(slow.frames)
    for place, one, other in zip(fast.places, fast.frames, slow.frames, strict=True):
        assert one.keys() == other.keys(), place
        for key, value in one.items():
            assert value.dtype == other[key].dtype
            assert torch.equal(value, other[key]), f"{place}, {key}"


@pytest.mark.parametrize(
    ("comment", "labels"),
    [
        (None, None),
        (f'{PROPERTIES} energy={{energy}} pbc="T T F"', None),
        (f'{PROPERTIES} energy={{energy}} stress="{{nine}}" pbc="T T T"', None),
        (f'{PROPERTIES} energy={{energy}} config_type=liquid dipole="0.1 0.2 {{energy}}"', None),
        (
            f'{PROPERTIES} E={{energy}} virial="{{nine}}"',
            {"total_energy": "E", "stress": {"key": "virial", "convention": "virial"}},
        ),
        (
            f'{PROPERTIES} E={{energy}} s="{{nine}}"',
            {"total_energy": "E", "stress": {"key": "s", "convention": "negative_stress"}},
        ),
        (f'{PROPERTIES} E={{energy}} s="{{six}}"', {"total_energy": "info:E", "stress": "s"}),
        (f"{PROPERTIES} energy={{energy}}", {"total_energy": "energy", "forces": "results:forces"}),
        ("Properties=species:S:1:pos:R:3:F:R:3 energy={energy}", {"total_energy": "energy", "forces": "arrays:F"}),
        ("energy={energy} Properties=species:S:1:F:R:3:pos:R:3", {"forces": "F"}),
        ("Properties=species:S:1:pos:R:3:q:R:1:w:R:2 energy={energy}", None),
    ],
)
def test_the_short_way_gives_the_same_to_the_last_bit(tmp_path, comment, labels):
    rng = np.random.default_rng(1)
    file = write(tmp_path, [text(rng, comment) for _ in range(12)])
    fast, slow, short = both(file, labels)
    assert_same(fast, slow)
    assert short == 11


def test_a_stress_that_is_not_symmetric_is_read_as_ase_reads_it(tmp_path):
    rng = np.random.default_rng(2)
    file = write(tmp_path, [text(rng, f'{PROPERTIES} energy={{energy}} stress="{{nine}}"') for _ in range(3)])
    fast, slow, short = both(file)
    assert_same(fast, slow)
    assert short == 2
    assert not torch.equal(slow.frames[2]["stress"], slow.frames[1]["stress"])


def test_molecules_without_a_cell(tmp_path):
    rng = np.random.default_rng(3)
    file = write(tmp_path, [text(rng, lattice="") for _ in range(5)])
    fast, slow, short = both(file)
    assert_same(fast, slow)
    assert short == 4


def test_kinds_may_alternate(tmp_path):
    rng = np.random.default_rng(4)
    comments = [
        None,
        f'{PROPERTIES} energy={{energy}} stress="{{nine}}"',
        "Properties=species:S:1:pos:R:3:forces:R:3 note=a",
    ]
    file = write(tmp_path, [text(rng, comments[index % 3]) for index in range(30)])
    fast, slow, short = both(file)
    assert_same(fast, slow)
    assert short == 27


NORMAL = f"{PROPERTIES} energy={{energy}}"


COLUMNS = "Properties=species:S:1:pos:R:3:forces:R:3"
CELL = 'Lattice="5.0 0.1 0.0 0.0 5.5 0.2 0.3 0.0 6.0"'
ROWS = "H 0 0 0 1 1 1\nH 0 0 1 1 1 1\n"


@pytest.mark.parametrize(
    "unusual",
    [
        f"2\n{COLUMNS} energy=-1.0\nH 0 0 0 1 1 1 9 9\nH 0 0 1 1 1 1\n",
        f"2\n{CELL} {COLUMNS} energy=-1.0\nh 0 0 0 1 1 1\nSI 0 0 1 1 1 1\n",
        f"2\n{CELL.replace(' ', ',')} {COLUMNS} energy=-1.0\n{ROWS}",
        f'2\nProperties="species:S:1:pos:R:3:forces:R:3" energy=-1 Lattice="5 0 0 0 5 0 0 0 5"\n{ROWS}',
        f"2\n{COLUMNS} free energy=-1.0\n{ROWS}",
        f"1\n{COLUMNS} energy=-1.0 config_type=IsolatedAtom\nH 0 0 0 1 1 1\n",
        "2\nProperties=species:S:1:pos:R:3:Z:I:1:forces:R:3 energy=-1.0\nH 0 0 0 1 1 1 1\nH 0 0 1 1 1 1 1\n",
        f"2\n{COLUMNS} name={{x=1}} energy=-1.0\n{ROWS}",
    ],
)
def test_unusual_frames_go_the_whole_way(tmp_path, unusual):
    rng = np.random.default_rng(6)
    file = write(tmp_path, [text(rng), text(rng), unusual, text(rng)])
    fast, slow, _ = both(file)
    assert_same(fast, slow)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("H ", "Qq ", "Qq"),
        ("energy=-", "energy=x", "energy"),
        ("H ", "H H ", "frame 2"),
        ("forces:R:3", "forces:R:30", "Properties states other columns"),
        ("0.1 0.0 0.0 5.5", "0.1 0.0 0.0", "frame 2"),
    ],
)
def test_mistakes_in_later_frames_have_their_message(tmp_path, old, new, message):
    rng = np.random.default_rng(7)
    frames = [text(rng, symbols=("H",)) for _ in range(4)]
    frames[2] = frames[2].replace(old, new)
    file = write(tmp_path, frames)
    contract, errors = label_contract(None), []
    regular = RegularFrames(contract)
    for frames_read, learn in ((read_placed([file]), None), (read_regular([file], None, regular), regular.learn)):
        with pytest.raises(DataError, match=message) as caught:
            collect_frames(frames_read, contract, learn=learn)
        errors.append(str(caught.value))
    assert errors[0].partition(":")[2] == errors[1].partition(":")[2]


def test_nan_goes_the_whole_way_and_is_masked(tmp_path):
    rng = np.random.default_rng(8)
    frames = [text(rng) for _ in range(6)]
    lines = frames[3].splitlines(keepends=True)
    lines[2] = " ".join([*lines[2].split()[:-1], "nan"]) + "\n"
    frames[3] = "".join(lines)
    frames[4] = frames[4].replace("energy=-", "energy=nan unused=-")
    fast, slow, short = both(write(tmp_path, frames), mask_nan=True)
    assert_same(fast, slow)
    assert short == 3
    fast, slow, _ = both(write(tmp_path, frames))
    assert_same(fast, slow)
    assert fast.reports[3]["forces"].non_finite == "nan"


def test_a_flat_cell_is_refused_as_ever(tmp_path):
    rng = np.random.default_rng(9)
    flat = text(rng).replace("0.3 0.0 6.0", "0.0 5.5 0.2")
    file = write(tmp_path, [text(rng), text(rng), flat])
    with pytest.raises(DataError, match="frame 2: periodic .* but the cell has no volume"):
        both(file)


def test_numbers_that_may_be_names_are_compared_as_text(tmp_path):
    """A whole number may be an index of a group, on which more than numbers depends."""
    rng = np.random.default_rng(10)
    frames = [text(rng, f"{PROPERTIES} energy={{energy}} molecule={index // 3}") for index in range(9)]
    fast, slow, short = both(write(tmp_path, frames))
    assert_same(fast, slow)
    assert short == 6


def test_keys_that_group_frames_are_compared_as_text(tmp_path):
    rng = np.random.default_rng(15)
    frames = [text(rng, f"{PROPERTIES} energy={{energy}} time={index // 3}.5") for index in range(9)]
    file, contract = write(tmp_path, frames), label_contract(None)
    for literal, examples in (((), {0}), (("time",), {0, 3, 6})):
        regular = RegularFrames(contract, literal)
        seen = set()
        collected = []
        for index, (place, atoms) in enumerate(read_regular([file], None, regular)):
            if isinstance(atoms, SameButNumbers):
                seen.add(atoms.example)
                continue
            found = collect_frames([(place, atoms)], contract)
            collected.append(index)
            regular.learn(found.frames[0], found.reports[0], (), index)
        assert seen == examples
        assert set(collected) == examples


def test_notes_of_a_reader_are_kept_for_each_frame(tmp_path):
    rng = np.random.default_rng(11)
    file, contract = write(tmp_path, [text(rng) for _ in range(4)]), label_contract(None)
    regular = RegularFrames(contract)

    def noted():
        for place, atoms in read_regular([file], None, regular):
            assert not isinstance(atoms, SameButNumbers)
            atoms.info["equipot_notes"] = [("some-code", place)]
            yield place, atoms

    found = collect_frames(noted(), contract, learn=regular.learn)
    assert [notes[0].text for notes in found.notes] == found.places


def test_text_that_always_differs_is_not_remembered_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(_regular, "_MOST_PLANS", 5)
    rng = np.random.default_rng(12)
    file = write(tmp_path, [text(rng, f"{PROPERTIES} energy={{energy}} name=a{index}") for index in range(20)])
    contract = label_contract(None)
    regular = RegularFrames(contract)
    collect_frames(read_regular([file], None, regular), contract, learn=regular.learn)
    assert len(regular._plans) == 5


def test_compressed_files_and_selections(tmp_path):
    rng = np.random.default_rng(13)
    content = "".join(text(rng) for _ in range(6))
    with gzip.open(tmp_path / "data.extxyz.gz", "wt") as file:
        file.write(content)
    fast, slow, short = both(str(tmp_path / "data.extxyz.gz"))
    assert_same(fast, slow)
    assert short == 5
    contract, regular = label_contract(None), RegularFrames(label_contract(None))
    file = write(tmp_path, [content])
    some = collect_frames(read_regular([file], {"index": "::2"}, regular), contract, learn=regular.learn)
    assert some.places == [f"{file}, frame {index}" for index in range(3)]


def test_progress_is_said(tmp_path, monkeypatch, capsys):
    from equipot import _progress

    monkeypatch.setitem(_progress._state, "shown", True)
    monkeypatch.setattr(_progress, "_BETWEEN_LINES", 0.0)
    monkeypatch.setattr(_regular, "_BETWEEN_UPDATES", 1)
    rng = np.random.default_rng(14)
    both(write(tmp_path, [text(rng) for _ in range(200)]))
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("reading data.extxyz: ")
    assert lines[-1].endswith(" s left")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "least"),
    [
        ("acac/train_300K.xyz", 499),
        ("ethanol_botnet/train_eth_meth.xyz", 1290),
        ("ecemc/ECEMC.xyz", 190),
        ("mattersim_dev/high_level_water.xyz", 9),
        ("small_mixed/carbon_reduced_100.xyz", 0),
    ],
)
def test_public_files_are_read_to_the_last_bit(extra_data, path, least):
    fast, slow, short = both(str(extra_data / path))
    assert_same(fast, slow)
    assert short >= least
