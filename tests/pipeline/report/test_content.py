import numpy as np
import pytest

from avkd.errors import InvalidValueError
from avkd.pipeline.report.content import ConfusionMatrix, ProbeResult


def test_a_probe_has_the_mean_and_the_sample_sd_of_its_seeds():
    probe = ProbeResult(name="distilled", accuracies=(0.4, 0.6, 0.8))
    assert probe.mean == pytest.approx(0.6)
    assert probe.sd == pytest.approx(0.2)


def test_the_sd_of_one_seed_is_zero():
    assert ProbeResult(name="distilled", accuracies=(0.4,)).sd == 0.0


@pytest.mark.parametrize("accuracies", [(), (71.2,), (-0.1, 0.5)])
def test_a_probe_refuses_what_is_no_fraction(accuracies):
    with pytest.raises(InvalidValueError, match="distilled"):
        ProbeResult(name="distilled", accuracies=accuracies)


def test_a_confusion_matrix_is_as_large_as_its_names():
    with pytest.raises(InvalidValueError, match="3 classes"):
        ConfusionMatrix(class_names=("a", "b", "c"), counts=np.zeros((2, 2), np.int64))
