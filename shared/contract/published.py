"""The contract as other companies' developers read it: a JSON Schema for each message and one AsyncAPI document.

All of it is made from the models, `TOPICS` and `Code`. A schema of a request says what a sender must give, where null
means the same as leaving a field out unless the field says otherwise. A schema of what we send says what is always
there: absent fields are left out, never null, but for the settings in `portal-settings-set`. Names that start with
`x-` are notes that validators pass over.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from shared.contract.codes import Code
from shared.contract.commands import CheckedRequest
from shared.contract.dead_letters import DeadLetter, DeadLetterClosed
from shared.contract.directory_events import DIRECTORY_EVENTS
from shared.contract.events import CLAIM_EVENTS, ClaimEvent, TwoClaimsEvent
from shared.contract.fields import Message, RequestId
from shared.contract.ids import NAMESPACE
from shared.contract.linking import (
    AbandonLink,
    FinishLink,
    FinishUnlink,
    GiveUpImport,
    ImportContent,
    LinkRequested,
    WithdrawContent,
)
from shared.contract.outcomes import OUTCOMES, RequestRefused
from shared.contract.reports import ReportReady
from shared.contract.requests import MAX_BODY_BYTES, Request
from shared.contract.requests import REQUESTS as REQUEST_TYPES
from shared.contract.suggestions import LinkSuggested
from shared.contract.topics import (
    CLAIM_COMMANDS,
    COMPANY,
    DAY_MS,
    DEAD_LETTERS,
    DIRECTORY,
    EVENTS,
    KIB,
    LINK_REQUESTS,
    LINK_SUGGESTIONS,
    OPERATOR,
    REPORTS,
    REQUEST_OUTCOMES,
    REQUESTS,
    SERVICES,
    TOPICS,
    Topic,
)
from shared.contract.topics import (
    CLAIM_EVENTS as CLAIM_EVENTS_TOPIC,
)

Json = dict[str, Any]

ASYNCAPI = "asyncapi.json"
_BINDING = {"bindingVersion": "0.5.0"}


@dataclass(frozen=True)
class Carried:
    """Which messages a topic carries, and who writes those."""

    topic: Topic
    messages: tuple[type[Any], ...]
    written_by: tuple[str, ...]


CARRIED = (
    Carried(REQUESTS, tuple(REQUEST_TYPES.values()), REQUESTS.written_by),
    Carried(EVENTS, (*OUTCOMES.values(), *CLAIM_EVENTS.values(), LinkSuggested, ReportReady), EVENTS.written_by),
    Carried(DIRECTORY, tuple(DIRECTORY_EVENTS.values()), DIRECTORY.written_by),
    Carried(CLAIM_COMMANDS, (CheckedRequest,), ("permissions",)),
    Carried(CLAIM_COMMANDS, (ImportContent, GiveUpImport), ("linking",)),
    Carried(CLAIM_COMMANDS, (FinishLink, AbandonLink, WithdrawContent, FinishUnlink), ("claims",)),
    Carried(CLAIM_EVENTS_TOPIC, tuple(CLAIM_EVENTS.values()), CLAIM_EVENTS_TOPIC.written_by),
    Carried(REQUEST_OUTCOMES, tuple(OUTCOMES.values()), REQUEST_OUTCOMES.written_by),
    Carried(REPORTS, (ReportReady,), REPORTS.written_by),
    Carried(LINK_REQUESTS, (LinkRequested,), LINK_REQUESTS.written_by),
    Carried(LINK_SUGGESTIONS, (LinkSuggested,), LINK_SUGGESTIONS.written_by),
    Carried(DEAD_LETTERS, (DeadLetter,), SERVICES),
    Carried(DEAD_LETTERS, (DeadLetterClosed,), (OPERATOR,)),
)
"""Every message of the contract, by topic and writer."""


def published() -> dict[str, Json]:
    """Build every file of the published contract, by its name."""
    files = {f"{_name(message)}.json": schema(message) for message in _messages()}
    return {ASYNCAPI: asyncapi(), **files}


def as_text(document: Json) -> str:
    """Write a file of the contract the same way each time."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


@cache
def _messages() -> tuple[type[Any], ...]:
    return tuple(dict.fromkeys(message for carried in CARRIED for message in carried.messages))


def _name(message: type[Any]) -> str:
    return str(message.type()).removeprefix("claimbus.")


# JSON Schema


class _WithoutTitles(GenerateJsonSchema):
    """Leaves out the titles that only repeat the fields' names."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's signature
        return False


def schema(message: type[Any]) -> Json:
    """Build a message's JSON Schema: what a sender must give of a request, what is there of anything else."""
    received = issubclass(message, Request)
    built = message.model_json_schema(
        mode="validation" if received else "serialization", schema_generator=_WithoutTitles
    )
    definitions = built.pop("$defs", {})
    if not received and message.json_bytes is Message.json_bytes:
        for part in (built, *definitions.values()):
            _leave_out_null(part)
    if issubclass(message, ClaimEvent):
        built["required"].remove("audience")
    if issubclass(message, TwoClaimsEvent):
        hidden = {"see_other_claim", "seen_from_now_on_by", *message.OTHER_CLAIM}
        built["required"] = [name for name in built["required"] if name not in hidden]
    if message is RequestRefused:
        definitions["Code"]["x-sentences"] = {code: code.message.model_dump() for code in Code}
    notes: Json = {"x-type": message.type()}
    if received:
        notes["x-sent-by"] = sorted(message.SENT_BY)
    notes["x-topics"] = [topic.name for topic in _topics_of(message)]
    for heading in ("title", "description", "type"):
        notes[heading] = built.pop(heading)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **notes,
        "title": _name(message),
        **built,
        **({"$defs": definitions} if definitions else {}),
    }


def _leave_out_null(part: Json) -> None:
    """Make optional what we leave out when it is null, and required all else: defaults are written too."""
    fields = part.get("properties", {})
    optional = [name for name, field in fields.items() if field.get("default", "") is None]
    for name in optional:
        field = {key: value for key, value in fields[name].items() if key not in {"default", "anyOf"}}
        kinds = [kind for kind in fields[name].get("anyOf", ()) if kind != {"type": "null"}]
        if len(kinds) > 1:
            kinds = [{"anyOf": kinds}]
        fields[name] = {key: value for part in (*kinds, field) for key, value in part.items()}
    if required := [name for name in fields if name not in optional]:
        part["required"] = required


def _topics_of(message: type[Any]) -> list[Topic]:
    return list(dict.fromkeys(carried.topic for carried in CARRIED if message in carried.messages))


# AsyncAPI


def asyncapi() -> Json:
    """Build the AsyncAPI 3.0.0 document; payloads refer to the schemas beside it."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Claimbus",
            "version": "1.0.0",
            "description": _INTRODUCTION,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "bus": {
                "host": "{bootstrap}",
                "protocol": "kafka-secure",
                "description": "Kafka. A company's user name is its id; the operator gives its password.",
                "variables": {"bootstrap": {"description": "The bootstrap servers that the operator gives."}},
                "security": [_ref("components", "securitySchemes", "scram")],
            }
        },
        "channels": {_channel_name(topic): _channel(topic) for topic in TOPICS},
        "operations": dict(_operations()),
        "components": {
            "messages": {_name(message): _message(message) for message in _messages()},
            "messageTraits": {
                "request": {
                    "contentType": "application/json",
                    "headers": _REQUEST_HEADERS,
                    "correlationId": {
                        "description": "The request id; its outcome and events name it as their cause.",
                        "location": "$message.header#/ce_id",
                    },
                },
                "ours": {
                    "contentType": "application/json",
                    "headers": _OUR_HEADERS,
                    "correlationId": {
                        "description": "The id of the request that led to it.",
                        "location": "$message.header#/ce_causationid",
                    },
                },
            },
            "securitySchemes": {
                "scram": {"type": "scramSha512", "description": "SASL with SCRAM-SHA-512, over TLS in production."}
            },
        },
    }


_INTRODUCTION = f"""\
Temporary insurance claims over Kafka. A company sends requests to `requests.<company>` and reads what came of them,
and what happened to the claims that it may see, from `events.<company>`. The other channels are between Claimbus's own
services. Each operation is named for who performs it: `company.send.requests` is yours.

- Messages are CloudEvents 1.0 in the Kafka binding's binary mode; of requests, structured mode
  (`content-type: application/cloudevents+json`) is read too.
- Each request id gets exactly one outcome. Sent again, even with another body, it gets the first one's again.
- Any message can be delivered more than once; the same `ce_id` is the same message.
- Dates are YYYY-MM-DD, times RFC 3339 in UTC, ids of companies, offices and users lower-case slugs. A request's body
  has at most {MAX_BODY_BYTES // KIB} KiB.
- The id of a claim is the UUIDv5 of `<company>/<request id>` in the namespace `{NAMESPACE}`. The n-th task named in
  its creation has the UUIDv5 of `<claim id>/<n>`, a task assigned later that of `<company>/<request id>`.
- The contract changes only by optional fields, or by a new `.v2` type beside the old one. What we send can get new
  fields and new values of enumerations such as refusal codes: accept those that you do not know.
"""


def _ref(*path: str) -> Json:
    return {"$ref": "#/" + "/".join(path)}


def _channel_name(topic: Topic) -> str:
    return topic.prefix.rstrip(".")


def _channel(topic: Topic) -> Json:
    kept = "for ever" if topic.kept_ms < 0 else f"{topic.kept_ms // DAY_MS} days"
    config = topic.config()
    channel: Json = {
        "address": topic.of("{company}"),
        "description": f"Key: {topic.key}. Written by {_and(topic.written_by)}, read by {_and(topic.read_by)}, "
        f"kept {kept}. A message's time is the broker's append time.",
        "messages": {
            _name(message): _ref("components", "messages", _name(message))
            for carried in CARRIED
            if carried.topic == topic
            for message in carried.messages
        },
        "x-key": topic.key,
        "bindings": {
            "kafka": {
                "partitions": topic.partitions,
                "topicConfiguration": {
                    **config,
                    "cleanup.policy": [config["cleanup.policy"]],
                    "max.message.bytes": topic.max_message_bytes,
                    "retention.ms": topic.kept_ms,
                },
                **_BINDING,
            }
        },
    }
    if topic.per_company:
        channel["parameters"] = {
            "company": {
                "description": "The company's id. The company of a request is that of its topic and nothing else.",
                "examples": ["vest-skadeservice", "fjord-forsikring"],
            }
        }
    return channel


def _and(users: Iterable[str]) -> str:
    return " and ".join("the company" if user == COMPANY else user for user in users)


def _message(message: type[Any]) -> Json:
    is_request = issubclass(message, Request)
    described: Json = {
        "name": message.type(),
        "title": _name(message),
        "summary": (message.__doc__ or "").partition("\n")[0],
        "traits": [_ref("components", "messageTraits", "request" if is_request else "ours")],
        "headers": {"type": "object", "properties": {"ce_type": {"const": message.type()}}},
        "payload": {"$ref": f"./{_name(message)}.json"},
        "bindings": {
            "kafka": {
                "key": {
                    "type": "string",
                    "description": "; ".join(
                        f"on {topic.name}: {getattr(message, 'KEY', topic.key)}" for topic in _topics_of(message)
                    ),
                },
                **_BINDING,
            }
        },
    }
    if is_request:
        described["description"] = f"Sent by: {', '.join(sorted(message.SENT_BY))}."
    return described


def _operations() -> Iterable[tuple[str, Json]]:
    """List what each application does with each of its topics."""
    for user in (COMPANY, OPERATOR, *SERVICES):
        name = "company" if user == COMPANY else user
        for topic in TOPICS:
            sent = [m for c in CARRIED if c.topic == topic and user in c.written_by for m in c.messages]
            if sent:
                yield f"{name}.send.{_channel_name(topic)}", _operation("send", user, topic, sent)
            if user in topic.read_by:
                read = [m for c in CARRIED if c.topic == topic for m in c.messages]
                yield f"{name}.receive.{_channel_name(topic)}", _operation("receive", user, topic, read)


def _operation(action: str, user: str, topic: Topic, messages: list[type[Any]]) -> Json:
    does = "writes to" if action == "send" else "reads from"
    operation: Json = {
        "action": action,
        "channel": _ref("channels", _channel_name(topic)),
        "summary": f"{_and([user]).capitalize()} {does} {topic.name}.",
        "messages": _messages_on(topic, messages),
    }
    if action == "send" and topic == REQUESTS:
        operation["reply"] = {
            "channel": _ref("channels", _channel_name(EVENTS)),
            "messages": _messages_on(EVENTS, OUTCOMES.values()),
        }
    if action == "receive":
        group: Json = {"type": "string", "const": user}
        if user == COMPANY:
            group = {"type": "string", "description": "Begins with the company's id and a dot."}
        if user != OPERATOR:
            operation["bindings"] = {"kafka": {"groupId": group, **_BINDING}}
    return operation


def _messages_on(topic: Topic, messages: Iterable[type[Any]]) -> list[Json]:
    return [_ref("channels", _channel_name(topic), "messages", _name(message)) for message in messages]


def _headers(required: Json, optional: Json) -> Json:
    return {"type": "object", "properties": {**required, **optional}, "required": list(required)}


def _text(description: str, **limits: Any) -> Json:
    return {**limits, "type": "string", "description": description}


_TRACE = {
    "traceparent": _text("W3C trace context, carried through."),
    "tracestate": _text("W3C trace context, carried through."),
}

_REQUEST_HEADERS = _headers(
    {
        "ce_specversion": {"type": "string", "const": "1.0"},
        "ce_id": _text("The request id, unique within the company.", **TypeAdapter(RequestId).json_schema()),
        "ce_source": _text("The sending system, as a URI reference.", minLength=1),
        "ce_type": _text("Which request it is."),
        "content-type": {"type": "string", "const": "application/json"},
    },
    {
        "ce_time": _text("Not used: the moment of a request is the broker's append time.", format="date-time"),
        "ce_subject": _text("Not used."),
        "ce_actor": _text("Who in the company, free text for the claim's history."),
        **_TRACE,
    },
)

_OUR_HEADERS = _headers(
    {
        "ce_specversion": {"type": "string", "const": "1.0"},
        "ce_id": _text("The same for the same message, so that one delivered twice can be recognised."),
        "ce_source": _text("The service that wrote it, such as /claimbus/claims."),
        "ce_type": _text("Which message it is."),
        "ce_causationid": _text("The id of the request that led to it."),
        "content-type": {"type": "string", "const": "application/json"},
    },
    {
        "ce_subject": _text("What it is about, such as the claim's id."),
        "ce_republishedfor": _text("The one reader that a message sent again is for; others pass it over."),
        **_TRACE,
    },
)
