"""The directory file: companies, offices, users, permissions and settings in YAML, checked as a whole."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml.nodes import Node

from operations.files import WrongFile, read_text
from operations.yaml_nodes import compose, line_of, plain
from shared.contract.fields import EMPTY_IS_ABSENT, WHOLE, CompanyKind, CreationPermission, Email, Line, Maybe, Slug
from shared.contract.requests import (
    RESERVED_COMPANY_IDS,
    RegisterCompany,
    RegisterOffice,
    RegisterUser,
    SetOfficePermission,
    SetPortalSettings,
)
from shared.domain.office_hours import region_of
from shared.domain.portal_settings import PortalSettings
from shared.domain.public_holidays import unknown_region

MOST_PARTITIONS = 12
"""As many as the topics that all share have: more readers than that find nothing to do there."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class _Named(_Part):
    id: Slug


class OfficeEntry(_Named):
    """An office of the company that it stands under."""

    name: Line


class UserEntry(_Named):
    """A user of the company that it stands under."""

    name: Line
    office: Maybe[Slug] = None
    email: Maybe[Email] = None
    authorisation_level: Annotated[int, Field(ge=1, le=6), WHOLE]


class PermissionEntry(_Part):
    """What a partner's office may do for the insurer that it stands under."""

    office: Slug
    creation: CreationPermission
    may_assign_to_others: Maybe[bool] = None
    may_define_claim_number: Maybe[bool] = None


class CompanyEntry(_Named):
    """A company with all that belongs to it."""

    name: Line
    kind: CompanyKind
    partitions: Maybe[Annotated[int, Field(ge=1, le=MOST_PARTITIONS), WHOLE]] = None
    """Of its topics when they are made, if not as many as the contract has: one is enough for some claims an hour."""
    settings: dict[str, Any] | None = None
    offices: Annotated[list[OfficeEntry], EMPTY_IS_ABSENT] = []
    users: Annotated[list[UserEntry], EMPTY_IS_ABSENT] = []
    permissions: Annotated[list[PermissionEntry], EMPTY_IS_ABSENT] = []

    def registration(self) -> RegisterCompany:
        """The request that registers it."""
        return RegisterCompany(id=self.id, name=self.name, kind=self.kind)

    def office_registrations(self) -> list[RegisterOffice]:
        """The requests that register its offices."""
        return [RegisterOffice(id=office.id, company=self.id, name=office.name) for office in self.offices]

    def user_registrations(self) -> list[RegisterUser]:
        """The requests that register its users."""
        return [RegisterUser(company=self.id, **dict(user)) for user in self.users]

    def settings_request(self) -> SetPortalSettings | None:
        """The request that makes its settings: what stands there must be as the request has it."""
        return SetPortalSettings.model_validate_json(json.dumps(self.settings)) if self.settings else None

    def permission_requests(self) -> list[SetOfficePermission]:
        """The requests that give its permissions."""
        return [SetOfficePermission(**dict(permission)) for permission in self.permissions]


class DirectoryFile(_Part):
    """The whole file."""

    companies: list[CompanyEntry]


def read_directory_file(file: Path) -> DirectoryFile:
    """Read and check a file. Raises WrongFile with every problem and its line."""
    content = compose(file, read_text(file))
    values = plain(file, content)
    if values is None:
        raise WrongFile(file, [(1, "is empty, and must begin with companies:")])
    try:
        directory = DirectoryFile.model_validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        raise WrongFile(file, sorted(_located(content, (), error))) from None
    problems = sorted(_problems(content, directory))
    if problems:
        raise WrongFile(file, problems)
    return directory


def _problems(content: Node | None, directory: DirectoryFile) -> Iterator[tuple[int, str]]:
    """Check what only shows between the entries; each is what the permission service would refuse."""
    owners = {office.id: company for company in directory.companies for office in company.offices}
    seen: dict[tuple[str, str], int] = {}
    for c, company in enumerate(directory.companies):
        here = ("companies", c)
        kinds: list[tuple[str, Sequence[_Named]]] = [
            ("company", [company]),
            ("office", company.offices),
            ("user", company.users),
        ]
        for kind, entries in kinds:
            for e, entry in enumerate(entries):
                path = here if kind == "company" else (*here, f"{kind}s", e)
                line = line_of(content, (*path, "id"))
                if (kind, entry.id) in seen:
                    yield line, f"the {kind} {entry.id} is named twice, first in line {seen[kind, entry.id]}"
                seen.setdefault((kind, entry.id), line)
        yield from _company_problems(content, here, company)
        for u, user in enumerate(company.users):
            if user.office is not None and owners.get(user.office) is not company:
                yield (
                    line_of(content, (*here, "users", u, "office")),
                    f"{user.office} is not an office of {company.id} in this file",
                )
        for p, permission in enumerate(company.permissions):
            owner = owners.get(permission.office)
            if owner is None or owner.kind is not CompanyKind.PARTNER:
                yield (
                    line_of(content, (*here, "permissions", p, "office")),
                    f"{permission.office} is not a partner's office in this file",
                )


def _company_problems(
    content: Node | None, here: tuple[str | int, ...], company: CompanyEntry
) -> Iterator[tuple[int, str]]:
    if company.id in RESERVED_COMPANY_IDS:
        yield line_of(content, (*here, "id")), f"the id {company.id} is reserved"
    if company.kind is CompanyKind.OPERATOR:
        yield line_of(content, (*here, "kind")), "must be insurer or partner"
        return
    insurer = company.kind is CompanyKind.INSURER
    for part in ("settings", "permissions"):
        if getattr(company, part) and not insurer:
            yield line_of(content, (*here, part)), f"only an insurer has {part}"
    for u, user in enumerate(company.users):
        if user.authorisation_level > 4 and not insurer:
            yield (
                line_of(content, (*here, "users", u, "authorisation_level")),
                "a partner's user has authorisation level 1–4",
            )
    unknown = set(company.settings or {}) - set(SetPortalSettings.model_fields)
    for name in sorted(unknown):
        settings_there_are = ", ".join(SetPortalSettings.model_fields)
        yield line_of(content, (*here, "settings", name)), f"there is no setting {name}; there are {settings_there_are}"
    try:
        request = company.settings_request()
    except ValidationError as error:
        yield from _located(content, (*here, "settings"), error)
        return
    settings = PortalSettings().changed_by(request) if request else PortalSettings()
    wrong = unknown_region(region_of(settings))
    if wrong is not None:
        yield line_of(content, (*here, "settings", wrong[0])), f"{wrong[0]}: {wrong[1]}"
    for p, permission in enumerate(company.permissions):
        if (permission.may_assign_to_others or permission.may_define_claim_number) and not settings.enhanced_function:
            yield (
                line_of(content, (*here, "permissions", p)),
                "grants a right of the enhanced function, which is off in the settings",
            )


def _located(content: Node | None, prefix: tuple[str | int, ...], error: ValidationError) -> Iterator[tuple[int, str]]:
    for problem in error.errors(include_url=False, include_input=False):
        path = (*prefix, *problem["loc"])
        name = ".".join(str(part) for part in path) or "the file"
        yield line_of(content, path), f"{name}: {_sentence(path, problem)}"


_INSTEAD = {
    "model_type": "must have fields, as in name: value",
    "dict_type": "must have fields, as in name: value",
    "list_type": "must be a list, each entry after a dash",
    "string_type": 'must be a text: write it in quotes, as in "08:00"',
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
}
_ID = "must be 1–63 of the characters a–z, 0–9 and -, and not begin with -"
_FIELDS: dict[str, type[BaseModel]] = {
    "companies": CompanyEntry,
    "offices": OfficeEntry,
    "users": UserEntry,
    "permissions": PermissionEntry,
}


def _sentence(path: tuple[str | int, ...], problem: Any) -> str:
    """What is wrong, and what may stand there instead."""
    kind = problem["type"]
    if kind == "extra_forbidden":
        model = next((_FIELDS[p] for p in reversed(path[:-1]) if isinstance(p, str) and p in _FIELDS), DirectoryFile)
        return f"there is no such field; there are {', '.join(model.model_fields)}"
    if kind == "string_pattern_mismatch" and path[-1] in ("id", "office"):
        return _ID
    return _INSTEAD.get(kind) or str(problem["msg"]).removeprefix("Value error, ")
