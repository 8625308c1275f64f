"""Reports from before this database: their topic keeps them for ever, and a consumer group reads each of them once."""

from collections.abc import Iterable

from services.portal.read_model import read, save_reports
from services.portal.store import Store
from shared.contract.envelope import Undecodable
from shared.contract.reports import ReportReady
from shared.contract.topics import REPORTS
from shared.runtime.batches import where
from shared.runtime.logs import log
from shared.runtime.reading import WholeTopic
from shared.runtime.records import Record
from shared.runtime.settings import ServiceSettings


async def take_in_old_reports(settings: ServiceSettings, store: Store) -> None:
    """Read all reports that were ever published, and keep those that are not there. Raises KafkaError, DatabaseAway."""
    topic = WholeTopic(settings, REPORTS.name)
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
            log.error("an old report cannot be read", offset=record.offset, reason=where(error))
            continue
        if isinstance(ready, ReportReady):
            reports.append(ready)
    return reports
