import numpy as np
import torch

from avkd.pipeline.picture_training.batches import change_light, choose_places


def test_an_epoch_shows_every_picture_at_most_once_and_whole_batches_alone() -> None:
    epoch = [choose_places(11, 4, seed=0, update=update) for update in (0, 1)]
    assert [len(each) for each in epoch] == [4, 4]
    assert len({*np.concatenate(epoch).tolist()}) == 8
    later = [choose_places(11, 4, seed=0, update=update) for update in (2, 3)]
    assert not np.array_equal(np.concatenate(epoch), np.concatenate(later))
    assert not np.array_equal(epoch[0], choose_places(11, 4, seed=1, update=0))
    np.testing.assert_array_equal(epoch[1], choose_places(11, 4, seed=0, update=1))


def test_fewer_pictures_than_a_batch_are_one_batch() -> None:
    assert sorted(choose_places(3, 8, seed=0, update=5).tolist()) == [0, 1, 2]


def test_light_changes_brightness_by_its_gain_and_differences_by_contrast() -> None:
    picture = torch.tensor([0.2, 0.4]).view(1, 1, 1, 2)
    bright = change_light(picture, np.array([1.5]), np.array([1.0]))
    torch.testing.assert_close(bright.flatten(), torch.tensor([0.3, 0.6]))
    flat = change_light(picture, np.array([1.0]), np.array([0.5]))
    torch.testing.assert_close(flat.flatten(), torch.tensor([0.25, 0.35]))
    assert change_light(picture, np.array([9.0]), np.array([1.0])).max() == 1
