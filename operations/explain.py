"""`claimbus explain`: the outcome a creation request would have at a time, and by which rule (domain rules 1–7)."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from operations.connection import Unreachable, load_connection
from operations.directory_file import read_directory_file
from operations.directory_view import directory_from_bus, directory_from_file
from operations.files import WrongFile
from operations.options import AsJson, ConnectionFile, fail, out, print_json
from shared.contract.codes import Code
from shared.contract.outcomes import Decision
from shared.domain.clock import NoSuchTime, UnknownTimeZone, comes_twice, moments_of, time_zone
from shared.domain.creation import REFUSAL_WITHOUT, Right, decide_creation, rights_in_force
from shared.domain.directory import Directory
from shared.domain.refusal import Refused

_FIRST_YEAR, _LAST_YEAR = 1970, 9998
"""Appended at or after the first; in every time zone a year that Python knows."""


def explain(
    insurer: Annotated[str, typer.Option(help="The insurer's id.")],
    office: Annotated[str, typer.Option(help="The partner office's id.")],
    at: Annotated[
        str | None,
        typer.Option(
            help="RFC 3339; without an offset it is the insurer's local time, the first where clocks are put back and "
            "it comes twice. By default now."
        ),
    ] = None,
    right: Annotated[Right | None, typer.Option(help="Ask about this right instead.")] = None,
    directory: Annotated[
        Path | None, typer.Option(help="Answer from a directory file, with nothing running; otherwise from the bus.")
    ] = None,
    connection_file: ConnectionFile = None,
    as_json: AsJson = False,
) -> None:
    """Tell whether an office may create a temporary claim at a time, and which rule decides."""
    try:
        if directory is not None:
            recorded = directory_from_file(read_directory_file(directory))
        else:
            recorded = directory_from_bus(load_connection(connection_file))
    except (WrongFile, Unreachable) as error:
        fail(error)
    moment, note = _moment(recorded, insurer, at)
    code, decision = decided(recorded, insurer, office, moment, right)
    if as_json:
        print_json(
            {
                "allowed": code is None,
                "code": code,
                "decision": None if decision is None else decision.model_dump(mode="json", exclude_none=True),
            }
            | ({} if note is None else {"note": note})
        )
        return
    if note is not None:
        out.print(note, markup=False)
    out.print("allowed" if code is None else f"refused: {code}", style="green" if code is None else "red")
    if code is not None:
        out.print(code.message.en)
    if decision is not None:
        out.print(f"{decision.explanation.en} (rule: {decision.rule})")


def decided(
    directory: Directory, insurer: str, office: str, at: datetime, right: Right | None = None
) -> tuple[Code | None, Decision | None]:
    """Return the code of the refusal, or None if allowed, and how it was decided; of a right, whether it is held."""
    code: Code | None = None
    decision: Decision | None
    try:
        decision = decide_creation(directory, insurer, office, at)
    except Refused as refused:
        code, decision = refused.code, refused.decision
    if right is not None and decision is not None:
        held: Any = getattr(rights_in_force(directory, insurer, office, at), right)
        code = None if held else REFUSAL_WITHOUT[right]
    return code, decision


def _moment(directory: Directory, insurer: str, text: str | None) -> tuple[datetime, str | None]:
    """Return the moment that is meant, and a note on how it was understood where it could be understood otherwise."""
    if text is None:
        return datetime.now(UTC), None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _wrong(f"{text!r} is not a time such as 2026-11-24T17:12:00+01:00") from None
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise _wrong(f"{text!r} is not in the years {_FIRST_YEAR} to {_LAST_YEAR}")
    if moment.tzinfo is not None:
        return moment, None
    try:
        moments = _moments(directory, insurer, moment)
    except UnknownTimeZone as unknown:
        raise _wrong(f"{unknown}: give the time with its offset, such as {text}+01:00") from None
    except NoSuchTime as gap:
        raise _wrong(str(gap)) from None
    return moments[0].astimezone(UTC), comes_twice(moments)


def _moments(directory: Directory, insurer: str, local: datetime) -> Sequence[datetime]:
    """Return the moments at which the insurer's clock showed a time, in the time zone that was its own then."""
    zone = directory.settings(insurer, local.replace(tzinfo=UTC)).time_zone
    moments = moments_of(local, time_zone(zone))
    then = directory.settings(insurer, moments[0]).time_zone
    return moments if then == zone else moments_of(local, time_zone(then))


def _wrong(problem: str) -> typer.BadParameter:
    return typer.BadParameter(problem, param_hint="--at")
