"""`claimbus apply`: make the directory file true, with requests that the companies themselves could have sent."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from confluent_kafka import KafkaException

from operations.bus import Company, NewRequest, NoAnswer
from operations.connection import Connection, Unreachable, find_connection_file, load_connection
from operations.directory_file import CompanyEntry, DirectoryFile, read_directory_file
from operations.directory_view import directory_from_bus
from operations.files import WrongFile
from operations.options import AsJson, ConnectionFile, err, fail, out, plain, print_json, sentence_of
from operations.progress import progress_bar
from operations.provisioning import NotProvisioned, missing_topics, provision_companies
from shared.contract.fields import CreationPermission
from shared.contract.requests import DirectoryRequest, RemoveOffice, RemoveUser, SetOfficePermission
from shared.contract.topics import OPERATOR
from shared.domain.companies import Company as RegisteredCompany
from shared.domain.companies import Office, OfficePermission, User
from shared.domain.directory import Directory

T = TypeVar("T")

_LATEST = datetime.max.replace(tzinfo=UTC)
_AT_ONCE = 8
"""How many companies send their requests at the same time."""
COMPANIES_IN_A_PART = 100
REQUESTS_IN_A_PART = 500
_QUIET_S = 120.0
"""After this long without an outcome, nobody will answer any more."""
_LOOK_EVERY_S = 0.2
_MOST_NAMED = 20


class NotApplied(Exception):
    """The permission service refused something, or the connection lacks a password; what was done stays."""


class BrokenOff(Exception):
    """Stopped before the end."""


@dataclass(frozen=True)
class Step:
    """A request that has to be sent, its sender, and what it does in words."""

    sender: str
    request: DirectoryRequest
    sentence: str


@dataclass
class Applied:
    """What was done; filled while it goes on, so that one that is broken off can say how far it came."""

    to_provision: int = 0
    provisioned: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    """All that have to be sent."""
    left_out: list[Step] = field(default_factory=list)
    """What would have to be sent for nothing to be left of what the file leaves out."""
    done: set[int] = field(default_factory=set)
    """Which of them have taken effect."""
    refused: list[str] = field(default_factory=list)

    @property
    def sentences(self) -> list[str]:
        """What took effect, in the order of the steps."""
        return [step.sentence for number, step in enumerate(self.steps) if number in self.done]

    def __str__(self) -> str:
        provisioned = f"{len(self.provisioned)} of {self.to_provision} new companies are provisioned"
        return f"{provisioned}, and {len(self.done)} of {len(self.steps)} requests took effect"


class Onlooker:
    """Follows the progress. This one reports nothing, and gives up when no outcome has come for two minutes."""

    def progress(self, applied: Applied) -> None:
        """See how far it is."""

    def meanwhile(self) -> None:
        """Do something else, in the caller's thread, some times each second."""

    def late(self, what: str, quiet_s: float) -> None:
        """Called, from any thread, when nothing has come for some seconds. Raises NoAnswer to give up."""
        if quiet_s > _QUIET_S:
            raise NoAnswer(f"nothing has come for {quiet_s:.0f} s of {what}")


def apply(
    file: Annotated[Path, typer.Argument(help="The directory file (YAML).")],
    replicas: Annotated[int, typer.Option(min=1, help="Copies of each partition of new companies' topics.")] = 1,
    new_passwords: Annotated[
        bool, typer.Option("--new-passwords", help="Set new passwords of companies that the connection has none of.")
    ] = False,
    remove: Annotated[
        bool,
        typer.Option("--remove", help="Remove what the file leaves out of the companies that it names."),
    ] = False,
    connection_file: ConnectionFile = None,
    as_json: AsJson = False,
) -> None:
    """Register what is missing, change what differs, provision users and topics; what already holds is left alone.

    However much it is: it goes in parts, and when it was broken off, the same command does the rest.
    """
    applied = Applied()
    try:
        with err.status(plain(f"reading {file.name}")):
            wanted = read_directory_file(file)
            connection = load_connection(connection_file)
        with _Bar() as bar:
            apply_directory(
                connection,
                wanted,
                find_connection_file(connection_file),
                replicas=replicas,
                new_passwords=new_passwords,
                remove=remove,
                onlooker=bar,
                applied=applied,
            )
    except KeyboardInterrupt:
        fail(f"broken off: {applied}. {_GOES_ON}")
    except (WrongFile, Unreachable) as error:
        fail(error)
    except (NotProvisioned, NotApplied, NoAnswer, KafkaException, OSError) as error:
        fail(f"{sentence_of(error)}\n{applied}. {_GOES_ON}")
    if as_json:
        left_out = [step.sentence for step in applied.left_out]
        print_json({"provisioned": applied.provisioned, "done": applied.sentences, "left_out": left_out})
        return
    for company in applied.provisioned:
        out.print(f"provisioned {company}: user, topics, rights, quota")
    for sentence in applied.sentences:
        out.print(sentence)
    if not applied.provisioned and not applied.steps:
        out.print("everything in the file holds already")
    if applied.left_out:
        out.print("this is not in the file, and stays; with --remove it would have")
        for step in applied.left_out[:_MOST_NAMED]:
            out.print(f"  {step.sentence}")
        if len(applied.left_out) > _MOST_NAMED:
            out.print(f"  and {len(applied.left_out) - _MOST_NAMED} more")


_GOES_ON = "What was done stays; the same command does the rest"


class _Bar(Onlooker):
    """Shows it as a bar on standard error."""

    def __init__(self) -> None:
        self._bar = progress_bar()
        self._provisioning = self._bar.add_task("companies provisioned", total=None, visible=False)
        self._sending = self._bar.add_task("requests answered", total=None, visible=False)
        self._open = ExitStack()

    def __enter__(self) -> "_Bar":
        self._open.enter_context(self._bar)
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def progress(self, applied: Applied) -> None:
        """Move the bars."""
        for task, done, total in (
            (self._provisioning, len(applied.provisioned), applied.to_provision),
            (self._sending, len(applied.done), len(applied.steps)),
        ):
            self._bar.update(task, completed=done, total=total, visible=bool(total))


def apply_directory(
    connection: Connection,
    wanted: DirectoryFile,
    connection_file: Path | None,
    *,
    replicas: int = 1,
    new_passwords: bool = False,
    remove: bool = False,
    onlooker: Onlooker | None = None,
    applied: Applied | None = None,
    companies_in_a_part: int = COMPANIES_IN_A_PART,
    requests_in_a_part: int = REQUESTS_IN_A_PART,
) -> Applied:
    """Make a directory file true, in parts; return what was done, also in `applied` while it goes on.

    Passwords of new companies are put in the connection, and in its file if there is one. Raises Unreachable,
    NotProvisioned, NotApplied or NoAnswer; what was done until then stays, and the next call does the rest. One
    request that is refused keeps no other from being sent.
    """
    onlooker, applied = onlooker or Onlooker(), applied or Applied()
    directory = directory_from_bus(connection)
    for part in _Provisioning(connection, wanted, connection_file, new_passwords=new_passwords).parts(
        companies_in_a_part, replicas, applied
    ):
        applied.provisioned += part
        onlooker.progress(applied)
        onlooker.meanwhile()
    tokens = {company: access.token_sha256 for company, access in connection.companies.items()}
    applied.left_out = list(left_out(directory, wanted))
    applied.steps = list(needed(directory, wanted, tokens, applied.left_out if remove else ()))
    applied.left_out = [] if remove else applied.left_out
    for sender in {step.sender for step in applied.steps} - set(connection.companies):
        raise NotApplied(f"the connection has no password of {sender}: give its file, or set one by --new-passwords")
    _Sending(connection, onlooker, applied, requests_in_a_part).all()
    return applied


def _in_parts(whole: Sequence[T], size: int) -> list[Sequence[T]]:
    return [whole[begin : begin + size] for begin in range(0, len(whole), size)]


class _Provisioning:
    """Users, rights, quotas and topics of companies that have none yet, or whose password is to be a new one."""

    def __init__(
        self, connection: Connection, wanted: DirectoryFile, connection_file: Path | None, *, new_passwords: bool
    ) -> None:
        self._connection = connection
        self._file = connection_file
        ids = [company.id for company in wanted.companies]
        self._partitions = {company.id: company.partitions for company in wanted.companies if company.partitions}
        without_topics = {name.partition(".")[2] for name in missing_topics(connection, ids)}
        self._new = [company for company in ids if company in without_topics]
        self._existing = [
            company
            for company in ids
            # One that is provisioned, and whose password is not known here, has it in use somewhere else.
            if new_passwords and company not in without_topics and company not in connection.companies
        ]

    def parts(self, size: int, replicas: int, applied: Applied) -> Iterator[Sequence[str]]:
        """Provision them, part by part."""
        applied.to_provision = len(self._new) + len(self._existing)
        for new, companies in ((True, self._new), (False, self._existing)):
            for part in _in_parts(companies, size):
                if new:  # kept before it counts: nobody could tell it after a kill, when the topics are there
                    for company in part:
                        self._connection.access_for(company)
                    self._connection.keep(self._file)
                provision_companies(self._connection, part, replication=replicas, partitions=self._partitions)
                self._connection.keep(self._file)
                yield part


class _Sending:
    """Sends requests in parts, the operator's first: the companies' own are about what it registers."""

    def __init__(self, connection: Connection, onlooker: Onlooker, applied: Applied, size: int) -> None:
        self._connection = connection
        self._onlooker = onlooker
        self._applied = applied
        self._size = size
        self._stop = threading.Event()
        self._news_at = time.monotonic()
        self._failed: list[str] = []

    def all(self) -> None:
        """Send them all. Raises NotApplied where one was refused, NoAnswer where only the bus was in the way."""
        numbered = sorted(enumerate(self._applied.steps), key=lambda step: (step[1].sender != OPERATOR, step[1].sender))
        by_sender = {sender: list(steps) for sender, steps in groupby(numbered, key=lambda step: step[1].sender)}
        self._onlooker.progress(self._applied)
        if OPERATOR in by_sender:
            self._at_once([(OPERATOR, by_sender.pop(OPERATOR))])
        if not self._failed:
            self._at_once(by_sender.items())
        problems = [*self._failed, *self._applied.refused]
        if problems:
            more = [f"and {len(problems) - _MOST_NAMED} more"] if len(problems) > _MOST_NAMED else []
            sentences = "\n".join([*problems[:_MOST_NAMED], *more])
            raise NotApplied(sentences) if self._applied.refused else NoAnswer(sentences)

    def _at_once(self, senders: Iterable[tuple[str, Sequence[tuple[int, Step]]]]) -> None:
        self._news_at = time.monotonic()
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            sent = [threads.submit(self._send, sender, steps) for sender, steps in senders]
            try:
                while wait(sent, timeout=_LOOK_EVERY_S).not_done:
                    self._onlooker.meanwhile()
                    self._onlooker.progress(self._applied)
            except BaseException:  # Ctrl-C too
                self._stop.set()
                for each in sent:
                    each.cancel()
                raise
        for each in sent:
            each.result()
        self._onlooker.progress(self._applied)

    def _send(self, sender: str, steps: Sequence[tuple[int, Step]]) -> None:
        try:
            with Company(self._connection, sender) as company:
                for part in _in_parts(steps, self._size):
                    self._send_part(company, part)
        except BrokenOff:
            return
        except (Unreachable, NoAnswer, KafkaException) as error:
            self._failed.append(f"{sender}: {sentence_of(error)}")

    def _send_part(self, company: Company, part: Sequence[tuple[int, Step]]) -> None:
        requests = {number: NewRequest(step.request.NAME, step.request.json_bytes_as_given()) for number, step in part}
        numbers = {request.id: number for number, request in requests.items()}
        for request, outcome in company.outcomes_of(list(requests.values()), self._late):
            self._news_at = time.monotonic()
            if outcome.accepted:
                self._applied.done.add(numbers[request.id])
            else:
                why = "; ".join(f"{d['field']} {d['problem']}" for d in outcome.body.get("details", []))
                sentence = self._applied.steps[numbers[request.id]].sentence
                self._applied.refused.append(f"{sentence}: refused with {outcome.body['code']} {why}".rstrip())

    def _late(self, what: str) -> None:
        if self._stop.is_set():
            raise BrokenOff
        self._onlooker.late(what, time.monotonic() - self._news_at)


def needed(
    directory: Directory, wanted: DirectoryFile, tokens: Mapping[str, str], removals: Sequence[Step] = ()
) -> Iterator[Step]:
    """What has to be asked for: companies first, then offices, then what refers to them.

    `tokens` are the SHA-256 of the companies' portal tokens, where they are known here; others stay as they are. An
    office is removed when nobody is registered with it any more, and before another company registers it.
    """
    for entry in wanted.companies:
        before = directory.company(entry.id, _LATEST)
        token = tokens.get(entry.id) or (before.token_sha256 if before else None)
        if before != RegisteredCompany(entry.id, entry.name, entry.kind, token):
            registration = entry.registration().model_copy(update={"token_sha256": token})
            yield Step(OPERATOR, registration, f"registered the {entry.kind} {entry.id}")
    moving = {step.request.id for step in removals if isinstance(step.request, RemoveOffice)}
    yield from (step for step in removals if isinstance(step.request, RemoveUser))
    yield from _offices_needed(directory, wanted, lambda office: office not in moving)
    yield from _users_needed(directory, wanted, lambda office: office not in moving)
    yield from (step for step in removals if isinstance(step.request, RemoveOffice))
    yield from _offices_needed(directory, wanted, lambda office: office in moving)
    yield from _users_needed(directory, wanted, lambda office: office in moving)
    for entry in wanted.companies:
        yield from _settings_needed(directory, entry)
    yield from (step for step in removals if isinstance(step.request, SetOfficePermission))


def left_out(directory: Directory, wanted: DirectoryFile) -> Iterator[Step]:
    """What of the companies that the file names it does not have: users, offices, and what insurers permit."""
    users = {entry.id: {user.id for user in entry.users} for entry in wanted.companies}
    for user in directory.users(_LATEST):
        if user.company in users and user.id not in users[user.company]:
            request = RemoveUser(id=user.id, company=user.company)
            yield Step(OPERATOR, request, f"removed the user {user.id} of {user.company}")
    gone: set[str] = set()
    for entry in wanted.companies:
        offices = {each.id for each in entry.offices}
        for office in directory.offices_of(entry.id, _LATEST):
            if office.id not in offices:
                gone.add(office.id)
                removal = RemoveOffice(id=office.id, company=entry.id)
                yield Step(OPERATOR, removal, f"removed the office {office.id} of {entry.id}")
    for entry in wanted.companies:
        permitted = gone | {each.office for each in entry.permissions}  # with an office its permissions end
        for id, permission in directory.permissions_of(entry.id, _LATEST).items():
            if id not in permitted and permission != OfficePermission():
                nothing = SetOfficePermission(
                    office=id,
                    creation=CreationPermission.NEVER,
                    may_assign_to_others=False,
                    may_define_claim_number=False,
                )
                yield Step(entry.id, nothing, f"took from {id} what it may do for {entry.id}")


def _offices_needed(directory: Directory, wanted: DirectoryFile, of: Callable[[str], bool]) -> Iterator[Step]:
    for entry in wanted.companies:
        for office in entry.office_registrations():
            if of(office.id) and directory.office(office.id, _LATEST) != Office(office.id, office.company, office.name):
                yield Step(OPERATOR, office, f"registered the office {office.id} of {entry.id}")


def _users_needed(directory: Directory, wanted: DirectoryFile, at: Callable[[str | None], bool]) -> Iterator[Step]:
    for entry in wanted.companies:
        for user in entry.user_registrations():
            registered = User(user.id, user.company, user.name, user.office, user.email, user.authorisation_level)
            if at(user.office) and directory.user(user.id, _LATEST) != registered:
                yield Step(OPERATOR, user, f"registered the user {user.id} of {entry.id}")


def _settings_needed(directory: Directory, entry: CompanyEntry) -> Iterator[Step]:
    request = entry.settings_request()
    settings = directory.settings(entry.id, _LATEST)
    if request is not None and settings.changed_by(request) != settings:
        yield Step(entry.id, request, f"set the settings of {entry.id}: {', '.join(sorted(request.model_fields_set))}")
    for permission in entry.permission_requests():
        before = directory.permission(entry.id, permission.office, _LATEST)
        if before.changed_by(permission) != before:
            yield Step(
                entry.id, permission, f"permitted {permission.office} to create for {entry.id}: {permission.creation}"
            )
