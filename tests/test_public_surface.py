"""What others may build on: the errors with their exit codes, and the doors of the rooms."""

import inspect

import avkd
from avkd import errors
from avkd.errors import AvkdError

EXIT_CODES = {
    "AvkdError": 1,
    "CommandFailedError": 1,
    "CorpusError": 2,
    "CorruptStoreError": 5,
    "FingerprintMismatchError": 4,
    "InterruptedRunError": 75,
    "InvalidValueError": 2,
    "MediaError": 1,
    "SchemaVersionError": 3,
    "StoreNotFoundError": 3,
    "StoreUnwritableError": 6,
    "TooManyFailuresError": 7,
    "UnknownNameError": 2,
}


def test_errors_and_their_exit_codes_are_those_written_here():
    found = {
        name: kind.exit_code
        for name, kind in vars(errors).items()
        if inspect.isclass(kind) and issubclass(kind, AvkdError)
    }
    assert found == EXIT_CODES


def test_user_mistakes_are_the_builtin_errors_that_they_specialise():
    assert issubclass(errors.InvalidValueError, ValueError)
    assert issubclass(errors.StoreNotFoundError, FileNotFoundError)
    assert issubclass(errors.StoreUnwritableError, OSError)


def test_the_tree_in_the_docstring_names_every_error():
    assert all(name in (errors.__doc__ or "") for name in EXIT_CODES)


def test_an_unknown_name_offers_the_close_ones():
    error = errors.UnknownNameError("recipe", "soundnett", ["soundnet", "mutual"])
    assert str(error) == "unknown recipe 'soundnett'; did you mean soundnet?"


def test_an_unknown_name_far_from_all_lists_what_there_is():
    error = errors.UnknownNameError("recipe", "xyz", ["soundnet", "mutual"])
    assert "known: mutual, soundnet" in str(error)


def test_the_version_is_three_numbers():
    assert all(part.isdigit() for part in avkd.__version__.split("."))
    assert len(avkd.__version__.split(".")) == 3


def test_the_doors_of_the_rooms_are_where_the_documentation_says():
    from avkd.pipeline.evaluate import evaluate_run
    from avkd.pipeline.extract import extract_teacher
    from avkd.pipeline.train import train_student
    from avkd.storage.store import Store
    from avkd.storage.verify import verify_store

    assert list(inspect.signature(extract_teacher).parameters) == ["request", "on_progress"]
    assert list(inspect.signature(train_student).parameters)[:3] == ["store", "run", "recipe"]
    assert list(inspect.signature(evaluate_run).parameters)[:2] == ["run", "dataset"]
    assert next(iter(inspect.signature(verify_store).parameters)) == "url"
    for verb in ("create", "open", "read_rows", "write_shard", "content_digest", "summary"):
        assert callable(getattr(Store, verb))
