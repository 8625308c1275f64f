"""Which changes of the contract break those who build against it (contract: only optional fields, or a `.v2` type).

A request may change in what takes more than before: a new optional field, a wider limit, another enumeration value, a
field that need not be given any more. It may not lose a field, a value or a sender, get a narrower type, limit or
pattern, require a field, or change what leaving a field out means.

What we send has two readers: companies, whose code was written for the released form, and our own services, which
meet messages as old as the topic keeps (`directory` for ever). So it may change only by new fields, which have a
default where they are always there, and by new values of enumerations: the contract tells receivers to accept codes
and values that they do not know, and without that no kind of damage could ever be added. Any other difference, wider
or narrower, needs a new type.

A schema's words that are not known here are reported, so that nothing passes unseen.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shared.contract.json_schemas import Json
from shared.contract.published import ASYNCAPI
from shared.contract.topics import REQUESTS

_UPPER = ("maxLength", "maximum", "exclusiveMaximum", "maxItems", "maxProperties")
_LOWER = ("minLength", "minimum", "exclusiveMinimum", "minItems", "minProperties")
_EXACT = ("pattern", "format", "multipleOf", "uniqueItems", "contentEncoding", "contentMediaType")
_NESTED = ("items", "prefixItems", "properties", "required", "additionalProperties", "patternProperties")
_NOTES = ("title", "description", "default", "examples", "deprecated", "$schema", "$defs", "$comment")
_ANYTHING: Json = {}
_UNDERSTOOD = {*_UPPER, *_LOWER, *_EXACT, *_NESTED, *_NOTES, "type", "enum", "const", "anyOf", "$ref", "propertyNames"}


@dataclass(frozen=True)
class Change:
    """An incompatible change: in which file, where in the message (a JSON path), and what it is."""

    file: str
    path: str
    problem: str

    def __str__(self) -> str:
        return f"{self.file} {self.path}: {self.problem}"


def incompatible_changes(released: Mapping[str, Json], ours: Mapping[str, Json]) -> list[Change]:
    """Compare all files of the released contract with ours; what is new in ours is compatible."""
    changes = []
    for file, document in released.items():
        if file not in ours:
            changes.append(Change(file, "$", "is gone; a type stays beside its successor"))
        elif file == ASYNCAPI:
            changes += topic_changes(document, ours[file])
        else:
            changes += message_changes(file, document, ours[file])
    return changes


def message_changes(file: str, released: Json, ours: Json) -> list[Change]:
    """Compare two schemas of a message."""
    is_request = REQUESTS.name in released.get("x-topics", ())
    changes = [
        Change(file, "$", f"{problem} {lost}")
        for note, problem in (("x-topics", "is no longer on"), ("x-sent-by", "may no longer be sent by"))
        for lost in released.get(note, ())
        if lost not in ours.get(note, ())
    ]
    if released.get("x-type") != ours.get("x-type"):
        changes.append(Change(file, "$", f"its type was {released.get('x-type')} and is {ours.get('x-type')}"))
    return changes + _Comparison(file, released, ours, is_request).changes()


def topic_changes(released: Json, ours: Json) -> list[Change]:
    """Compare the topics of two AsyncAPI documents: name, key, how long they are kept; and messages' headers."""
    changes = []
    for name, channel in released["channels"].items():
        path = f"$.channels.{name}"
        now = ours["channels"].get(name)
        if now is None:
            changes.append(Change(ASYNCAPI, path, f"the topic {channel['address']} is gone"))
            continue
        for what, note in (("name", "address"), ("key", "x-key")):
            if now[note] != channel[note]:
                changes.append(Change(ASYNCAPI, path, f"the topic's {what} was {channel[note]!r} and is {now[note]!r}"))
        was_kept, is_kept = _kept_ms(channel), _kept_ms(now)
        if is_kept < was_kept:
            changes.append(Change(ASYNCAPI, path, f"the topic was kept {was_kept} ms and is kept {is_kept} ms"))
    for trait, is_request in (("request", True), ("ours", False)):
        before, after = (document["components"]["messageTraits"][trait]["headers"] for document in (released, ours))
        path = f"$.components.messageTraits.{trait}.headers"
        changes += _Comparison(ASYNCAPI, before, after, is_request).changes(path)
    return changes


def _kept_ms(channel: Json) -> float:
    kept: int = channel["bindings"]["kafka"]["topicConfiguration"]["retention.ms"]
    return float("inf") if kept < 0 else kept


class _Comparison:
    """Walks through two schemas at once. `narrower` changes break senders, any change breaks receivers."""

    def __init__(self, file: str, released: Json, ours: Json, is_request: bool) -> None:
        self._file = file
        self._released = released
        self._ours = ours
        self._is_request = is_request
        self._entered: list[tuple[int, int]] = []

    def changes(self, path: str = "$") -> list[Change]:
        return list(self._compare(self._released, self._ours, path))

    def _report(self, path: str, problem: str, *, narrower: bool) -> Iterator[Change]:
        if narrower or not self._is_request:
            yield Change(self._file, path, problem)

    def _compare(self, old: Json, new: Json, path: str) -> Iterator[Change]:
        pair = (id(old), id(new))
        if pair in self._entered:
            return  # a part that contains itself
        self._entered.append(pair)
        yield from self._kinds(_kinds(old, self._released), _kinds(new, self._ours), path)
        self._entered.pop()

    def _kinds(self, old: list[Json], new: list[Json], path: str) -> Iterator[Change]:
        """Compare what a value may be; null is compared by itself, since most fields are a kind or null."""
        was_null, is_null = (any(kind.get("type", "null") == "null" for kind in kinds) for kinds in (old, new))
        if was_null != is_null:
            yield from self._report(path, "may no longer be null" if was_null else "may be null", narrower=was_null)
        old, new = ([kind for kind in kinds if kind.get("type") != "null"] for kinds in (old, new))
        changed, into = _without_what_both_have(old, new)
        if len(changed) == len(into) == 1:
            yield from self._same_kind(changed[0], into[0], path)
            return
        for kind in old:
            if all(list(self._same_kind(kind, other, path)) for other in new):
                yield from self._report(path, f"may no longer be {_brief(kind)}", narrower=True)
        for kind in new:
            if all(list(self._same_kind(other, kind, path)) for other in old):
                yield from self._report(path, f"may be {_brief(kind)}", narrower=False)

    def _same_kind(self, old: Json, new: Json, path: str) -> Iterator[Change]:
        before, after = old.get("type"), new.get("type")
        if before != after:
            narrower = after is not None and (before, after) != ("integer", "number")
            yield from self._report(path, f"was {before or 'anything'} and is {after or 'anything'}", narrower=narrower)
            if narrower:
                return
        for word in sorted((old.keys() | new.keys()) - _UNDERSTOOD):
            if not word.startswith("x-"):
                yield Change(self._file, path, f"uses {word!r}, which this comparison does not understand")
        yield from self._values(old, new, path)
        yield from self._limits(old, new, path)
        yield from self._fields(old, new, path)
        yield from self._members(old, new, path)

    def _values(self, old: Json, new: Json, path: str) -> Iterator[Change]:
        before, after = _values(old), _values(new)
        if before is None and after is not None:
            yield from self._report(path, f"takes only {', '.join(sorted(after))} now", narrower=True)
        elif before is not None and after is None:
            yield from self._report(path, "takes any value now", narrower=False)
        elif before is not None and after is not None and before - after:
            yield from self._report(path, f"no longer has the value {', '.join(sorted(before - after))}", narrower=True)

    def _limits(self, old: Json, new: Json, path: str) -> Iterator[Change]:
        for word in (*_UPPER, *_LOWER, *_EXACT):
            before, after = old.get(word), new.get(word)
            if before == after:
                continue
            wider = after is None or (
                before is not None and word not in _EXACT and (after > before if word in _UPPER else after < before)
            )
            says = f"{word} was {_or_none(before)} and is {_or_none(after)}"
            yield from self._report(path, says, narrower=not wider)

    def _fields(self, old: Json, new: Json, path: str) -> Iterator[Change]:
        fields, now = old.get("properties", {}), new.get("properties", {})
        was_required, is_required = set(old.get("required", ())), set(new.get("required", ()))
        for name, field in fields.items():
            field_path = f"{path}.{name}"
            if name not in now:
                yield Change(self._file, field_path, "is gone")
                continue
            yield from self._compare(field, now[name], field_path)
            if name in was_required and name not in is_required:
                yield from self._report(field_path, "is no longer always there", narrower=False)
            elif name not in was_required | is_required and field.get("default") != now[name].get("default"):
                meant, means = (json.dumps(each.get("default")) for each in (field, now[name]))
                yield from self._report(field_path, f"left out it meant {meant} and means {means}", narrower=True)
        for name in sorted(is_required - was_required):
            if self._is_request:
                yield Change(self._file, f"{path}.{name}", "must be given now")
            elif "default" not in now.get(name, {}):
                problem = "is always there now, but not in the messages already sent: it needs a default"
                yield Change(self._file, f"{path}.{name}", problem)

    def _members(self, old: Json, new: Json, path: str) -> Iterator[Change]:
        """Compare the elements of arrays and the keys and values of dictionaries."""
        yield from self._compare(old.get("items", _ANYTHING), new.get("items", _ANYTHING), f"{path}[*]")
        firsts, now = old.get("prefixItems", []), new.get("prefixItems", [])
        if len(firsts) != len(now):
            yield Change(self._file, path, f"had {len(firsts)} elements with a type of their own and has {len(now)}")
        for n, (before, after) in enumerate(zip(firsts, now, strict=False)):
            yield from self._compare(before, after, f"{path}[{n}]")
        keys, keys_now = old.get("propertyNames", _ANYTHING), new.get("propertyNames", _ANYTHING)
        yield from self._compare(keys, keys_now, f"{path}.* (the key)")
        patterns, patterns_now = old.get("patternProperties", {}), new.get("patternProperties", {})
        if patterns.keys() != patterns_now.keys():
            says = f"its keys were {' or '.join(patterns) or 'any'} and are {' or '.join(patterns_now) or 'any'}"
            yield Change(self._file, f"{path}.* (the key)", says)
        for pattern in patterns.keys() & patterns_now.keys():
            yield from self._compare(patterns[pattern], patterns_now[pattern], f"{path}.*")
        others, others_now = old.get("additionalProperties", True), new.get("additionalProperties", True)
        if (others is False) != (others_now is False):
            says = "other keys are refused now" if others_now is False else "other keys are taken now"
            yield from self._report(f"{path}.*", says, narrower=others_now is False)
        elif others is not False:
            yield from self._compare(_or_anything(others), _or_anything(others_now), f"{path}.*")


def _kinds(schema: Json, root: Json) -> list[Json]:
    """The kinds of value that a schema takes, one schema for each, without references at its top."""
    while "$ref" in schema:
        target = root
        for step in schema["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        schema = {**target, **{word: value for word, value in schema.items() if word != "$ref"}}
    rest = {word: value for word, value in schema.items() if word not in _NOTES}
    if "anyOf" in rest:
        kinds = rest.pop("anyOf")
        return [flat for kind in kinds for flat in _kinds({**rest, **kind}, root)]
    if isinstance(rest.get("type"), list):
        return [{**rest, "type": kind} for kind in rest["type"]]
    return [rest]


def _without_what_both_have(old: list[Json], new: list[Json]) -> tuple[list[Json], list[Json]]:
    """Leave out the kinds that are the same, such as the empty text of a field that need not be given.

    Two that are made of others may only look alike.
    """
    same = [kind for kind in old if kind in new and not kind.keys() & {*_NESTED, "propertyNames"}]
    if len(old) == len(new) == 1:
        same = []
    return [kind for kind in old if kind not in same], [kind for kind in new if kind not in same]


def _values(kind: Json) -> set[str] | None:
    values = [kind["const"]] if "const" in kind else kind.get("enum")
    return None if values is None else {json.dumps(value) for value in values}


def _or_anything(schema: Any) -> Json:
    return _ANYTHING if schema is True else schema


def _or_none(limit: Any) -> str:
    return "none" if limit is None else json.dumps(limit)


def _brief(kind: Json) -> str:
    return json.dumps({word: value for word, value in kind.items() if word in {"type", "enum", "const", "format"}})
