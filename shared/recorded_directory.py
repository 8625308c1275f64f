"""What the topic `directory` holds, applied to a directory; whoever reads it, and with whatever client."""

from datetime import UTC, datetime

from shared.contract.directory_events import read_directory_event
from shared.contract.envelope import Undecodable, read_internal_envelope
from shared.domain.directory import Directory
from shared.errors import Misconfigured
from shared.messaging.record import Record


def apply_record(directory: Directory, record: Record) -> None:
    """Apply the next message of the topic `directory`.

    Raises Misconfigured where nobody can tell whose it is: whoever passed it over would decide otherwise than the
    others. One that a newer version wrote holds up the company that it is of, and no other.
    """
    try:
        envelope = read_internal_envelope(record.headers, record.value)
        event = read_directory_event(envelope.type, envelope.body)
    except (Undecodable, ValueError) as error:
        raise Misconfigured(f"message {record.offset} of {record.topic} is broken") from error
    directory.apply(event, datetime.fromtimestamp(record.timestamp / 1000, UTC))
