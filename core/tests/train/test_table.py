from equipot.train._table import results_table

METRICS = {"val0_epoch/per_atom_energy_mae": 0.001, "val0_epoch/forces_rmse": 2.0, "val0_epoch/forces_mae": 1.0}


def test_errors_are_in_mev():
    metal = results_table({"val": METRICS}, "metal")
    for words in ("1000", "2000", "meV/atom"):
        assert words in metal
    assert "meV/Å³" not in metal
    assert "43.36" in results_table({"val": METRICS}, "real")


def test_sets_without_a_metric_have_an_empty_cell():
    text = results_table({"val": METRICS, "test": {"test0_epoch/forces_mae": 0.5}}, "metal")
    (row,) = [line for line in text.splitlines() if "test0" in line]
    assert [cell.strip() for cell in row.split("│")[1:-1]] == ["test0", "", "500", ""]


def test_a_run_without_validation_has_no_table():
    assert results_table({"train": {"loss": 1.0}}, "metal") == ""
