"""`claimbus suggest`: which normal claims a temporary one may belong to, and why, as the service suggestions has it."""

import asyncio
from typing import Annotated

import typer
from rich.table import Table

from operations.connection import Unreachable, load_connection
from operations.options import AsJson, ConnectionFile, fail, out, print_json
from services.suggestions.claim import State
from services.suggestions.store import ClaimSuggestions, suggestions_for
from shared.storage.database import DatabaseAway

_DATABASE_S = 10.0


def suggest(
    claim: Annotated[str, typer.Argument(help="The temporary claim's id or claim number.")],
    insurer: Annotated[str | None, typer.Option(help="The insurer's id, where several have that number.")] = None,
    connection_file: ConnectionFile = None,
    as_json: AsJson = False,
) -> None:
    """Which normal claims a temporary claim may belong to, best first, with the reasons."""
    try:
        database = load_connection(connection_file).database("suggestions")
        found = asyncio.run(_suggestions(database, claim, insurer))
    except Unreachable as error:
        fail(error)
    except (OSError, DatabaseAway):
        fail("the database of suggestions does not answer")
    if not found:
        fail(f"suggestions knows no claim {claim}" + (f" of {insurer}" if insurer else ""))
    if len(found) > 1:
        insurers = ", ".join(suggested.claim.insurer for suggested in found)
        fail(f"{insurers} have a claim {claim}: name one with --insurer")
    (suggested,) = found
    if as_json:
        print_json(_document(suggested))
    else:
        _print(suggested)


async def _suggestions(database_url: str, claim: str, insurer: str | None) -> list[ClaimSuggestions]:
    async with asyncio.timeout(_DATABASE_S):
        return await suggestions_for(database_url, claim, insurer)


def _document(suggested: ClaimSuggestions) -> dict[str, object]:
    published = suggested.published
    return {
        "claim_id": str(suggested.claim.id),
        "claim_number": suggested.claim.claim_number,
        "insurer": suggested.claim.insurer,
        "state": suggested.claim.state,
        "revision": published.revision if published else 0,
        "suggestions": [
            suggestion.model_dump(mode="json", exclude_none=True)
            for suggestion in (published.suggestions if published else ())
        ],
    }


def _print(suggested: ClaimSuggestions) -> None:
    claim = suggested.claim
    out.print(f"{claim.claim_number} of {claim.insurer} is {claim.state}")
    suggestions = suggested.published.suggestions if suggested.published else []
    if not suggestions:
        because = "" if claim.state is State.TEMPORARY else f", since it is {claim.state}"
        out.print(f"nothing is suggested{because}")
        return
    table = Table("score", "claim", "why", box=None)
    for suggestion in suggestions:
        why = " ".join(reason.message.en for reason in suggestion.reasons)
        table.add_row(str(suggestion.score), suggestion.claim_number, why)
    out.print(table)
