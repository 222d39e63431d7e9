import pytest

from avkd.pipeline.demos import road, things, two_moon
from avkd.pipeline.demos.probe_scores import SeedMeans
from avkd.pipeline.demos.road import RoadDemoReport
from avkd.pipeline.demos.stages import DemoEvent
from avkd.pipeline.demos.things import DemoReport
from avkd.pipeline.demos.two_moon import RunAccuracies, TwoMoonReport


@pytest.fixture
def asked(monkeypatch):
    """A demo that takes no time; what it was asked for."""
    calls = []

    def run_demo(out, *, fast, on_progress):
        calls.append((out, fast))
        on_progress(DemoEvent(stage="world", num_done=1, num_total=2))
        scores = {
            name: SeedMeans(mean=mean, sd=0.02, values=(mean,))
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

    monkeypatch.setattr(things, "run_demo", run_demo)
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


@pytest.fixture
def asked_of_roads(monkeypatch):
    """The third world: TrackEval is missing, and no test drive is by day."""
    calls = []

    def run_road_demo(out, *, recipe, fast, on_progress):
        calls.append((out, recipe, fast))
        on_progress(DemoEvent(stage="detector", num_done=1, num_total=2))
        heard = {"AP@0.5": SeedMeans(mean=0.25, sd=0.0707, values=(0.2, 0.3)), "CDx_percent": None}
        seen = {"AP@0.5": SeedMeans(mean=0.9, sd=0.0, values=(0.9,))}
        return RoadDemoReport(
            report=f"{out}/report.html",
            preset="road-fast" if fast else "road-full",
            recipe=recipe,
            scores={"phase": {"all": heard, "light=night": heard}},
            teachers={"rgb": {"all": seen, "light=night": seen}},
            content_digest="feed",
            seconds={"world": 12.0, "detector": 30.0},
        )

    monkeypatch.setattr(road, "run_road_demo", run_road_demo)
    return calls


def test_the_road_is_told_by_light_and_view_with_a_dash_for_what_is_not(avkd, asked_of_roads):
    text = avkd("demo", "--world=road", "--out=somewhere", "--fast").out
    assert asked_of_roads == [("somewhere", "stereosoundnet", True)]
    lines = [line.split() for line in text.splitlines()]
    assert ["all", "phase", "0.250", "(0.071)", "-", "-", "-", "-"] in lines
    assert ["light=night", "teacher", "rgb", "0.900", "-", "-", "-", "-"] in lines
    assert ["light=day", "phase", "-", "-", "-", "-", "-"] in lines
    assert ["view_split=unseen", "teacher", "rgb", "-", "-", "-", "-", "-"] in lines
    assert "simulated" in text
    assert "42 s: world 12 s, detector 30 s" in text
    assert text.splitlines()[-1] == "report: somewhere/report.html"


def test_machines_get_the_road_by_student_group_and_metric(avkd, asked_of_roads):
    told = avkd("demo", "--world=road", "--json").json
    assert asked_of_roads == [("avkd-demo", "stereosoundnet", False)]
    assert told["simulated"] is True
    night = told["scores"]["phase"]["light=night"]
    assert night["AP@0.5"] == {"mean": 0.25, "sd": 0.0707, "values": [0.2, 0.3]}
    assert night["CDx_percent"] is None
    assert told["teacher"]["all"]["AP@0.5"]["mean"] == 0.9
    assert (told["preset"], told["content_digest"]) == ("road-full", "feed")


def test_the_road_of_another_recipe_is_made_where_it_is_asked_for(avkd, asked_of_roads):
    avkd("demo", "--world=road", "--recipe=mm-distillnet", "--fast")
    assert asked_of_roads == [("avkd-demo", "mm-distillnet", True)]


def test_a_recipe_without_a_road_demo_is_refused_with_those_that_have_one(avkd, tmp_path):
    words = ("--world=road", "--recipe=soundnet", f"--out={tmp_path / 'demo'}")
    avkd("demo", *words).assert_refused(2, "'soundnet' has no demo on the road; give stereosound")
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--recipe=mm-distillnet",), "goes with --world road"),
        (("--world=two-moon", "--recipe=mm-distillnet"), "goes with --world road"),
        (("--world=things", "--recipe=soundnet"), "goes with --world road"),
        (("--version=logits",), "go with --world two-moon"),
        (("--ablations",), "go with --world two-moon"),
        (("--world=road", "--version=logits"), "go with --world two-moon"),
        (("--world=road", "--ablations"), "go with --world two-moon"),
        (("--world=two-moon", "--fast"), "goes with --world things and road"),
    ],
)
def test_options_of_the_other_worlds_are_refused(
    avkd, asked, asked_of_roads, asked_of_moons, words, message
):
    avkd("demo", *words).assert_refused(2, message)
    assert asked == asked_of_roads == asked_of_moons == []
