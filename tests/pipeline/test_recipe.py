import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.pipeline.recipe import (
    DataConfig,
    EncoderConfig,
    EvaluationConfig,
    MethodConfig,
    OptimiserConfig,
    Recipe,
    ScheduleConfig,
    differing_fields,
    flatten,
    from_json,
    to_json,
    with_overrides,
)

RECIPE = Recipe(
    name="example",
    variant="as_paper",
    encoder=EncoderConfig(name="soundnet5", options={"width": 0.5}),
    schedule=ScheduleConfig(num_epochs=3),
    method=MethodConfig(options={"temperature": 1.0}),
)
positive = st.floats(min_value=1e-6, max_value=1e6)
finite = st.floats(allow_nan=False, allow_infinity=False)
options = st.dictionaries(
    st.text(min_size=1),
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | finite | st.text(),
)
recipes = st.builds(
    Recipe,
    name=st.text(),
    variant=st.text(),
    encoder=st.builds(EncoderConfig, name=st.text(), options=options),
    schedule=st.builds(ScheduleConfig, num_updates=st.integers(1, 10**9)),
    method=st.builds(MethodConfig, options=options),
    data=st.builds(DataConfig, clip_seconds=st.none() | positive),
    optimiser=st.builds(OptimiserConfig, learning_rate=positive),
    evaluation=st.builds(EvaluationConfig, layer=st.none() | st.text()),
    precision=st.sampled_from(["float32", "bfloat16", "float16"]),
    seed=st.integers(0, 2**31),
)


@given(recipes)
def test_a_recipe_comes_back_from_json_equal(recipe: Recipe) -> None:
    assert from_json(to_json(recipe)) == recipe


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sede": 3}, "sede"),
        ({"seed": "3"}, "seed"),
        ({"precision": "float64"}, "precision"),
        ({"data": {"batchsize": 3}}, r"data\.batchsize"),
        ({"schedule": {"num_epochs": 1, "num_updates": 1}}, "exactly one"),
        ({"optimiser": {"learning_rate": 0.0}}, "above 0"),
        ({"data": {"validation_fraction": 1.0}}, "below 1"),
    ],
)
def test_json_with_a_wrong_field_is_refused(change: dict[str, object], words: str) -> None:
    values = {**json.loads(to_json(RECIPE)), **change}
    with pytest.raises(InvalidValueError, match=words):
        from_json(json.dumps(values))


@pytest.mark.parametrize(
    ("override", "field", "value"),
    [
        ("optimiser.learning_rate=3e-4", "optimiser.learning_rate", 3e-4),
        ("optimiser.max_grad_norm=1", "optimiser.max_grad_norm", 1.0),
        ("data.clip_seconds=none", "data.clip_seconds", None),
        ("optimiser.name=adamw", "optimiser.name", "adamw"),
        ("method.options.distance=l2", "method.options.distance", "l2"),
        ("method.options.teacher_weights.places=2", "method.options.teacher_weights.places", 2),
        ("evaluation.layer=conv4", "evaluation.layer", "conv4"),
        ("evaluation.layer=none", "evaluation.layer", None),
        ("encoder.options.num_mels=40", "encoder.options.num_mels", 40),
        ("encoder.options.norm=batch", "encoder.options.norm", "batch"),
        ("encoder.options.norm=none", "encoder.options.norm", None),
        ("encoder.options.widths=[8, 16]", "encoder.options.widths", [8, 16]),
        ("encoder.options.body_options.hop=3e-2", "encoder.options.body_options.hop", 3e-2),
        ("encoder.options.a.b.c.d=[1]", "encoder.options.a.b.c.d", [1]),
        ("seed = 7", "seed", 7),
    ],
)
def test_an_override_sets_one_field(override: str, field: str, value: object) -> None:
    before, after = flatten(RECIPE), flatten(with_overrides(RECIPE, [override]))
    assert after.pop(field) == value
    before.pop(field, None)
    assert after == before


def test_a_path_goes_into_options_of_options_and_leaves_the_others_there() -> None:
    inner = {"waveform.body_options.hop": 0.01, "waveform.pool": "mean"}
    recipe = with_overrides(
        RECIPE, [f"encoder.options={json.dumps({'options': inner, 'whole.name': 1})}"]
    )
    changed = with_overrides(
        recipe,
        [
            "encoder.options.options.waveform.body_options.hop=0.03",
            "encoder.options.options.waveform.body_options.norm=none",
            "encoder.options.whole.name=2",
        ],
    )
    assert changed.encoder.options == {
        "options": {**inner, "waveform.body_options.hop": 0.03, "waveform.body_options.norm": None},
        "whole.name": 2,
    }


def test_overrides_are_judged_together() -> None:
    swapped = ["schedule.num_epochs=none", "schedule.num_updates=5"]
    assert with_overrides(RECIPE, swapped).schedule == ScheduleConfig(num_updates=5)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("optimiser.learning_rat=1", "did you mean optimiser.learning_rate"),
        ("optimizer.learning_rate=1", "did you mean optimiser"),
        ("optimiser.learning_rate=fast", "valid number"),
        ("data.batch_size=1.5", "valid integer"),
        ("optimiser.name=rmsprop", "'adam', 'adamw' or 'sgd'"),
        ("seed.x=1", "plain value"),
        ("method.options.temperature.x=1", "plain value"),
        ("method.options.temperature.x.y=1", "option temperature.x.y: temperature is a plain"),
        ('method.options.a.b={"c": 1}', r"as \.\.\.a\.b\.KEY=VALUE"),
        ("encoder.optoins.widths.x=1", "did you mean encoder.options"),
        ("seed", "field=value"),
    ],
)
def test_a_wrong_override_says_what_would_be_right(override: str, words: str) -> None:
    with pytest.raises(InvalidValueError, match=words) as caught:
        with_overrides(RECIPE, [override])
    assert "\n" not in str(caught.value)


def test_an_unknown_field_is_an_unknown_name() -> None:
    with pytest.raises(UnknownNameError):
        with_overrides(RECIPE, ["sed=1"])


def test_differing_fields_are_named_by_their_dotted_path() -> None:
    other = with_overrides(RECIPE, ["seed=1", "optimiser.beta1=0.8", "encoder.options.depth=2"])
    assert set(differing_fields(RECIPE, other)) == {
        "seed",
        "optimiser.beta1",
        "encoder.options.depth",
    }
    assert differing_fields(RECIPE, RECIPE) == ()
