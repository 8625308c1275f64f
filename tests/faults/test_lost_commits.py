"""A PostgreSQL without commits whose outcomes are out: after a fail-over, and after an older backup was restored."""

import asyncio
import urllib.error
import urllib.request
from pathlib import Path

import asyncpg
import pytest

from operations.bus import NewRequest
from operations.stack import Stack
from operations.under_way import wait_until_finished
from tests.world import World, as_json, claimbus, link, metric, report, wait_until

pytestmark = pytest.mark.promise(
    "A database that has lost its last commits, or is an older one, is found out and made whole.", about="running"
)

REQUESTS = 300
SETTINGS = {"synchronous_commit": "off", "wal_writer_delay": "10s", "wal_writer_flush_after": "1GB"}
"""With these it is killed as a replica takes over that is told of commits later than clients are."""


def test_a_fail_over_that_loses_the_last_commits_loses_no_claim(stack: Stack, world: World, tmp_path: Path) -> None:
    administer(
        stack,
        *(f"alter system set {name} = '{value}'" for name, value in SETTINGS.items()),
        "select pg_reload_conf()",
    )
    claim = world.create(tasks=[{"kind": "first_aid"}])
    target = world.register("SK-1")
    wait_until_finished(world.connection)
    administer(stack, "checkpoint")
    outcomes = world.partner.ask(*(world.creation() for _ in range(REQUESTS)), report(claim, "Pumpet"), timeout_s=120)
    outcomes += world.insurer.ask(link(claim, target))
    assert all(outcome.accepted for outcome in outcomes)
    stack.postgres.kill()
    wait_until(lambda: "postgres" in stack.watch(), what="it to be started again")
    (claims,) = stack.of("claims")
    wait_until(lambda: metric(claims, "claimbus_database_behind_total") > 0, what="it to be found out", timeout_s=60)
    wait_until(lambda: in_the_record(stack) >= REQUESTS + 2, what="the record to have all again", timeout_s=60)
    stack.wait_until_ready()
    administer(stack, *(f"alter system reset {name}" for name in SETTINGS), "select pg_reload_conf()")
    world.create()
    assert violations(stack, world, tmp_path) == []


def test_a_database_that_is_started_again_and_has_lost_nothing_holds_nothing_up(stack: Stack, world: World) -> None:
    assert world.create().accepted
    wait_until_finished(world.connection)
    stack.postgres.kill()
    request = world.creation()
    world.partner.send([request])
    wait_until(lambda: "postgres" in stack.watch(), what="it to be started again")
    wait_until(lambda: is_answered(world, request), what="an outcome")
    stack.wait_until_ready()


def test_an_older_database_is_told_and_recovered_when_an_operator_says_so(
    stack: Stack, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "connection.json"
    stack.connection.save(file)
    (claims,) = stack.of("claims")
    world.create()
    wait_until_finished(world.connection)
    claims.stop()
    administer(stack, "create database backup template claims owner claims")
    claims.start()
    taken = [world.register("SK-7"), world.create().body["claim_id"]]
    assert world.insurer.ask(link(taken[1], taken[0]))[0].accepted
    wait_until_finished(world.connection)
    claims.stop()
    administer(stack, "drop database claims with (force)", "alter database backup rename to claims")
    with monkeypatch.context() as environment:
        environment.setenv("CLAIMBUS_RECOVER_MOST", "0")
        claims.start()
    request = world.creation()
    world.partner.send([request])
    wait_until(lambda: "the record lacks 3 requests" in health(claims.health), what="it to say what it lacks")
    told = claimbus("recover", "claims", "--dry-run", "--json", connection_file=file)
    assert as_json(told)["deleted"] == 0
    assert as_json(told)["messages"] > 3
    assert not is_answered(world, request)
    done = claimbus("recover", "claims", connection_file=file)
    assert done.returncode == 0, done.stderr
    wait_until(lambda: is_answered(world, request), what="an outcome")
    stack.wait_until_ready()
    assert claimbus("recover", "claims", connection_file=file).stdout == "claims has lost nothing\n"
    claims.stop()
    claims.start()  # as others expect it
    stack.wait_until_ready()
    assert violations(stack, world, tmp_path) == []


def administer(stack: Stack, *statements: str) -> None:
    """Execute statements as PostgreSQL's superuser."""

    async def execute() -> None:
        password = (stack.folder / "postgres" / "password").read_text()
        connection = await asyncpg.connect(stack.postgres.url("postgres", "postgres", password))
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(execute())


def in_the_record(stack: Stack) -> int:
    """Count the claims in the record."""

    async def count() -> int:
        connection = await asyncpg.connect(stack.connection.databases["claims"])
        try:
            return int(await connection.fetchval("select count(*) from claims"))
        finally:
            await connection.close()

    return asyncio.run(count())


def health(address: str) -> str:
    """What an instance says of its health."""
    try:
        with urllib.request.urlopen(f"{address}/health/ready", timeout=30) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        return error.read().decode()
    except OSError as error:
        return str(error)


def is_answered(world: World, request: NewRequest) -> bool:
    """Whether the partner has received an outcome by now."""
    world.partner.read_to_end()
    return any(m.is_outcome and m.body["request_id"] == request.id for m in world.partner.received)


def violations(stack: Stack, world: World, folder: Path) -> list[object]:
    """What `claimbus audit` finds when nothing is under way."""
    world.settle()
    file = folder / "connection.json"
    stack.connection.save(file)
    found: list[object] = as_json(claimbus("audit", "--json", connection_file=file))["violations"]
    return found
