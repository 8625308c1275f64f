"""Ids that sender and receiver compute alike, so that a claim's id is known before it is created."""

from uuid import UUID, uuid5

NAMESPACE = UUID("6b7a4c0e-2f0f-5d0b-9a53-6f3f5d5f0c11")


def claim_id(company: str, request_id: str) -> UUID:
    """The id of the claim that this request creates, or of the task that an `assign-task` adds."""
    return uuid5(NAMESPACE, f"{company}/{request_id}")


assigned_task_id = claim_id


def created_task_id(claim: UUID, n: int) -> UUID:
    """The id of the n-th task (1, 2 …) named in a claim's creation."""
    return uuid5(NAMESPACE, f"{claim}/{n}")


def report_id(company: str, request_id: str) -> UUID:
    """The id of the report that this `report-task` makes."""
    return uuid5(NAMESPACE, f"{company}/{request_id}/report")


def link_id(company: str, request_id: str) -> UUID:
    """The id of the link that this `link-claim` starts."""
    return uuid5(NAMESPACE, f"{company}/{request_id}/link")


def copy_id(link: UUID, of: UUID) -> UUID:
    """The id that a link gives to its copy of a task, a report or a file."""
    return uuid5(NAMESPACE, f"{link}/{of}")


def media_id(company: str, request_id: str, n: int) -> UUID:
    """The id of the n-th file (1, 2 …) of a `report-task`."""
    return uuid5(NAMESPACE, f"{company}/{request_id}/media/{n}")
