"""`claimbus rotate`: a company gets another password while it works, and nothing that it sends is lost or refused."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from operations.bus import Company
from operations.connection import Connection, read_connection
from tests.world import World, as_json, claimbus, wait_until


@pytest.mark.promise("Rotating a password fails no message: both hold until the old one is ended.", about="running")
def test_rotating_a_companys_password_under_load_fails_no_request(world: World, tmp_path: Path) -> None:
    file, company, stop = tmp_path / "connection.json", world.partner_id, threading.Event()
    world.connection.model_copy(update={"companies_file": None}).save(file)
    created: list[str] = []

    def work() -> None:
        """Over a connection that stays open, and one after the other that is made with what the file says by then."""
        while not stop.is_set():
            with Company(read_connection(file), company) as new:
                for connected in (world.partner, new):
                    (outcome,) = connected.ask(world.creation())
                    assert outcome.accepted, outcome.body
                    created.append(outcome.body["claim_id"])

    with ThreadPoolExecutor(1) as thread:
        load = thread.submit(work)
        try:
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
                old = read_connection(file)
                assert rotate(company, file)["sasl_mechanism"] == mechanism
                assert read_connection(file).companies[company].password != old.companies[company].password
                assert read_connection(file).companies[company].token == old.companies[company].token
                more(created, load.done)
                assert is_let_in(old, company)
                again = claimbus("rotate", company, connection_file=file)
                assert again.returncode == 1
                assert "two passwords" in again.stderr
                assert rotate(company, file, "--finish")["finished"]
                until_refused(old, company)
                more(created, load.done)
                assert rotate(company, file, "--finish")["sasl_mechanism"] == mechanism  # again is nothing new
        finally:
            stop.set()
        load.result()
    assert len(set(created)) == len(created)


def rotate(company: str, file: Path, *words: str) -> dict[str, object]:
    done = claimbus("rotate", company, "--json", *words, connection_file=file)
    assert done.returncode == 0, done.stderr
    said: dict[str, object] = as_json(done)
    return said


def more(created: list[str], is_over: Callable[[], bool]) -> None:
    """Wait until the load has come further."""
    enough = len(created) + 4
    wait_until(lambda: len(created) >= enough or is_over(), what="more claims")


def until_refused(connection: Connection, company: str) -> None:
    """Wait until the brokers know that a password was ended."""
    wait_until(lambda: not is_let_in(connection, company), what="the end of the old password")


def is_let_in(connection: Connection, company: str) -> bool:
    """Whether the brokers let a company in with what a connection says of it."""
    problems: list[int] = []
    client = AdminClient(connection.client(company) | {"error_cb": lambda error: problems.append(error.code())})
    while KafkaError._AUTHENTICATION not in problems:
        try:
            client.list_topics(timeout=1)
        except KafkaException:
            client.poll(0)
        else:
            return True
    return False
