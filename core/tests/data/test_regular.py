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


def both(file, labels=None, *, mask_nan=False, weights=None, group_key=None):
    """The collection read the short way and the whole way, and how many frames were read the short way."""
    contract = label_contract(labels, weights=weights)
    regular, short = RegularFrames(contract, group_key), []

    def watched():
        for place, atoms in read_regular([file], None, regular):
            short.append(isinstance(atoms, SameButNumbers))
            yield place, atoms

    fast = collect_frames(watched(), contract, mask_nan=mask_nan, learn=regular.learn, group_key=group_key)
    slow = collect_frames(read_placed([file]), contract, mask_nan=mask_nan, group_key=group_key)
    return fast, slow, sum(short)


def assert_same(fast, slow):
    for name in ("reports", "places", "keys", "isolated", "notes", "groups", "split_keys"):
        assert getattr(fast, name) == getattr(slow, name), name
    assert len(fast.frames) == len(slow.frames)
    for place, one, other in zip(fast.places, fast.frames, slow.frames, strict=True):
        assert one.keys() == other.keys(), place
        for key, value in one.items():
            assert value.dtype == other[key].dtype
            assert value.numpy().tobytes() == other[key].numpy().tobytes(), f"{place}, {key}"


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


@pytest.mark.parametrize(("key", "expected"), [("molecule", 8), ("config_type", 6), ("group", 6)])
def test_numbers_that_may_be_names_are_compared_as_text(tmp_path, key, expected):
    """Of the number of a group the text is kept as ASE gives it, which depends on more than its value."""
    rng = np.random.default_rng(10)
    frames = [text(rng, f"{PROPERTIES} energy={{energy}} {key}={index // 3}") for index in range(9)]
    fast, slow, short = both(write(tmp_path, frames))
    assert_same(fast, slow)
    assert short == expected


@pytest.mark.parametrize(("values", "expected"), [(("a", "b", "c"), 8), (("0.5", "1.5", "2.50"), 6)])
def test_keys_by_which_frames_stay_together_keep_their_text(tmp_path, values, expected):
    rng = np.random.default_rng(15)
    frames = [text(rng, f"{PROPERTIES} energy={{energy}} time={values[index // 3]}") for index in range(9)]
    fast, slow, short = both(write(tmp_path, frames), group_key="time")
    assert_same(fast, slow)
    assert fast.split_keys[::3] == [one.rstrip("0") for one in values]
    assert short == expected


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


def test_keys_that_always_differ_are_not_remembered_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(_regular, "_MOST_PLANS", 5)
    rng = np.random.default_rng(12)
    file = write(tmp_path, [text(rng, f"{PROPERTIES} energy={{energy}} name{index}=a") for index in range(20)])
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


ENERGY = {"total_energy": "energy", "forces": "forces"}


@pytest.mark.parametrize(
    ("comments", "labels", "weights"),
    [
        ([f"{NORMAL} name=a{index} config_type=bulk_{index}" for index in range(9)], None, None),
        ([f'{NORMAL} comment="step {index} of the run" group=g{index}' for index in range(9)], None, None),
        ([f"{NORMAL} step={index} charge={index - 4}" for index in range(9)], None, None),
        ([f"{NORMAL} config_weight={index + 0.5}" for index in range(9)], ENERGY, {"frame": "config_weight"}),
        ([f"{NORMAL} weight={index + 2} w2=0.5" for index in range(9)], None, {"frame": "weight", "forces": "w2"}),
        ([f"{NORMAL} config_weight={index + 1.5}" for index in range(9)], None, None),
        (
            [f"Properties=species:S:1:pos:R:3:w:R:1:forces:R:3 energy={{energy}} q={i}" for i in range(9)],
            None,
            {"total_energy": "q", "forces": "w"},
        ),
        ([f"{NORMAL} q={i} m={i % 3 + 1}" for i in range(9)], ENERGY | {"total_charge": "q"}, None),
        (
            [f"{NORMAL} q=-{i} m={i % 3 + 1}" for i in range(9)],
            ENERGY | {"total_charge": "q", "spin_multiplicity": "m"},
            None,
        ),
        (
            [f'{NORMAL} s="{{nine}}" energy_unit=Hartree'] * 9,
            {
                "total_energy": {"key": "energy", "unit": "Hartree"},
                "forces": {"key": "forces", "unit": "Hartree/Bohr"},
                "stress": {"key": "s", "unit": "GPa"},
            },
            None,
        ),
        ([f'{NORMAL} virial="{{nine}}"'] * 9, ENERGY | {"virial": "virial"}, None),
        (
            ["Properties=species:S:1:pos:R:3:e:R:1:forces:R:3 energy={energy}"] * 9,
            ENERGY | {"atomic_energy": "e"},
            None,
        ),
    ],
)
def test_common_dialects_are_read_the_short_way(tmp_path, comments, labels, weights):
    rng = np.random.default_rng(16)
    frames = [text(rng, comment, columns=comment.count(":R:3") * 3 + comment.count(":R:1")) for comment in comments]
    frames = [positive(frame) if ":w:R:1" in frame else frame for frame in frames]
    fast, slow, short = both(write(tmp_path, frames), labels, weights=weights)
    assert_same(fast, slow)
    assert short == 8 - (weights is not None and "q" in weights.values())  # q=0: a weight of zero goes the whole way


def positive(frame):
    """The frame with positive numbers in its fifth column."""
    head, rows = frame.splitlines(keepends=True)[:2], [row.split() for row in frame.splitlines()[2:]]
    return "".join([*head, *(" ".join([*row[:4], row[4].strip("-"), *row[5:]]) + "\n" for row in rows)])


def test_the_order_of_the_keys_does_not_matter(tmp_path):
    rng = np.random.default_rng(17)
    pairs = [PROPERTIES, "energy={energy}", 'stress="{nine}"', "charge=1", "name=abc", 'pbc="T T T"']
    frames = [text(rng, " ".join(rng.permutation(pairs))) for _ in range(12)]
    fast, slow, short = both(write(tmp_path, frames))
    assert_same(fast, slow)
    assert short == 11


def test_weights_that_nobody_asked_for_are_noted_in_each_frame_that_has_them(tmp_path):
    rng = np.random.default_rng(18)
    frames = [text(rng, f"{NORMAL} my_weight={weight}") for weight in ("1.0", "1.0", "2.0", "3.0", "1.0")]
    fast, slow, short = both(write(tmp_path, frames))
    assert_same(fast, slow)
    assert [len(notes) for notes in fast.notes] == [0, 0, 1, 1, 0]
    assert short == 3


def test_a_unit_that_changes_within_a_file_is_refused(tmp_path):
    rng = np.random.default_rng(19)
    frames = [text(rng, f"{NORMAL} energy_unit={unit}") for unit in ("eV", "eV", "Hartree")]
    with pytest.raises(DataError, match="frame 2: energy_unit says Hartree"):
        both(write(tmp_path, frames))


VALUES = (
    *(
        "a",
        "F",
        "T",
        "true",
        "TF",
        "1",
        "-0",
        "+3",
        "1e5",
        "1E-3",
        ".5",
        "5.",
        "nan",
        "inf",
        "-inf",
        "1_000",
        "0x10",
        "1j",
    ),
    *(
        '"1 2 3"',
        '"1 2.5"',
        '"a b"',
        '"T F"',
        '"1 a"',
        '"1,2"',
        '"a,b"',
        '"T a"',
        '" a"',
        '"_JSON [1, 2]"',
        '""',
        "[1,2]",
    ),
    *("{a}", "'a b'", '"a=b"', "isolated_atom", "IsolatedAtomX", "12345678901234567890", "1e400", '"1 -0"', "é"),
)
KEYS = (
    "name",
    "config_type",
    "group",
    "step",
    "uid",
    "my_weight",
    "charge",
    "energy_unit",
    "units",
    "dipole",
    "free_energy",
)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_any_values_are_read_the_same(tmp_path, seed):
    """Keys in any order with any values: what is read the short way is what is read the whole way."""
    rng = np.random.default_rng([20, seed])
    chosen = rng.permutation(KEYS)[:3].tolist()
    values = {key: rng.choice(VALUES, 4) for key in chosen}
    weights = {"frame": "my_weight"} if seed % 2 else None
    frames = []
    for _ in range(60):
        found = [f"{key}={rng.choice(values[key])}" for key in chosen if rng.random() < 0.9]
        frames.append(text(rng, n=2).replace("energy=", f"{' '.join(rng.permutation(found))} energy="))
    usual = [text(rng), text(rng)]
    readable = [*usual, *(frame for frame in frames if _is_read(write(tmp_path, [frame]), weights))]
    fast, slow, short = both(write(tmp_path, readable), ENERGY, group_key=chosen[0], weights=weights)
    assert_same(fast, slow)
    assert short > 0


def _is_read(file, weights):
    try:
        collect_frames(read_placed([file]), label_contract(ENERGY, weights=weights))
    except DataError:
        return False
    return True


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
