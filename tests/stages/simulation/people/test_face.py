import numpy as np

from avkd.stages.simulation.people.face import FACE_TRAITS, draw_look, face_of

PLAIN = dict.fromkeys(FACE_TRAITS, 0.0)


def test_a_trait_changes_its_part_of_the_face_alone() -> None:
    plain, long_nosed = face_of(1, PLAIN), face_of(1, {**PLAIN, "nose_length": 1.0})
    assert long_nosed.nose_length > plain.nose_length
    changed = {name for name in vars(plain) if getattr(plain, name) != getattr(long_nosed, name)}
    assert changed == {"nose_length"}


def test_every_trait_shows() -> None:
    plain = face_of(1, PLAIN)
    for name in FACE_TRAITS:
        assert face_of(1, {**PLAIN, name: 2.4}) != plain, name


def test_beards_go_with_strong_bones() -> None:
    rng = np.random.default_rng(0)
    faces = [
        (
            build,
            face_of(build, dict(zip(FACE_TRAITS, rng.normal(size=len(FACE_TRAITS)), strict=True))),
        )
        for build in (-1, 1) * 100
    ]
    beards = {build: sum(f.beard != "none" for b, f in faces if b == build) for build in (-1, 1)}
    assert beards[-1] == 0
    assert 25 < beards[1] < 75


def test_looks_vary_within_their_ranges() -> None:
    looks = [draw_look(np.random.default_rng(seed)) for seed in range(200)]
    assert draw_look(np.random.default_rng(0)) == looks[0]
    assert len(set(looks)) == 200
    for look in looks:
        assert abs(look.yaw) <= 0.6
        assert 0 <= look.mouth_open <= 1
        assert 0 < look.eye_open <= 1
    assert 0.03 < np.mean([look.hat is not None for look in looks]) < 0.25
