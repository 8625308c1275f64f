"""The AsyncAPI document of the contract: channels, operations and the headers of messages."""

from collections.abc import Iterable
from typing import Any

from pydantic import TypeAdapter

from shared.contract.carried import CARRIED, messages, name_of, topics_of
from shared.contract.fields import RequestId
from shared.contract.ids import NAMESPACE
from shared.contract.json_schemas import Json
from shared.contract.outcomes import OUTCOMES
from shared.contract.requests import MAX_BODY_BYTES, Request
from shared.contract.topics import (
    COMPANY,
    DAY_MS,
    EVENTS,
    KIB,
    OPERATOR,
    REQUESTS,
    SERVICES,
    TOPICS,
    Topic,
)

_BINDING = {"bindingVersion": "0.5.0"}


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
            "messages": {name_of(message): _message(message) for message in messages()},
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
            name_of(message): _ref("components", "messages", name_of(message))
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
        "title": name_of(message),
        "summary": (message.__doc__ or "").partition("\n")[0],
        "traits": [_ref("components", "messageTraits", "request" if is_request else "ours")],
        "headers": {"type": "object", "properties": {"ce_type": {"const": message.type()}}},
        "payload": {"$ref": f"./{name_of(message)}.json"},
        "bindings": {
            "kafka": {
                "key": {
                    "type": "string",
                    "description": "; ".join(
                        f"on {topic.name}: {getattr(message, 'KEY', topic.key)}" for topic in topics_of(message)
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
    return [_ref("channels", _channel_name(topic), "messages", name_of(message)) for message in messages]


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
