import json
from math import inf, nan

import numpy as np

from avkd.pipeline.report_json import report_to_json


def test_numbers_that_do_not_exist_are_null_wherever_they_are() -> None:
    report = {"eer": nan, "seeds": (0.5, inf), "parts": [{"low": -inf, "name": "nan"}]}
    assert json.loads(report_to_json(report)) == {
        "eer": None,
        "seeds": [0.5, None],
        "parts": [{"low": None, "name": "nan"}],
    }


def test_numbers_of_numpy_that_are_floats_count_as_well() -> None:
    assert json.loads(report_to_json({"eer": np.float64(nan), "acc": np.float64(0.1)})) == {
        "eer": None,
        "acc": 0.1,
    }
