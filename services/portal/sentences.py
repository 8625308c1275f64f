"""Refusals in words for people. Pure.

The contract's sentences are for who builds a system: they speak of requests, details and hashes. Those that a person
could not act on are said here in other words; all others are shown as they are.
"""

from services.portal.words import DEFAULT, marked, translations
from shared.contract.codes import Code
from shared.contract.fields import LocalizedText
from shared.contract.uploads import UploadCode

_OUR_FAULT = marked("Dette gikk ikke. Feilen er hos oss: meld fra til den som drifter portalen.")
_AGAIN = marked("Filen kom ikke helt fram. Prøv igjen.")
_LAPSED = marked("En fil er ikke lenger hos oss. Fjern den, og legg den ved på nytt.")

_OF_REQUESTS = {
    Code.INVALID_REQUEST: marked("Noe mangler eller er feil. Se over feltene, rett det som er feil, og send på nytt."),
    Code.UNKNOWN_TYPE: _OUR_FAULT,
    Code.MESSAGE_TOO_LARGE: marked("Det er for mye på en gang. Kort ned teksten, eller send filene i flere omganger."),
    Code.NOT_YOUR_OFFICE: marked("Kontoret hører til et annet selskap. Velg et av selskapets egne kontorer."),
    Code.UNKNOWN_OFFICE: marked("Kontoret finnes ikke, eller kan ikke brukes her. Velg et annet kontor."),
    Code.UNKNOWN_USER: marked("Brukeren finnes ikke i selskapet. Velg en annen."),
    Code.SENDER_NOT_ALLOWED: marked("Selskapet ditt har ikke lov til dette."),
    Code.UNKNOWN_CLAIM: marked("Saken finnes ikke, eller selskapet ditt har ikke tilgang til den."),
    Code.MEDIA_MISSING: _LAPSED,
    Code.MEDIA_MISMATCH: _LAPSED,
    Code.MEDIA_NOT_ALLOWED: marked("En fil ble lastet opp av et annet selskap. Fjern den, og legg den ved på nytt."),
    Code.SETTINGS_NOT_UNDERSTOOD: marked(
        "Forsikringsselskapets innstillinger kan ikke brukes akkurat nå. Meld fra til forsikringsselskapet."
    ),
    Code.INCIDENT_IN_FUTURE: marked("Skadedatoen er senere enn i dag. Rett datoen."),
}

_OF_UPLOADS: dict[str, str] = {
    UploadCode.INVALID_REQUEST: marked(
        "Filen kan ikke leses, eller den er tom. Velg den på nytt, eller velg en annen."
    ),
    UploadCode.NO_TOKEN: marked("Du er logget ut. Logg inn i en ny fane, og prøv igjen her."),
    UploadCode.UNKNOWN_UPLOAD: _AGAIN,
    UploadCode.UNKNOWN_MEDIA: _AGAIN,
    UploadCode.UPLOAD_EXPIRED: _AGAIN,
    UploadCode.UPLOAD_COMPLETE: _AGAIN,
    UploadCode.UPLOAD_MISSING: _AGAIN,
    UploadCode.UPLOAD_BROKEN: _AGAIN,
    UploadCode.UPLOAD_DIFFERS: marked("Filen ble endret mens den ble sendt. Velg den på nytt."),
    UploadCode.MEDIA_TOO_LARGE: marked("Filen er for stor. Den kan være på høyst 100 MB: velg en mindre."),
    UploadCode.MEDIA_TYPE_NOT_TAKEN: marked(
        "Denne typen fil kan ikke sendes. Bruk bilder (JPEG, PNG, WebP, HEIC), video (MP4, MOV) eller PDF."
    ),
    UploadCode.TOO_MUCH_UNNAMED: marked(
        "Selskapet har for mange filer som er lastet opp uten å være sendt i en rapport. Prøv igjen om noen dager."
    ),
    UploadCode.TRY_AGAIN: marked("Det virker ikke akkurat nå. Vent litt, og prøv igjen."),
}
_OF_BROWSERS = {
    "offline": marked("Du er ikke på nett. Prøv igjen når du er det."),
    "unreachable": marked("Portalen svarer ikke. Vent litt, og prøv igjen."),
    "unreadable": marked("Filen kan ikke leses. Velg den på nytt."),
    "insecure": marked("Filer kan bare sendes over en sikker forbindelse. Åpne portalen med https:// foran adressen."),
}
"""What ends an upload before it reaches us."""


def of_refusal(code: Code, message: LocalizedText, language: str) -> str:
    """Why a request was refused and what to do, for a person; `message` is the contract's sentence."""
    text = _OF_REQUESTS.get(code)
    if text is not None:
        return str(translations(language).gettext(text))
    return message.nb if language == DEFAULT else message.en


def of_uploads(language: str) -> dict[str, str]:
    """For each reason, why a file is not uploaded and what to do, for a person."""
    translate = translations(language).gettext
    texts: dict[str, str] = {**_OF_UPLOADS, **_OF_BROWSERS}
    return {name: str(translate(text)) for name, text in texts.items()}
