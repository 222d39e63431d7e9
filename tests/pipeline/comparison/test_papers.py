import pytest

from avkd.errors import UnknownNameError
from avkd.pipeline.comparison.papers import PAPERS, find_paper, find_papers


def values(recipe, place):
    return {row[0]: row[1:] for row in find_paper(recipe)[place].rows}


def test_two_moon_has_the_numbers_of_the_notebook():
    printed = values("mke_two_moon", 0)
    assert printed == {
        "teacher": ("69.5",),
        "uni-modal student": ("72.4",),
        "multi-modal student": ("77.7",),
        "multi-modal, supervised": ("87.6",),
    }


def test_soundnet_has_its_tables_of_sounds():
    assert values("soundnet5", 0)["SoundNet"] == ("74.2", "92.2")
    ablation = values("soundnet_logmel", 1)
    assert ablation["8 layers, L2"] == ("47.8", "81.5")
    assert ablation["8 layers, from scratch"] == ("51.1", "75.5")


@pytest.mark.parametrize("recipe", ["mutual", "three_level", "three-level"])
def test_what_nobody_could_read_is_unknown_and_has_no_number(recipe):
    for table in find_paper(recipe):
        assert table.is_unknown
        assert table.mark.startswith("U")


def test_every_table_says_where_it_is_from_and_is_whole():
    for tables in PAPERS.values():
        for table in tables:
            assert table.mark[0] in "SDU"
            assert table.is_unknown == (table.mark[0] == "U")
            assert all(len(row) == len(table.header) for row in table.rows)


def test_recipes_without_a_paper_are_passed_over_unless_asked_for():
    assert find_papers(["rows", "mutual", "mutual_rounds"]) == find_paper("mutual")
    with pytest.raises(UnknownNameError, match="paper of recipe 'rows'"):
        find_paper("rows")
