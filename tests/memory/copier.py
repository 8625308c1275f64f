"""A service that copies texts, for tests of what carries messages; it imports nothing of OpenTelemetry."""

from collections.abc import Iterable, Sequence

from shared.contract.envelope import Outgoing, Undecodable
from shared.contract.topics import Topic
from shared.messaging.loop import Concurrency
from shared.messaging.memory import MemoryBus
from shared.messaging.record import Record
from shared.messaging.service import Bus, Service
from shared.runtime.settings import ServiceSettings

SOURCE, TARGET = Topic("texts", "any", (), (), -1, 1), "copies"
SPAN = "b7ad6b7169203331"


class Copier:
    """A service that copies texts, and trips over what it is told to."""

    def __init__(self, concurrency: Concurrency | None = None) -> None:
        self.concurrency = concurrency

    def build(self, bus: Bus) -> Service:
        settings = ServiceSettings(
            batches_apart_s=0, commits_apart_s=0, retry_first_s=0.001, session_timeout_ms=1000, stop_timeout_s=1
        )
        service = Service("copier", settings, bus)

        @service.subscriber(SOURCE, decode=read_text, concurrency=self.concurrency)
        async def copy(texts: Sequence[str | None]) -> Iterable[Outgoing]:
            if "trips" in texts:
                raise KeyError
            return [Outgoing(TARGET, text, (), b"") for text in texts if text is not None]

        return service


def read_text(record: Record) -> str | None:
    text = (record.value or b"").decode()
    if text.startswith("?"):
        raise Undecodable("it is a question")
    return None if text == "of no interest" else text


def texts_on(bus: MemoryBus, *texts: str) -> None:
    for topic in (SOURCE.name, TARGET):
        bus.create(topic)
    for number, text in enumerate(texts):
        headers = [("ce_id", text.encode()), ("traceparent", f"00-{number + 1:032x}-{SPAN}-01".encode())]
        bus.append(SOURCE.name, text, text.encode(), headers)
