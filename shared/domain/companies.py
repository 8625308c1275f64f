"""Companies, their offices and users, and what an insurer allows a partner's office (domain rules 1, 5 and 7). Pure."""

from dataclasses import dataclass

from shared.contract.fields import CompanyKind, CreationPermission
from shared.contract.requests import SetOfficePermission


@dataclass(frozen=True, slots=True)
class Company:
    """An insurer, a partner, or the operator."""

    id: str
    name: str
    kind: CompanyKind
    token_sha256: str | None = None
    """Of the bearer token with which its systems call the portal."""


@dataclass(frozen=True, slots=True)
class Office:
    """A part of a company; permissions are given to it."""

    id: str
    company: str
    name: str


@dataclass(frozen=True, slots=True)
class User:
    """A person of a company."""

    id: str
    company: str
    name: str
    office: str | None
    email: str | None
    authorisation_level: int


@dataclass(frozen=True, slots=True)
class OfficePermission:
    """What an office may do for an insurer (domain rules 1 and 7); rights are dormant without the enhanced function."""

    creation: CreationPermission = CreationPermission.NEVER
    may_assign_to_others: bool = False
    may_define_claim_number: bool = False

    def changed_by(self, request: SetOfficePermission) -> "OfficePermission":
        """Apply a request; a right left out stays."""
        rights = request.may_assign_to_others, request.may_define_claim_number
        return OfficePermission(
            request.creation,
            self.may_assign_to_others if rights[0] is None else rights[0],
            self.may_define_claim_number if rights[1] is None else rights[1],
        )
