"""What `claim-commands` carries: requests that permissions has checked."""

from functools import cache
from typing import Annotated, Any, Literal, Union
from uuid import UUID

from pydantic import (
    BeforeValidator,
    Discriminator,
    SerializeAsAny,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    create_model,
)

from shared.contract.codes import Code
from shared.contract.fields import Message, Moment, NamedMessage, Slug
from shared.contract.outcomes import Decision, Detail
from shared.contract.requests import REQUESTS, Request


class Refusal(Message):
    """Why permissions refused a request; claims remembers it as its outcome."""

    code: Code
    details: list[Detail] | None = None


class OfficeOfInsurer(Message):
    """A pair of insurer and partner office (domain rule 1)."""

    insurer: Slug
    office: Slug


class Facts(Message):
    """What permissions knew at the moment of the request and claims needs to decide; only what matters is given."""

    time_zones: dict[Slug, str] = {}
    """The time zones of the insurers that the claim can belong to."""
    companies_of_offices: dict[Slug, Slug] = {}
    """The company of each office that the request names."""
    insurers_that_need_budget: list[Slug] = []
    """The insurers whose inspection tasks need a budget (domain rule 11)."""
    may_assign_to_others: list[OfficeOfInsurer] = []
    """For which insurers the sender's offices hold the right (domain rule 7)."""
    unlink_days: int | None = None
    """For how many days the insurer that asks can take a link back; given for `unlink-claim`."""


class CheckedRequest(NamedMessage):
    """A request with what permissions decided; a refused one too, since claims is where outcomes are remembered."""

    NAME = "checked-request"

    company: Slug
    request_id: str
    request_type: str
    requested_at: Moment
    actor: str | None = None
    claim_id: UUID
    """The message's key: the claim that it is about, or that it creates."""
    insurer: Slug | None = None
    """Of a creation request, also a refused one: the registered insurer that it names."""
    request: Annotated[SerializeAsAny[Request] | None, WithJsonSchema({})] = None
    """The body, well formed for its type; absent where refused."""
    refusal: Refusal | None = None
    decision: Decision | None = None
    facts: Facts = Facts()


def read_checked_request(body: bytes) -> CheckedRequest:
    """Read a checked request, and the request in it by its type. Raises ValidationError.

    One of a type that is not known was refused, and has no request in it.
    """
    by_type, of_no_known_type = _readers()
    try:
        return by_type.validate_json(body)
    except ValidationError as error:
        if not any(problem["type"] == "union_tag_invalid" for problem in error.errors(include_input=False)):
            raise
    return of_no_known_type.validate_json(body)


@cache
def _readers() -> tuple[TypeAdapter[CheckedRequest], TypeAdapter[CheckedRequest]]:
    """One pass over the JSON reads the whole message: its `request_type` says which model its request has."""
    of_types = [_of(Literal[type], request | None) for type, request in REQUESTS.items()]
    by_type: Any = Annotated[Union[*of_types], Discriminator("request_type")]
    return TypeAdapter(by_type), TypeAdapter(_of(str, Annotated[None, BeforeValidator(lambda _: None)]))


def _of(type: Any, request: Any) -> Any:
    return create_model(
        CheckedRequest.__name__, __base__=CheckedRequest, request_type=(type, ...), request=(request, None)
    )
