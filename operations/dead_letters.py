"""`claimbus dead-letters`: what could not be read, why, and sending it again after a fix."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer
from confluent_kafka import KafkaError, KafkaException, Producer
from pydantic import ValidationError

from operations.connection import Connection, Unreachable, load_connection
from operations.options import AsJson, ConnectionFile, err, fail, out, print_json
from operations.records import read_all
from shared.contract.dead_letters import DeadLetter, DeadLetterClosed, LetterAction
from shared.contract.envelope import Headers, Outgoing, Undecodable, outgoing, read_internal_envelope
from shared.contract.topics import DEAD_LETTERS, OPERATOR

_TIMEOUT_S = 15.0
_POLL_S = 0.1

app = typer.Typer(help="What could not be read, why, and sending it again after a fix.", no_args_is_help=True)

Letters = Annotated[list[str], typer.Argument(help="The ids of the letters, <topic>/<partition>/<offset>.")]


class UnknownLetter(Exception):
    """There is no open dead letter with this id, or none that could be sent again."""


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
        for letter in letters:
            if letter.cut or (letter.value is None and not letter.headers):
                raise UnknownLetter(f"{letter.id} is not kept whole here, so it cannot be sent again")
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
def list_letters(connection_file: ConnectionFile = None, as_json: AsJson = False) -> None:
    """List what could not be read and waits for somebody."""
    with _reporting_failures():
        letters = DeadLetters(load_connection(connection_file)).open()
    if as_json:
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
def replay(letters: Letters, connection_file: ConnectionFile = None, as_json: AsJson = False) -> None:
    """Send letters to their topics again, after a fix. A request's moment is then that of the replay (rule 4)."""
    with _reporting_failures():
        topic = DeadLetters(load_connection(connection_file))
        found = topic.find(letters)
        topic.replay(found)
    _done("replayed", found, as_json)


@app.command()
def discard(letters: Letters, connection_file: ConnectionFile = None, as_json: AsJson = False) -> None:
    """Note that letters need nothing."""
    with _reporting_failures():
        topic = DeadLetters(load_connection(connection_file))
        found = topic.find(letters)
        topic.discard(found)
    _done("discarded", found, as_json)


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
    except (Unreachable, UnknownLetter) as error:
        fail(error)
    except KafkaException as error:
        fail(f"the brokers do not take it: {error.args[0].str()}")


def _done(action: str, letters: Sequence[DeadLetter], as_json: bool) -> None:
    if as_json:
        print_json({action: [letter.id for letter in letters]})
    else:
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
