"""What was typed when a session had ended, on a real PostgreSQL: kept for its user, for a day."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.portal.media_store import MediaTables
from services.portal.store import KeptForm, Store
from services.portal.sweeping import Sweeper
from services.portal.uploads import UploadSettings
from shared.storage.media_store import MediaStore
from tests.integration.conftest import Databases, engine_of

FORM = KeptForm(
    "1", "kari", "/saker/1/avbryt", [("reason", "Vann\r\n\x00 🌊"), ("reason", ""), ("request_id", "portal:1")]
)


@pytest.fixture
async def store(databases: Databases) -> AsyncIterator[Store]:
    """A store on an empty database."""
    async with engine_of(await databases.empty("services.portal")) as engine:
        yield Store(engine)


async def test_a_form_is_kept_as_it_was_typed_and_for_its_user_alone(store: Store) -> None:
    await store.keep_form(FORM)
    assert await store.kept_form("1", "kari") == FORM
    assert await store.kept_form("1", "per") is None
    assert await store.kept_form("2", "kari") is None


async def test_a_form_that_nobody_came_back_for_is_forgotten_after_a_day(store: Store, tmp_path: Path) -> None:
    await store.keep_form(FORM)
    files = MediaStore.at(tmp_path.as_uri())
    sweeper = Sweeper(MediaTables(store._engine), files, UploadSettings(), store, timedelta(hours=12))
    await sweeper.sweep(datetime.now(UTC) + timedelta(hours=23))
    assert await store.kept_form("1", "kari") == FORM
    await sweeper.sweep(datetime.now(UTC) + timedelta(hours=25))
    assert await store.kept_form("1", "kari") is None
