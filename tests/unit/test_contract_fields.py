"""What a field of a request takes: what its published schema says, with empty fields left out and texts in one form."""

import json
import re
import unicodedata
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker
from pydantic import BaseModel, ValidationError

from services.permissions.claim_rules import check
from services.permissions.directory_rules import settle
from shared.contract.codes import Code
from shared.contract.commands import CheckedRequest
from shared.contract.directory_events import SettingsRequestRefused
from shared.contract.envelope import details_of
from shared.contract.fields import Hours, Incident, Policyholder
from shared.contract.json_schemas import schema
from shared.contract.requests import REQUESTS, NewTask, Request, SetPortalSettings
from tests.builders.content import ADDRESS
from tests.builders.directory import registered
from tests.builders.moments import oslo
from tests.builders.requests import CLAIM, FJORD, FULL, Json, asks
from tests.properties import no_deadline

INCIDENT, POLICYHOLDER = (FULL["create-temporary-claim"][part] for part in ("incident", "policyholder"))

every_request = pytest.mark.parametrize("request_type", REQUESTS.values(), ids=lambda request: request.NAME)

DATES = [
    "0",
    "00000000",
    "-86400",
    "1795392000",
    "20261124",
    "2026-11-24T00:00:00",
    "2026-11-24T00:00:00Z",
    "2026-11-24Z",
    "2026-W48-2",
    "2026-328",
    "2026-1-1",
    "26-11-24",
    "24.11.2026",
    "11/24/2026",
    "2026/11/24",
    "2026-02-30",
    "2026-13-01",
    "2026-00-10",
    "0000-01-01",
    "+2026-11-24",
    "12026-11-24",
    "\uff12\uff10\uff12\uff16-11-24",
    "2026-11-24.",
    "today",
    "2026\u201311\u201324",
]
UUIDS = [
    CLAIM.upper(),
    CLAIM.replace("-", ""),
    f"{{{CLAIM}}}",
    f"urn:uuid:{CLAIM}",
    CLAIM[:-1],
    f"{CLAIM}0",
    CLAIM.replace("0b0f6f0c-6f0e", "0b0f6f0c6f0e-"),
    CLAIM.replace("1", "g"),
]
TIMES = ["08:00", "8:00", "24:00", "24:01", "08:60", "08:00:00", "0800", "8", "08.00", "08:00Z", "16:00", "00:00"]
NUMBERS: list[Any] = [0, 1, -1, 2, 5, 6, 7, 3650, 3651, 2.0, 2.5, -0.0, 1e22, 1.5e-7, 10**30, True, False]
NUMERALS = [
    "0",
    "1",
    "2",
    "5",
    "2.0",
    "12000",
    "12000.5",
    "12000.505",
    "12000,50",
    "012",
    "1e3",
    "+5",
    "-5",
    ".5",
    "5.",
    "1_000",
    "\u00bd",
    "\u0663",
    "0x10",
    "1000000000000",
]
WORDS = [
    "yes",
    "no",
    "true",
    "false",
    "on",
    "off",
    "y",
    "True",
    "null",
    "none",
    "first_aid",
    "FIRST_AID",
    "inspection",
    "first-aid",
    "water",
    "Water",
    "vann",
    "always",
    "never",
    "weekly",
    "monthly",
    "partner",
    "insurer",
    "operator",
    "NOK",
    "nok",
    "NO",
    "no",
    "SE",
    "Europe/Oslo",
    "europe/oslo",
    "UTC",
    "Oslo",
    "vest-bergen",
    "Vest-Bergen",
    "vest_bergen",
    "-vest",
    "åse",
    "+4791234567",
    "004791234567",
    "91234567",
    "+047",
    "ase@example.no",
    "@",
    "a@b",
    "øyvind@bærum.no",
]
OTHERS: list[Any] = [
    None,
    "",
    " ",
    "\t\n",
    "\u00a0",
    [],
    {},
    [None],
    [""],
    ["a"],
    [[]],
    {"a": None},
    {"": ""},
    "0" * 64,
    "A" * 64,
    "a" * 200,
    "å" * 200,
    "a" * 201,
    "a\x00b",
    "\u200b",
    "🙂",
    ["2026-12-24", "0"],
    {"0": None},
    {"2026-12-24": None},
    {"20261224": None},
    {"mon": None},
    {"mon": ""},
    {"MON": None},
    {"mon": {"opens": "8:00", "closes": "16:00"}},
    {"mon": {"opens": "08:00", "closes": "16:00", "note": 1}},
    [{"kind": "first_aid"}, {"kind": None}],
    [{"kind": "first_aid", "office": ""}],
    [{"kind": "first_aid"}] * 101,
]
TRIED: list[Any] = [*DATES, *UUIDS, *TIMES, *NUMBERS, *NUMERALS, *WORDS, *OTHERS]

ONLY_THE_CODE_KNOWS = re.compile(
    r"Value error, (give (at least one|either)|opens .* must be before|is not an IANA time zone|must not contain)"
    r"|String should have at least 1 character"
)
"""What no schema of ours says: what fields must be together, and that a text is not of blanks alone."""


@cache
def validator(request: type[Request]) -> Draft202012Validator:
    return Draft202012Validator(schema(request), format_checker=FormatChecker(["date", "uuid"]))


def refusals(request: type[BaseModel], body: Any) -> list[str]:
    """Why a request is refused; nothing where it is taken."""
    try:
        request.model_validate_json(json.dumps(body))
    except ValidationError as error:
        return [problem["msg"] for problem in error.errors()]
    return []


def paths(body: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path to each part of a body."""
    parts = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for name, part in parts:
        yield (*path, name)
        yield from paths(part, (*path, name))


def with_part(body: Json, path: tuple[Any, ...], value: Any) -> Json:
    """Put something else in one place of a body."""
    other = deepcopy(body)
    part: Any = other
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = value
    return other


def each_text(value: Any, change: Any) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [each_text(part, change) for part in value]
    return {name: each_text(part, change) for name, part in value.items()} if isinstance(value, dict) else value


def tidy(text: str) -> str:
    """Write a text as we keep it: what we take is right by the schema when it is written like this."""
    return unicodedata.normalize("NFC", text).strip()


def assert_agreement(request: type[Request], body: Any) -> None:
    """The code takes what the schema says is right, and nothing else."""
    refused = refusals(request, body)
    if not refused:
        complaints = [error.message for error in validator(request).iter_errors(each_text(body, tidy))]
        assert complaints == [], f"taken, and wrong by the schema: {body}"
    elif validator(request).is_valid(body):
        unexplained = [problem for problem in refused if not ONLY_THE_CODE_KNOWS.match(problem)]
        assert unexplained == [], f"right by the schema, and refused: {body}"


def test_every_request_is_tried_with_everything_that_it_can_say() -> None:
    assert {f"claimbus.{name}.v1" for name in FULL} == REQUESTS.keys()
    for request in REQUESTS.values():
        assert refusals(request, FULL[request.NAME]) == []
        left_out = set(request.model_fields) - set(FULL[request.NAME])
        assert left_out <= {"target_claim_id"}, request.NAME


@every_request
def test_a_field_takes_what_its_schema_says_and_nothing_else(request_type: Any) -> None:
    body = FULL[request_type.NAME]
    for path in paths(body):
        for value in TRIED:
            assert_agreement(request_type, with_part(body, path, value))


json_values = st.recursive(
    st.one_of(st.sampled_from(TRIED), st.integers(), st.floats(allow_nan=False, allow_infinity=False))
    | st.text(st.characters(codec="utf-8"), max_size=20)
    | st.from_regex(r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}", fullmatch=True)
    | st.from_regex(r"[0-9:.+-]{1,8}", fullmatch=True),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*WORDS, *DATES]), inner, max_size=3),
    max_leaves=4,
)


@settings(no_deadline, max_examples=500)
@given(st.data())
def test_whatever_stands_in_a_field_code_and_schema_agree(data: st.DataObject) -> None:
    request = data.draw(st.sampled_from(list(REQUESTS.values())))
    body = FULL[request.NAME]
    for path in data.draw(st.lists(st.sampled_from(list(paths(body))), min_size=1, max_size=3)):
        try:
            body = with_part(body, path, data.draw(json_values))
        except (KeyError, IndexError, TypeError):
            continue  # the part that it was in is another one already
    assert_agreement(request, body)


# Dates


@pytest.mark.parametrize("text", DATES)
def test_a_date_is_a_year_a_month_and_a_day_and_nothing_else(text: str) -> None:
    for name, body in (
        ("create-temporary-claim", {**FULL["create-temporary-claim"], "incident": {**INCIDENT, "date": text}}),
        ("register-claim", {**FULL["register-claim"], "incident": {**INCIDENT, "date": text}}),
        ("amend-claim", {"claim_id": CLAIM, "incident": {**INCIDENT, "date": text}}),
        ("set-portal-settings", {"closed_days": ["2026-12-24", text]}),
        ("set-portal-settings", {"special_hours": {text: None}}),
    ):
        assert refusals(REQUESTS[f"claimbus.{name}.v1"], body) != [], name


def test_a_refused_date_is_told_with_what_may_stand_there() -> None:
    body = FULL["create-temporary-claim"] | {"incident": {**INCIDENT, "date": "0"}}
    answer = check(registered(), asks("vest", "create-temporary-claim", body, at=oslo("2026-11-24 12:00")))
    assert answer.refusal is not None
    assert answer.refusal.code is Code.INVALID_REQUEST
    assert answer.refusal.details is not None
    [detail] = answer.refusal.details
    assert (detail.field, detail.problem) == ("incident.date", "must be a date as YYYY-MM-DD")


# Empty fields


def optional_fields(model: type[BaseModel]) -> set[str]:
    return {name for name, field in model.model_fields.items() if not field.is_required()}


EMPTY = [None, "", " ", "\t\r\n"]
NEEDS_ONE: dict[str, Json] = {
    "report-task": {"text": "Tørket."},
    "amend-claim": {"policy_number": "123"},
    "link-claim": {"target_claim_number": "2026-16"},
    "set-portal-settings": {"country": "SE"},
}
"""Of the requests that must say something, one thing that they can say."""


@every_request
@pytest.mark.parametrize("empty", EMPTY)
def test_an_empty_optional_field_is_as_if_it_were_left_out(request_type: Any, empty: str | None) -> None:
    full, needed = FULL[request_type.NAME], NEEDS_ONE.get(request_type.NAME, {})
    optional = optional_fields(request_type) - needed.keys()
    mandatory = {name: part for name, part in full.items() if name not in optional_fields(request_type)} | needed
    left_out = request_type.model_validate_json(json.dumps(mandatory))
    for names in (optional, *({name} for name in optional)):
        filled = request_type.model_validate_json(json.dumps(mandatory | dict.fromkeys(names, empty)))
        assert filled == left_out
        assert filled.json_bytes() == left_out.json_bytes()


@pytest.mark.parametrize("empty", EMPTY)
def test_an_empty_optional_field_within_another_is_as_if_it_were_left_out(empty: str | None) -> None:
    parts: list[tuple[Any, Json]] = [
        (Incident, INCIDENT),
        (Policyholder, POLICYHOLDER),
        (NewTask, {"kind": "first_aid"}),
    ]
    for model, full in parts:
        mandatory = {name: part for name, part in full.items() if name not in optional_fields(model)}
        filled = mandatory | dict.fromkeys(optional_fields(model), empty)
        if model is Incident:
            filled |= {"address": {**ADDRESS, "country": empty}}
        assert model.model_validate_json(json.dumps(filled)) == model.model_validate_json(json.dumps(mandatory))


def test_all_optional_fields_may_be_empty_at_once_as_erp_systems_send_them() -> None:
    body: Json = {
        **FULL["create-temporary-claim"],
        "incident": {**INCIDENT, "description": "", "address": {**ADDRESS, "country": ""}},
        "policyholder": {**POLICYHOLDER, "email": ""},
        **dict.fromkeys(("claim_number", "policy_number", "partner_reference", "assigned_office"), ""),
        "tasks": None,
    }
    request = REQUESTS["claimbus.create-temporary-claim.v1"].model_validate_json(json.dumps(body))
    written = json.loads(request.json_bytes())
    assert written.keys() == {"insurer", "office", "incident", "policyholder", "tasks"}
    assert written["tasks"] == []
    assert written["incident"]["address"]["country"] == "NO"


@every_request
@pytest.mark.parametrize("empty", EMPTY)
def test_mandatory_fields_that_are_empty_are_refused_and_all_are_named(request_type: Any, empty: str | None) -> None:
    mandatory = {name for name, field in request_type.model_fields.items() if field.is_required()}
    if not mandatory:
        return
    with pytest.raises(ValidationError) as refused:
        request_type.model_validate_json(json.dumps(dict.fromkeys(mandatory, empty)))
    assert {detail.field for detail in details_of(refused.value)} == mandatory


def test_in_settings_null_takes_a_subdivision_away_and_an_empty_text_leaves_it() -> None:
    for body, fields_set in (
        ({"country": "NO", "subdivision": None}, {"country", "subdivision"}),
        ({"country": "NO", "subdivision": ""}, {"country"}),
        ({"country": "NO"}, {"country"}),
    ):
        assert SetPortalSettings.model_validate_json(json.dumps(body)).model_fields_set == fields_set


def test_in_settings_null_closes_a_day_and_an_empty_text_is_no_hours() -> None:
    for field, day in (("office_hours", "mon"), ("special_hours", "2026-12-24")):
        closed = SetPortalSettings.model_validate_json(json.dumps({field: {day: None}}))
        assert list(getattr(closed, field).values()) == [None]
        assert refusals(SetPortalSettings, {field: {day: ""}}) != []


def test_settings_of_empty_fields_alone_change_nothing_and_are_refused_as_before() -> None:
    for empty in ("", None):
        body = {name: empty for name in SetPortalSettings.model_fields if (name, empty) != ("subdivision", None)}
        answer = settle(registered(), asks(FJORD, "set-portal-settings", body, at=oslo("2026-11-24 12:00")))
        assert isinstance(answer, SettingsRequestRefused)


# One text is one text


@no_deadline
@given(st.text(st.sampled_from("AaÅåÖöéñ Ωж"), min_size=1, max_size=20).filter(str.strip))
def test_a_text_is_kept_in_one_form_however_it_was_sent(text: str) -> None:
    for request in (REQUESTS["claimbus.create-temporary-claim.v1"], REQUESTS["claimbus.register-user.v1"]):
        texts = {"name", "description", "street", "city", "postal_code", "claim_number", "policy_number"}

        def sent_as(form: Any, body: Any, texts: set[str] = texts) -> Any:
            if isinstance(body, list):
                return [sent_as(form, part) for part in body]
            if not isinstance(body, dict):
                return body
            return {
                name: unicodedata.normalize(form, text) if name in texts else sent_as(form, part)
                for name, part in body.items()
            }

        kept = [
            request.model_validate_json(json.dumps(sent_as(form, FULL[request.NAME]))).json_bytes()
            for form in ("NFC", "NFD")
        ]
        assert kept[0] == kept[1]
        assert unicodedata.is_normalized("NFC", kept[0].decode())


def test_a_decomposed_text_has_the_length_that_it_has_composed() -> None:
    for letters in ("Å" * 200, "A\u030a" * 200):
        assert refusals(Policyholder, POLICYHOLDER | {"name": letters}) == []
    assert refusals(Policyholder, POLICYHOLDER | {"name": "A\u030a" * 201}) != []


def test_hours_are_written_as_the_schema_says() -> None:
    for text in TIMES:
        taken = refusals(Hours, {"opens": "00:00", "closes": text}) == []
        assert taken is bool(re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]|24:00", text) and text > "00:00")


def test_what_is_checked_is_read_again_by_claims() -> None:
    body = FULL["create-temporary-claim"] | {"tasks": None, "policy_number": ""}
    answer = check(registered(), asks("vest", "create-temporary-claim", body, at=oslo("2026-11-24 12:00")))
    assert CheckedRequest.model_validate_json(answer.json_bytes()) == answer
