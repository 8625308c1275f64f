"""Reports from before this database: their topic keeps them for ever, and a consumer group reads each of them once."""

from collections.abc import Callable, Iterable
from typing import Any

from services.portal.read_model import read, save_reports
from services.portal.store import Store
from shared.contract.envelope import Undecodable
from shared.contract.reports import ReportReady
from shared.contract.topics import REPORTS
from shared.errors import kind_and_place
from shared.messaging.follower import TopicReader
from shared.messaging.record import Record
from shared.messaging.upstream import KafkaConsumer
from shared.runtime.logs import log
from shared.runtime.settings import ServiceSettings


async def save_old_reports(
    settings: ServiceSettings, store: Store, consumer: Callable[..., Any] = KafkaConsumer
) -> None:
    """Read all reports that were ever published, and keep those that are not there. Raises KafkaError, DatabaseAway."""
    topic = TopicReader(settings, REPORTS.name, consumer=consumer)
    try:
        async for records in topic.unread():
            async with store.transaction() as connection:
                await save_reports(connection, _reports_in(records))
    finally:
        await topic.stop()


def _reports_in(records: Iterable[Record]) -> list[ReportReady]:
    reports = []
    for record in records:
        try:
            ready = read(record)
        except Undecodable as error:
            log.error("an old report cannot be read", offset=record.offset, reason=kind_and_place(error))
            continue
        if isinstance(ready, ReportReady):
            reports.append(ready)
    return reports
