import itertools
from collections.abc import Sequence

import numpy as np

from avkd.stages.simulation.people.person import Person, draw_person

PEOPLE = [draw_person(0, "test", number) for number in range(96)]


def voice_vectors(people: Sequence[Person]) -> np.ndarray:
    return np.asarray(
        [
            (np.log(p.voice.pitch_hz), p.voice.tract, p.voice.tilt_db, *p.voice.formant_offsets)
            for p in people
        ]
    )


def face_vectors(people: Sequence[Person]) -> np.ndarray:
    return np.asarray(
        [
            (p.face.half_width, p.face.jaw, p.face.eye_spacing, p.face.nose_length, *p.face.skin)
            for p in people
        ]
    )


def mean_distances(vectors: np.ndarray, families: Sequence[str]) -> tuple[float, float]:
    """Within families, and between those of one build."""
    scaled = (vectors - vectors.mean(axis=0)) / vectors.std(axis=0)
    within, between = [], []
    for i, j in itertools.combinations(range(len(families)), 2):
        if families[i].split("/")[2] == families[j].split("/")[2]:
            distance = float(np.linalg.norm(scaled[i] - scaled[j]))
            (within if families[i] == families[j] else between).append(distance)
    assert len(within) > 50
    return float(np.mean(within)), float(np.mean(between))


def test_a_person_is_the_same_however_many_there_are() -> None:
    assert draw_person(0, "test", 7) == PEOPLE[7]
    assert draw_person(1, "test", 7) != PEOPLE[7]
    assert draw_person(0, "train", 7) != PEOPLE[7]
    assert len({person.face for person in PEOPLE}) == len(PEOPLE)
    assert len({person.voice for person in PEOPLE}) == len(PEOPLE)


def test_those_of_a_face_family_look_more_alike() -> None:
    within, between = mean_distances(face_vectors(PEOPLE), [p.face_family for p in PEOPLE])
    assert within < 0.85 * between


def test_those_of_a_voice_family_sound_more_alike() -> None:
    within, between = mean_distances(voice_vectors(PEOPLE), [p.voice_family for p in PEOPLE])
    assert within < 0.85 * between


def test_who_looks_alike_seldom_sounds_alike_too() -> None:
    pairs = list(itertools.combinations(PEOPLE, 2))
    alike = [(a, b) for a, b in pairs if a.face_family == b.face_family]
    both = sum(a.voice_family == b.voice_family for a, b in alike)
    assert 0 < both < 0.5 * len(alike)


def test_who_has_a_beard_has_a_deep_voice() -> None:
    pitches = [p.voice.pitch_hz for p in PEOPLE if p.face.beard != "none"]
    others = [p.voice.pitch_hz for p in PEOPLE if p.face.hair_style == "long"]
    assert min(len(pitches), len(others)) >= 5
    assert np.mean(pitches) < 0.8 * np.mean(others)
