"""Every exception that avkd raises on purpose.

Each also inherits the built-in it specialises, carries the exit code of the command line, and its
message is one line that names the value, the rule and the way out.

    AvkdError                       1
    +-- InvalidValueError           2   (ValueError) an option, a column or a recipe field is wrong
    |   +-- UnknownNameError        2   no teacher, encoder, method or recipe of that name
    |   +-- CorpusError             2   the corpus is missing, empty, or lacks a column
    +-- StoreNotFoundError          3   (FileNotFoundError) no store, or no run, at that place
    +-- SchemaVersionError          3   the store was made by a newer avkd
    +-- FingerprintMismatchError    4   two different teachers under one name
    +-- CorruptStoreError           5   stored bytes do not match their digests
    +-- StoreUnwritableError        6   (OSError) the store cannot be written: permissions, space
    +-- TooManyFailuresError        7   more clips failed than the run allows
    +-- MediaError                  1   a file could not be decoded; carries a status for its row
    +-- CommandFailedError          *   a command of a larger run failed; with that command's code
    +-- InterruptedRunError        75   stopped by a signal; the same command goes on later
"""

from collections.abc import Iterable
from difflib import get_close_matches


class AvkdError(Exception):
    """The root: the command line prints it as one line and exits with ``exit_code``."""

    exit_code = 1

    def __reduce__(self) -> tuple[object, ...]:
        """Travel between processes by message: the constructors of some subclasses compose it."""
        return _restore, (type(self), self.args), self.__dict__


class InvalidValueError(AvkdError, ValueError):
    """A value that the user gave breaks a rule."""

    exit_code = 2


class UnknownNameError(InvalidValueError):
    """A name that no registry holds; the message offers the close matches."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        """Compose the message from the kind of thing, the name given and the names there are."""
        names = sorted(known)
        close = get_close_matches(name, names, n=3, cutoff=0.5)
        more = f" and {len(names) - 20} more" if len(names) > 20 else ""
        listed = f"known: {', '.join(names[:20])}{more}" if names else "there is none"
        hint = f"did you mean {' or '.join(close)}?" if close else listed
        super().__init__(f"unknown {kind} {name!r}; {hint}")


class CorpusError(InvalidValueError):
    """The corpus cannot be read as a table of recordings."""


class StoreNotFoundError(AvkdError, FileNotFoundError):
    """There is no store, or no run, where one was asked for."""

    exit_code = 3


class SchemaVersionError(AvkdError):
    """The store follows a schema that this version of avkd does not know."""

    exit_code = 3


class FingerprintMismatchError(AvkdError):
    """A store holds targets of another teacher under the same name."""

    exit_code = 4


class CorruptStoreError(AvkdError):
    """Stored bytes are missing or differ from what their commit says."""

    exit_code = 5


class StoreUnwritableError(AvkdError, OSError):
    """The store cannot be written."""

    exit_code = 6


class TooManyFailuresError(AvkdError):
    """More clips failed than the run allows."""

    exit_code = 7


class MediaError(AvkdError):
    """A media file could not be decoded as asked.

    ``status`` is the state its row takes: ``decode_error``, ``no_video``, ``no_audio``, ...
    """

    def __init__(self, status: str, reason: str) -> None:
        """Keep the row's status beside the reason."""
        super().__init__(reason)
        self.status = status
        self.reason = reason


class InterruptedRunError(AvkdError):
    """A signal stopped the run at a point from which the same command goes on."""

    exit_code = 75


def _restore(kind: type[AvkdError], args: tuple[object, ...]) -> AvkdError:
    error = kind.__new__(kind)
    error.args = args
    return error


class CommandFailedError(AvkdError):
    """A command that a larger run started ended with another code than 0."""

    def __init__(self, message: str, exit_code: int) -> None:
        """Keep the code with which the command ended."""
        super().__init__(message)
        self.exit_code = exit_code
