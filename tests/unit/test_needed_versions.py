"""The version that a service needs its database to have is the last that its migrations make."""

import pytest
from alembic.script import ScriptDirectory

from operations.services import REGISTRY, WITH_DATABASE
from shared.storage.migrations import needed_version, scripts


@pytest.mark.parametrize("service", WITH_DATABASE)
def test_the_needed_version_is_the_newest(service: str) -> None:
    package = REGISTRY[service].package
    versions = [script.revision for script in ScriptDirectory.from_config(scripts(package)).walk_revisions()]
    assert versions[0] == needed_version(package)
    assert versions == sorted(versions, reverse=True)  # a newer one is known by its number
