"""`claimbus storm`: create many claims through the bus as a partner would, and account for every one of them."""

import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Annotated, Any

import typer
from confluent_kafka import KafkaException
from rich.progress import Progress

from operations.bus import Company, Delivered, NewRequest, NoAnswer
from operations.connection import Connection, Unreachable, load_connection
from operations.directory_view import directory_from_bus
from operations.options import AsJson, ConnectionFile, err, fail, out, print_json
from shared.contract import ids
from shared.contract.fields import Cause, CompanyKind, CreationPermission
from shared.domain.directory import Directory

_QUIET_S = 60.0
_CHUNK = 500
_CITIES = ("Bergen", "Stavanger", "Ålesund", "Kristiansund", "Florø", "Haugesund")


@dataclass
class Account:
    """What became of the requests."""

    sent: int = 0
    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    """Requests without an outcome, and accepted ones whose claim did not reach the partner."""
    duplicated: int = 0
    """Requests with two different outcomes, and claims created twice."""
    repeated: int = 0
    """Messages delivered again with the same id, which is allowed."""
    seconds: float = 0.0
    """From the first request sent to the last outcome or event received."""
    latencies_ms: list[int] = field(default_factory=list)
    """From a request's append to its outcome's append on the partner's topic."""

    def document(self) -> dict[str, Any]:
        """Write the account as JSON."""
        return {
            "sent": self.sent,
            "accepted": self.accepted,
            "refused": dict(self.refused),
            "lost": self.lost,
            "duplicated": self.duplicated,
            "repeated": self.repeated,
            "seconds": round(self.seconds, 2),
            "claims_per_s": round(self.accepted / self.seconds, 1) if self.seconds else 0.0,
            "latency_ms": {f"p{p}": self.percentile(p) for p in (50, 95, 99)},
        }

    def percentile(self, p: int) -> int | None:
        """A percentile of the latencies, by nearest rank."""
        if not self.latencies_ms:
            return None
        ordered = sorted(self.latencies_ms)
        return ordered[max(0, -(-len(ordered) * p // 100) - 1)]


def storm(
    claims: Annotated[int, typer.Option(min=1, help="How many claims to create.")],
    rate: Annotated[float | None, typer.Option(min=0.001, help="At most so many requests each second.")] = None,
    office: Annotated[
        str | None, typer.Option(help="The partner's office; by default one that may always create.")
    ] = None,
    insurer: Annotated[str | None, typer.Option(help="The insurer; by default one that permits it.")] = None,
    connection_file: ConnectionFile = None,
    as_json: AsJson = False,
) -> None:
    """Create claims through the bus as a partner would, and report what was lost, doubled, and how fast it was."""
    try:
        connection = load_connection(connection_file)
        pair = permitted_pair(directory_from_bus(connection), connection, insurer, office)
        account = run_storm(connection, *pair, claims=claims, rate=rate)
    except (Unreachable, NoAnswer) as error:
        fail(error)
    except KafkaException as error:
        fail(f"the brokers do not take it: {error.args[0].str()}")
    if as_json:
        print_json(account.document())
    else:
        print_account(account)
    if account.lost or account.duplicated:
        raise typer.Exit(1)


def run_storm(
    connection: Connection, partner: str, office: str, insurer: str, *, claims: int, rate: float | None = None
) -> Account:
    """Send requests for new claims, wait for all outcomes and events, and account for them."""
    account = Account()
    run = uuid.uuid4().hex[:12]
    with Company(connection, partner) as company, Progress(console=err, transient=True) as progress:
        sending = progress.add_task("sent", total=claims)
        answered = progress.add_task("answered", total=claims)
        wanted = {f"storm:{run}:{n}" for n in range(claims)}
        tally = _Tally(wanted, {str(ids.claim_id(partner, request)) for request in wanted})
        began = time.monotonic()
        size = _CHUNK if rate is None else max(1, int(rate / 10))
        for chunk in _chunks(new_claims(f"storm:{run}:", office, insurer, claims), size):
            company.send(chunk)
            account.sent += len(chunk)
            progress.update(sending, completed=account.sent)
            tally.take(company)
            progress.update(answered, completed=len(tally.outcomes))
            if rate is not None:
                while time.monotonic() - began < account.sent / rate:
                    tally.take(company)
        last_news = time.monotonic()
        while not tally.is_complete(claims) and time.monotonic() - last_news < _QUIET_S:
            if tally.take(company):
                last_news = time.monotonic()
            progress.update(answered, completed=len(tally.outcomes))
        account.seconds = last_news - began
    tally.settle(account)
    return account


class _Tally:
    """What has come back, by request and by claim; what others of the same company ask for is passed over."""

    def __init__(self, requests: set[str], claims: set[str]) -> None:
        self._requests = requests
        self._claims = claims
        self.outcomes: dict[str, Delivered] = {}
        self.created: dict[str, str] = {}
        """The id of the event that created a claim, by claim."""
        self.repeated = 0
        self.contradicted = 0

    def take(self, company: Company) -> bool:
        """Count what the company has received since; return whether it was anything."""
        company.read()
        received, company.received = company.received, []
        for message in received:
            if message.is_outcome and message.body["request_id"] in self._requests:
                first = self.outcomes.setdefault(message.body["request_id"], message)
                self._compare(message is first, (message.id, message.body) == (first.id, first.body))
            elif message.type == "temporary-claim-created" and message.body["claim_id"] in self._claims:
                repeated = message.body["claim_id"] in self.created
                first_id = self.created.setdefault(message.body["claim_id"], message.id)
                self._compare(not repeated, message.id == first_id)
        return bool(received)

    def is_complete(self, claims: int) -> bool:
        """Whether every request is answered and every accepted one's claim has come."""
        return len(self.outcomes) >= claims and len(self.created) >= sum(o.accepted for o in self.outcomes.values())

    def settle(self, account: Account) -> None:
        """Write the account of the requests that were sent."""
        outcomes = self.outcomes
        accepted = [outcome for outcome in outcomes.values() if outcome.accepted]
        account.accepted = len(accepted)
        account.refused = Counter(o.body["code"] for o in outcomes.values() if not o.accepted)
        without_claim = sum(outcome.body["claim_id"] not in self.created for outcome in accepted)
        account.lost = account.sent - len(outcomes) + without_claim
        account.duplicated = self.contradicted
        account.repeated = self.repeated
        account.latencies_ms = [
            outcome.appended_at_ms - round(datetime.fromisoformat(outcome.body["requested_at"]).timestamp() * 1000)
            for outcome in outcomes.values()
        ]

    def _compare(self, is_first: bool, is_same: bool) -> None:
        if not is_first:
            self.repeated += is_same
            self.contradicted += not is_same


def permitted_pair(
    directory: Directory, connection: Connection, insurer: str | None, office: str | None
) -> tuple[str, str, str]:
    """Find a partner, its office and an insurer that always permits it to create. Raises Unreachable."""
    now = datetime.now(UTC)
    for company in directory.companies(now):
        if company.kind is not CompanyKind.INSURER or insurer not in (None, company.id):
            continue
        for candidate, permission in directory.permissions_of(company.id, now).items():
            found = directory.office(candidate, now)
            named = office == candidate
            always = office is None and permission.creation is CreationPermission.ALWAYS
            if found is not None and (named or always) and found.company in connection.companies:
                return found.company, candidate, company.id
    raise Unreachable("no office with a permission to create (always, unless --office names it) is in the directory")


def print_account(account: Account) -> None:
    """Print the account for a person."""
    document = account.document()
    for name in ("sent", "accepted", "refused", "lost", "duplicated", "repeated", "seconds", "claims_per_s"):
        out.print(f"{name:>13}: {document[name]}")
    latency = ", ".join(f"{name} {value} ms" for name, value in document["latency_ms"].items())
    out.print(f"      latency: {latency} (from append to outcome)")


def new_claims(prefix: str, office: str, insurer: str, claims: int) -> Iterator[NewRequest]:
    """Make up requests for new claims; their ids are the prefix and a number."""
    causes = list(Cause)
    today = datetime.now(UTC).date() - timedelta(days=1)  # in no time zone is it in the future
    for n in range(claims):
        yield NewRequest(
            "create-temporary-claim",
            {
                "insurer": insurer,
                "office": office,
                "incident": {
                    "date": today.isoformat(),
                    "cause": causes[n % len(causes)],
                    "address": {
                        "street": f"Strandgata {n % 400 + 1}",
                        "postal_code": f"{5000 + n % 900}",
                        "city": _CITIES[n % len(_CITIES)],
                    },
                    "description": "Vann i kjelleren etter uværet.",
                },
                "policyholder": {"name": f"Kunde {n + 1}", "phone": f"+47{40000000 + n}"},
                "tasks": [{"kind": "first_aid"}],
            },
            id=f"{prefix}{n}",
        )


def _chunks(requests: Iterable[NewRequest], size: int) -> Iterator[list[NewRequest]]:
    remaining = iter(requests)
    while chunk := list(islice(remaining, size)):
        yield chunk
