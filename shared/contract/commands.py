"""What `claim-commands` carries: requests that permissions has checked."""

from uuid import UUID

from pydantic import JsonValue

from shared.contract.codes import Code
from shared.contract.fields import Message, Moment, NamedMessage, Slug
from shared.contract.outcomes import Decision, Detail


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
    request: JsonValue = None
    """The body, well formed for its type; absent where refused."""
    refusal: Refusal | None = None
    decision: Decision | None = None
    facts: Facts = Facts()
