"""How a process imports what it is made of, and how it runs a service.

For as long as it lives it keeps what it imports: the garbage collector is spared looking through that, which takes a
fifth of the time of importing, and at the end of the process, 100,000 objects later, as much again.

A service is imported without what libraries bring along and no service uses:

| not imported | brought along by | saves each service |
|---|---|---|
| `rich`, and what it imports | structlog, for tracebacks in colour; it can do without | 4 MiB, 40 ms |
| SQLAlchemy's ORM | `sqlalchemy.ext.asyncio`, for its sessions; services use SQLAlchemy Core | 6 MiB, 100 ms |
| 250 countries | `holidays.countries`, of which each module is imported when it is asked for | 8 MiB, 60 ms |
| uvicorn's command, with click | uvicorn, for its command line | 1 MiB, 20 ms |
| plugins of pydantic | pydantic looks through all packages for some | 20 ms |
"""

import contextlib
import gc
import os
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

HELD_BY = "CLAIMBUS_HELD_BY"
"""The environment variable with the descriptor of the pipe that holds a service."""
_OWNERS_ALONE = 0o077
"""Files 0600, folders 0700: media are photos of people's homes."""
_NOT_INSTALLED = "rich"
_EMPTY = (
    "holidays.countries",
    "sqlalchemy.ext.asyncio.scoping",
    "sqlalchemy.ext.asyncio.session",
    "uvicorn.main",
)

_COLLECTED_AFTER = 50_000, 20, 50
"""How many more objects than were freed, and collections of the young and the middle ones, start a collection."""


class _Empty(ModuleType):
    """A module from which any name can be imported, and none can be used; of a package, its modules can."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)


class _Without(MetaPathFinder, Loader):
    """Finds, before all others, what is not to be imported."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, *_: object) -> ModuleSpec | None:
        """Give an empty module, or raise ModuleNotFoundError."""
        if fullname == _NOT_INSTALLED:
            raise ModuleNotFoundError(f"{fullname} is not for services", name=fullname)
        spec = PathFinder.find_spec(fullname, path) if fullname in _EMPTY else None
        if spec is not None:
            spec.loader = self
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Make an empty module."""
        return _Empty(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Leave it empty."""


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Keep the garbage collector from what is imported inside, now and later."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def import_leanly() -> None:
    """Have this process import, from now on, without all that."""
    sys.meta_path.insert(0, _Without())
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")


def spare_the_collector() -> None:
    """Leave what a process has from its start to the end out of every garbage collection, and collect less often.

    A batch makes tens of thousands of objects and leaves none of them in a cycle. By default each 700 of them start a
    collection, and some of those go through all that was ever imported.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECTED_AFTER)


def wait_while_held() -> None:
    """Wait until nobody has the other end of the pipe any more.

    Whoever starts this process before what it needs is there has it import meanwhile.
    """
    if pipe := os.environ.pop(HELD_BY, ""):
        with open(int(pipe), "rb") as held:  # noqa: PTH123
            held.read()


def run(service: str) -> None:
    """Run a service; the process ends with it. What it writes, its user alone can read."""
    os.umask(_OWNERS_ALONE)
    import_leanly()
    with importing():
        build = import_module(f"services.{service}.app").build
        run_service = import_module("shared.messaging.service").run
    wait_while_held()
    run_service(build)
