"""Names to builders, found in a folder or brought by other packages.

A registry knows one package, whose modules it imports once, on the first question, and one
entry-point group, whose entries it loads only when they are asked for by name.
"""

import inspect
import pkgutil
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, ParamSpec, TypeVar

from avkd.errors import InvalidValueError, UnknownNameError

Built = TypeVar("Built")
Options = ParamSpec("Options")


class Registry(Generic[Built]):
    """Builders of one kind of thing, keyed by function name; one file more is one name more."""

    def __init__(self, *, kind: str, package: str, entry_point_group: str) -> None:
        """Remember where to look; nothing is imported before the first question.

        ``kind`` is the word that messages use (``encoder``), ``package`` the dotted name of the
        folder whose modules register builders as they are imported.
        """
        self.kind = kind
        self._package = package
        self._group = entry_point_group
        self._builders: dict[str, Callable[..., Built]] = {}
        self._plugins: dict[str, EntryPoint] = {}
        self._scanned = False

    def register(self, builder: Callable[Options, Built]) -> Callable[Options, Built]:
        """Enter a builder under its own name; used as a decorator.

        Raises:
            InvalidValueError: The name is taken, by this registry's folder or by another package.
        """
        name = builder.__name__
        if name in self._builders:
            self._refuse_duplicate(name, builder.__module__)
        self._builders[name] = builder
        return builder

    def names(self) -> tuple[str, ...]:
        """Every name there is, sorted."""
        self._scan()
        return tuple(sorted({*self._builders, *self._plugins}))

    def get(self, name: str) -> Callable[..., Built]:
        """The builder of that name.

        Raises:
            UnknownNameError: There is none; the message offers the close names.
        """
        self._scan()
        if name in self._builders:
            return self._builders[name]
        if name not in self._plugins:
            raise UnknownNameError(self.kind, name, self.names())
        builder: Callable[..., Built] = self._plugins[name].load()
        self._builders[name] = builder
        return builder

    def build(self, name: str, **options: object) -> Built:
        """Call the builder of that name.

        Raises:
            UnknownNameError: There is no such builder.
            InvalidValueError: The builder does not take one of the options, or misses one.
        """
        builder = self.get(name)
        try:
            inspect.signature(builder).bind(**options)
        except TypeError as error:
            known = ", ".join(inspect.signature(builder).parameters) or "none"
            raise InvalidValueError(
                f"options of {self.kind} {name!r}: {error}; it takes: {known}"
            ) from error
        return builder(**options)

    def _scan(self) -> None:
        if self._scanned:
            return
        package = import_module(self._package)
        for module in pkgutil.iter_modules(package.__path__):
            import_module(f"{self._package}.{module.name}")
        for entry in entry_points(group=self._group):
            if entry.name in self._builders or entry.name in self._plugins:
                self._refuse_duplicate(entry.name, entry.value)
            self._plugins[entry.name] = entry
        self._scanned = True

    def _refuse_duplicate(self, name: str, newcomer: str) -> None:
        holder = (
            self._builders[name].__module__ if name in self._builders else self._plugins[name].value
        )
        raise InvalidValueError(
            f"two {self.kind} builders are called {name!r} ({holder} and {newcomer}); rename one"
        )
