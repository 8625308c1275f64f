"""FastStream as its documentation's examples use it: one message at a time, acknowledged when it is handled.

    python -m benchmarks.peers.faststream_by_message permissions|claims|delivery

The settings of the demo's companies are a constant table. What it decides, stores and tells is what Claimbus does of a
creation, less claim numbers that are compared.
"""

import asyncio
import os
import sys
from datetime import UTC, date, datetime
from typing import Annotated, Any
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
from faststream import AckPolicy, FastStream
from faststream.kafka import KafkaBroker, KafkaResponse
from faststream.kafka.annotations import KafkaMessage
from faststream.security import SASLScram512
from pydantic import BaseModel, Field
from pydantic_core import to_json

from benchmarks.peers.stages import Place, Stage
from shared.contract import ids
from shared.runtime.settings import KafkaSettings

_ZONE = ZoneInfo("Europe/Oslo")
_OPENS, _CLOSES = 8, 16
_PERMISSIONS = {"vest-bergen": "always", "vest-voss": "outside_office_hours"}
_COMPANIES = {"vest-bergen": "vest-skadeservice", "vest-voss": "vest-skadeservice", "nord-tromso": "nord-ror"}

_CHECKED, _CREATED, _ACCEPTED, _REFUSED = (
    f"claimbus.{name}.v1"
    for name in ("checked-request", "temporary-claim-created", "request-accepted", "request-refused")
)


class Address(BaseModel):
    """Where it happened."""

    street: str
    postal_code: str
    city: str
    country: str = "NO"


class Incident(BaseModel):
    """What happened."""

    date: date
    cause: str
    address: Address
    description: str | None = None


class Policyholder(BaseModel):
    """Whom it happened to."""

    name: str
    phone: Annotated[str, Field(pattern=r"^\+[1-9]\d{6,14}$")]
    email: str | None = None


class NewTask(BaseModel):
    """A task to assign."""

    kind: str
    office: str | None = None


class Creation(BaseModel):
    """A request."""

    insurer: str
    office: str
    incident: Incident
    policyholder: Policyholder
    tasks: list[NewTask] = []


class Decision(BaseModel):
    """How it was decided."""

    rule: str
    creation_permission: str
    local_time: str
    inside_office_hours: bool
    office_hours: dict[str, str]
    explanation: dict[str, str]


class Command(BaseModel):
    """A request with its decision; `code` says why it is refused."""

    company: str
    request_id: str
    request_type: str
    requested_at: datetime
    claim_id: UUID
    insurer: str
    request: Creation
    code: str | None
    decision: Decision
    time_zone: str


def decide(office: str, at: datetime) -> Decision:
    """Decide by the moment of the request, which is its append time."""
    local = at.astimezone(_ZONE)
    inside = local.weekday() < 5 and _OPENS <= local.hour < _CLOSES
    permission = _PERMISSIONS.get(office, "never")
    rule = "always_permitted" if permission == "always" else "inside_office_hours" if inside else "after_closing"
    hours = {"opens": f"{_OPENS:02}:00", "closes": f"{_CLOSES:02}:00"}
    words = f"{local:%A %d %B %Y %H:%M} {_ZONE.key}, office hours {hours['opens']}–{hours['closes']}"
    return Decision(
        rule=rule,
        creation_permission=permission,
        local_time=f"{local.isoformat(timespec='milliseconds')}[{_ZONE.key}]",
        inside_office_hours=inside,
        office_hours=hours,
        explanation={"en": f"{words}, permission {permission}", "nb": f"{words}, tillatelse {permission}"},
    )


def refusal(company: str, office: str, decision: Decision) -> str | None:
    """Say why a request is refused, or None."""
    if _COMPANIES.get(office) != company:
        return "not_your_office"
    if decision.creation_permission == "never":
        return "never_permitted"
    outside_only = decision.creation_permission == "outside_office_hours"
    return "inside_office_hours" if outside_only and decision.inside_office_hours else None


def headers(type: str, id: str, cause: str) -> dict[str, str]:
    """CloudEvents."""
    return {"ce_specversion": "1.0", "ce_source": "/peer", "ce_type": type, "ce_id": id, "ce_causationid": cause}


def application(stage: Stage, place: Place) -> FastStream:
    """Make the application of a stage."""
    settings = KafkaSettings()
    security = SASLScram512(settings.username, settings.password.get_secret_value())
    broker = KafkaBroker(settings.bootstrap_servers, security=security, acks="all", enable_idempotence=True)
    how: dict[str, Any] = {
        "group_id": place.group(stage),
        "auto_offset_reset": "earliest",
        "ack_policy": AckPolicy.NACK_ON_ERROR,
    }
    make = {Stage.PERMISSIONS: permissions, Stage.CLAIMS: claims, Stage.DELIVERY: delivery}[stage]
    return make(broker, place, how)


def permissions(broker: KafkaBroker, place: Place, how: dict[str, Any]) -> FastStream:
    """Requests in; checked commands out."""

    @broker.subscriber(place.requests, **how)
    @broker.publisher(place.commands)
    async def check(request: Creation, message: KafkaMessage) -> KafkaResponse:
        id = message.headers["ce_id"]
        at = datetime.fromtimestamp(message.raw_message.timestamp / 1000, UTC)  # type: ignore[union-attr]
        decision = decide(request.office, at)
        command = Command(
            company=place.partner,
            request_id=id,
            request_type=message.headers["ce_type"],
            requested_at=at,
            claim_id=ids.claim_id(place.partner, id),
            insurer=request.insurer,
            request=request,
            code=refusal(place.partner, request.office, decision),
            decision=decision,
            time_zone=_ZONE.key,
        )
        return KafkaResponse(command, key=str(command.claim_id).encode(), headers=headers(_CHECKED, id, id))

    return FastStream(broker)


def claims(broker: KafkaBroker, place: Place, how: dict[str, Any]) -> FastStream:
    """Commands in; claims, their events and one outcome for each request out."""
    events, outcomes = broker.publisher(place.events), broker.publisher(place.outcomes)
    pool: Any = None
    app = FastStream(broker)

    @app.on_startup
    async def connect() -> None:
        nonlocal pool
        pool = await asyncpg.create_pool(os.environ["CLAIMBUS_DATABASE_URL"], min_size=1, max_size=2)

    @broker.subscriber(place.commands, **how)
    async def create(command: Command) -> None:
        async with pool.acquire() as connection, connection.transaction():
            type, outcome, event = await remembered(connection, command) or await decided(connection, command)
        id = command.request_id
        if event is not None:
            claim = str(command.claim_id)
            await events.publish(event, key=claim.encode(), headers=headers(_CREATED, f"{claim}/1", id))
        await outcomes.publish(outcome, key=id.encode(), headers=headers(type, f"{command.company}/{id}", id))

    return app


async def remembered(connection: Any, command: Command) -> tuple[str, bytes, bytes | None] | None:
    """Find what came of a request before."""
    row = await connection.fetchrow(
        "select outcome_type, outcome, (select event from claim_events e where e.claim_id = r.claim_id and version = 1)"
        " as event from requests r where company = $1 and request_id = $2",
        command.company,
        command.request_id,
    )
    return row and (row["outcome_type"], row["outcome"].encode(), row["event"] and row["event"].encode())


async def decided(connection: Any, command: Command) -> tuple[str, bytes, bytes | None]:
    """Decide a request and keep what came of it."""
    id, claim, insurer = command.request_id, command.claim_id, command.insurer
    says: dict[str, Any] = command.model_dump(include={"request_id", "company", "request_type", "requested_at"})
    says["decision"] = command.decision
    event: bytes | None = None
    if command.code is not None:
        type, outcome = _REFUSED, to_json(says | {"code": command.code})
    else:
        number = f"Midlertidig {command.requested_at.astimezone(_ZONE).date()}-{claim.hex[:10].upper()}"
        tasks = [
            {
                "task_id": ids.created_task_id(claim, n),
                "kind": task.kind,
                "office": task.office or command.request.office,
                "company": _COMPANIES[task.office or command.request.office],
                "needs_budget": False,
            }
            for n, task in enumerate(command.request.tasks, 1)
        ]
        task_ids = [task["task_id"] for task in tasks]
        type, outcome = _ACCEPTED, to_json(says | {"claim_id": claim, "claim_number": number, "task_ids": task_ids})
        created = command.request.model_dump(exclude={"tasks"}, exclude_none=True) | {
            "claim_id": claim,
            "version": 1,
            "at": command.requested_at,
            "actor": {"company": command.company},
            "audience": [insurer, command.company],
            "claim_number": number,
            "company": command.company,
            "tasks": tasks,
            "inside_office_hours": command.decision.inside_office_hours,
            "time_zone": command.time_zone,
        }
        event = to_json(created)
        text = event.decode()
        await connection.execute("insert into claims values ($1, $2, 'temporary', 1, $3)", claim, insurer, text)
        await connection.execute(
            "insert into claim_events values ($1, 1, $2, $3, $4, $5, $3)", claim, command.company, id, _CREATED, text
        )
        await connection.execute("insert into claim_numbers values ($1, $2, $3)", insurer, number, claim)
    await connection.execute(
        "insert into requests values ($1, $2, $3, $4, $5, $6)",
        *(command.company, id, claim, command.requested_at, type, outcome.decode()),
    )
    return type, outcome, event


def delivery(broker: KafkaBroker, place: Place, how: dict[str, Any]) -> FastStream:
    """Events and outcomes in; to each company those that it may see."""
    of_company = {
        place.partner: broker.publisher(place.of_partner),
        place.insurer: broker.publisher(place.of_insurer),
    }

    @broker.subscriber(place.events, place.outcomes, **how)
    async def deliver(body: dict[str, Any], message: KafkaMessage) -> None:
        audience = body.pop("audience", None) or [body["company"]]
        kept = {name: value for name, value in message.headers.items() if name.startswith("ce_")}
        for company in audience:
            await of_company[company].publish(body, key=message.raw_message.key, headers=kept)  # type: ignore[union-attr]

    return FastStream(broker)


if __name__ == "__main__":
    asyncio.run(application(Stage(sys.argv[1]), Place.from_environment()).run())
