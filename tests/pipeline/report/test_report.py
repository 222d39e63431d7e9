import re
from html.parser import HTMLParser

import pytest

from avkd.errors import StoreUnwritableError
from avkd.pipeline.report.content import ReportContent
from avkd.pipeline.report.report import build_report, write_report


class Page(HTMLParser):
    """Remembers every attribute and whether the tags close in order."""

    VOID = frozenset({"meta", "img", "source", "br", "link"})

    def __init__(self):
        super().__init__()
        self.open, self.attributes, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def parse(html):
    page = Page()
    page.feed(html)
    assert not page.open
    return page


def text_of(page):
    return re.sub(r"[ \n]+", " ", " ".join(page.text))


def test_every_section_is_told(content):
    text = text_of(parse(build_report(content)))
    for told in (
        "What happened",
        "71.2\N{NO-BREAK SPACE}% of the clips",
        "Probe accuracy",
        "72.0 %",
        "By layer",
        "What the teachers see",
        "1:02.5",
        "75.0 %",
        "Training",
        "Confusion",
        "1 recording, 1,200 clips, 3 shards",
        "2.5 MB",
        "4 \N{MULTIPLICATION SIGN} 1000",
        "moov atom not found",
        "feedbeef",
        "2 min 05 s",
        "Against the truth boxes.csv, split test",
        "Hidden vehicles are left out.",
        "0.750",
        "Chosen by place alone.",
        "night, r1 at 0:01.0",
        "1 of 3 recordings has no rgb.",
        "With the sound that they were heard in",
        "day, r2",
    ):
        assert told in text, told


def test_a_page_loads_nothing_from_elsewhere(content):
    html = build_report(content)
    page = parse(html)
    links = [value for name, value in page.attributes if name in ("src", "srcset", "href")]
    assert links
    assert all(value.startswith(("data:image/", "data:video/mp4;")) for value in links)
    assert [value for value in links if "video" in value] == ["data:video/mp4;base64,bXA0"]
    assert not re.search(r"https?://|@import|url\(", html)
    assert "<script" not in html


def test_simulated_results_say_so_in_every_section_of_results(content):
    html = build_report(content)
    assert html.count('class="tag">simulated') >= 7


def test_real_results_never_say_simulated():
    html = build_report(ReportContent(title="Real", simulated=False, sentences=("Done.",)))
    assert "simulated" not in html.partition("</style>")[2]


def test_names_from_outside_are_escaped(content):
    html = build_report(content)
    assert "A <made-up> run" not in html
    assert "A &lt;made-up&gt; run" in html


def test_what_is_empty_is_left_out():
    text = text_of(parse(build_report(ReportContent(title="Little", simulated=False))))
    absent = ("Probe accuracy", "Training", "Confusion", "The store", "What happened")
    for section in (*absent, "Where things are", "Heard, and drawn"):
        assert section not in text


def test_pictures_have_words_for_those_who_do_not_see_them(content):
    page = parse(build_report(content))
    alts = [value for name, value in page.attributes if name == "alt"]
    assert len(alts) == 6
    assert all(alts)
    assert ("aria-label", "day, r2") in page.attributes


def test_a_page_is_written_with_its_folders(content, tmp_path):
    path = write_report(content, str(tmp_path / "new" / "report.html"))
    assert path == str(tmp_path / "new" / "report.html")
    assert (tmp_path / "new" / "report.html").read_text("utf-8").startswith("<!doctype html>")


def test_an_impossible_place_is_refused(content, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnwritableError, match="--out"):
        write_report(content, str(tmp_path / "file" / "report.html"))
