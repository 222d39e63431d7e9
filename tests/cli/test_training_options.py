from avkd.cli.training_options import Choices, read_where


def test_conditions_on_one_column_are_alternatives_and_on_several_all_hold() -> None:
    read = read_where(["light=day,dusk", "view=kerb", "light=rain"])
    assert read == {"light": ("day", "dusk", "rain"), "view": ("kerb",)}


def test_conditions_become_a_part_of_the_recipe() -> None:
    choices = Choices(
        recipe="stereosoundnet",
        variant="tiny",
        split="train",
        where=("light=day",),
        label_column="",
        overrides=("data.batch_size=2",),
    )
    data = choices.resolve().data
    assert (data.split, data.where, data.batch_size) == ("train", {"light": ("day",)}, 2)
