import os
import signal

import pytest
import torch

from avkd.errors import CorpusError, InterruptedRunError
from avkd.pipeline.detector_training.recipe import DetectorRecipe
from avkd.pipeline.picture_training.running import (
    TrainingRequest,
    build_seeded,
    choose_recordings,
    stoppable,
    train_each,
)
from avkd.pipeline.signals import watch_signals
from avkd.storage.schema import Recording


def test_a_split_chooses_recordings_and_must_be_there() -> None:
    recordings = [
        Recording(recording_id=split, streams={}, metadata={"split": split})
        for split in ("teacher", "test")
    ]
    assert choose_recordings("t", recordings, None) == tuple(recordings)
    assert choose_recordings("t", recordings, "test") == (recordings[1],)
    with pytest.raises(CorpusError, match=r"no recording of split 'tset'; .* has teacher, test"):
        choose_recordings("t", recordings, "tset")


def test_a_signal_ends_what_has_nothing_to_keep() -> None:
    told: list[int] = []
    with watch_signals() as stop:
        tell = stoppable(stop, lambda what, done, total, remark: told.append(done))
        tell("pictures", 1, 3, "")
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(InterruptedRunError, match=r"at picture 2 of 3; .* begins again"):
            tell("pictures", 2, 3, "")
    assert told == [1, 2]


def test_several_seeds_have_a_folder_each_and_none_is_the_recipes_own() -> None:
    request = TrainingRequest(corpus="c", truth="t", run="run", recipe=DetectorRecipe(seed=7))
    ran = [
        [(each.run, each.recipe.seed) for each in train_each(request, seeds, lambda each: each)]
        for seeds in ([], [4], [4, 5, 4])
    ]
    assert ran == [[("run", 7)], [("run", 4)], [("run/seed-4", 4), ("run/seed-5", 5)]]


def test_first_weights_are_the_seeds_and_leave_the_random_state_alone() -> None:
    before = torch.get_rng_state()
    one, again, other = (build_seeded(s, lambda: torch.nn.Linear(2, 2)).weight for s in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
