"""A service's own PostgreSQL: its pool, its transactions, and the version that it must have."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from asyncpg import ClientConfigurationError
from asyncpg import InterfaceError as DriverError
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from shared.errors import Conflict, Misconfigured, TryAgain
from shared.runtime.logs import log
from shared.runtime.settings import DatabaseSettings

_THE_MESSAGE = ("22", "54")
"""Classes of SQLSTATE that say that what was sent cannot be kept."""
_OUR_TABLES = "42"
"""The class of a table, column or right that is not there: only a deployment mends that."""
SESSION = {
    # An instance that hangs or is cut off in the middle of a transaction holds the keys that it has written, and
    # whoever takes over its partitions writes the same ones: the server ends it, and the other goes on.
    "idle_in_transaction_session_timeout": "5s",
    "transaction_timeout": "15s",  # it may hang between the messages of a statement, and then is not idle
    "lock_timeout": "20s",
}
OUTDATED = "database_not_migrated"
"""The code of a database that is older than a service needs."""
_SAME_KEY = "23505"
_LOST_A_RACE = "40"
"""The class of deadlocks and serialization failures."""


class DatabaseAway(TryAgain):
    """The database cannot be reached, is full, is being stopped, or is not the one we need: try again."""


def reason_of(error: Exception) -> str:
    """What kind of error it is, for a log, and why a database is away."""
    why = str(error) if isinstance(error, DatabaseAway) else ""
    return f"{type(error).__name__}: {why}" if why else type(error).__name__


class DatabaseOutdated(TryAgain):
    """The database must be migrated first: `claimbus migrate`."""


def engine_for(settings: DatabaseSettings, *, connections: int = 4, ask_first: bool = True) -> AsyncEngine:
    """Make the connection pool, of at most so many connections.

    Each transaction asks first whether its connection still works, which costs a round trip; what tries again anyway
    need not.
    """
    url = make_url(settings.database_url.get_secret_value()).set(drivername="postgresql+asyncpg")
    return create_async_engine(
        url,
        pool_size=2,
        max_overflow=connections - 2,
        pool_pre_ping=ask_first,
        pool_timeout=10,
        hide_parameters=True,  # an error's text would hold what somebody wrote in a claim
        connect_args={"server_settings": SESSION},
    )


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Commit what is done inside, or nothing.

    Raises DatabaseAway, Conflict if another transaction was there first, and Misconfigured if the tables are not those
    that this version needs; that a value cannot be kept is raised as SQLAlchemy has it.
    """
    try:
        async with engine.begin() as connection:
            yield connection
    except IntegrityError as error:
        if getattr(error.orig, "sqlstate", None) != _SAME_KEY:
            raise
        raise Conflict from error
    except PoolTimeoutError as error:
        raise DatabaseAway("no connection of the pool is free") from error
    except DBAPIError as error:
        if cannot_be_kept(error):
            raise
        state = getattr(error.orig, "sqlstate", None) or ""
        if state.startswith(_LOST_A_RACE):
            raise Conflict from error
        if state.startswith(_OUR_TABLES):
            raise Misconfigured(f"the database is not as this version needs it: {_named(error)}") from error
        raise DatabaseAway(_named(error)) from error


def cannot_be_kept(error: DBAPIError) -> bool:
    """Whether an error says that a value is one that PostgreSQL has no place for.

    The driver says so itself of what it cannot write, such as a moment in the year 0: it has not asked the server then.
    """
    state, cause = getattr(error.orig, "sqlstate", None) or "", getattr(error.orig, "__cause__", None)
    unwritable = isinstance(cause, DriverError) and isinstance(cause, ValueError)
    return state.startswith(_THE_MESSAGE) or (unwritable and not isinstance(cause, ClientConfigurationError))


def _named(error: DBAPIError) -> str:
    """Name what the driver raised, with PostgreSQL's code for it; its text may hold personal data."""
    cause = getattr(error.orig, "__cause__", None) or error.orig
    return f"{type(cause).__name__} {getattr(error.orig, 'sqlstate', None) or ''}".rstrip()


async def ping(engine: AsyncEngine) -> None:
    """Raise DatabaseAway or OSError unless the database answers."""
    async with transaction(engine) as connection:
        await connection.execute(text("select 1"))


async def version_of(connection: AsyncConnection) -> str | None:
    """Find the last migration; None if there was none yet."""
    if await connection.scalar(text("select to_regclass('alembic_version')")) is None:
        return None
    version: str | None = await connection.scalar(text("select version_num from alembic_version"))
    return version


class NeededVersion:
    """Has a service wait until its database was migrated, and says so in its log and its health meanwhile."""

    def __init__(self, engine: AsyncEngine, service: str, version: str) -> None:
        """`version` is the least that will do: a newer database serves older services too."""
        self._engine = engine
        self._service = service
        self._version = version
        self._missing: str | None = None

    async def check(self) -> None:
        """Raise DatabaseOutdated, or DatabaseAway, unless the database has the version."""
        async with transaction(self._engine) as connection:
            version = await version_of(connection)
        if version is not None and version >= self._version:
            self._missing = None
            return
        found = "has no tables" if version is None else f"is at version {version}"
        missing = f"it {found} and {self._version} is needed: run `claimbus migrate {self._service}`"
        if missing != self._missing:
            log.error("the database must be migrated", code=OUTDATED, reason=missing)
        self._missing = missing
        raise DatabaseOutdated(missing)

    def notes(self) -> Sequence[str]:
        """What the health answer says of it."""
        return [] if self._missing is None else [f"{OUTDATED}: {self._missing}"]
