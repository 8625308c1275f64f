"""A request as it arrived, and what every request has to be: well formed, and from one who may send it. No I/O."""

from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError

from shared.contract.codes import Code
from shared.contract.envelope import Envelope, details_of
from shared.contract.requests import REQUESTS, DirectoryRequest, Request
from shared.domain.companies import Company, Office
from shared.domain.creation import NO_PARTNER_OFFICE
from shared.domain.directory import LATEST, Directory
from shared.domain.refusal import Refused


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """A request as it arrived: whose it is, from the topic's name, and when, from the broker (domain rules 4 and 5)."""

    company: str
    at: datetime
    envelope: Envelope

    @property
    def is_about_directory(self) -> bool:
        """Whether permissions settles it itself, and `directory` remembers its outcome."""
        model = REQUESTS.get(self.envelope.type)
        return model is not None and issubclass(model, DirectoryRequest)

    def parse(self) -> Request:
        """Read the body by its type (domain rule 22). Raises Refused."""
        if self.envelope.too_large:
            raise Refused(Code.MESSAGE_TOO_LARGE)
        if self.envelope.problems:
            raise Refused(Code.INVALID_REQUEST, details=self.envelope.problems)
        model = REQUESTS.get(self.envelope.type)
        if model is None:
            raise Refused(Code.UNKNOWN_TYPE)
        try:
            return model.model_validate_json(self.envelope.body)
        except ValidationError as error:
            raise Refused(Code.INVALID_REQUEST, details=details_of(error)) from None


def is_settled_here(directory: Directory, company: str, type: str, at: datetime) -> bool:
    """Whether a request is about the directory, from a company of a kind that may send it, and not too many.

    What is not is refused: a company stays of its kind. `claims` remembers that, as it does refusals of requests about
    claims; `directory` is kept for ever, and in the memory of all who read it.
    """
    model = REQUESTS.get(type)
    if model is None or not issubclass(model, DirectoryRequest):
        return False
    sender = directory.company(company, LATEST)
    return (sender is None or sender.kind in model.SENT_BY) and not directory.has_changed_enough(company, at)


def sender_of(directory: Directory, company: str, request: Request, at: datetime) -> Company:
    """Find the company that sends a request. Raises Refused where companies of its kind may not."""
    sender = directory.company(company, at)
    if sender is None or sender.kind not in request.SENT_BY:
        raise Refused(Code.SENDER_NOT_ALLOWED)
    return sender


def partner_office(directory: Directory, id: str, at: datetime, field: str) -> Office:
    """Find an office of a partner. Raises Refused."""
    office = directory.partner_office(id, at)
    if office is None:
        raise Refused(Code.UNKNOWN_OFFICE, field, NO_PARTNER_OFFICE)
    return office
