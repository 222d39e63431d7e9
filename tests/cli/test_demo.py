import pytest

from avkd.pipeline import demo
from avkd.pipeline.demo import DemoEvent, DemoReport
from avkd.pipeline.demo_scores import ProbeMeans


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
