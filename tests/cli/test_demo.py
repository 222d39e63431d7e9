import pytest

from avkd.pipeline import demo, two_moon
from avkd.pipeline.demo import DemoEvent, DemoReport
from avkd.pipeline.demo_scores import ProbeMeans
from avkd.pipeline.two_moon import RunAccuracies, TwoMoonReport


@pytest.fixture
def asked(monkeypatch):
    """A demo that takes no time; what it was asked for."""
    calls = []

    def run_demo(out, *, fast, on_progress):
        calls.append((out, fast))
        on_progress(DemoEvent(stage="world", num_done=1, num_total=2))
        scores = {
            name: ProbeMeans(mean=mean, sd=0.02, values=(mean,))
            for name, mean in (("distilled", 0.71), ("scratch", 0.4), ("random", 0.3))
        }
        return DemoReport(
            report=f"{out}/report.html",
            preset="fast" if fast else "full",
            probe_accuracy=scores,
            probe_accuracy_by_labels={"1": scores, "all": scores},
            content_digest="feed",
            seconds={"world": 12.0, "students": 30.0},
        )

    monkeypatch.setattr(demo, "run_demo", run_demo)
    return calls


def test_people_get_a_table_the_times_and_the_page(avkd, asked):
    text = avkd("demo", "--out=somewhere", "--fast").out
    assert asked == [("somewhere", True)]
    lines = {line.split()[0]: line for line in text.splitlines()}
    assert "0.710" in lines["all"]
    assert "simulated" in text
    assert "world 12 s" in text
    assert "somewhere/report.html" in text


def test_machines_get_means_and_sds(avkd, asked):
    told = avkd("demo", "--json").json
    assert asked == [("avkd-demo", False)]
    assert told["probe_accuracy"]["distilled"]["mean"] == 0.71
    assert told["probe_accuracy"]["scratch"]["sd"] == 0.02
    assert told["report"] == "avkd-demo/report.html"


@pytest.fixture
def asked_of_moons(monkeypatch):
    """The other world, in no time either."""
    calls = []

    def run_two_moon(out, *, version, ablations, on_progress):
        calls.append((out, version, ablations))
        on_progress(DemoEvent(stage="students", num_done=1, num_total=2))
        row = RunAccuracies(mean=77.7, sd=0.7, runs=(77.0, 78.4))
        return TwoMoonReport(
            version=version,
            teacher=RunAccuracies(mean=69.5, sd=0.0, runs=(69.5,)),
            um_student=row,
            mm_student=row,
            mm_supervised=row,
            pseudo_label_accuracy=64.4444,
            seeds=(81, 14),
            ablations={"no_noise": row, "dropout": row} if ablations else {},
            seconds={"students": 12.0},
        )

    monkeypatch.setattr(two_moon, "run_two_moon", run_two_moon)
    return calls


def test_the_moons_stand_beside_the_notebooks_numbers(avkd, asked_of_moons):
    text = avkd("demo", "--world=two-moon", "--out=somewhere", "--ablations").out
    assert asked_of_moons == [("somewhere", "logits", True)]
    lines = {line.split()[0]: line.split() for line in text.splitlines()}
    assert lines["teacher"] == ["teacher", "69.5", "-", "69.5", "69.5"]
    assert lines["um_student"] == ["um_student", "77.7", "0.7", "72.4", "77.0", "78.4"]
    assert lines["no_noise"] == ["no_noise", "77.7", "0.7", "77.0", "78.4"]
    assert "the paper's own made data" in text
    assert "simulated" not in text
    assert "64.4 %" in text


def test_the_first_version_has_no_published_numbers(avkd, asked_of_moons):
    text = avkd("demo", "--world=two-moon", "--version=double_softmax").out
    assert asked_of_moons == [("avkd-demo", "double_softmax", False)]
    lines = {line.split()[0]: line.split() for line in text.splitlines()}
    assert lines["mm_student"][3] == "-"
    assert "no_noise" not in text


def test_machines_get_every_run_of_the_moons(avkd, asked_of_moons):
    told = avkd("demo", "--world=two-moon", "--json").json
    assert told["mm_student"] == {"mean": 77.7, "sd": 0.7, "runs": [77.0, 78.4]}
    assert told["ablations"] == {}
    assert told["pseudo_label_accuracy"] == 64.4444


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--version=logits",), "go with --world two-moon"),
        (("--ablations",), "go with --world two-moon"),
        (("--world=two-moon", "--fast"), "goes with --world things"),
    ],
)
def test_options_of_the_other_world_are_refused(avkd, asked, asked_of_moons, words, message):
    avkd("demo", *words).assert_refused(2, message)
    assert asked == asked_of_moons == []
