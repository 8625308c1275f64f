"""The directory as operators' commands see it: from a file, or from the bus as it is now."""

from collections.abc import Iterator

from operations.connection import Connection
from operations.directory_file import DirectoryFile
from operations.records import read_all
from shared.contract.directory_events import EVENT_OF
from shared.contract.requests import DirectoryRequest
from shared.contract.topics import DIRECTORY, OPERATOR
from shared.domain.directory import BEGINNING, Directory
from shared.recorded_directory import apply_record


def directory_from_file(file: DirectoryFile) -> Directory:
    """The directory that a file describes, in force since ever."""
    directory = Directory()
    for number, (sender, request) in enumerate(_requests(file)):
        event, part = EVENT_OF[type(request)]
        about = {
            "company": sender,
            "request_id": str(number),
            "request_type": request.type(),
            "requested_at": BEGINNING,
        }
        directory.apply(event.model_validate({**about, part: request}), BEGINNING)
    return directory


def _requests(file: DirectoryFile) -> Iterator[tuple[str, DirectoryRequest]]:
    for entry in file.companies:
        yield OPERATOR, entry.registration()
        yield from ((OPERATOR, office) for office in entry.office_registrations())
        yield from ((OPERATOR, user) for user in entry.user_registrations())
        settings = entry.settings_request()
        if settings is not None:
            yield entry.id, settings
        yield from ((entry.id, permission) for permission in entry.permission_requests())


def directory_from_bus(connection: Connection) -> Directory:
    """Read the topic `directory` to its end. Raises Unreachable."""
    directory = Directory()
    for record in read_all(connection, DIRECTORY.name):
        apply_record(directory, record)
    return directory
