import numpy as np
import pytest

from avkd.stages.simulation.road.absorption import absorption_db_per_m, air_gain
from avkd.stages.simulation.road.settings import Air

# The exact midbands of the standard are powers of ten: "8 kHz" is 7943 Hz.
OCTAVES = 1000.0 * 10 ** (0.3 * np.arange(-4, 4))


@pytest.mark.parametrize(
    ("celsius", "humidity", "db_per_km"),
    [
        (10, 70, (0.1, 0.4, 1.0, 1.9, 3.7, 9.7, 32.8, 117)),
        (20, 70, (0.1, 0.3, 1.1, 2.8, 5.0, 9.0, 22.9, 76.6)),
        (30, 70, (0.1, 0.3, 1.0, 3.1, 7.4, 12.7, 23.1, 59.3)),
        (15, 20, (0.3, 0.6, 1.2, 2.7, 8.2, 28.2, 88.8, 202)),
        (15, 50, (0.1, 0.5, 1.2, 2.2, 4.2, 10.8, 36.2, 129)),
        (15, 80, (0.1, 0.3, 1.1, 2.4, 4.1, 8.3, 23.7, 82.8)),
    ],
)
def test_absorption_is_that_of_table_2_of_iso_9613_2(
    celsius: float, humidity: float, db_per_km: tuple[float, ...]
) -> None:
    air = Air(temperature_celsius=celsius, humidity_percent=humidity)
    found = 1000 * absorption_db_per_m(np.asarray(OCTAVES, dtype=np.float64), air)
    assert found == pytest.approx(np.array(db_per_km), rel=0.006, abs=0.06)


def test_what_is_left_falls_with_the_exponential_of_the_distance() -> None:
    gain = air_gain(np.array([500.0, 8_000.0]), np.array([0.0, 50.0, 100.0]), Air())
    assert (gain[0] == 1).all()
    assert gain[2] == pytest.approx(gain[1] ** 2)
    assert 20 * np.log10(gain[2, 1]) == pytest.approx(
        -100 * absorption_db_per_m(np.array([8_000.0]), Air())[0]
    )
