"""Which normal claims a temporary one may belong to (topic `link-suggestions`), and why, in this one place."""

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import Field

from shared.contract.fields import LocalizedText, Message, Moment, NamedMessage, Slug


class Reason(StrEnum):
    """What two claims have in common; the sentences are for people. A reader passes over a code it does not know."""

    SAME_POLICY_NUMBER = "same_policy_number"
    SIMILAR_POLICY_NUMBER = "similar_policy_number"
    SAME_PHONE = "same_phone"
    SIMILAR_PHONE = "similar_phone"
    SAME_ADDRESS = "same_address"
    SIMILAR_ADDRESS = "similar_address"
    SAME_BUILDING = "same_building"
    SAME_STREET = "same_street"
    SAME_NAME = "same_name"
    SIMILAR_NAME = "similar_name"
    SAME_FAMILY_NAME = "same_family_name"
    SAME_DAY = "same_day"
    CLOSE_IN_TIME = "close_in_time"
    DATE_MISTYPED = "date_mistyped"
    SAME_CAUSE = "same_cause"
    RELATED_CAUSE = "related_cause"

    def message(self, days: int | None = None) -> LocalizedText:
        """The sentence for a person; `days` are those between the incident dates."""
        nb, en = _SENTENCES[self]
        one = days == 1
        return LocalizedText(
            nb=nb.format(days=f"{days} {'dag' if one else 'dager'}"),
            en=en.format(days=f"{days} {'day' if one else 'days'}"),
        )


_SENTENCES = {
    Reason.SAME_POLICY_NUMBER: ("Samme polisenummer.", "The same policy number."),
    Reason.SIMILAR_POLICY_NUMBER: (
        "Polisenumrene skiller seg med én tastefeil.",
        "The policy numbers are one typing error apart.",
    ),
    Reason.SAME_PHONE: ("Samme telefonnummer.", "The same phone number."),
    Reason.SIMILAR_PHONE: (
        "Telefonnumrene skiller seg med én tastefeil.",
        "The phone numbers are one typing error apart.",
    ),
    Reason.SAME_ADDRESS: ("Samme adresse.", "The same address."),
    Reason.SIMILAR_ADDRESS: ("Nesten samme adresse.", "Nearly the same address."),
    Reason.SAME_BUILDING: (
        "Samme husnummer, men en annen bolig eller oppgang.",
        "The same house number, but another dwelling or entrance.",
    ),
    Reason.SAME_STREET: ("Samme gate, men et annet husnummer.", "The same street, but another house number."),
    Reason.SAME_NAME: ("Samme navn.", "The same name."),
    Reason.SIMILAR_NAME: ("Nesten samme navn.", "Nearly the same name."),
    Reason.SAME_FAMILY_NAME: ("Samme etternavn.", "The same family name."),
    Reason.SAME_DAY: ("Samme skadedato.", "The same incident date."),
    Reason.CLOSE_IN_TIME: ("{days} mellom skadedatoene.", "{days} between the incident dates."),
    Reason.DATE_MISTYPED: (
        "Skadedatoene kan være den samme, tastet feil (dag og måned byttet om, eller feil år).",
        "The incident dates may be the same, mistyped (day and month swapped, or the wrong year).",
    ),
    Reason.SAME_CAUSE: ("Samme skadeårsak.", "The same cause."),
    Reason.RELATED_CAUSE: ("Skadeårsaker som ofte forveksles.", "Causes that are often taken for each other."),
}


class SuggestionReason(Message):
    """One thing that the two claims have in common."""

    code: Reason
    message: LocalizedText
    days: int | None = None
    """Days between the incident dates, for the reasons that are about them."""


class Suggestion(Message):
    """A normal claim of the same insurer that the temporary claim may belong to."""

    claim_id: UUID
    claim_number: str
    score: Annotated[int, Field(ge=1, le=100)]
    """Higher is likelier; it is no probability."""
    reasons: list[SuggestionReason]


class LinkSuggested(NamedMessage):
    """What a temporary claim may belong to (domain rule 15), best first; the whole list, in the place of the last."""

    NAME = "link-suggested"

    claim_id: UUID
    """The temporary claim."""
    insurer: Slug
    at: Moment
    """The append time of the request that led to it."""
    revision: Annotated[int, Field(ge=1)]
    """Grows from list to list of a claim. The highest counts: lists may come in another order."""
    suggestions: list[Suggestion]
    """Empty when there is none any more, and when the claim is not temporary any more."""
