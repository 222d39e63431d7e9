from avkd.stages.simulation.road.chance import stream


def test_a_purpose_has_the_same_numbers_each_time_and_its_own() -> None:
    first = stream(3, "wind").random(4)
    assert (first == stream(3, "wind").random(4)).all()
    assert (first != stream(4, "wind").random(4)).all()
    assert (first != stream(3, "rain").random(4)).all()
