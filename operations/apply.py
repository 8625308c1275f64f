"""`claimbus apply`: make the directory file true, with requests that the companies themselves could have sent."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from confluent_kafka import KafkaException

from operations.bus import Company, NewRequest, NoAnswer
from operations.connection import Connection, Unreachable, find_connection_file, load_connection
from operations.directory_file import CompanyEntry, DirectoryFile, WrongFile, read_directory_file
from operations.directory_view import directory_from_bus
from operations.options import AsJson, ConnectionFile, err, fail, out, print_json
from operations.provisioning import NotProvisioned, missing_topics, provision_companies
from shared.contract.requests import (
    DirectoryRequest,
)
from shared.contract.topics import OPERATOR
from shared.directory import Company as KnownCompany
from shared.directory import Directory, Office, User

_LATEST = datetime.max.replace(tzinfo=UTC)
_AT_ONCE = 8
"""So many companies send their requests at the same time."""


class NotApplied(Exception):
    """The permission service refused, or did not answer."""


@dataclass(frozen=True)
class Step:
    """A request that has to be sent, by whom, and how a person would say it."""

    sender: str
    request: DirectoryRequest
    said: str


def apply(
    file: Annotated[Path, typer.Argument(help="The directory file (YAML).")],
    replicas: Annotated[int, typer.Option(min=1, help="Copies of each partition of new companies' topics.")] = 1,
    new_passwords: Annotated[
        bool, typer.Option("--new-passwords", help="Set new passwords of companies that the connection has none of.")
    ] = False,
    connection_file: ConnectionFile = None,
    as_json: AsJson = False,
) -> None:
    """Register what is missing, change what differs, provision users and topics; what already holds is left alone."""
    try:
        wanted = read_directory_file(file)
        connection = load_connection(connection_file)
        with err.status(f"applying {file.name}"):
            provisioned, steps = apply_directory(
                connection,
                wanted,
                find_connection_file(connection_file),
                replicas=replicas,
                new_passwords=new_passwords,
            )
    except (WrongFile, Unreachable, NotProvisioned, NotApplied, NoAnswer, KafkaException) as error:
        fail(error)
    if as_json:
        print_json({"provisioned": provisioned, "done": [step.said for step in steps]})
        return
    for company in provisioned:
        out.print(f"provisioned {company}: user, topics, rights, quota", markup=False)
    for step in steps:
        out.print(step.said, markup=False)
    if not provisioned and not steps:
        out.print("everything in the file holds already")


def apply_directory(
    connection: Connection,
    wanted: DirectoryFile,
    connection_file: Path | None,
    *,
    replicas: int = 1,
    new_passwords: bool = False,
) -> tuple[list[str], list[Step]]:
    """Make a directory file true; tell the companies that were provisioned and the requests that were sent.

    Passwords of new companies are put in the connection, and in its file if there is one. Raises Unreachable,
    NotProvisioned, NotApplied or NoAnswer; what was done until then stays, and the next call does the rest.
    """
    ids = [company.id for company in wanted.companies]
    known = directory_from_bus(connection)
    without_topics = set(missing_topics(connection, ids))
    provisioned = [
        company
        for company in ids
        # One that is provisioned, and whose password is not known here, has it in use somewhere else.
        if any(topic.endswith(f".{company}") for topic in without_topics)
        or (new_passwords and company not in connection.companies)
    ]
    provision_companies(connection, provisioned, replication=replicas)
    if provisioned and connection_file is not None:
        connection.save(connection_file)
    tokens = {company: access.token_sha256 for company, access in connection.companies.items()}
    steps = list(needed(known, wanted, tokens))
    for sender in {step.sender for step in steps} - set(connection.companies):
        raise NotApplied(f"the connection has no password of {sender}: give its file, or set one by --new-passwords")
    if registrations := [step for step in steps if step.sender == OPERATOR]:
        _send(connection, OPERATOR, registrations)  # first: the companies' own requests are about what it registers
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        companies = [sender for sender in dict.fromkeys(step.sender for step in steps) if sender != OPERATOR]
        sent = [threads.submit(_send, connection, c, [s for s in steps if s.sender == c]) for c in companies]
        for each in sent:
            each.result()
    return provisioned, steps


def needed(known: Directory, wanted: DirectoryFile, tokens: Mapping[str, str]) -> Iterator[Step]:
    """Tell what has to be asked for: companies first, then offices, then what refers to them.

    `tokens` are the SHA-256 of the companies' portal tokens, where they are known here; others stay as they are.
    """
    for entry in wanted.companies:
        before = known.company(entry.id, _LATEST)
        token = tokens.get(entry.id) or (before.token_sha256 if before else None)
        if before != KnownCompany(entry.id, entry.name, entry.kind, token):
            registration = entry.registration().model_copy(update={"token_sha256": token})
            yield Step(OPERATOR, registration, f"registered the {entry.kind} {entry.id}")
    for entry in wanted.companies:
        for office in entry.office_registrations():
            if known.office(office.id, _LATEST) != Office(office.id, office.company, office.name):
                yield Step(OPERATOR, office, f"registered the office {office.id} of {entry.id}")
    for entry in wanted.companies:
        for user in entry.user_registrations():
            as_known = User(user.id, user.company, user.name, user.office, user.email, user.authorisation_level)
            if known.user(user.id, _LATEST) != as_known:
                yield Step(OPERATOR, user, f"registered the user {user.id} of {entry.id}")
    for entry in wanted.companies:
        yield from _settings_needed(known, entry)


def _settings_needed(known: Directory, entry: CompanyEntry) -> Iterator[Step]:
    request = entry.settings_request()
    settings = known.settings(entry.id, _LATEST)
    if request is not None and settings.changed_by(request) != settings:
        yield Step(entry.id, request, f"set the settings of {entry.id}: {', '.join(sorted(request.model_fields_set))}")
    for permission in entry.permission_requests():
        before = known.permission(entry.id, permission.office, _LATEST)
        if before.changed_by(permission) != before:
            yield Step(
                entry.id, permission, f"permitted {permission.office} to create for {entry.id}: {permission.creation}"
            )


def _send(connection: Connection, sender: str, steps: list[Step]) -> None:
    requests = [NewRequest(step.request.NAME, step.request.json_bytes_as_given()) for step in steps]
    with Company(connection, sender) as company:
        outcomes = company.ask(*requests, timeout_s=30 + len(requests) / 20)
    for step, outcome in zip(steps, outcomes, strict=True):
        if not outcome.accepted:
            why = "; ".join(f"{d['field']} {d['problem']}" for d in outcome.body.get("details", []))
            raise NotApplied(f"{step.said}: refused with {outcome.body['code']} {why}".rstrip())
