import dataclasses

from hypothesis import given, settings
from hypothesis import strategies as st

from avkd.errors import CorruptStoreError
from avkd.storage.clips import clip_id, decode_clips, encode_clips, read_part
from avkd.storage.schema import ClipRow

SECONDS = st.floats(0, 1e6)
METADATA = st.dictionaries(
    st.text(max_size=5), st.none() | st.booleans() | st.integers() | st.text() | SECONDS, max_size=3
)
CLIPS = st.lists(
    st.builds(
        ClipRow,
        row=st.integers(0, 2**40),
        clip_id=st.text(),
        recording_id=st.text(),
        streams=st.dictionaries(st.text(max_size=5), st.text(), max_size=3),
        start_seconds=SECONDS,
        duration_seconds=SECONDS,
        num_steps=st.integers(1, 100),
        attempt=st.integers(0, 9),
        metadata=METADATA,
    ),
    max_size=4,
)


@settings(max_examples=50)
@given(clips=CLIPS)
def test_clips_read_back_as_they_were_written_and_in_the_same_bytes(clips):
    data = encode_clips(clips)
    assert decode_clips(data, "part") == tuple(clips)
    assert encode_clips(clips) == data


def test_a_flipped_bit_never_gives_other_clips(make_clips):
    clips = make_clips(0, 200)
    data = bytearray(encode_clips(clips))
    num_raised = num_flips = 0
    # Page headers and the footer have no checksum: the plan's hash of the file is for those.
    for position in range(4, len(data) // 2, 7):
        data[position] ^= 4
        num_flips += 1
        try:
            assert decode_clips(bytes(data), "part") == tuple(clips)
        except CorruptStoreError as error:
            num_raised += "part" in str(error)
        data[position] ^= 4
    assert num_raised > num_flips / 2


def test_single_columns_can_be_read(make_clips):
    data = encode_clips(make_clips(8, 3))
    assert read_part(data, "part", ["row"]).to_pydict() == {"row": [8, 9, 10]}


def test_metadata_without_a_json_form_is_kept_as_text(make_clips):
    clip = dataclasses.replace(make_clips(0, 1)[0], metadata={"seen": {1, 2}})
    assert decode_clips(encode_clips([clip]), "part")[0].metadata == {"seen": "{1, 2}"}


def test_a_clip_id_is_pinned_and_tells_spans_and_recordings_apart():
    assert clip_id("street/1.mp4", 20.0, 20.0) == "cfa85e826013e2a501e70fb1bbe8195c"
    assert clip_id("street/1.mp4", 0.1 + 0.2, 20.0) == clip_id("street/1.mp4", 0.3, 20.0)
    ids = {
        clip_id("a", 0, 20),
        clip_id("a", 20, 20),
        clip_id("a", 0, 10),
        clip_id("b", 0, 20),
        clip_id("a", -0.0023, 20),
    }
    assert len(ids) == 5
