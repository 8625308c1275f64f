"""A JSON Schema for each message, made from its model.

A schema of a request says what a sender must give, where null means the same as leaving a field out unless the field
says otherwise. A schema of what we send says what is always there: absent fields are left out, never null, but for the
settings in `portal-settings-set`. Names that start with `x-` are notes that validators pass over.
"""

import ast
import inspect
import textwrap
from functools import cache
from itertools import pairwise
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from shared.contract.carried import name_of, topics_of
from shared.contract.codes import Code
from shared.contract.events import ClaimEvent, TwoClaimsEvent
from shared.contract.fields import Message
from shared.contract.outcomes import RequestRefused
from shared.contract.requests import Request

Json = dict[str, Any]


class _Documented(GenerateJsonSchema):
    """Describes each field by the docstring below it, and leaves out the titles that only repeat the fields' names."""

    def model_schema(self, schema: Any) -> Json:
        """The schema of a model."""
        built = super().model_schema(schema)
        fields, texts = schema["cls"].model_fields, _docstrings(schema["cls"])
        for name in fields.keys() & texts.keys():
            written_as = fields[name].serialization_alias or name
            built["properties"][written_as]["description"] = texts[name]
        return built

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's signature
        return False


def schema(message: type[Any]) -> Json:
    """Build a message's JSON Schema: what a sender must give of a request, what is there of anything else."""
    received = issubclass(message, Request)
    built = message.model_json_schema(mode="validation" if received else "serialization", schema_generator=_Documented)
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
    notes["x-topics"] = [topic.name for topic in topics_of(message)]
    for heading in ("title", "description", "type"):
        notes[heading] = built.pop(heading)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **notes,
        "title": name_of(message),
        **built,
        **({"$defs": definitions} if definitions else {}),
    }


def _docstrings(model: type[Any]) -> dict[str, str]:
    """The texts below a model's fields, and those of the models that it is made of.

    pydantic can read them itself, but at each import: a fifth of what it takes a service to start.
    """
    texts: dict[str, str] = {}
    for owner in reversed(model.__mro__):
        if issubclass(owner, Message):
            texts |= _own_docstrings(owner)
    return texts


@cache
def _own_docstrings(model: type[Any]) -> dict[str, str]:
    texts: dict[str, str] = {}
    source = ast.parse(textwrap.dedent(inspect.getsource(model)))
    for lines in pairwise(source.body[0].body if isinstance(source.body[0], ast.ClassDef) else ()):
        match lines:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                texts[name] = inspect.cleandoc(text)
    return texts


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
