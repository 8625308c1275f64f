"""Forms: fields are named by the contract's own paths, so that what is wrong with one is shown there. Pure."""

import contextlib
import copy
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from services.portal.fields import is_field
from services.portal.phones import NORWAY, NOT_A_NUMBER, WrongPhone, e164, plainly_written
from services.portal.words import marked
from shared.contract.outcomes import Detail
from shared.contract.requests import Request

R = TypeVar("R", bound=Request)

REQUIRED = marked("Feltet må fylles ut.")
_WRONG = {
    "phone": NOT_A_NUMBER,
    "email": marked("Skriv en e-postadresse, som navn@eksempel.no."),
    "date": marked("Skriv en dato som ikke er senere enn i dag."),
    "amount": marked("Skriv et beløp som 12500 eller 12500,50."),
    "claim_number": marked("Skadenummeret er i bruk, eller kan ikke brukes."),
    "forget_after_days": marked("Skriv 0 for aldri, eller minst 30 dager."),
    "opens": marked("Skriv klokkeslett som 08:00, og åpning før stenging."),
    "closes": marked("Skriv klokkeslett som 16:00, og åpning før stenging."),
    "key": marked("En fil er ikke lenger hos oss. Fjern den, og legg den ved på nytt."),
}
_OTHERWISE = marked("Se over dette feltet.")
_FIRST_FIELDS = {
    "incident": "incident.date",
    "incident.address": "incident.address.street",
    "policyholder": "policyholder.name",
}


class WrongForm(Exception):
    """What was typed cannot be sent; `problems` tell of each field, by its name."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__()
        self.problems = dict(problems)


def typed(form: Iterable[tuple[str, Any]]) -> dict[str, str]:
    """Strip what was typed, and restore the line breaks that a browser changed when it sent them.

    What no form of ours has is left out.
    """
    return {
        name: value.replace("\r\n", "\n").strip() for name, value in form if isinstance(value, str) and is_field(name)
    }


def read(model: type[R], values: Mapping[str, str], region: str = NORWAY, /, **more: Any) -> R:
    """Make a request of the fields that are named by its paths; what was left empty is left out. Raises WrongForm.

    A phone number without a country code is one of `region` (ISO 3166-1).
    """
    body = nested({n: as_contract_has_it(n, v, region) for n, v in values.items() if v}) | more
    return _valid(model, body, _wrong_phones(values, region))


def read_over(
    model: type[R], present: Mapping[str, Any], changed: Mapping[str, str], region: str = NORWAY, /, **more: Any
) -> R:
    """Make a request of parts that are sent as a whole: as they are, but for the fields that were changed.

    What was emptied is taken away; `region` is that of `read`. Raises WrongForm.
    """
    body: dict[str, Any] = copy.deepcopy({name.split(".")[0]: present.get(name.split(".")[0]) for name in changed})
    for name, value in changed.items():
        *path, last = name.split(".")
        part = body
        for step in path:
            part = part[step]
        if value:
            part[last] = as_contract_has_it(name, value, region)
        else:
            part.pop(last, None)
    return _valid(model, body | more, _wrong_phones(changed, region))


def _valid(model: type[R], body: Mapping[str, Any], wrong: Mapping[str, str]) -> R:
    names = {str(alias) for alias in model.model_fields}
    try:
        request = model.model_validate({n: v for n, v in body.items() if n in names}, strict=False)
    except ValidationError as error:
        problems = {
            ".".join(str(part) for part in problem["loc"]): _sentence_for(problem) for problem in error.errors()
        }
        raise WrongForm({_in_form(name): text for name, text in problems.items()} | dict(wrong)) from None
    if wrong:
        raise WrongForm(wrong)
    return request


def problems_of(details: Iterable[Detail] | None) -> dict[str, str]:
    """The sentences to show at the fields that an outcome's details name."""
    return {detail.field: _WRONG.get(_last(detail.field), _OTHERWISE) for detail in details or ()}


def nested(values: Mapping[str, str]) -> dict[str, Any]:
    """Turn dotted names into a body: numbered parts become lists, in order, without gaps."""
    body: dict[str, Any] = {}
    for name, value in values.items():
        *path, last = name.split(".")
        part = body
        for step in path:
            below = part.get(step)
            if not isinstance(below, dict):  # nothing can be a field and have fields
                below = part[step] = {}
            part = below
        part[last] = value
    return {name: _listed(value) for name, value in body.items()}


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if value and all(name.isdecimal() for name in value):
        return [_listed(value[name]) for name in sorted(value, key=int)]
    return {name: _listed(part) for name, part in value.items()}


def _wrong_phones(values: Mapping[str, str], region: str) -> dict[str, str]:
    """What is wrong with the phone numbers, by the fields."""
    wrong = {}
    for name, value in values.items():
        if value and _last(name) == "phone":
            try:
                e164(value, region)
            except WrongPhone as problem:
                wrong[name] = str(problem)
    return wrong


def as_contract_has_it(name: str, value: str, region: str = NORWAY) -> str:
    """Write what a person typed in a field as the contract has it; what it cannot have is left as it is."""
    if _last(name) == "phone":
        with contextlib.suppress(WrongPhone):
            return e164(value, region)
    if _last(name) == "amount":
        whole, comma, part = re.sub(r"\s|^kr", "", plainly_written(value).lower()).removesuffix(",-").partition(",")
        return f"{whole.replace('.', '')}.{part}" if comma else whole
    if _last(name) == "currency":
        return plainly_written(value).upper()
    if _last(name) == "email":
        return unicodedata.normalize("NFC", "".join(c for c in value if unicodedata.category(c) != "Cf"))
    return value


def _sentence_for(problem: Any) -> str:
    if problem["type"] == "missing":
        return REQUIRED
    return _WRONG.get(_last(".".join(str(part) for part in problem["loc"])), _OTHERWISE)


def _in_form(name: str) -> str:
    """A part that is missing as a whole is reported at its first field."""
    return _FIRST_FIELDS.get(name, name)


def _last(name: str) -> str:
    return name.rsplit(".", 1)[-1]
