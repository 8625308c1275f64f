"""The contract changes only by what breaks nobody, and `claimbus contract` says so."""

import json
import shutil
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from operations.contract import RELEASED, contract
from shared.contract.asyncapi import asyncapi
from shared.contract.compatibility import incompatible_changes, message_changes, topic_changes
from shared.contract.json_schemas import Json
from shared.contract.published import ASYNCAPI, as_text, published

pytestmark = pytest.mark.promise(
    "The contract changes compatibly, and its schemas say what the code does.", about="requests"
)

REQUEST: Json = {"x-type": "t", "x-topics": ["requests.<company>"], "x-sent-by": ["insurer", "partner"]}
SENT: Json = {"x-type": "t", "x-topics": ["claim-events", "events.<company>"]}


def problems(kind: Json, old: Json, new: Json) -> list[str]:
    """Compare messages with one field `f`, and without the notes that are the same."""
    released, ours = ({**kind, "type": "object", "properties": {"f": field}} for field in (old, new))
    return [f"{change.path} {change.problem}" for change in message_changes("m", released, ours)]


def changed(name: str, change: Callable[[Json], Any]) -> list[str]:
    """Change a schema of the contract as it is, and return what is incompatible about it."""
    released = as_it_is()
    ours = deepcopy(released)
    change(ours[name])
    return [str(each) for each in incompatible_changes(released, ours)]


@cache
def as_it_is() -> dict[str, Json]:
    """The contract of the code; whoever changes it copies it."""
    return published()


@pytest.fixture(scope="module")
def files() -> dict[str, Json]:
    return as_it_is()


def test_a_contract_is_compatible_with_itself(files: dict[str, Json]) -> None:
    assert incompatible_changes(files, deepcopy(files)) == []


# What companies send us


def test_a_request_may_get_an_optional_field() -> None:
    assert not changed("cancel-claim.v1.json", lambda s: s["properties"].update(witness={"type": "string"}))


def test_a_request_may_not_lose_a_field() -> None:
    assert changed("cancel-claim.v1.json", lambda s: s["properties"].pop("reason")) == [
        "cancel-claim.v1.json $.reason: is gone"
    ]


def test_a_renamed_field_is_one_that_is_gone() -> None:
    def rename(schema: Json) -> None:
        schema["properties"]["why"] = schema["properties"].pop("reason")

    assert changed("cancel-claim.v1.json", rename) == ["cancel-claim.v1.json $.reason: is gone"]


def test_a_request_may_not_require_another_field() -> None:
    def require(schema: Json) -> None:
        schema["properties"]["witness"] = {"type": "string"}
        schema["required"].append("witness")

    assert changed("cancel-claim.v1.json", require) == ["cancel-claim.v1.json $.witness: must be given now"]


def test_a_request_may_not_require_a_field_that_was_optional() -> None:
    assert changed("cancel-claim.v1.json", lambda s: s["required"].append("reason")) == [
        "cancel-claim.v1.json $.reason: must be given now"
    ]


def test_a_request_may_stop_requiring_a_field() -> None:
    assert not changed("cancel-claim.v1.json", lambda s: s["required"].clear())


def test_a_change_deep_in_a_request_is_found_where_it_is_used() -> None:
    changes = changed("create-temporary-claim.v1.json", lambda s: s["$defs"]["Address"]["properties"].pop("city"))
    assert changes == ["create-temporary-claim.v1.json $.incident.address.city: is gone"]


def test_a_change_in_a_list_or_a_dictionary_is_found() -> None:
    changes = changed("create-temporary-claim.v1.json", lambda s: s["$defs"]["TaskKind"]["enum"].remove("first_aid"))
    assert changes == ['create-temporary-claim.v1.json $.tasks[*].kind: no longer has the value "first_aid"']
    changes = changed(
        "set-portal-settings.v1.json", lambda s: s["$defs"]["Hours"]["properties"]["opens"].update(maxLength=4)
    )
    assert changes == [
        "set-portal-settings.v1.json $.office_hours.*.opens: maxLength was none and is 4",
        "set-portal-settings.v1.json $.special_hours.*.opens: maxLength was none and is 4",
    ]
    changes = changed("set-portal-settings.v1.json", lambda s: s["$defs"]["Weekday"]["enum"].remove("sun"))
    assert changes == ['set-portal-settings.v1.json $.office_hours.* (the key): no longer has the value "sun"']


def test_what_leaving_a_field_out_means_may_not_change() -> None:
    changes = changed("report-task.v1.json", lambda s: s["properties"]["finished"].update(default=True))
    assert changes == ["report-task.v1.json $.finished: left out it meant false and means true"]


def test_a_request_may_not_lose_a_kind_of_sender() -> None:
    changes = changed("assign-task.v1.json", lambda s: s["x-sent-by"].remove("partner"))
    assert changes == ["assign-task.v1.json $: may no longer be sent by partner"]


NARROWER: list[tuple[Json, Json, str]] = [
    ({"type": "string"}, {"type": "integer"}, "was string and is integer"),
    ({"type": "number"}, {"type": "integer"}, "was number and is integer"),
    ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"type": "string"}, "may no longer be null"),
    ({"type": ["string", "integer", "null"]}, {"type": ["string", "null"]}, 'may no longer be {"type": "integer"}'),
    ({"type": "string"}, {"type": "string", "enum": ["a"]}, 'takes only "a" now'),
    ({"enum": ["a", "b"]}, {"const": "a"}, 'no longer has the value "b"'),
    ({"type": "string"}, {"type": "string", "pattern": "^a"}, 'pattern was none and is "^a"'),
    ({"pattern": "^b"}, {"pattern": "^a"}, 'pattern was "^b" and is "^a"'),
    ({"prefixItems": [{}]}, {"prefixItems": [{}, {}]}, "had 1 elements with a type of their own and has 2"),
    ({"prefixItems": [{"type": "string"}]}, {"prefixItems": [{"type": "null"}]}, "$.f[0] may no longer be"),
    ({"patternProperties": {"^a": {}}}, {"patternProperties": {"^b": {}}}, "its keys were ^a and are ^b"),
    ({"patternProperties": {"^a": {}}}, {"patternProperties": {"^a": {"maxLength": 1}}}, "$.f.* maxLength was none"),
    ({"anyOf": [{"maxItems": 2}], "maxLength": 9}, {"anyOf": [{"maxItems": 2}], "maxLength": 8}, "maxLength was 9"),
    ({"type": "string"}, {"type": "string", "format": "date"}, 'format was none and is "date"'),
    ({"maxLength": 9}, {"maxLength": 8}, "maxLength was 9 and is 8"),
    ({}, {"maxItems": 8}, "maxItems was none and is 8"),
    ({"minimum": 1}, {"minimum": 2}, "minimum was 1 and is 2"),
    ({"additionalProperties": {"type": "string"}}, {"additionalProperties": False}, "other keys are refused now"),
]
WIDER: list[tuple[Json, Json, str]] = [
    ({"type": "integer"}, {"type": "number"}, "was integer and is number"),
    ({"type": "string"}, {"anyOf": [{"type": "string"}, {"type": "null"}]}, "may be null"),
    ({"type": "string"}, {"type": ["string", "integer"]}, 'may be {"type": "integer"}'),
    ({"type": "string", "enum": ["a"]}, {"type": "string"}, "takes any value now"),
    ({"pattern": "^a"}, {}, 'pattern was "^a" and is none'),
    ({"maxLength": 9}, {"maxLength": 10}, "maxLength was 9 and is 10"),
    ({"minItems": 1}, {}, "minItems was 1 and is none"),
    ({"exclusiveMinimum": 1}, {"exclusiveMinimum": 0}, "exclusiveMinimum was 1 and is 0"),
    ({"additionalProperties": False}, {"additionalProperties": {"type": "string"}}, "other keys are taken now"),
]


@pytest.mark.parametrize(("old", "new", "says"), NARROWER)
def test_a_request_may_not_take_less_than_before(old: Json, new: Json, says: str) -> None:
    assert any(says in problem for problem in problems(REQUEST, old, new))


@pytest.mark.parametrize(("old", "new", "says"), WIDER)
def test_a_request_may_take_more_than_before(old: Json, new: Json, says: str) -> None:
    assert problems(REQUEST, old, new) == []


def test_a_request_may_get_another_value_of_an_enumeration() -> None:
    assert problems(REQUEST, {"enum": ["a"]}, {"enum": ["a", "b"]}) == []


# What we send


@pytest.mark.parametrize(("old", "new", "says"), NARROWER + WIDER)
def test_what_we_send_may_be_neither_wider_nor_narrower(old: Json, new: Json, says: str) -> None:
    assert any(says in problem for problem in problems(SENT, old, new))


def test_there_can_be_a_new_refusal_code_and_a_new_cause() -> None:
    assert not changed("request-refused.v1.json", lambda s: s["$defs"]["Code"]["enum"].append("too_late"))
    assert not changed("claim-registered.v1.json", lambda s: s["$defs"]["Cause"]["enum"].append("earthquake"))


def test_a_refusal_code_may_not_go_away() -> None:
    changes = changed("request-refused.v1.json", lambda s: s["$defs"]["Code"]["enum"].remove("unknown_claim"))
    assert changes == ['request-refused.v1.json $.code: no longer has the value "unknown_claim"']


def test_what_we_send_may_get_an_optional_field_but_not_lose_one() -> None:
    assert not changed("claim-cancelled.v1.json", lambda s: s["properties"].update(note={"type": "string"}))
    assert changed("claim-cancelled.v1.json", lambda s: s["properties"].pop("reason")) == [
        "claim-cancelled.v1.json $.reason: is gone"
    ]


def test_what_is_always_there_stays_there() -> None:
    assert changed("claim-cancelled.v1.json", lambda s: s["required"].remove("version")) == [
        "claim-cancelled.v1.json $.version: is no longer always there"
    ]


def test_a_new_field_that_is_always_there_has_a_default_for_messages_already_sent() -> None:
    def add(field: Json) -> Callable[[Json], Any]:
        return lambda schema: (schema["properties"].update(urgent=field), schema["required"].append("urgent"))

    assert changed("claim-cancelled.v1.json", add({"type": "boolean"})) == [
        "claim-cancelled.v1.json $.urgent: "
        "is always there now, but not in the messages already sent: it needs a default"
    ]
    assert not changed("claim-cancelled.v1.json", add({"type": "boolean", "default": False}))


# Messages, topics and headers


def test_a_message_may_not_go_away_but_a_new_one_may_come(files: dict[str, Json]) -> None:
    fewer = {name: document for name, document in files.items() if name != "cancel-claim.v1.json"}
    assert [str(change) for change in incompatible_changes(files, fewer)] == [
        "cancel-claim.v1.json $: is gone; a type stays beside its successor"
    ]
    assert incompatible_changes(fewer, files) == []


def test_a_message_keeps_its_type_and_its_topics() -> None:
    assert changed("claim-linked.v1.json", lambda s: s.update({"x-type": "claimbus.claim-joined.v1"}))
    assert changed("claim-linked.v1.json", lambda s: s["x-topics"].remove("events.<company>")) == [
        "claim-linked.v1.json $: is no longer on events.<company>"
    ]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d["channels"].pop("events"), "the topic events.{company} is gone"),
        (lambda d: d["channels"]["events"].update(address="news.{company}"), "the topic's name was"),
        (lambda d: d["channels"]["events"].update({"x-key": "company"}), "the topic's key was"),
        (
            lambda d: d["channels"]["directory"]["bindings"]["kafka"].update(topicConfiguration={"retention.ms": 9}),
            "the topic was kept inf ms and is kept 9 ms",
        ),
        (
            lambda d: d["components"]["messageTraits"]["request"]["headers"]["required"].append("ce_actor"),
            "headers.ce_actor: must be given now",
        ),
        (
            lambda d: d["components"]["messageTraits"]["ours"]["headers"]["properties"].pop("ce_causationid"),
            "headers.ce_causationid: is gone",
        ),
    ],
)
def test_topics_and_headers_stay_as_they_are(change: Callable[[Json], Any], says: str) -> None:
    released, ours = asyncapi(), deepcopy(asyncapi())
    change(ours)
    [changes] = topic_changes(released, ours)
    assert says in str(changes)


def test_a_word_that_the_comparison_does_not_know_never_passes_unseen() -> None:
    schema: Json = {"oneOf": [{"type": "string"}]}
    assert problems(REQUEST, schema, schema) == ["$.f uses 'oneOf', which this comparison does not understand"]


def test_a_part_that_contains_itself_is_compared_once() -> None:
    def tree(leaf: str) -> Json:
        node = {"type": "object", "properties": {"leaf": {"type": leaf}, "child": {"$ref": "#/$defs/Node"}}}
        return {**REQUEST, "type": "object", "properties": {"tree": {"$ref": "#/$defs/Node"}}, "$defs": {"Node": node}}

    assert message_changes("m", tree("string"), tree("string")) == []
    changes = {str(change) for change in message_changes("m", tree("string"), tree("integer"))}
    assert "m $.tree.leaf: was string and is integer" in changes


# A request that was right stays right: what the comparison lets pass takes all that was taken before.

Pair = tuple[Json, Json]


def _limited(kind: str, lower: str, upper: str) -> st.SearchStrategy[Json]:
    limits = st.fixed_dictionaries({}, optional={lower: st.integers(0, 1), upper: st.integers(2, 3)})
    return limits.map(lambda bounds: {"type": kind, **bounds})


_simple: tuple[st.SearchStrategy[Json], ...] = (
    _limited("string", "minLength", "maxLength"),
    _limited("integer", "minimum", "maximum"),
    _limited("number", "minimum", "maximum"),
    st.sets(st.sampled_from("abc"), min_size=1).map(lambda values: {"type": "string", "enum": sorted(values)}),
    st.just({"type": "null"}),
    st.just({}),
)
_field_names = st.sampled_from("abc")


def _larger(inner: st.SearchStrategy[Pair]) -> st.SearchStrategy[Pair]:
    """Make a larger schema of smaller ones, the released and our own alike but for what the smaller ones differ in."""
    required = st.sets(_field_names)
    return st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(
            lambda pairs: ({"anyOf": [old for old, _ in pairs]}, {"anyOf": [new for _, new in reversed(pairs)]})
        ),
        inner.map(lambda pair: ({"type": "array", "items": pair[0]}, {"type": "array", "items": pair[1]})),
        inner.map(lambda pair: ({"additionalProperties": pair[0]}, {"additionalProperties": pair[1]})),
        st.builds(
            lambda pairs, before, after: (
                _object({name: old for name, (old, _) in pairs.items()}, before),
                _object({name: new for name, (_, new) in pairs.items()}, after),
            ),
            st.dictionaries(_field_names, inner, max_size=3),
            required,
            required,
        ),
    )


def _object(fields: Json, required: set[str]) -> Json:
    return {"type": "object", "properties": fields, "required": sorted(required & fields.keys())}


_pairs: st.SearchStrategy[Pair] = st.recursive(
    st.one_of(*(st.tuples(each, each) for each in _simple), st.tuples(st.one_of(_simple), st.one_of(_simple))),
    _larger,
    max_leaves=4,
)


def _bodies(schema: Json) -> st.SearchStrategy[Any]:
    """Draw what is right by a schema."""
    if "anyOf" in schema:
        return st.one_of([_bodies(kind) for kind in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "additionalProperties" in schema:
        return st.dictionaries(_field_names, _bodies(schema["additionalProperties"]), max_size=2)
    match schema.get("type"):
        case "string":
            return st.text("abcd", min_size=schema.get("minLength", 0), max_size=schema.get("maxLength", 5))
        case "integer":
            return st.integers(schema.get("minimum"), schema.get("maximum"))
        case "number":
            return st.floats(schema.get("minimum"), schema.get("maximum"), allow_nan=False, allow_infinity=False)
        case "array":
            return st.lists(_bodies(schema["items"]), max_size=2)
        case "object":
            fields = {name: _bodies(field) for name, field in schema["properties"].items()}
            given_always = {name: fields.pop(name) for name in schema["required"]}
            return st.fixed_dictionaries(given_always, optional=fields)
        case "null":
            return st.none()
        case _:
            return st.sampled_from([None, "a", 1, 0.5, [], {}])


@given(pair=_pairs, data=st.data())
def test_a_request_that_was_right_before_a_compatible_change_is_right_after_it(pair: Pair, data: st.DataObject) -> None:
    old, new = pair
    if not message_changes("m", {**REQUEST, **old}, {**REQUEST, **new}):
        body = data.draw(_bodies(old))
        assert Draft202012Validator(old).is_valid(body)
        assert Draft202012Validator(new).is_valid(body)


# claimbus contract

app = typer.Typer()
app.command()(contract)


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def edit(file: Path, change: Callable[[Json], Any]) -> None:
    document = json.loads(file.read_text("utf-8"))
    change(document)
    file.write_text(as_text(document), "utf-8")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the contract of the code, that nobody changes."""
    folder = tmp_path_factory.mktemp("written")
    assert run(str(folder))[0] == 0
    return folder


@pytest.fixture
def released(written: Path, tmp_path: Path) -> Path:
    """A folder with the contract of the code."""
    return shutil.copytree(written, tmp_path / "released")


def test_the_released_contract_is_that_of_the_code() -> None:
    status, out, err = run("--check")
    assert (status, err) == (0, ""), err
    assert str(RELEASED) in out


def test_the_files_are_written_and_then_up_to_date(released: Path, files: dict[str, Json]) -> None:
    assert {file.name for file in released.iterdir()} == files.keys()
    assert (released / ASYNCAPI).read_text("utf-8") == as_text(files[ASYNCAPI])
    assert run(str(released), "--check")[0] == 0


def test_files_that_are_only_out_of_date_fail_the_check_and_are_written_again(released: Path) -> None:
    edit(released / "cancel-claim.v1.json", lambda schema: schema["properties"].pop("reason"))
    assert run(str(released), "--check") == (
        1,
        "",
        "cancel-claim.v1.json is missing or out of date.\nRun claimbus contract.\n",
    )
    assert run(str(released))[0] == 0
    assert run(str(released), "--check")[0] == 0


def test_an_incompatible_change_fails_the_check_and_is_never_written_over_what_is_released(released: Path) -> None:
    file = released / "cancel-claim.v1.json"
    edit(file, lambda schema: schema["properties"].update(witness={"type": "string"}))
    before = file.read_text("utf-8")
    for arguments in ((str(released), "--check"), (str(released),)):
        status, out, err = run(*arguments)
        assert (status, out) == (1, "")
        assert "cancel-claim.v1.json $.witness: is gone" in err
        assert ".v2" in err
    assert file.read_text("utf-8") == before


def test_a_released_message_that_the_code_no_longer_has_fails_the_check(released: Path) -> None:
    (released / "burn-claim.v1.json").write_text("{}", "utf-8")
    assert "burn-claim.v1.json $: is gone" in run(str(released), "--check")[2]


def test_a_check_of_a_folder_without_a_contract_fails(tmp_path: Path) -> None:
    status, _, err = run(str(tmp_path / "nothing"), "--check")
    assert status == 1
    assert "asyncapi.json is missing" in err


def test_a_file_that_is_not_json_is_named_with_a_sentence(released: Path) -> None:
    (released / "cancel-claim.v1.json").write_text("{", "utf-8")
    status, _, err = run(str(released))
    assert status == 1
    assert "cancel-claim.v1.json" in err


def test_as_json_there_is_one_document_and_nothing_else(released: Path) -> None:
    edit(released / "cancel-claim.v1.json", lambda schema: schema["properties"].update(witness={}))
    status, out, err = run(str(released), "--check", "--json")
    assert (status, err) == (1, "")
    assert json.loads(out) == {
        "folder": str(released),
        "compatible": False,
        "incompatible": [{"file": "cancel-claim.v1.json", "path": "$.witness", "problem": "is gone"}],
        "stale": ["cancel-claim.v1.json"],
        "written": [],
    }


def test_a_file_instead_of_a_folder_is_wrong_usage(tmp_path: Path) -> None:
    file = tmp_path / "contract.json"
    file.write_text("{}", "utf-8")
    assert run(str(file))[0] == 2
