"""A message without what it tells of people, as it stays when its claim was redacted. Pure.

Each field that tells of somebody is marked `Personal` where it stands. The policyholder's particulars, the place, and
whatever was written or photographed go; what is counted (date, cause, offices, moments) stays, and who did it for a
company (actor, handler), which the claim's history is for. A file keeps its ids, by which it is removed; a part of a
link that was redacted has no files, so that nothing is copied when it comes again.
"""

from functools import cache
from typing import Any, TypeVar

from shared.contract.fields import Message, Personal

M = TypeVar("M", bound=Message)


def redacted(message: M) -> M:
    """Redact a message, and those that it is made of. What is redacted already stays as it is."""
    personal = _personal(type(message))
    changes: dict[str, Any] = {}
    for name in type(message).model_fields:
        value = getattr(message, name)
        left = personal[name].instead if name in personal and value is not None else _redacted(value)
        if left is not value:
            changes[name] = left
    return message.model_copy(update=changes) if changes else message


def redacted_json(model: type[Message], body: bytes) -> bytes:
    """Redact a message of a kind that was recorded as JSON, as it would be recorded now."""
    return redacted(model.model_validate_json(body)).json_bytes()


def _redacted(value: Any) -> Any:
    if isinstance(value, Message):
        return redacted(value)
    if isinstance(value, list | tuple) and any(isinstance(each, Message) for each in value):
        return type(value)(map(_redacted, value))
    return value


@cache
def _personal(model: type[Message]) -> dict[str, Personal]:
    return {
        name: mark
        for name, field in model.model_fields.items()
        for mark in field.metadata
        if isinstance(mark, Personal)
    }
