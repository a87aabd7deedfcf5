from equipot.artifacts import write_package


def test_fingerprints_differ_by_weights_and_by_options(make_model, tmp_path):
    seeds = [write_package(make_model(seed=seed), tmp_path / "a.equipot.zip").fingerprint for seed in (1, 2)]
    normal = write_package(make_model(avg_num_neighbors=3.0), tmp_path / "a.equipot.zip").fingerprint
    assert len({*seeds, normal}) == 3
