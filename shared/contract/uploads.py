"""What the portal's upload calls take and answer, and every reason for which they refuse."""

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import Field

from shared.contract.fields import Line, LocalizedText, Message, Sha256
from shared.contract.outcomes import Detail


class NewUpload(Message):
    """What a file is going to be."""

    name: Line
    content_type: Line
    size: Annotated[int, Field(gt=0)]
    """Bytes."""
    sha256: Sha256


class UploadStarted(Message):
    """Where to send the file's bytes."""

    upload_id: UUID
    upload_url: str
    """For an hour anybody who has the address can PUT this one file there; nothing else proves who it is."""


class UploadCompleted(Message):
    """The file was verified."""

    key: str
    """What a report names it by."""


class UploadCode(StrEnum):
    """Why a call was refused."""

    INVALID_REQUEST = "invalid_request"
    NO_TOKEN = "no_token"  # noqa: S105 - a code
    UNKNOWN_UPLOAD = "unknown_upload"
    UNKNOWN_MEDIA = "unknown_media"
    UPLOAD_EXPIRED = "upload_expired"
    UPLOAD_COMPLETE = "upload_complete"
    UPLOAD_MISSING = "upload_missing"
    UPLOAD_BROKEN = "upload_broken"
    UPLOAD_DIFFERS = "upload_differs"
    MEDIA_TOO_LARGE = "media_too_large"
    MEDIA_TYPE_NOT_TAKEN = "media_type_not_taken"
    TOO_MUCH_UNNAMED = "too_much_unnamed"
    TRY_AGAIN = "try_again"

    @property
    def message(self) -> LocalizedText:
        """The sentence for a person."""
        return _SENTENCES[self]


class UploadRefused(Message):
    """The body of every answer that is not 2xx."""

    code: UploadCode
    message: LocalizedText
    details: list[Detail] | None = None


def _sentence(nb: str, en: str) -> LocalizedText:
    return LocalizedText(nb=nb, en=en)


_SENTENCES = {
    UploadCode.INVALID_REQUEST: _sentence(
        "Forespørselen har feil eller mangler noe; se hvert felt under detaljer.",
        "The request is wrong or incomplete; see each field under details.",
    ),
    UploadCode.NO_TOKEN: _sentence(
        "Forespørselen mangler selskapets token, eller tokenet er ikke gyldig.",
        "The request has no bearer token of a company, or one that is not valid.",
    ),
    UploadCode.UNKNOWN_UPLOAD: _sentence(
        "Opplastingen finnes ikke, eller hører til et annet selskap.",
        "There is no such upload, or it is another company's.",
    ),
    UploadCode.UNKNOWN_MEDIA: _sentence(
        "Filen finnes ikke, eller er ikke tilgjengelig for selskapet.",
        "There is no such file, or it is not available to the company.",
    ),
    UploadCode.UPLOAD_EXPIRED: _sentence(
        "Adressen for opplasting gjelder ikke lenger. Start en ny opplasting.",
        "The upload's address is not valid any more. Start a new upload.",
    ),
    UploadCode.UPLOAD_COMPLETE: _sentence(
        "Opplastingen er fullført, og filen kan ikke byttes ut.",
        "The upload is complete, and its file cannot be replaced.",
    ),
    UploadCode.UPLOAD_MISSING: _sentence(
        "Filen er ikke mottatt. Send den til opplastingens adresse.",
        "The file has not been received. Send it to the upload's address.",
    ),
    UploadCode.UPLOAD_BROKEN: _sentence(
        "Overføringen stoppet før hele filen var mottatt. Send den på nytt.",
        "The transfer stopped before the whole file was received. Send it again.",
    ),
    UploadCode.UPLOAD_DIFFERS: _sentence(
        "Filen er en annen enn den som ble meldt; se hva som er forskjellig under detaljer.",
        "The file is not the one that was announced; see what differs under details.",
    ),
    UploadCode.MEDIA_TOO_LARGE: _sentence(
        "Filen er større enn den kan være: høyst 100 MiB, og ikke større enn meldt.",
        "The file is larger than it may be: at most 100 MiB, and not larger than announced.",
    ),
    UploadCode.MEDIA_TYPE_NOT_TAKEN: _sentence(
        "Filtypen tas ikke imot. Send JPEG, PNG, WebP, HEIC, MP4, MOV eller PDF.",
        "The type of file is not taken. Send JPEG, PNG, WebP, HEIC, MP4, MOV or PDF.",
    ),
    UploadCode.TOO_MUCH_UNNAMED: _sentence(
        "Selskapet har for mange opplastede filer som ikke er brukt i en rapport.",
        "The company has too many uploaded files that no report has named.",
    ),
    UploadCode.TRY_AGAIN: _sentence(
        "Det virker ikke akkurat nå. Prøv igjen om litt.",
        "It does not work at the moment. Try again shortly.",
    ),
}
