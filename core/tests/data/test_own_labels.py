"""Labels that a plugin declares take every road that those of core take, from the file to the statistics."""

import numpy as np
import pytest
import torch
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write as write_ase
from ase.units import Bohr, Debye

from equipot.data import ASEDataModule, DataStatisticsManager
from equipot.data._collection import collect_frames
from equipot.data._convert import write_collection
from equipot.data._frames import frame_from_atoms, label_contract
from equipot.data._packed import SameButNumbers
from equipot.data._readers import read_placed
from equipot.data._regular import RegularFrames, collect_files, read_regular
from equipot.data.checks._judge import one_pass
from equipot.data.checks._survey import Asked
from equipot.errors import ConfigError, DataError
from equipot.graph import collate, split
from equipot.units import KCAL_PER_MOL_IN_EV
from equipot_test_support import data_files

pytestmark = pytest.mark.usefixtures("own_labels")

RESULTS = {"total_energy": "energy", "dipole": "dipole", "charges": "charges"}
ALL = {**RESULTS, "polarizability": "alpha", "shielding": "sigma"}


def frames(number=6, *, bare=(3,)):
    """Molecules of two sizes with all labels; ``bare`` ones have no dipole and charges."""
    rng, made = np.random.default_rng(1), []
    for index in range(number):
        atoms = molecule("H2O" if index % 2 else "CH4")
        atoms.rattle(0.05, seed=index)
        own = {} if index in bare else {"dipole": rng.normal(size=3), "charges": rng.normal(size=len(atoms))}
        atoms.calc = SinglePointCalculator(atoms, energy=-10.0 - rng.random(), **own)
        atoms.info["alpha"] = rng.normal(size=9)
        atoms.arrays["sigma"] = rng.normal(size=(len(atoms), 9))
        made.append(atoms)
    return made


def one(labels, units="metal", **values):
    """A water molecule with values in info or arrays, as a frame."""
    atoms = molecule("H2O")
    for key, value in values.items():
        array = np.asarray(value) if not isinstance(value, str) else None
        held = atoms.arrays if array is not None and array.shape[:1] == (3,) and key == "q" else atoms.info
        held[key] = value if array is None else array
    return frame_from_atoms(atoms, label_contract(labels, "labels", units=units))[0]


# ---------------------------------------------------------------------------------- reading


@pytest.mark.parametrize("suffix", ["extxyz", "db", "json", "traj"])
def test_every_format_keeps_every_number(tmp_path, suffix):
    path, given = tmp_path / f"all.{suffix}", frames()
    write_ase(path, given)
    labels = ALL if suffix == "extxyz" else RESULTS
    found = collect_files([str(path)], label_contract(labels))
    assert found.labels == set(labels)
    for frame, atoms in zip(found.frames, given, strict=True):
        assert ("dipole" in frame) == ("charges" in frame) == ("dipole" in atoms.calc.results)
        if "dipole" in frame:
            assert np.allclose(frame["dipole"].numpy(), [atoms.calc.results["dipole"]], rtol=0, atol=1e-7)
            assert np.allclose(frame["charges"].numpy(), atoms.calc.results["charges"], rtol=0, atol=1e-7)
            assert frame["dipole_mask"].tolist() == [True]
            assert frame["charges_mask"].shape == (len(atoms),)
        if suffix == "extxyz":
            assert np.allclose(frame["polarizability"][0].numpy().ravel(), atoms.info["alpha"], rtol=0, atol=1e-7)
            assert frame["shielding"].shape == (len(atoms), 3, 3)


@pytest.mark.parametrize("suffix", ["extxyz", "npz", "db"])
def test_converting_gives_back_every_bit(tmp_path, suffix):
    source, path = tmp_path / "all.extxyz", str(tmp_path / f"converted.{suffix}")
    write_ase(source, frames())
    collection = collect_files([str(source)], label_contract(ALL))
    told = write_collection(path, collection, "metal").config
    assert "dipole: dipole, charges: charges, polarizability: polarizability" in told
    again = collect_files([path], label_contract({**{label: label for label in ALL}, "total_energy": "energy"}))
    for first, second in zip(collection.frames, again.frames, strict=True):
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("key", ["alpha", "virial"])
def test_the_short_way_is_the_whole_way(tmp_path, key):
    """Also for a matrix under a key whose nine numbers ASE takes for columns."""
    path, given = tmp_path / "many.extxyz", frames(12)
    for atoms in given:
        atoms.info[key] = atoms.info.pop("alpha")
    write_ase(path, given)
    contract, short = label_contract({**ALL, "polarizability": key}), []
    regular = RegularFrames(contract)

    def watched():
        for place, atoms in read_regular([str(path)], None, regular):
            short.append(isinstance(atoms, SameButNumbers))
            yield place, atoms

    fast = collect_frames(watched(), contract, learn=regular.learn)
    slow = collect_frames(read_placed([str(path)]), contract)
    assert sum(short) >= 9
    assert fast.reports == slow.reports
    for first, second in zip(fast.frames, slow.frames, strict=True):
        assert first.keys() == second.keys()
        assert all(first[name].numpy().tobytes() == second[name].numpy().tobytes() for name in first)


def test_arrays_and_folders_of_other_programs(tmp_path):
    rng, n = np.random.default_rng(2), 4
    arrays = {"R": rng.normal(size=(n, 3, 3)), "z": np.array([8, 1, 1]), "E": rng.normal(size=n)}
    arrays |= {"dipole": rng.normal(size=(n, 3)), "charges": rng.normal(size=(n, 3))}
    np.savez(tmp_path / "a.npz", **arrays)
    contract = label_contract(RESULTS)
    found = collect_files([str(tmp_path / "a.npz")], contract)
    assert np.array_equal(found.frames[2]["dipole"].numpy()[0], arrays["dipole"][2]), "three atoms, three numbers"
    assert np.array_equal(found.frames[2]["charges"].numpy(), arrays["charges"][2])
    folder = data_files.deepmd(tmp_path)
    np.save(folder / "set.000/dipole.npy", np.arange(6.0).reshape(2, 3))
    np.save(folder / "set.000/charges.npy", np.arange(6.0).reshape(2, 3))
    first, second, last = collect_files([str(folder)], contract).frames
    assert second["dipole"].tolist() == [[3.0, 4.0, 5.0]]
    assert second["charges"].tolist() == [3.0, 4.0, 5.0]
    assert first.keys() - last.keys() == {"dipole", "dipole_mask", "charges", "charges_mask"}


@pytest.mark.parametrize("value", [[1.0, 2.0, 3.0], [[1.0, 2.0, 3.0]]])
def test_shapes_of_a_vector(value):
    assert one({"dipole": "mu"}, mu=value)["dipole"].tolist() == [[1.0, 2.0, 3.0]]


def test_wrong_shapes_are_refused():
    with pytest.raises(DataError, match=r"mu: dipole must have the shape \(3,\), got \(2,\)"):
        one({"dipole": "mu"}, mu=[1.0, 2.0])
    with pytest.raises(DataError, match=r"q: charges must have the shape \(3,\), got \(2,\)"):
        one({"charges": "q"}, q=[1.0, 2.0])
    with pytest.raises(DataError, match=r"alpha: polarizability must have the shape \(3, 3\), got \(6,\)"):
        one({"polarizability": "alpha"}, alpha=np.ones(6))  # six numbers have several orders


# ------------------------------------------------------------------------- names and units


def test_a_misspelled_label_gets_a_hint():
    with pytest.raises(ConfigError, match=r"labels.dipol: unknown label; did you mean 'dipole'\?"):
        label_contract({"dipol": "dipole"}, "labels")


@pytest.mark.parametrize(
    ("label", "unit", "factor"),
    [
        ("dipole", "Debye", Debye), ("dipole", "e Bohr", Bohr), ("dipole", "a.u.", Bohr), ("dipole", "e*Ang", 1.0),
        ("charges", "e", 1.0), ("polarizability", "Bohr^3", Bohr**3), ("polarizability", "a.u.", Bohr**3),
        ("shielding", "ppm", 1.0), ("work_function", "eV/e", 1.0),
    ],
)  # fmt: skip
def test_units_convert(label, unit, factor):
    given = {"dipole": [1.0, 2.0, 3.0], "charges": [0.1, 0.2, 0.3], "polarizability": np.arange(9.0)}
    given |= {"shielding": np.arange(27.0).reshape(3, 9), "work_function": 4.5}
    frame = one({label: {"key": "q", "unit": unit}}, q=given[label])
    assert frame[label].ravel().tolist() == pytest.approx(np.ravel(given[label]) * factor, rel=1e-14)


def test_only_what_has_energy_depends_on_the_unit_system():
    assert one({"work_function": "w"}, "real", w=4.5)["work_function"].tolist() == [4.5]
    converted = one({"work_function": {"key": "w", "unit": "eV/e"}}, "real", w=4.5)["work_function"]
    assert converted.tolist() == pytest.approx([4.5 / KCAL_PER_MOL_IN_EV], rel=1e-14)
    frame = one({"dipole": {"key": "mu", "unit": "Debye"}}, "real", mu=[1.0, 0.0, 0.0])
    assert frame["dipole"][0, 0].item() == pytest.approx(Debye, rel=1e-14)


@pytest.mark.parametrize(
    ("label", "unit", "message"),
    [
        ("dipole", "eV", "is not a known unit of dipole, got 'eV'; for example e Å, Debye, e Bohr, a.u."),
        ("shielding", "Hz", "is not a known unit of shielding, got 'Hz'; for example ppm"),
    ],
)
def test_a_unit_that_does_not_convert_is_refused(label, unit, message):
    with pytest.raises(ConfigError, match=f"labels.{label}.unit: {message}"):
        label_contract({label: {"key": "x", "unit": unit}}, "labels")


@pytest.mark.parametrize("tag", ["dipole_unit", "units_mu", "mu_units"])
def test_a_unit_in_the_file_is_compared(tmp_path, tag):
    atoms = frames(1, bare=(0,))[0]
    atoms.info |= {"mu": [1.0, 2.0, 3.0], tag: "Debye"}
    write_ase(tmp_path / "a.extxyz", atoms)
    with pytest.raises(DataError, match=rf"{tag} says Debye, but dipole would be read as e Å: a factor of 0\.2081"):
        collect_files([str(tmp_path / "a.extxyz")], label_contract({"dipole": "mu"}))
    read = collect_files([str(tmp_path / "a.extxyz")], label_contract({"dipole": {"key": "mu", "unit": "Debye"}}))
    assert read.frames[0]["dipole"][0, 0].item() == pytest.approx(Debye)


# --------------------------------------------------------------- masks, weights, batches


def test_missing_rows_are_masked_and_weights_kept():
    atoms = molecule("H2O")
    atoms.arrays["charges"] = np.array([-0.8, np.nan, 0.4])
    atoms.arrays["w"] = np.array([1.0, 1.0, 2.0])
    contract = label_contract({"charges": "charges"}, weights={"charges": "w"})
    frame, reports = frame_from_atoms(atoms, contract, mask_nan=True)
    assert frame["charges_mask"].tolist() == [True, False, True]
    assert frame["charges"].tolist() == [-0.8, 0.0, 0.4]
    assert frame["charges_weight"].tolist() == [1.0, 1.0, 2.0]
    assert reports["charges"].rows == 2


def test_frames_without_a_label_join_the_others():
    with_label, without = (frame_from_atoms(atoms, label_contract(RESULTS))[0] for atoms in frames(2, bare=(1,)))
    batch = collate([with_label, without])
    assert batch["dipole_mask"].tolist() == [True, False]
    assert batch["charges"].shape == (8,)
    assert batch["charges_mask"].tolist() == [True] * 5 + [False] * 3
    assert torch.equal(split(batch)[0]["dipole"], with_label["dipole"])


# ------------------------------------------------------------------ data module, checks


def module(tmp_path, given, labels=RESULTS, **options):
    path = tmp_path / "train.extxyz"
    write_ase(path, given)
    return ASEDataModule(1, train_file_path=str(path), labels=labels, **options)


def test_the_census_counts_and_shows_them(tmp_path):
    census = module(tmp_path, frames()).census()
    row = census.sets["train"].labels["dipole"]
    assert (row.present, row.missing, row.sources) == (5, 1, {"results:dipole": 5})
    text = str(census)
    assert "charges" in text
    assert "e Å" in text


def test_a_label_that_is_missed_is_looked_for(tmp_path):
    one = module(tmp_path, frames(), {"total_energy": "energy"})
    one.use_labels(["dipole"])
    (message,) = one.census().problems({"dipole": "training_module.loss"})
    hint = "write labels: {total_energy: energy, dipole: dipole}; keys found: "
    assert message.startswith("training_module.loss: dipole is in none of the 6 train frames: data.labels does not")
    assert hint in message
    with pytest.raises(DataError, match=r"data.labels.dipole: no frame of .* has the key 'mu'; write .*dipole: di"):
        module(tmp_path, frames(), {**RESULTS, "dipole": "mu"}).setup()


def findings(given, labels=RESULTS):
    placed = ((f"a.xyz, frame {index}", atoms) for index, atoms in enumerate(given))
    contract = label_contract(labels)
    found, _ = one_pass({"train": collect_frames(placed, contract)}, Asked(contract=contract))
    return {one.code: one for one in found if "dipole" in one.message or "charges" in one.message}


def with_dipoles(values):
    made = frames(len(values), bare=())
    for atoms, value in zip(made, values, strict=True):
        atoms.calc.results["dipole"] = np.asarray(value, float)
    return made


VALUES = np.random.default_rng(3).normal(size=(6, 3))


@pytest.mark.parametrize(
    ("values", "code", "severity", "message"),
    [
        (VALUES * 0.0, "label-zero", "error", "dipole is zero in all 6 frames of train"),
        ([*VALUES[:5], [0.0] * 3], "label-vanishes", "note", "dipole is exactly zero in 1 of 6 frames of train"),
        ([VALUES[0]] * 6, "label-constant", "warning", "dipole has the same value in all 6 frames of train"),
        ([*VALUES[:5], [np.nan] * 3], "label-nan", "error", "dipole is NaN or infinite in 1 of 6 frames"),
    ],
)
def test_the_general_checks_see_them(values, code, severity, message):
    found = findings(with_dipoles(values))[code]
    assert (found.severity, found.message) == (severity, message)


def test_sound_labels_are_not_spoken_of():
    assert findings(with_dipoles(VALUES)) == {}


def test_labels_that_are_absent_in_part_or_not_read_are_said():
    assert findings(frames())["label-partly-missing"].message == "1 of 6 frames lack charges or a part of it"
    absent = findings(frames(), {**RESULTS, "dipole": "mu"})["label-absent"]
    assert "no frame has the key 'mu' of dipole; perhaps it is 'dipole'" in absent.message
    assert findings(frames(), {"total_energy": "energy"})["keys-unused"].message.startswith(
        "charges, dipole: in up to 5"
    )


# ------------------------------------------------------------------------- statistics


def test_statistics_of_them(tmp_path):
    given = frames()
    metrics = [
        {"field": "dipole", "metric": "RootMeanSquare", "name": "dipole_rms"},
        {"field": "dipole", "metric": "StandardDeviation", "name": "dipole_std"},
        {"field": "charges", "metric": "Mean", "per_type": True, "name": "mean_charge"},
    ]
    manager = DataStatisticsManager(metrics=metrics, type_names=("C", "H", "O"))
    collected = collect_frames(((f"frame {n}", atoms) for n, atoms in enumerate(given)), label_contract(RESULTS))
    types = {6: 0, 1: 1, 8: 2}
    typed = [
        {**f, "atom_types": torch.tensor([types[z] for z in f["atomic_numbers"].tolist()])} for f in collected.frames
    ]
    batch = collate(typed)
    edges = {"edge_index": torch.zeros(2, 0, dtype=torch.int64), "edge_cell_shift": torch.zeros(0, 3)}
    values = manager.compute([{**frame, **edges} for frame in split(batch)])
    dipoles = np.array([atoms.calc.results["dipole"] for atoms in given if "dipole" in atoms.calc.results])
    assert values["dipole_rms"] == pytest.approx(np.sqrt((dipoles**2).mean()), rel=1e-7)
    assert values["dipole_std"] == pytest.approx(dipoles.std(ddof=1), rel=1e-7)
    oxygens = [
        atoms.calc.results["charges"][0] for atoms in given if atoms.numbers[0] == 8 and "dipole" in atoms.calc.results
    ]
    assert values["mean_charge"]["O"] == pytest.approx(np.mean(oxygens), rel=1e-7)
