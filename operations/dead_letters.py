"""`claimbus dead-letters`: what could not be read, why, and sending it again after a fix."""

import contextlib
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import click
import typer
from confluent_kafka import KafkaError, KafkaException, Producer
from pydantic import BaseModel, ConfigDict, ValidationError

from operations.connection import Connection, Unreachable, load_connection
from operations.options import AsJson, ConnectionFile, err, fail, out, print_json
from operations.printing import json_text
from operations.records import read_all
from shared.contract.dead_letters import DeadLetter, DeadLetterClosed, LetterAction
from shared.contract.envelope import Headers, Outgoing, Undecodable, details_of, outgoing, read_internal_envelope
from shared.contract.topics import DEAD_LETTERS, OPERATOR, REQUESTS, company_of_requests

_TIMEOUT_S = 15.0
_POLL_S = 0.1

app = typer.Typer(help="What could not be read, why, and sending it again after a fix.", no_args_is_help=True)

Letters = Annotated[list[str], typer.Argument(help="The ids of the letters, <topic>/<partition>/<offset>.")]
SomeLetters = Annotated[
    list[str] | None,
    typer.Argument(help="The ids of the letters, <topic>/<partition>/<offset>; or choose them with the options."),
]
Of = Annotated[str | None, typer.Option("--of", metavar="COMPANY", help="Only what this company has sent.")]
By = Annotated[str | None, typer.Option("--by", metavar="SERVICE", help="Only what this service has put aside.")]
Because = Annotated[
    str | None, typer.Option("--because", metavar="TEXT", help="Only those whose reason has this text in it.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only list which letters these are.")]


class UnknownLetter(Exception):
    """There is no open dead letter with this id, or none that could be sent again."""


class NotALetter(Exception):
    """What somebody has written in the place of a letter cannot be sent."""


class NothingChosen(Exception):
    """It is not said which letters, or in two ways."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which letters; what is None leaves all."""

    of: str | None = None
    by: str | None = None
    because: str | None = None

    def __bool__(self) -> bool:
        return any((self.of, self.by, self.because))

    def includes(self, letter: DeadLetter) -> bool:
        """Whether a letter is among them."""
        return (
            self.of in (None, company_of(letter))
            and self.by in (None, letter.service)
            and (self.because or "").casefold() in letter.reason.casefold()
        )


def company_of(letter: DeadLetter) -> str:
    """The company that has sent a letter; of what services have sent to each other, nothing."""
    topic = letter.source_topic
    return company_of_requests(topic) if topic.startswith(REQUESTS.prefix) else ""


class DeadLetters:
    """The topic `dead-letters`: letters, and notes that a letter was replayed or discarded."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def open(self) -> list[DeadLetter]:
        """The letters that were neither replayed nor discarded, in the order in which they came."""
        letters: dict[str, DeadLetter] = {}
        for record in read_all(self._connection, DEAD_LETTERS.name):
            try:
                envelope = read_internal_envelope(record.headers, record.value)
            except Undecodable:
                continue
            with contextlib.suppress(ValidationError):  # of another version, or not one of ours
                if envelope.type == DeadLetter.type():
                    letter = DeadLetter.model_validate_json(envelope.body)
                    letters[letter.id] = letter
                elif envelope.type == DeadLetterClosed.type():
                    letters.pop(DeadLetterClosed.model_validate_json(envelope.body).letter, None)
        return list(letters.values())

    def chosen(self, ids: Sequence[str], choice: Choice) -> list[DeadLetter]:
        """The open letters with these ids, or those that are chosen. Raises UnknownLetter."""
        return self.find(ids) if ids else [letter for letter in self.open() if choice.includes(letter)]

    def chosen_few(self, ids: Sequence[str], choice: Choice) -> list[DeadLetter]:
        """As `chosen`, but never all because nothing was said. Raises NothingChosen too."""
        if bool(ids) == bool(choice):
            raise NothingChosen("say which letters: either by their ids, or with --of, --by and --because")
        return self.chosen(ids, choice)

    def find(self, ids: Sequence[str]) -> list[DeadLetter]:
        """Find open letters. Raises UnknownLetter."""
        open_letters = {letter.id: letter for letter in self.open()}
        for id in ids:
            if id not in open_letters:
                raise UnknownLetter(f"there is no open dead letter {id}")
        return [open_letters[id] for id in ids]

    def wait_for_more_than(self, count: int, timeout_s: float = _TIMEOUT_S) -> list[DeadLetter]:
        """Wait until there are more open letters than so many, and return all; or what there is when time is up."""
        deadline = time.monotonic() + timeout_s
        while len(letters := self.open()) <= count and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        return letters

    def replay(self, letters: Sequence[DeadLetter]) -> None:
        """Send letters to their topics again, as they were; a request's moment is then that of the replay.

        Raises UnknownLetter for one that no client could read, of which we have nothing to send.
        """
        _refuse_what_is_not_whole(letters)
        letters = list({letter.id: letter for letter in letters}.values())
        self._publish([(x.source_topic, x.key, x.headers, x.value) for x in letters])
        self._close(letters, LetterAction.REPLAYED)  # only now: one that the brokers do not take stays open

    def discard(self, letters: Sequence[DeadLetter]) -> None:
        """Note that letters need nothing; they stay on the topic until its time is over."""
        self._close(letters, LetterAction.DISCARDED)

    def _close(self, letters: Sequence[DeadLetter], action: LetterAction) -> None:
        notes = [_closed(letter, action) for letter in letters]
        self._publish([(note.topic, note.key.encode(), note.headers, note.value) for note in notes])

    def _publish(self, messages: Sequence[tuple[str, bytes | None, Headers, bytes | None]]) -> None:
        """Publish and wait until the brokers have all of it. Raises KafkaException."""
        producer = Producer(self._connection.client() | {"acks": "all", "message.max.bytes": 8 * 1024 * 1024})
        errors: list[Any] = []
        for topic, key, headers, value in messages:
            producer.produce(
                topic,
                key=key,
                value=value,
                headers=list(headers),
                on_delivery=lambda error, _: errors.append(error) if error is not None else None,
            )
        if producer.flush(_TIMEOUT_S):
            errors.append(KafkaError(KafkaError._MSG_TIMED_OUT))
        if errors:
            raise KafkaException(errors[0])


@app.command("list")
def list_letters(
    of: Of = None,
    by: By = None,
    because: Because = None,
    counts: Annotated[bool, typer.Option("--counts", help="How many there are, by company and reason.")] = False,
    connection_file: ConnectionFile = None,
    as_json: AsJson = False,
) -> None:
    """List what could not be read and waits for somebody."""
    with _reporting_failures():
        letters = DeadLetters(load_connection(connection_file)).chosen((), Choice(of, by, because))
    if counts:
        _print_counts(letters, as_json)
    elif as_json:
        print_json([_document(letter) for letter in letters])
    elif letters:
        _print_list(letters)
    else:
        err.print("no dead letters")


@app.command()
def show(letters: Letters, connection_file: ConnectionFile = None, as_json: AsJson = False) -> None:
    """Show letters with their headers and body; they can hold personal data."""
    with _reporting_failures():
        found = DeadLetters(load_connection(connection_file)).find(letters)
    if as_json:
        print_json([_document(letter, whole=True) for letter in found])
    else:
        _print_whole(found)


@app.command()
def replay(
    letters: SomeLetters = None,
    of: Of = None,
    by: By = None,
    because: Because = None,
    dry_run: DryRun = False,
    connection_file: ConnectionFile = None,
    as_json: AsJson = False,
) -> None:
    """Send letters to their topics again, after a fix. A request's moment is then that of the replay (rule 4)."""
    with _reporting_failures():
        topic = DeadLetters(load_connection(connection_file))
        found = topic.chosen_few(letters or (), Choice(of, by, because))
        if not dry_run:
            topic.replay(found)
    _done("would be replayed" if dry_run else "replayed", found, as_json, dry_run)


@app.command()
def discard(
    letters: SomeLetters = None,
    of: Of = None,
    by: By = None,
    because: Because = None,
    dry_run: DryRun = False,
    connection_file: ConnectionFile = None,
    as_json: AsJson = False,
) -> None:
    """Note that letters need nothing."""
    with _reporting_failures():
        topic = DeadLetters(load_connection(connection_file))
        found = topic.chosen_few(letters or (), Choice(of, by, because))
        if not dry_run:
            topic.discard(found)
    _done("would be discarded" if dry_run else "discarded", found, as_json, dry_run)


@app.command()
def edit(
    letter: Annotated[str, typer.Argument(help="The letter's id, <topic>/<partition>/<offset>.")],
    connection_file: ConnectionFile = None,
    as_json: AsJson = False,
) -> None:
    """Put a letter right in an editor ($VISUAL, $EDITOR), and send it to its topic instead of as it was."""
    with _reporting_failures():
        topic = DeadLetters(load_connection(connection_file))
        (found,) = topic.find([letter])
        _refuse_what_is_not_whole([found])
        edited = _edited(found)
        if edited is None:
            fail("it was not changed, so it is not sent")
        topic.replay([edited])
    _done("replayed", [found], as_json)


def _edited(letter: DeadLetter) -> DeadLetter | None:
    """Have somebody change a letter's key, headers and body; None if nothing was changed. Raises NotALetter."""
    try:
        as_text = {
            "key": letter.key and letter.key.decode(),
            "headers": [[name, value.decode()] for name, value in letter.headers],
            "value": letter.value and letter.value.decode(),
        }
    except UnicodeDecodeError:
        raise NotALetter(f"{letter.id} is not UTF-8, so it cannot be changed as a text") from None
    before = json_text(as_text)
    after = click.edit(before + "\n", extension=".json", require_save=True)
    if after is None or after.strip() == before.strip():
        return None
    try:
        wanted = _Changed.model_validate_json(after)
    except ValidationError as error:
        first = details_of(error)[0]
        raise NotALetter(f"what was written is not sent: {first.field}: {first.problem}") from None
    return letter.model_copy(
        update={
            "key": None if wanted.key is None else wanted.key.encode(),
            "headers": [(name, value.encode()) for name, value in wanted.headers],
            "value": None if wanted.value is None else wanted.value.encode(),
        }
    )


class _Changed(BaseModel):
    """A letter as somebody has changed it."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    key: str | None
    headers: list[tuple[str, str]]
    value: str | None


def _print_counts(letters: Sequence[DeadLetter], as_json: bool) -> None:
    counts = Counter((company_of(letter), letter.service, letter.reason) for letter in letters).most_common()
    if as_json:
        names = ("company", "service", "reason")
        print_json([dict(zip(names, about, strict=True)) | {"letters": count} for about, count in counts])
        return
    for (company, service, reason), count in counts:
        out.print(f"{count:>6}  {company or 'our own'}  {service}: {reason}")


def _print_list(letters: Sequence[DeadLetter]) -> None:
    for letter in letters:
        at = letter.appended_at.isoformat(timespec="seconds")
        out.print(f"{letter.id}  {at}  {letter.service}: {letter.reason}")


def _print_whole(letters: Sequence[DeadLetter]) -> None:
    for letter in letters:
        document = _document(letter, whole=True)
        body, headers = document.pop("value"), document.pop("headers")
        for name, value in document.items():
            out.print(f"{name}: {value}")
        for name, value in headers:
            out.print(f"  {name}: {value}")
        out.print(*(body or "").split("\n"), sep="\n")


@contextlib.contextmanager
def _reporting_failures() -> Iterator[None]:
    try:
        yield
    except (Unreachable, UnknownLetter, NothingChosen, NotALetter) as error:
        fail(error)
    except KafkaException as error:
        fail(f"the brokers do not take it: {error.args[0].str()}")


def _refuse_what_is_not_whole(letters: Sequence[DeadLetter]) -> None:
    for letter in letters:
        if letter.cut or (letter.value is None and not letter.headers):
            raise UnknownLetter(f"{letter.id} is not kept whole here, so it cannot be sent again")


def _done(action: str, letters: Sequence[DeadLetter], as_json: bool, dry_run: bool = False) -> None:
    if as_json:
        print_json({action: [letter.id for letter in letters]})
    else:
        if dry_run:
            _print_list(letters)
        err.print(f"{action} {len(letters)}")


def _document(letter: DeadLetter, *, whole: bool = False) -> dict[str, Any]:
    document: dict[str, Any] = {
        "id": letter.id,
        "appended_at": letter.appended_at.isoformat(),
        "service": letter.service,
        "reason": letter.reason,
    }
    if whole:
        document |= {
            "key": _text(letter.key),
            "headers": [[name, _text(value)] for name, value in letter.headers],
            "value": _text(letter.value),
        }
    return document


def _text(content: bytes | None) -> str | None:
    return None if content is None else content.decode(errors="backslashreplace")


def _closed(letter: DeadLetter, action: LetterAction) -> Outgoing:
    return outgoing(
        DEAD_LETTERS.name,
        letter.source_topic,
        DeadLetterClosed(letter=letter.id, action=action),
        id=f"{letter.id}/{action}",
        source=OPERATOR,
        cause=letter.id,
    )
