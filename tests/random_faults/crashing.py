"""A service that at times ends itself at a named place, which no signal from outside would hit.

`python -m tests.random_faults.crashing` runs the service that `CLAIMBUS_USERNAME` names. While the file that
`CRASHING_WHILE` names is there, it ends itself on one in so many publishes, as its content says.
"""

import json
import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from shared.contract.envelope import Outgoing
from shared.messaging.publisher import Publisher
from shared.runtime.process import run

CRASHING_WHILE = "CLAIMBUS_TESTS_CRASHING_WHILE"
PLACES = ("after the transaction and before publishing", "half published", "published and not committed")


def crash_at_times(file: Path, chance: random.Random) -> None:
    """Have everything that this process publishes end it at times, before, in the middle of it, or after."""
    publish = Publisher.publish

    async def publish_and_crash(publisher: Publisher, messages: Sequence[Outgoing]) -> None:
        place = _place(file, chance) if messages else None
        if place == PLACES[0]:
            _end(place)
        if place == PLACES[1]:
            await publish(publisher, messages[: len(messages) // 2])
            _end(place)
        await publish(publisher, messages)
        if place == PLACES[2]:
            _end(place)

    setattr(Publisher, Publisher.publish.__name__, publish_and_crash)


def _place(file: Path, chance: random.Random) -> str | None:
    try:
        one_in = int(file.read_text())
    except OSError:
        return None
    return chance.choice(PLACES) if chance.randrange(one_in) == 0 else None


def _end(place: str) -> None:
    print(json.dumps({"event": place}), file=sys.stderr, flush=True)
    os._exit(137)


if __name__ == "__main__":
    crash_at_times(Path(os.environ[CRASHING_WHILE]), random.Random())
    run(os.environ["CLAIMBUS_USERNAME"])
