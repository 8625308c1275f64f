"""The contract as other companies' developers read it: a JSON Schema for each message and one AsyncAPI document.

All of it is made from the models, `TOPICS` and `Code`.
"""

import json

from shared.contract.asyncapi import asyncapi
from shared.contract.carried import messages, name_of
from shared.contract.json_schemas import Json, schema

ASYNCAPI = "asyncapi.json"


def published() -> dict[str, Json]:
    """Build every file of the published contract, by its name."""
    files = {f"{name_of(message)}.json": schema(message) for message in messages()}
    return {ASYNCAPI: asyncapi(), **files}


def as_text(document: Json) -> str:
    """Write a file of the contract the same way each time."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
