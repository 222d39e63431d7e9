import math

import pytest
import torch
from torch import nn

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.encoders.picture_maps import picture_maps
from avkd.stages.encoders.streams import InputShape
from avkd.stages.encoders.vectors import vectors
from avkd.stages.methods.batch import Batch, LearningShape, TargetShape
from avkd.stages.methods.dense_student import DenseStudent
from avkd.stages.methods.mke_dense import mke_dense
from avkd.stages.types import IGNORED_CLASS

HEIGHT, WIDTH, NUM_STEPS = 8, 10, 4
CLASSES = ("sky", "road", "car")
INPUTS = {
    "frames_rgb": InputShape(shape=(NUM_STEPS, HEIGHT, WIDTH, 3)),
    "alpha": InputShape(shape=(2,)),
}
MAPS = TargetShape(num_steps=NUM_STEPS, num_classes=0, map_classes=CLASSES, map_size=(8, 10))
TRUTH = TargetShape(
    num_steps=NUM_STEPS, num_classes=0, map_classes=CLASSES, map_size=(8, 10), is_truth=True
)


class Fixed(nn.Module):
    """Says the same logits (N, K, H, W) of whatever it sees, and remembers that."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, inputs, num_steps):
        self.seen = inputs, num_steps
        return self.logits[: int(num_steps.sum())]


def student(teacher: str = "", **targets: TargetShape) -> DenseStudent:
    torch.manual_seed(0)
    encoder = picture_maps(INPUTS, widths=(4, 8), fine_width=4)
    shapes = targets or {"eye": MAPS}
    learning = LearningShape(targets=shapes, inputs=INPUTS)
    return mke_dense(teacher=teacher).build_student(encoder, learning)


def batch(maps: torch.Tensor, num_steps: list[int]) -> Batch:
    return Batch(
        clip_ids=tuple(map(str, range(len(num_steps)))),
        inputs={"frames_rgb": torch.zeros(*maps.shape, 3, dtype=torch.uint8)},
        num_steps=torch.tensor(num_steps),
        class_maps={"eye": maps},
    )


def test_the_student_is_built_for_the_classes_and_the_size_of_its_teacher():
    small = TargetShape(num_steps=4, num_classes=0, map_classes=CLASSES[:2], map_size=(5, 7))
    built = student(eye=small, ear=TargetShape(num_steps=4, num_classes=10))
    assert (built.teacher, built.class_names, built.map_size) == ("eye", CLASSES[:2], (5, 7))
    needs = mke_dense().needs(built)
    assert (needs.inputs, needs.class_maps_of, needs.labels) == (("frames_rgb",), ("eye",), "none")
    logits = built(
        {"frames_rgb": torch.zeros(1, 4, 8, 10, 3, dtype=torch.uint8)}, torch.tensor([3])
    )
    assert logits.shape == (3, 2, 5, 7)


def test_the_truth_is_learned_from_only_where_it_is_named():
    assert student(eye=MAPS, truth=TRUTH).teacher == "eye"
    assert student("truth", eye=MAPS, truth=TRUTH).teacher == "truth"
    with pytest.raises(InvalidValueError, match=r"none stored class maps; .*truth must be named"):
        student(truth=TRUTH)
    with pytest.raises(InvalidValueError, match="one teacher but eye, other stored"):
        student(eye=MAPS, other=MAPS)
    with pytest.raises(UnknownNameError, match="teacher with class maps 'truht'; did you mean"):
        student("truht", eye=MAPS, truth=TRUTH)


def test_an_encoder_of_something_else_is_refused():
    encoder = vectors(INPUTS, streams=("alpha",))
    with pytest.raises(InvalidValueError, match="use picture_maps"):
        mke_dense().build_student(encoder, LearningShape(targets={"eye": MAPS}, inputs=INPUTS))
    with pytest.raises(InvalidValueError, match="says no class of pixels"):
        mke_dense().needs(nn.Linear(1, 1))


def test_the_loss_is_the_mean_cross_entropy_of_the_pixels_of_real_steps():
    # The logits of the classes are 0, 0 and log 2: their shares are 1/4, 1/4 and 1/2.
    logits = torch.zeros(3, 3, 2, 2)
    logits[:, 2] = math.log(2)
    maps = torch.zeros(2, 2, 2, 2, dtype=torch.uint8)
    maps[0, 0] = 2
    maps[1, 1] = 2  # not real
    loss = mke_dense().loss(Fixed(logits), batch(maps, [2, 1]))
    expected = (4 * math.log(2) + 8 * math.log(4)) / 12
    assert float(loss.total.detach()) == pytest.approx(expected, rel=1e-5)
    assert float(loss.parts["cross_entropy"]) == pytest.approx(expected, rel=1e-5)
    assert float(loss.parts["agreement"]) == pytest.approx(4 / 12)


def test_pixels_of_no_class_count_for_nothing():
    logits = torch.zeros(1, 3, 2, 2)
    maps = torch.full((1, 1, 2, 2), IGNORED_CLASS, dtype=torch.uint8)
    nothing = mke_dense().loss(Fixed(logits), batch(maps, [1]))
    assert (float(nothing.total.detach()), float(nothing.parts["agreement"])) == (0.0, 0.0)
    maps[0, 0, 0, 0] = 1
    one = mke_dense().loss(Fixed(logits), batch(maps, [1]))
    assert float(one.total.detach()) == pytest.approx(math.log(3), rel=1e-5)


def test_so_many_steps_of_a_clip_are_drawn_while_training_and_all_else():
    clips = torch.arange(2 * 4, dtype=torch.uint8).view(2, 4, 1, 1).expand(2, 4, 2, 2).contiguous()
    taken = Batch(
        clip_ids=("a", "b"),
        inputs={"frames_rgb": clips[..., None]},
        num_steps=torch.tensor([4, 1]),
        class_maps={"eye": clips},
    )
    said = Fixed(torch.zeros(5, 8, 2, 2))
    method = mke_dense(steps_per_clip=2)
    drawn = set()
    for seed in range(20):
        torch.manual_seed(seed)
        method.loss(said, taken)
        inputs, num_steps = said.seen
        assert num_steps.tolist() == [2, 1]
        first = inputs["frames_rgb"][0, :, 0, 0, 0].tolist()
        assert first == sorted(set(first))
        assert int(inputs["frames_rgb"][1, 0, 0, 0, 0]) == 4  # its only real step
        drawn.add(tuple(first))
    assert len(drawn) > 3
    method.loss(said.eval(), taken)
    assert said.seen[1].tolist() == [4, 1]


def test_steps_are_drawn_with_their_own_maps():
    maps = torch.randint(0, 3, (2, 4, 8, 10), dtype=torch.uint8)
    frames = maps[..., None].expand(-1, -1, -1, -1, 3).contiguous()

    class Copies(nn.Module):
        def forward(self, inputs, num_steps):
            shown = inputs["frames_rgb"][..., 0].long()
            mask = torch.arange(shown.shape[1]) < num_steps[:, None]
            return 20 * nn.functional.one_hot(shown[mask], 3).permute(0, 3, 1, 2).float()

    taken = Batch(
        clip_ids=("a", "b"),
        inputs={"frames_rgb": frames},
        num_steps=torch.tensor([4, 3]),
        class_maps={"eye": maps},
    )
    loss = mke_dense(steps_per_clip=3).loss(Copies(), taken)
    assert float(loss.parts["agreement"]) == 1.0


def test_a_student_learns_what_is_said_of_colours():
    generator = torch.Generator().manual_seed(0)
    maps = torch.randint(0, 3, (4, 2, 4, 5), generator=generator).repeat_interleave(2, 2)
    maps = maps.repeat_interleave(2, 3).to(torch.uint8)
    colours = torch.tensor([[30, 60, 200], [90, 90, 90], [200, 30, 30]], dtype=torch.uint8)
    learned = Batch(
        clip_ids=tuple("abcd"),
        inputs={"frames_rgb": colours[maps.long()]},
        num_steps=torch.full((4,), 2),
        class_maps={"eye": maps},
    )
    eye, method = student(), mke_dense()
    optimiser = torch.optim.Adam(eye.parameters(), lr=0.02)
    for _ in range(40):
        optimiser.zero_grad()
        method.loss(eye, learned).total.backward()
        optimiser.step()
    said = eye.eval().say_class_maps(learned.inputs, learned.num_steps)
    assert said.dtype == torch.uint8
    assert (said == maps).float().mean() > 0.95


def test_steps_that_are_not_real_are_said_as_zero():
    frames = torch.full((1, 4, 8, 10, 3), 9, dtype=torch.uint8)
    eye = student().eval()
    with torch.no_grad():
        eye.head.bias[2] = 100.0
    said = eye.say_class_maps({"frames_rgb": frames}, torch.tensor([3]))
    assert said.shape == (1, 4, 8, 10)
    assert (said[0, :3] == 2).all()
    assert (said[0, 3] == 0).all()


def test_maps_that_are_missing_or_of_another_size_are_refused():
    maps = torch.zeros(1, 1, 4, 4, dtype=torch.uint8)
    empty = Batch(clip_ids=("a",), inputs={}, num_steps=torch.tensor([1]))
    with pytest.raises(InvalidValueError, match="the batch has those of none"):
        mke_dense().loss(Fixed(torch.zeros(1, 3, 2, 2)), empty)
    with pytest.raises(InvalidValueError, match=r"maps of \(2, 2\) but the teacher's are \(4, 4\)"):
        mke_dense().loss(Fixed(torch.zeros(1, 3, 2, 2)), batch(maps, [1]))
