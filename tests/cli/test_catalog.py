import pytest


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("teachers", "efficientnet_lite0"),
        ("encoders", "soundnet8"),
        ("methods", "soundnet"),
        ("recipes", "soundnet_logmel"),
    ],
)
def test_each_kind_lists_its_names_with_a_word_about_each(avkd, kind, name):
    found = avkd("list", kind, "--json").json
    assert name in found
    assert all(len(text) > 10 for text in found.values()), found
    lines = avkd("list", kind).out.splitlines()
    assert any(line.split()[0] == name for line in lines if line)


def test_recipes_tell_their_variants(avkd):
    recipes = avkd("list", "recipes", "--json").json
    assert "as_paper, as_released, tiny" in recipes["soundnet"]


def test_an_unknown_kind_is_refused_with_2(avkd):
    outcome = avkd("list", "students")
    assert outcome.exit_code == 2
    assert "teachers" in outcome.err
