"""What a service writes while something of it is away can be read."""

import json
import logging
import subprocess
import sys

import pytest
import structlog

from shared.runtime.logs import LinesOfOneSource, RepeatedSentences


def record(name: str, message: str, *values: object) -> logging.LogRecord:
    return logging.LogRecord(name, logging.ERROR, __file__, 1, message, values, None)


def test_a_library_says_a_sentence_once_in_ten_seconds() -> None:
    clock = [0.0]
    repeated = RepeatedSentences("aiokafka", every_s=10, now=lambda: clock[0])

    def says(message: str, *values: object) -> bool:
        return repeated.filter(record("aiokafka.client", message, *values))

    assert says("Unable to connect to %s", 1)
    assert not says("Unable to connect to %s", 2)
    assert says("Unable to update metadata")
    clock[0] = 9.9
    assert not says("Unable to connect to %s", 1)
    clock[0] = 10
    assert says("Unable to connect to %s", 1)


def test_what_we_say_is_always_said() -> None:
    repeated = RepeatedSentences("aiokafka")
    assert all(repeated.filter(record("claimbus", "batch is tried again")) for _ in range(3))


@pytest.mark.promise("What one company sends fills no log, and what is left out of it is counted.", about="running")
def test_of_a_source_a_sentence_is_said_some_times_in_a_while_and_what_is_left_out_is_counted() -> None:
    clock = [0.0]
    lines = LinesOfOneSource(most=3, every_s=10, now=lambda: clock[0])

    def said(event: str, **about: object) -> dict[str, object] | None:
        try:
            return dict(lines(None, "warning", {"event": event, **about}))
        except structlog.DropEvent:
            return None

    of_vest = {"topic": "requests.vest", "reason": "it has no ce_id"}
    assert [said("put aside", offset=n, **of_vest) is None for n in range(1000)] == [False] * 3 + [True] * 997
    assert said("put aside", topic="requests.nord") == {"event": "put aside", "topic": "requests.nord"}
    assert said("message fails", first="requests.vest/1/2") == {"event": "message fails", "first": "requests.vest/1/2"}
    clock[0] = 10
    assert said("put aside", **of_vest) == {"event": "put aside", **of_vest, "left_out": 997}
    assert said("put aside", **of_vest) == {"event": "put aside", **of_vest}
    clock[0] = 20
    assert said("put aside", **of_vest) == {"event": "put aside", **of_vest}


def test_what_is_of_no_source_is_always_said() -> None:
    lines = LinesOfOneSource(most=1)
    assert all(lines(None, "info", {"event": "a report waits"}) for _ in range(3))


_ERRORS = """
import asyncio, logging, os, pydantic, sqlalchemy
from shared.contract.requests import CreateTemporaryClaim
from shared.runtime.logs import configure_logs, log
from shared.runtime.settings import ServiceSettings

configure_logs("claims", "INFO")

def provoke(error):
    try:
        try:
            error()
        except Exception as first:
            raise RuntimeError("Anne Berg") from first
    except RuntimeError as second:
        log.exception("ours")
        logging.getLogger("a library").exception("theirs")
        logging.getLogger("a library").error("theirs", exc_info=second)

def invalid():
    CreateTemporaryClaim.model_validate({"insurer": "Anne Berg"})

def statement():
    engine = sqlalchemy.create_engine("sqlite://", hide_parameters=True)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("select :name from nowhere"), {"name": "Anne Berg"})

async def unretrieved():
    async def fail():
        raise ValueError("Anne Berg")
    asyncio.create_task(fail())
    await asyncio.sleep(0)

for error in (invalid, statement):
    provoke(error)
asyncio.run(unretrieved())
os.environ["CLAIMBUS_HEALTH_PORT"] = "Anne Berg"
try:
    ServiceSettings()
except pydantic.ValidationError as error:
    logging.getLogger("a library").error("it fails: %s", error)
"""


def test_an_error_is_logged_with_its_kind_and_place_and_never_with_its_text_whoever_logs_it() -> None:
    done = subprocess.run([sys.executable, "-c", _ERRORS], capture_output=True, text=True, timeout=60, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["event"] for line in lines[:3]] == ["ours", "theirs", "theirs"]
    assert all("RuntimeError\n  " in line["exception"] and "ValidationError" in line["exception"] for line in lines[:3])
    assert len(lines) == 8
    assert "ValueError" in lines[6]["exception"]
    assert lines[7]["event"] == "it fails: ValidationError"
    assert "Anne" not in done.stdout + done.stderr
