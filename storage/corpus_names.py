"""Corpora whose file names say what is in the files: RAVDESS, CREMA-D, VoxCeleb, or class folders.

Names are paths below the corpus's folder, with ``/``. Files of one performance (a video, the same
without sound, the sound alone) become one recording: picture from the video, sound from the sound
file where there is one.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from avkd.errors import CorpusError, UnknownNameError

SOUND_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac")
_RAVDESS_EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
_RAVDESS_MODALITIES = ("audio-video", "video", "audio")
# The words are RAVDESS's, so that the two can be one corpus.
_CREMA_D_EMOTIONS = {
    "ANG": "angry",
    "DIS": "disgust",
    "FEA": "fearful",
    "HAP": "happy",
    "NEU": "neutral",
    "SAD": "sad",
}
_CREMA_D_LEVELS = {"LO": "low", "MD": "medium", "HI": "high", "XX": "unspecified"}


@dataclass(frozen=True, kw_only=True)
class NameFacts:
    """What a file's name says."""

    performance: str
    """The same for all files of one recording, wherever they lie."""
    label: str = ""
    """The class; empty where the layout has none beside the speaker."""
    speaker: str = ""
    """Empty where the layout does not say."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """All else, by column name."""


@dataclass(frozen=True, kw_only=True)
class NamedRecording:
    """A recording of a corpus, by its names."""

    path: str
    audio: str
    """The file with the sound; empty where it is in ``path``."""
    recording_id: str
    facts: NameFacts


@dataclass(frozen=True, kw_only=True)
class NamedCorpus:
    """The recordings, and what could not be read."""

    recordings: tuple[NamedRecording, ...]
    """Sorted by path."""
    strangers: tuple[str, ...]
    """Names that are not of the layout."""


@dataclass(frozen=True, kw_only=True)
class NameLayout:
    """How the files of a corpus are named."""

    form: str
    """An example, to be shown."""
    read: Callable[[str], NameFacts | None]
    """None for a name of another form."""
    id_parts: int = 0
    """Last parts of the path that are the recording's id; 0 for all."""


def read_ravdess_name(name: str) -> NameFacts | None:
    """Modality, vocal channel, emotion, intensity, statement, repetition, actor.

    The codes are of Livingstone and Russo (PLoS ONE, 2018); odd actors are men.
    """
    match = re.fullmatch(
        r"(0[1-3])-(0[12])-(0[1-8])-(0[12])-(0[12])-(0[12])-(0[1-9]|1\d|2[0-4])\.\w+",
        PurePosixPath(name).name,
    )
    if match is None:
        return None
    modality, channel, emotion, intensity, statement, repetition, actor = match.groups()
    return NameFacts(
        performance="-".join(match.groups()[1:]),
        label=_RAVDESS_EMOTIONS[int(emotion) - 1],
        speaker=f"actor_{actor}",
        columns={
            "modality": _RAVDESS_MODALITIES[int(modality) - 1],
            "vocal_channel": ("speech", "song")[int(channel) - 1],
            "intensity": ("normal", "strong")[int(intensity) - 1],
            "statement": ("kids", "dogs")[int(statement) - 1],
            "repetition": str(int(repetition)),
        },
    )


def read_crema_d_name(name: str) -> NameFacts | None:
    """Actor, sentence, emotion, level of the emotion (Cao et al., 2014).

    One file of the published set has a single X for the level.
    """
    match = re.fullmatch(
        r"(\d{4})_([A-Z]{3})_(ANG|DIS|FEA|HAP|NEU|SAD)_(LO|MD|HI|XX?)\.\w+",
        PurePosixPath(name).name,
    )
    if match is None:
        return None
    actor, sentence, emotion, level = match.groups()
    return NameFacts(
        performance=PurePosixPath(name).stem,
        label=_CREMA_D_EMOTIONS[emotion],
        speaker=actor,
        columns={"sentence": sentence, "level": _CREMA_D_LEVELS.get(level, "unspecified")},
    )


def read_voxceleb_name(name: str) -> NameFacts | None:
    """Speaker, video and utterance: the last three parts of the path."""
    match = re.search(r"(?:^|/)(id\d{5})/([^/]+)/(\d{5})\.\w+$", name)
    if match is None:
        return None
    speaker, video, utterance = match.groups()
    return NameFacts(
        performance=f"{speaker}/{video}/{utterance}", speaker=speaker, columns={"video": video}
    )


def read_folder_name(name: str) -> NameFacts | None:
    """The class is the name of the folder that the file lies in."""
    parent = PurePosixPath(name).parent.name
    return NameFacts(performance=name, label=parent) if parent else None


LAYOUTS: Mapping[str, NameLayout] = {
    "ravdess": NameLayout(form="01-01-06-01-02-01-12.mp4", read=read_ravdess_name),
    "crema-d": NameLayout(form="1001_DFA_ANG_XX.flv", read=read_crema_d_name),
    "voxceleb": NameLayout(
        form="id10001/1zcIwhmdeo4/00001.wav", read=read_voxceleb_name, id_parts=3
    ),
    "folders": NameLayout(form="class/recording.mp4", read=read_folder_name),
}


def find_layout(name: str) -> NameLayout:
    """The layout of a name.

    Raises:
        UnknownNameError: There is none.
    """
    if name not in LAYOUTS:
        raise UnknownNameError("layout", name, LAYOUTS)
    return LAYOUTS[name]


def read_names(layout: str, names: Iterable[str]) -> NamedCorpus:
    """The recordings that files with these names are.

    Raises:
        UnknownNameError: There is no such layout.
        CorpusError: No name is of the layout.
    """
    form = find_layout(layout)
    found: dict[str, list[tuple[str, NameFacts]]] = {}
    strangers = []
    for name in sorted(names):
        facts = form.read(name)
        if facts is None:
            strangers.append(name)
        else:
            found.setdefault(facts.performance, []).append((name, facts))
    if not found:
        shown = f"{strangers[0]!r} is not" if strangers else "there are no files"
        raise CorpusError(
            f"no file is named as {layout} has it: {shown} of the form {form.form!r}; give the "
            f"data set's folder, or another layout of {', '.join(LAYOUTS)}"
        )
    recordings = [_join_files(files, form.id_parts) for files in found.values()]
    return NamedCorpus(
        recordings=tuple(sorted(recordings, key=lambda each: each.path)),
        strangers=tuple(strangers),
    )


def _join_files(files: Sequence[tuple[str, NameFacts]], id_parts: int) -> NamedRecording:
    ordered = sorted(files, key=lambda file: _preference(file[0]))
    sounds = [name for name, _ in ordered if _is_sound(name)]
    videos = [name for name, _ in ordered if not _is_sound(name)]
    path = (videos or sounds)[0]
    return NamedRecording(
        path=path,
        audio=sounds[0] if videos and sounds else "",
        recording_id="/".join(PurePosixPath(path).parts[-id_parts:]),
        facts=dict(files)[path],
    )


def _preference(name: str) -> tuple[int, str, str]:
    """Lossless sound before other; RAVDESS's videos with sound (01-) before those without."""
    suffix = PurePosixPath(name.lower()).suffix
    rank = SOUND_SUFFIXES.index(suffix) if suffix in SOUND_SUFFIXES else 0
    return rank, PurePosixPath(name).name, name


def _is_sound(name: str) -> bool:
    return PurePosixPath(name.lower()).suffix in SOUND_SUFFIXES
