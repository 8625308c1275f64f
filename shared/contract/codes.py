"""Every reason for a refusal: its code and its sentence in Norwegian and English, in this one place."""

from enum import StrEnum

from shared.contract.fields import LocalizedText


class Code(StrEnum):
    """What a partner's developer can act on; the sentences are for people. An unknown code is a refusal too."""

    INVALID_REQUEST = "invalid_request"
    UNKNOWN_TYPE = "unknown_type"
    MESSAGE_TOO_LARGE = "message_too_large"
    NOT_YOUR_OFFICE = "not_your_office"
    UNKNOWN_INSURER = "unknown_insurer"
    UNKNOWN_OFFICE = "unknown_office"
    UNKNOWN_USER = "unknown_user"
    NEVER_PERMITTED = "never_permitted"
    INSIDE_OFFICE_HOURS = "inside_office_hours"
    ENHANCED_FUNCTION_OFF = "enhanced_function_off"
    MAY_NOT_ASSIGN_TO_OTHERS = "may_not_assign_to_others"
    MAY_NOT_DEFINE_CLAIM_NUMBER = "may_not_define_claim_number"
    SENDER_NOT_ALLOWED = "sender_not_allowed"
    UNKNOWN_CLAIM = "unknown_claim"
    UNKNOWN_TASK = "unknown_task"
    CLAIM_NUMBER_TAKEN = "claim_number_taken"
    NOT_TEMPORARY = "not_temporary"
    ALREADY_CANCELLED = "already_cancelled"
    BEING_LINKED = "being_linked"
    TARGET_NOT_LINKABLE = "target_not_linkable"
    BUDGET_MISSING = "budget_missing"
    MEDIA_MISSING = "media_missing"
    MEDIA_MISMATCH = "media_mismatch"
    MEDIA_NOT_ALLOWED = "media_not_allowed"
    TOO_MANY_MEDIA = "too_many_media"
    INCIDENT_IN_FUTURE = "incident_in_future"
    CLAIM_FULL = "claim_full"
    NOT_LINKED = "not_linked"
    TOO_LATE_TO_UNLINK = "too_late_to_unlink"
    STILL_TEMPORARY = "still_temporary"
    CLAIM_REDACTED = "claim_redacted"
    SETTINGS_NOT_UNDERSTOOD = "settings_not_understood"
    COMPANY_FULL = "company_full"
    TOO_MANY_CHANGES = "too_many_changes"

    @property
    def message(self) -> LocalizedText:
        """The sentence for a person."""
        return _SENTENCES[self]


def _sentence(nb: str, en: str) -> LocalizedText:
    return LocalizedText(nb=nb, en=en)


_SENTENCES = {
    Code.INVALID_REQUEST: _sentence(
        "Forespørselen har feil eller mangler noe; se hvert felt under detaljer.",
        "The request is wrong or incomplete; see each field under details.",
    ),
    Code.UNKNOWN_TYPE: _sentence(
        "Denne typen forespørsel finnes ikke.",
        "There is no such type of request.",
    ),
    Code.MESSAGE_TOO_LARGE: _sentence(
        "Forespørselen er større enn 256 KiB.",
        "The request is larger than 256 KiB.",
    ),
    Code.NOT_YOUR_OFFICE: _sentence(
        "Kontoret hører til et annet selskap enn det som sendte forespørselen.",
        "The office belongs to another company than the one that sent the request.",
    ),
    Code.UNKNOWN_INSURER: _sentence(
        "Forsikringsselskapet er ikke registrert.",
        "The insurer is not registered.",
    ),
    Code.UNKNOWN_OFFICE: _sentence(
        "Kontoret er ikke registrert, eller kan ikke brukes her.",
        "The office is not registered, or cannot be used here.",
    ),
    Code.UNKNOWN_USER: _sentence(
        "Brukeren er ikke registrert hos selskapet.",
        "The user is not registered with the company.",
    ),
    Code.NEVER_PERMITTED: _sentence(
        "Kontoret har ikke tillatelse til å opprette midlertidige saker for dette forsikringsselskapet.",
        "The office has no permission to create temporary claims for this insurer.",
    ),
    Code.INSIDE_OFFICE_HOURS: _sentence(
        "Kontoret kan opprette midlertidige saker bare utenfor forsikringsselskapets kontortid.",
        "The office may create temporary claims only outside the insurer's office hours.",
    ),
    Code.ENHANCED_FUNCTION_OFF: _sentence(
        "Forbedret funksjon er ikke slått på i forsikringsselskapets portal.",
        "The enhanced function is not switched on in the insurer's portal.",
    ),
    Code.MAY_NOT_ASSIGN_TO_OTHERS: _sentence(
        "Kontoret har ikke rett til å tildele oppgaver til andre partneres kontorer.",
        "The office has no right to assign tasks to other partners' offices.",
    ),
    Code.MAY_NOT_DEFINE_CLAIM_NUMBER: _sentence(
        "Kontoret har ikke rett til å bestemme skadenummeret.",
        "The office has no right to define the claim number.",
    ),
    Code.SENDER_NOT_ALLOWED: _sentence(
        "Selskapet kan ikke sende denne forespørselen.",
        "The company may not send this request.",
    ),
    Code.UNKNOWN_CLAIM: _sentence(
        "Saken finnes ikke, eller er ikke tilgjengelig for selskapet.",
        "The claim does not exist, or is not available to the company.",
    ),
    Code.UNKNOWN_TASK: _sentence(
        "Oppgaven finnes ikke i saken.",
        "There is no such task in the claim.",
    ),
    Code.CLAIM_NUMBER_TAKEN: _sentence(
        "Skadenummeret er allerede brukt hos forsikringsselskapet.",
        "The claim number is already in use at the insurer.",
    ),
    Code.NOT_TEMPORARY: _sentence(
        "Saken er ikke lenger en midlertidig sak.",
        "The claim is no longer a temporary claim.",
    ),
    Code.ALREADY_CANCELLED: _sentence(
        "Saken er avbrutt.",
        "The claim is cancelled.",
    ),
    Code.BEING_LINKED: _sentence(
        "Saken er i ferd med å bli tilknyttet en annen sak.",
        "The claim is being linked to another claim.",
    ),
    Code.TARGET_NOT_LINKABLE: _sentence(
        "Saken det skal tilknyttes til, finnes ikke hos forsikringsselskapet, er midlertidig, avbrutt eller samme sak.",
        "The claim to link to does not exist at the insurer, is temporary, cancelled, or the same claim.",
    ),
    Code.BUDGET_MISSING: _sentence(
        "Oppgaven kan ikke rapporteres på før forsikringsselskapet har godkjent budsjettet.",
        "The task cannot be reported on before the insurer has approved its budget.",
    ),
    Code.MEDIA_MISSING: _sentence(
        "Filen er ikke lastet opp.",
        "The file has not been uploaded.",
    ),
    Code.MEDIA_MISMATCH: _sentence(
        "Filen er en annen enn den som ble lastet opp: størrelse eller SHA-256 stemmer ikke.",
        "The file is not the one that was uploaded: its size or SHA-256 differs.",
    ),
    Code.MEDIA_NOT_ALLOWED: _sentence(
        "Filen ble lastet opp av et annet selskap, eller er av en type som ikke tas imot.",
        "The file was uploaded by another company, or is of a kind that is not taken.",
    ),
    Code.TOO_MANY_MEDIA: _sentence(
        "Saken kan ha høyst 5 000 filer.",
        "A claim can have at most 5,000 files.",
    ),
    Code.INCIDENT_IN_FUTURE: _sentence(
        "Skadedatoen er senere enn forespørselens egen dato.",
        "The incident date is later than the request's own date.",
    ),
    Code.CLAIM_FULL: _sentence(
        "Saken har så mange oppgaver og rapporter at den ikke kan ta imot flere.",
        "The claim has so many tasks and reports that it cannot take more.",
    ),
    Code.NOT_LINKED: _sentence(
        "Saken er ikke tilknyttet en annen sak, eller tilknytningen er i ferd med å bli opphevet.",
        "The claim is not linked to another claim, or its link is being taken back.",
    ),
    Code.TOO_LATE_TO_UNLINK: _sentence(
        "Fristen for å oppheve tilknytningen er ute.",
        "The time for taking the link back has run out.",
    ),
    Code.STILL_TEMPORARY: _sentence(
        "Saken er midlertidig, og personopplysningene trengs ennå: gjør den normal, knytt den til en sak, eller avbryt "
        "den først.",
        "The claim is temporary, and its personal data are needed still: convert, link or cancel it first.",
    ),
    Code.CLAIM_REDACTED: _sentence(
        "Personopplysningene i saken er slettet, og den kan ikke endres mer.",
        "The claim's personal data were removed, and it cannot be changed any more.",
    ),
    Code.SETTINGS_NOT_UNDERSTOOD: _sentence(
        "Denne installasjonen kan ikke bruke forsikringsselskapets innstillinger; detaljene sier hvorfor.",
        "This installation cannot apply the insurer's settings; the details say why.",
    ),
    Code.COMPANY_FULL: _sentence(
        "Selskapet har så mange kontorer eller brukere at det ikke kan registrere flere selv.",
        "The company has so many offices or users that it cannot register more itself.",
    ),
    Code.TOO_MANY_CHANGES: _sentence(
        "Selskapet har endret innstillinger, kontorer og brukere så mange ganger det siste døgnet at det må vente.",
        "The company has changed settings, offices and users so many times within 24 hours that it has to wait.",
    ),
}
