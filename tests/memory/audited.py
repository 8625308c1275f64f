"""What `claimbus audit` finds on a bus in memory and in the tables of the services on it."""

from datetime import UTC, datetime

from rich.progress import Progress

from operations.audit.command import Audit, check_all, read_tables
from operations.audit.topics import Reach, TopicSpooler, is_read, spool_directory, spool_reach
from operations.connection import Connection
from shared.audit.spool import Spool
from shared.audit.violations import Tally
from shared.contract.directory_events import DirectoryEvent, read_directory_event
from shared.contract.envelope import read_internal_envelope
from shared.contract.topics import DIRECTORY, SERVICES
from shared.messaging.record import Record, UndecodableRecord
from tests.memory.road import Road


async def audited(road: Road) -> Tally:
    """Audit it as the command does: offsets, messages, tables, and all of it held against each other."""
    bus, spool, found = road.bus, Spool(), Audit()
    committed = {
        service: {(at.topic, at.partition): offset for at, offset in bus.groups[service].committed.items()}
        for service in SERVICES
    }
    logs = {(topic, n): log for topic, its in bus.topics.items() if is_read(topic) for n, log in enumerate(its)}
    reach = Reach(bus.now, committed, {partition: (0, len(log)) for partition, log in logs.items()})
    entries = [(_directory_event(record), _moment(record)) for record in bus.records(DIRECTORY.name)]
    spooler = TopicSpooler(spool, reach, spool_directory(spool, entries))
    for record in (record for log in logs.values() for record in log):
        if isinstance(record, UndecodableRecord):
            spooler.take_unreadable(record.topic, record.partition, record.offset, record.reason)
        else:
            spooler.take_record(record)
    spool_reach(spool, reach)
    progress = Progress(disable=True)
    await read_tables(Connection(bootstrap_servers="", databases=dict(road.databases)), spool, found, progress)
    check_all(spool, entries, found, progress)
    spool.close()
    return found.tally


def _directory_event(record: Record) -> DirectoryEvent:
    envelope = read_internal_envelope(record.headers, record.value)
    return read_directory_event(envelope.type, envelope.body)


def _moment(record: Record) -> datetime:
    return datetime.fromtimestamp(record.timestamp / 1000, UTC)
