"""Kafka's client, with a pause between its looks for what the brokers have."""

import asyncio
import time
from typing import Any

_PAUSE_S = 0.1


def unhurried(client: Any) -> None:
    """Have a client of aiokafka wait a little before it asks again for the metadata of the same topics.

    While a partition has no leader, because brokers restart or a topic was deleted, its consumers and producers ask
    again as soon as they are answered: a whole processor's work, and as many requests as the brokers can answer. Other
    topics than the last time are asked for at once.
    """
    ask = client._metadata_update
    asked: frozenset[str] | None = None
    asked_at = 0.0

    async def ask_after_a_pause(cluster: Any, topics: Any) -> Any:
        nonlocal asked, asked_at
        now_asked = frozenset(topics or ())
        if now_asked == asked:
            await asyncio.sleep(max(0.0, asked_at + _PAUSE_S - time.monotonic()))
        try:
            return await ask(cluster, topics)
        finally:
            asked, asked_at = now_asked, time.monotonic()

    client._metadata_update = ask_after_a_pause
