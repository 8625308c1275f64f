"""The kinds of value that messages are made of, each with its limits."""

import re
import zoneinfo
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from functools import cache, lru_cache
from typing import Annotated, Any, ClassVar, TypeVar
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticUseDefault, core_schema

from shared.contract.texts import composed

T = TypeVar("T")


class Message(BaseModel):
    """A part of a message: unknown fields are ignored in what we read and never sent; nothing is guessed."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", str_strip_whitespace=True)

    def json_bytes(self) -> bytes:
        """Write it as JSON, leaving out what is not there."""
        return self.__pydantic_serializer__.to_json(self, exclude_none=True)

    def json_bytes_as_given(self) -> bytes:
        """Write it as JSON with what was given, null too, which takes something away; what was not given stays."""
        return self.__pydantic_serializer__.to_json(self, exclude_unset=True)


REDACTED = "[redacted]"
"""What stands for a text that a redacted claim has to have."""
REDACTED_PHONE = "+9990000000"
"""A number that nobody has: no country has the code 999."""
REDACTED_SHA256 = "0" * 64


@dataclass(frozen=True, slots=True)
class Personal:
    """Marks a field that tells of a person, or that somebody may have told of one in (`shared.contract.redaction`)."""

    instead: Any = None
    """What it has when its claim was redacted, where it had anything."""


class NamedMessage(Message):
    """A whole message: its name in the contract is in its CloudEvents type."""

    NAME: ClassVar[str]

    @classmethod
    def type(cls) -> str:
        """The CloudEvents type."""
        return f"claimbus.{cls.NAME}.v1"


def _kept(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    # PostgreSQL cannot keep U+0000 in text or JSON, so it is refused at the door.
    if "\x00" in text:
        raise ValueError("must not contain the character U+0000")
    return composed(text)


_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _day(value: Any) -> date:
    # pydantic takes seconds since 1970 in a text for a date, and without being strict a moment too.
    if isinstance(value, str) and _DAY.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError as error:
            raise ValueError(f"must be a date as YYYY-MM-DD: {error}") from None
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    raise ValueError("must be a date as YYYY-MM-DD")


_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def _hyphenated(value: Any) -> Any:
    # pydantic takes braces, urn:uuid: and 32 digits in a row too.
    if isinstance(value, str) and not _UUID.fullmatch(value):
        raise ValueError("must be a UUID as 8-4-4-4-12 hexadecimal digits")
    return value


def _whole(value: Any) -> Any:
    # JSON has one kind of number: 6.0 is the integer 6, and some serializers write it so.
    return int(value) if isinstance(value, float) and value.is_integer() else value


class _EmptyIsAbsent:
    """Makes null and a text of nothing but blanks the same as leaving the field out, where it has a default."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._default_if_empty, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        written = handler(schema)
        if handler.mode == "serialization":
            return written
        kinds = [kind for kind in written.pop("anyOf", [written]) if kind != {"type": "null"}]
        return {"anyOf": [*kinds, {"type": "string", "pattern": r"^\s*$"}, {"type": "null"}]}

    @staticmethod
    def _default_if_empty(value: Any) -> Any:
        if value is None or (isinstance(value, str) and not value.strip()):
            raise PydanticUseDefault
        return value


@cache
def _zones() -> frozenset[str]:
    # "localtime" and "Factory" are no places: what they mean depends on the machine.
    return frozenset(zoneinfo.available_timezones() - {"localtime", "Factory"})


def _zone(name: str) -> str:
    if name not in _zones():
        raise ValueError("is not an IANA time zone such as Europe/Oslo")
    return name


@lru_cache(maxsize=1024)
def rfc3339(at: datetime) -> str:
    """Write a moment as RFC 3339 in UTC, to the microsecond where it has any."""
    text = at.astimezone(UTC).isoformat(timespec="microseconds" if at.microsecond % 1000 else "milliseconds")
    return text.replace("+00:00", "Z")


EMPTY_IS_ABSENT = _EmptyIsAbsent()
"""Null and an empty text are as if the field were left out: it has its default."""
Maybe = Annotated[T | None, EMPTY_IS_ABSENT]
"""An optional field, whose default is None: for what is left out, null and an empty text."""
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
REQUEST_ID_PATTERN = r"^[A-Za-z0-9._:-]{1,100}$"
RequestId = Annotated[str, StringConstraints(pattern=REQUEST_ID_PATTERN)]
Line = Annotated[str, StringConstraints(min_length=1, max_length=200), BeforeValidator(_kept)]
Text = Annotated[str, StringConstraints(min_length=1), BeforeValidator(_kept)]
ClaimNumber = Annotated[str, StringConstraints(min_length=1, max_length=100), BeforeValidator(_kept)]
Phone = Annotated[str, StringConstraints(pattern=r"^\+[1-9][0-9]{6,14}$")]
"""E.164."""
Email = Annotated[str, StringConstraints(pattern=r"^[^@\s\x00]+@[^@\s\x00]+\.[^@\s\x00]+$", max_length=254)]
Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
"""ISO 3166-1 alpha-2."""
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
"""ISO 4217."""
Amount = Annotated[str, StringConstraints(pattern=r"^(0|[1-9][0-9]{0,11})(\.[0-9]{1,2})?$")]
"""A decimal number as a string, never a float."""
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
TimeZone = Annotated[str, AfterValidator(_zone)]
"""An IANA time zone, such as Europe/Oslo."""
Moment = Annotated[
    AwareDatetime,
    PlainSerializer(rfc3339, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]
"""RFC 3339, sent in UTC."""


Day = Annotated[date, BeforeValidator(_day)]
"""YYYY-MM-DD, and nothing else that could be taken for a date."""
Id = Annotated[UUID, BeforeValidator(_hyphenated)]
"""A UUID as RFC 9562 writes it, in lower or upper case."""
WHOLE = BeforeValidator(_whole)
"""Stands after an integer's limits: one that is written with a zero fraction is an integer too."""


class CompanyKind(StrEnum):
    """What a company is: an insurer owns claims, a partner's offices create and work on them."""

    INSURER = "insurer"
    PARTNER = "partner"
    OPERATOR = "operator"


class CreationPermission(StrEnum):
    """When an office may create temporary claims for an insurer (domain rule 1)."""

    NEVER = "never"
    OUTSIDE_OFFICE_HOURS = "outside_office_hours"
    ALWAYS = "always"


class Cause(StrEnum):
    """What did the damage."""

    WATER = "water"
    FIRE = "fire"
    STORM = "storm"
    FLOOD = "flood"
    LANDSLIDE = "landslide"
    BURGLARY = "burglary"
    GLASS = "glass"
    OTHER = "other"


class TaskKind(StrEnum):
    """What a task is for (domain rule 11)."""

    FIRST_AID = "first_aid"
    INSPECTION = "inspection"


class ReportPeriod(StrEnum):
    """How often an insurer's report is made (domain rule 18)."""

    WEEKLY = "weekly"
    MONTHLY = "monthly"


class Weekday(StrEnum):
    """Days of the week, in ISO order."""

    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"

    @classmethod
    def of(cls, day: date) -> "Weekday":
        """The weekday of a date."""
        return list(cls)[day.weekday()]


class Hours(Message):
    """Opening and closing time of one day, local wall-clock time HH:MM; closing may be 24:00."""

    opens: Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    closes: Annotated[str, StringConstraints(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$")]

    @model_validator(mode="after")
    def _opens_before_it_closes(self) -> "Hours":
        if self.opens >= self.closes:
            raise ValueError(f"opens ({self.opens}) must be before closes ({self.closes})")
        return self

    def __str__(self) -> str:
        return f"{self.opens}–{self.closes}"


class Address(Message):
    """Where the damage is."""

    street: Annotated[Line, Personal(REDACTED)]
    postal_code: Annotated[Line, Personal(REDACTED)]
    city: Annotated[Line, Personal(REDACTED)]
    country: Annotated[Country, EMPTY_IS_ABSENT] = "NO"
    """ISO 3166-1 alpha-2."""


class Incident(Message):
    """What happened, when (the insurer's local date) and where."""

    date: Day
    """The insurer's local date; after the request's own date it is refused."""
    cause: Cause
    address: Address
    description: Annotated[Maybe[Text], Personal()] = None


class Policyholder(Message):
    """Whom it happened to."""

    name: Annotated[Line, Personal(REDACTED)]
    phone: Annotated[Phone, Personal(REDACTED_PHONE)]
    """E.164."""
    email: Annotated[Maybe[Email], Personal()] = None


class Media(Message):
    """A file reported on a task; its bytes were uploaded before, and `key` says so."""

    name: Line
    content_type: Line
    size: Annotated[int, Field(gt=0, le=100 * 1024 * 1024), WHOLE]
    """Bytes, at most 100 MiB."""
    sha256: Sha256
    """Of the bytes, in lower-case hexadecimal."""
    key: Text
    """What completing the upload answered."""


class LocalizedText(Message):
    """A sentence for a person, in Norwegian (bokmål) and English."""

    nb: str
    en: str


class Actor(Message):
    """Who did it: the company, from the broker, and a name that the company gave."""

    company: Slug
    name: str | None = None
    """The request's `ce_actor`."""
