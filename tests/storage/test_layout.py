import pytest

from avkd.errors import InvalidValueError
from avkd.storage import layout


def test_paths_of_a_store_are_those_of_the_documentation():
    assert layout.plan_file(3) == "plans/00003.json"
    assert layout.clip_part(12) == "clips/00012.parquet"
    assert layout.clip_part(12, copy=1) == "clips/00012.1.parquet"
    assert layout.array_path("teacher", "seer", "logits") == "targets/seer/logits"
    assert layout.array_path("input", "sound", "waveform") == "inputs/sound/waveform"
    assert layout.boxes_part("seer", "faces", 0) == "boxes/seer/faces/00000.parquet"
    assert layout.commit_path("seer", 123456) == "commits/seer/123456.json"


def test_numbers_are_read_from_file_names_and_strangers_ignored():
    assert layout.number_of("00042.json") == 42
    assert layout.number_of("123456.json") == 123456
    assert layout.number_of("00042.json.bak") is None
    assert layout.number_of("summary.parquet") is None


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "a b", "timm/resnet18"])
def test_a_name_that_cannot_be_a_folder_is_refused(name):
    with pytest.raises(InvalidValueError, match="cannot be a folder"):
        layout.check_name("teacher", name)
