"""Entries of the directory file: companies with their users, offices and permissions."""

from typing import Any

Json = dict[str, Any]


def insurer(id: str, name: str = "Insurer", **more: Any) -> Json:
    """An insurer; more of it, such as `users` and `permissions`."""
    return {"id": id, "name": name, "kind": "insurer", **more}


def partner(id: str, name: str = "Partner", **more: Any) -> Json:
    """A partner; more of it, such as `offices` and `users`."""
    return {"id": id, "name": name, "kind": "partner", **more}


def user(id: str, name: str, level: int, office: str | None = None) -> Json:
    """A company's user, at an office or at none."""
    return {"id": id, "name": name, "authorisation_level": level} | ({"office": office} if office else {})


def permission(office: str, creation: str = "always") -> Json:
    """What an insurer lets an office do."""
    return {"office": office, "creation": creation}
