"""Tokens for logging in to Kafka: how long one is used, and what is asked for."""

from collections.abc import Iterator

import pytest
from aiokafka.errors import KafkaConnectionError

from shared.runtime.tokens import Tokens
from tests.builders.token_endpoint import TokenEndpoint


@pytest.fixture
def endpoint() -> Iterator[TokenEndpoint]:
    endpoint = TokenEndpoint({"claims": "a secret"})
    yield endpoint
    endpoint.close()


async def test_a_token_is_used_to_its_end_where_the_endpoint_gives_no_other(
    endpoint: TokenEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.runtime.tokens._RENEWED_AFTER", 0.0)  # always tried
    tokens = Tokens(endpoint.url, "", "claims", lambda: "a secret", {})
    first = await tokens.token()
    endpoint.secrets.clear()
    assert await tokens.token() == first
    endpoint.secrets["claims"], endpoint.lives_s = "a secret", 0
    assert await tokens.token() != first
    endpoint.secrets.clear()
    with pytest.raises(KafkaConnectionError):
        await tokens.token()


@pytest.mark.parametrize(("scope", "asked"), [("", []), ("api://kafka/.default", ["api://kafka/.default"])])
async def test_a_scope_is_asked_for_where_there_is_one(endpoint: TokenEndpoint, scope: str, asked: list[str]) -> None:
    tokens = Tokens(endpoint.url, scope, "claims", lambda: "a secret", {})
    assert await tokens.token() == await tokens.token()
    assert endpoint.scopes == [asked]


async def test_an_endpoint_that_is_away_lets_nobody_in(endpoint: TokenEndpoint) -> None:
    tokens = Tokens(endpoint.url, "", "claims", lambda: "a secret", {})
    endpoint.close()
    with pytest.raises(KafkaConnectionError):
        await tokens.token()
