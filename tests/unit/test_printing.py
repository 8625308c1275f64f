"""What people and messages gave is printed as it is or made visible: no text does anything to anybody."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st

from operations import contract, dead_letters, report, status, submit, suggest
from operations.bus import Delivered
from operations.demo import command as demo
from operations.demo.story import Step
from operations.options import err, fail, out, plain
from operations.printing import json_text, visible
from services.suggestions.claim import Claim, State
from services.suggestions.particulars import Particulars
from services.suggestions.store import ClaimSuggestions
from shared.contract.dead_letters import DeadLetter
from shared.contract.fields import LocalizedText
from shared.contract.suggestions import LinkSuggested, Suggestion, SuggestionReason
from shared.reports.labels import Language
from shared.reports.tables import Row, Table, Tables

NASTY = (
    "Bergen [/sentrum]",
    "[bold]fet[/bold] [link=https://example.org]her[/link]",
    "[/]",
    "[red",
    ":smile: :warning:",
    "\x1b[31mrød\x1b[0m \x1b]0;tittel\x07 \x1b[2J",
    "\x9b31m C1 \x90",
    "\u202eredrO \u2066x\u2069 \u200f",
    "to\nlinjer\r\nog tre\rover\x0b\x0c\u2028",
    "\x00\x08\x08\x7f",
    "halvt \ud83d tegn",
    "\ufeff\u200b\u00ad usynlig",
    "Ålesund, 東京, Ὀδυσσεύς, 👩‍🚒",
    "{x} %s \\ \\n {0.__class__}",
    "=1+1\t;",
    "x" * 3000,
    "",
)
_DOES_SOMETHING = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)

Printing = Callable[[str], None]


def _report(text: str) -> None:
    rows = (Row(text, text, 1.0, 2.0),)
    tables = (Table("by_office", text, rows), Table("by_cause", text, ()))
    report._print(Tables(Language.NB, text, text, (text,), True, tables))


def _status(text: str) -> None:
    services = [status.ServiceStatus(text, 1, 2.0, [text, "ready"])]
    status._print(status.Status(services=services, dead_letters=1, temporary_claims={text: 1}, paused=[text]))


def _letter(text: str) -> DeadLetter:
    content = text.encode(errors="surrogatepass")
    return DeadLetter.model_construct(
        source_topic=f"requests.{text}",
        partition=0,
        offset=1,
        appended_at=datetime(2026, 11, 24, tzinfo=UTC),
        service=text,
        reason=text,
        key=content,
        headers=[(text, content)],
        value=content,
    )


def _unchecked(model: Any, **fields: Any) -> Any:
    """Make it without a check: what comes of another version is shown too."""
    return model.model_construct(**fields)


def _suggest(text: str) -> None:
    claim = Claim(UUID(int=1), text, 1, State.TEMPORARY, text, _unchecked(Particulars))
    why = _unchecked(SuggestionReason, message=_unchecked(LocalizedText, en=text, nb=text))
    one = _unchecked(Suggestion, score=98, claim_number=text, reasons=[why])
    suggest._print(ClaimSuggestions(claim=claim, published=_unchecked(LinkSuggested, suggestions=[one])))


def _outcome(text: str) -> Delivered:
    refused = {"request_id": text, "code": text, "message": {"nb": text, "en": text}}
    body = {**refused, "details": [{"field": text, "problem": text}], "decision": {"explanation": {"en": text}}}
    return Delivered("request-refused", text, body, 0, {})


def _demo(text: str) -> None:
    demo._print(1, Step(text, lines=[text], failures=[text]), out)


def _fail(text: str) -> None:
    with pytest.raises(typer.Exit):
        fail(text)


PRINTERS: dict[str, Printing] = {
    "report": _report,
    "status": _status,
    "dead-letters list": lambda text: dead_letters._print_list([_letter(text)]),
    "dead-letters show": lambda text: dead_letters._print_whole([_letter(text)]),
    "suggest": _suggest,
    "submit": lambda text: out.print(*submit.lines_of(_outcome(text)), sep="\n"),
    "demo": _demo,
    "contract": lambda text: contract._print(False, {}, [text], failed=False),
    "a line": lambda text: out.print(f"registered the office {text} of vest", style="bold"),
    "a failure": _fail,
    "a status": lambda text: err.print(plain(text)),
}


def printed(printing: Printing, text: str) -> str:
    with out.capture() as results, err.capture() as complaints:
        printing(text)
    return results.get() + complaints.get()


@pytest.mark.parametrize("name", PRINTERS)
@pytest.mark.parametrize("text", NASTY)
def test_no_text_is_interpreted_by_who_prints_it(name: str, text: str) -> None:
    output = printed(PRINTERS[name], text)
    assert not _DOES_SOMETHING.search(output)
    folded = "".join(output.split())  # tables fold what is long
    for word in text.split("\n", maxsplit=1)[0].split():
        assert "".join(visible(word).split()) in folded, output


@settings(deadline=None)
@given(st.text(st.characters(codec=None), max_size=30) | st.lists(st.sampled_from(NASTY)).map("".join))
def test_whatever_a_text_has_in_it_every_printing_function_prints_it(text: str) -> None:
    for printing in PRINTERS.values():
        assert not _DOES_SOMETHING.search(printed(printing, text))


@settings(deadline=None)
@given(st.text(st.characters(codec=None)))
def test_json_says_the_same_text_and_shows_all_of_it(text: str) -> None:
    with_it = {text: [text]}
    for ascii_only in (False, True):
        written = json_text(with_it, ascii_only=ascii_only)
        assert not _DOES_SOMETHING.search(written)
        assert written.isascii() or not ascii_only
        assert json.loads(written) == with_it


@pytest.mark.parametrize(
    "environment",
    [{"LC_ALL": "C"}, {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}, {"PYTHONIOENCODING": "latin-1"}],
    ids=["C", "C and ASCII", "Latin-1"],
)
def test_an_output_that_cannot_say_a_character_gets_an_escape(environment: dict[str, str]) -> None:
    program = (
        "from operations.printing import say_all_characters; say_all_characters()\n"
        "from operations.options import out, err, print_json\n"
        "for text in " + ascii(NASTY) + ":\n"
        "    out.print(text); err.print(text); print_json({text: text})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **environment}, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert b"\x1b" not in done.stdout + done.stderr


def test_a_name_in_an_argument_does_nothing(tmp_path: Path) -> None:
    command = str(Path(sys.executable).with_name("claimbus"))
    for text in ("[/x]", "\x1b[31m", "[link=x", "å\u202e"):
        done = subprocess.run([command, "topics", "--company", text], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert not _DOES_SOMETHING.search(done.stderr)
        assert visible(text) in done.stderr
