def test_a_recipe_that_reads_no_labels_trains_no_teacher(avkd, store, tmp_path):
    outcome = avkd("train-teacher", store, tmp_path / "run", "--recipe=soundnet_logmel")
    outcome.assert_refused(2, "'soundnet_logmel'", "--label-column", "train-student")
    assert not (tmp_path / "run").exists()


def test_a_group_column_refuses_whoever_is_on_both_sides(avkd, row_store, tmp_path):
    outcome = avkd(
        "train-teacher",
        row_store,
        tmp_path / "run",
        "--recipe=mke_teacher",
        "--split=train",
        "--group-column=label",
    )
    outcome.assert_refused(2, "label 'bell'", "'train'", "'test'")
    assert not (tmp_path / "run").exists()
