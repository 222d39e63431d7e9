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


class Copies(nn.Module):
    """Says what it is shown, and remembers that."""

    def forward(self, inputs, num_steps):
        self.shown = inputs["frames_rgb"][..., 0].long()
        mask = torch.arange(self.shown.shape[1]) < num_steps[:, None]
        return 20 * nn.functional.one_hot(self.shown[mask], 3).permute(0, 3, 1, 2).float()


def shown_as_said() -> Batch:
    generator = torch.Generator().manual_seed(0)
    maps = torch.randint(0, 3, (2, 4, 8, 10), generator=generator, dtype=torch.uint8)
    return Batch(
        clip_ids=("a", "b"),
        inputs={"frames_rgb": maps[..., None].expand(-1, -1, -1, -1, 3).contiguous()},
        num_steps=torch.tensor([4, 3]),
        class_maps={"eye": maps},
    )


def test_steps_are_drawn_with_their_own_maps():
    loss = mke_dense(steps_per_clip=3).loss(Copies(), shown_as_said())
    assert float(loss.parts["agreement"]) == 1.0


def test_clips_are_mirrored_with_their_maps_while_training_each_by_itself():
    taken, eye, method = shown_as_said(), Copies(), mke_dense(flip=0.5)
    shown = taken.inputs["frames_rgb"][..., 0].long()
    turned = set()
    for seed in range(20):
        torch.manual_seed(seed)
        assert float(method.loss(eye, taken).parts["agreement"]) == 1.0
        kept = [torch.equal(eye.shown[clip], shown[clip]) for clip in (0, 1)]
        flipped = [torch.equal(eye.shown[clip], shown[clip].flip(2)) for clip in (0, 1)]
        assert flipped == [not each for each in kept]
        turned.add(tuple(flipped))
    assert len(turned) == 4
    method.loss(eye.eval(), taken)
    assert torch.equal(eye.shown, shown)


def test_rare_classes_count_for_more_by_their_share_to_minus_the_balance():
    # A pixel of class 0 and three of class 1; all are said alike, with logits 0, log 2 and 0.
    logits = torch.zeros(1, 3, 2, 2)
    logits[:, 1] = math.log(2)
    maps = torch.ones(1, 1, 2, 2, dtype=torch.uint8)
    maps[0, 0, 0, 0] = 0

    def loss(balance: float) -> float:
        told = mke_dense(balance=balance).loss(Fixed(logits), batch(maps, [1]))
        return float(told.total.detach())

    assert loss(0.0) == pytest.approx((math.log(4) + 3 * math.log(2)) / 4, rel=1e-5)
    assert loss(1.0) == pytest.approx((math.log(4) + math.log(2)) / 2, rel=1e-5)
    rare, often = 0.25**0.5, 0.75**0.5
    halfway = (rare * math.log(4) + often * math.log(2)) / (rare + often)
    assert loss(0.5) == pytest.approx(halfway, rel=1e-5)


def test_weights_of_classes_do_not_move_what_is_ignored():
    logits = torch.zeros(1, 3, 2, 2)
    maps = torch.full((1, 1, 2, 2), IGNORED_CLASS, dtype=torch.uint8)
    nothing = mke_dense(balance=0.5).loss(Fixed(logits), batch(maps, [1]))
    assert float(nothing.total.detach()) == 0.0
    maps[0, 0, 0, 0] = 1
    one = mke_dense(balance=0.5).loss(Fixed(logits), batch(maps, [1]))
    assert float(one.total.detach()) == pytest.approx(math.log(3), rel=1e-5)


@pytest.mark.parametrize("options", [{"balance": 1.5}, {"flip": -0.1}, {"steps_per_clip": -1}])
def test_options_out_of_their_range_are_refused(options):
    with pytest.raises(InvalidValueError, match=next(iter(options))):
        mke_dense(**options)


def test_every_pixel_of_a_picture_has_its_own_logits_in_its_place():
    """Sizes that are not even as well: the last places reach past the picture."""
    odd = TargetShape(num_steps=NUM_STEPS, num_classes=0, map_classes=CLASSES, map_size=(7, 9))
    inputs = {"frames_rgb": InputShape(shape=(NUM_STEPS, 7, 9, 3))}
    encoder = picture_maps(inputs, widths=(4, 8), fine_width=4)
    built = mke_dense().build_student(encoder, LearningShape(targets={"eye": odd}, inputs=inputs))
    places = torch.arange(4 * 5).view(1, 1, 4, 5).float().expand(1, 4, -1, -1)
    built.encoder.encode_maps = lambda inputs, num_steps: places
    with torch.no_grad():
        built.head.weight.zero_()
        built.head.weight[1 * 4 : 2 * 4, 0, 0, 0] = 4.0
        built.head.bias.copy_(torch.arange(12).float())
        logits = built({}, torch.tensor([1]))
    row, column = torch.meshgrid(torch.arange(7), torch.arange(9), indexing="ij")
    place = (row // 2) * 5 + column // 2
    assert torch.equal(logits[0, 1].long(), 4 * place + 4 + (row % 2) * 2 + column % 2)
    assert torch.equal(logits[0, 2].long(), 8 + (row % 2) * 2 + column % 2)


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
        eye.head.bias[2 * 4 : 3 * 4] = 100.0  # of each pixel of a place
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
