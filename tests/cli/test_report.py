def test_a_page_tells_of_the_store_and_its_runs(avkd, store, run, sounds, tmp_path):
    columns = ("--path=wav", "--label=pitch", "--fold=part")
    assert avkd("evaluate", run, sounds, *columns).exit_code == 0
    page = tmp_path / "pages" / "report.html"
    outcome = avkd("report", store, f"--run={run}", f"--out={page}", "--frames=3", "--json")
    assert outcome.exit_code == 0, outcome.err
    assert outcome.json == {"report": str(page)}
    text = page.read_text()
    assert text.count('class="frame"') == 3
    assert "v4_broken.mp4" in text
    assert "distilled" in text
    assert "simulated" not in text.partition("</style>")[2]


def test_a_page_says_so_where_the_world_is_simulated(avkd, store, tmp_path):
    page = tmp_path / "report.html"
    outcome = avkd("report", store, f"--out={page}", "--simulated", "--frames=1")
    assert str(page) in outcome.out
    assert "simulated" in page.read_text().partition("</style>")[2]


def test_a_missing_run_is_refused_and_no_page_is_written(avkd, store, tmp_path):
    page = tmp_path / "report.html"
    outcome = avkd("report", store, f"--run={tmp_path / 'none'}", f"--out={page}")
    outcome.assert_refused(3, "none")
    assert not page.exists()


def test_a_page_in_an_impossible_place_is_refused(avkd, store, tmp_path):
    (tmp_path / "file").write_text("")
    outcome = avkd("report", store, f"--out={tmp_path / 'file' / 'report.html'}", "--frames=1")
    outcome.assert_refused(6, "--out")
