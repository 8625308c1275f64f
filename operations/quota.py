"""`claimbus quota`: what a company may send and receive each second; shown, set, or lifted for a while."""

import time
from dataclasses import asdict
from typing import Annotated

import typer
from aiokafka.errors import KafkaError

from operations.connection import Connection, Unreachable, load_connection
from operations.options import AsJson, ConnectionFile, err, fail, out, print_json
from operations.quotas import NO_LIMIT, USUAL, Quota, QuotaRefused, quota_of, set_quotas
from shared.contract.topics import MIB

_HOUR_S = 3600
_TICK_S = 0.5
Rate = float | None


def quota(
    company: Annotated[str, typer.Argument(help="The company's id.")],
    produce: Annotated[Rate, typer.Option("--produce", min=0.001, help="MiB that it may send each second.")] = None,
    consume: Annotated[Rate, typer.Option("--consume", min=0.001, help="MiB that it may receive each second.")] = None,
    no_limit: Annotated[bool, typer.Option("--no-limit", help="Let it send and receive as much as it likes.")] = False,
    usual: Annotated[bool, typer.Option("--usual", help="What `claimbus apply` gives each company.")] = False,
    for_hours: Annotated[
        Rate, typer.Option("--for-hours", min=0.0, help="Stay, and set back what it was so much later, or at Ctrl-C.")
    ] = None,
    connection_file: ConnectionFile = None,
    as_json: AsJson = False,
) -> None:
    """Show what a company may send and receive each second, or set it, for a while or for good."""
    if sum((produce is not None or consume is not None, no_limit, usual)) > 1:
        raise typer.BadParameter("say it in one way: --produce and --consume, --no-limit, or --usual")
    try:
        connection = load_connection(connection_file)
        if company not in connection.companies:
            fail(f"the connection knows no company {company}")
        before = quota_of(connection, company)
        wanted = _wanted(before, produce, consume, no_limit, usual)
        if wanted != before:
            set_quotas(connection, [company], wanted)
        if for_hours is not None:
            _set_back(connection, company, before, for_hours * _HOUR_S)
            wanted = before
    except (Unreachable, QuotaRefused) as error:
        fail(error)
    except KafkaError as error:
        fail(f"the bus cannot be reached: {type(error).__name__}")
    if as_json:
        print_json({"company": company, **asdict(wanted)})
    else:
        out.print(f"{company} may send {_said(wanted.produced)} and receive {_said(wanted.consumed)}")


def _wanted(before: Quota, produce: Rate, consume: Rate, no_limit: bool, usual: bool) -> Quota:
    if no_limit:
        return NO_LIMIT
    if usual:
        return USUAL
    return Quota(
        before.produced if produce is None else produce * MIB, before.consumed if consume is None else consume * MIB
    )


def _set_back(connection: Connection, company: str, before: Quota, seconds: float) -> None:
    """Wait, and set a quota back whatever ends the waiting."""
    try:
        until = time.monotonic() + seconds
        err.print(f"set back in {seconds / _HOUR_S:g} hours, or at Ctrl-C")
        while time.monotonic() < until:
            time.sleep(min(_TICK_S, max(0.0, until - time.monotonic())))
    except KeyboardInterrupt:
        err.print("set back now")
    finally:
        set_quotas(connection, [company], before)


def _said(rate: float | None) -> str:
    return "as much as it likes" if rate is None else f"{rate / MIB:g} MiB/s"
