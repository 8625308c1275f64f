"""Reading what is recorded: it was judged when it was accepted, and is not judged again.

A later version may take less than the one that accepted a message, and another machine may know fewer time zones. So a
recorded message is read by what its fields *are* (a text, a date, a list), whatever its request had to be like.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar

from pydantic import BaseModel
from pydantic_core import SchemaValidator, core_schema

M = TypeVar("M", bound=BaseModel)

_LIMITS = {"pattern", "min_length", "max_length", "gt", "ge", "lt", "le", "multiple_of"}


def read_recorded(model: type[M], body: bytes) -> M:
    """Read a message that was accepted once.

    Raises ValidationError where it lacks something or is of another kind than this version knows: that was written by
    a newer one.
    """
    read: M = _validator(model).validate_json(body)
    return read


@cache
def _validator(model: type[BaseModel]) -> SchemaValidator:
    return SchemaValidator(_without_judgement(model.__pydantic_core_schema__), _use_prebuilt=False)


def _without_judgement(schema: Any) -> Any:
    """Take limits away from a schema, and what would refuse a value; what puts it into order stays."""
    if isinstance(schema, list):
        return [_without_judgement(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kind = schema.get("type")
    parts = {name: _without_judgement(part) for name, part in schema.items() if name not in ("metadata", "default")}
    if "default" in schema:
        parts["default"] = schema["default"]
    if not isinstance(kind, str):
        return parts
    if kind in _FUNCTIONS:
        return _in_order(schema["function"], _FUNCTIONS[kind], parts["schema"], parts.get("ref"))
    return {name: part for name, part in parts.items() if name not in _LIMITS}


_FUNCTIONS: Mapping[str, Mapping[str, Callable[..., Any]]] = {
    "function-after": {
        "no-info": core_schema.no_info_after_validator_function,
        "with-info": core_schema.with_info_after_validator_function,
    },
    "function-before": {
        "no-info": core_schema.no_info_before_validator_function,
        "with-info": core_schema.with_info_before_validator_function,
    },
}


def _in_order(validator: Any, make: Mapping[str, Callable[..., Any]], schema: Any, ref: str | None) -> Any:
    function = validator["function"]

    def lenient(value: Any, *info: Any) -> Any:
        try:
            return function(value, *info)
        except ValueError:
            return value

    return make[validator["type"]](lenient, schema, ref=ref)
