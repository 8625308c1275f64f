"""Ids that a sender can compute, exactly as the contract says: a partner's code depends on these very values."""

import hashlib
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contract import ids
from tests.properties import no_deadline

NAMESPACE = UUID("6b7a4c0e-2f0f-5d0b-9a53-6f3f5d5f0c11")
COMPANIES = st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True)
REQUEST_IDS = st.from_regex(r"[A-Za-z0-9._:-]{1,100}", fullmatch=True)


def version_5(name: str) -> UUID:
    """Make a UUIDv5 by RFC 9562's own words: the SHA-1 of namespace and name, with version and variant put in."""
    octets = bytearray(hashlib.sha1(NAMESPACE.bytes + name.encode()).digest()[:16])
    octets[6] = octets[6] & 0x0F | 0x50
    octets[8] = octets[8] & 0x3F | 0x80
    return UUID(bytes=bytes(octets))


def test_the_namespace_is_the_contracts() -> None:
    assert ids.NAMESPACE == NAMESPACE


@pytest.mark.parametrize(
    ("company", "request_id", "claim"),
    [
        ("vest-skadeservice", "r-1", "df62d38d-bd52-58e7-af8a-199df33bf763"),
        ("nord-ror", "r-1", "46181e83-4cba-58aa-8d6d-8c08305d93db"),
        ("vest-skadeservice", "2026.11:24_A-z", "f447a7b5-0623-5f78-83df-dffe2f286396"),
    ],
)
def test_a_claims_id_is_made_of_the_company_and_the_request_id(company: str, request_id: str, claim: str) -> None:
    assert str(ids.claim_id(company, request_id)) == claim


def test_a_task_named_in_the_creation_is_numbered_from_one_within_its_claim() -> None:
    claim = ids.claim_id("vest-skadeservice", "r-1")
    assert [str(ids.created_task_id(claim, n)) for n in (1, 2, 10)] == [
        "4e0496b0-d85a-582e-87cd-d12c90b4ffd2",
        "482da256-7f36-5880-8d35-7ef7b5fa39bb",
        "a9c50b27-87e9-5ba6-a378-ba710f5c3073",
    ]


def test_a_task_assigned_later_has_the_id_of_its_own_request() -> None:
    assert str(ids.assigned_task_id("nord-ror", "r-2")) == "b7092424-c181-5c09-a34a-c6350b95da4a"


def test_a_report_and_its_media_have_ids_of_their_own() -> None:
    assert str(ids.report_id("vest-skadeservice", "r-3")) == "ea55694e-57e1-554b-aac7-9dd7f1e8dfa6"
    assert str(ids.media_id("vest-skadeservice", "r-3", 1)) == "c2c718c0-b40b-523f-b33e-c32490a9c697"
    assert str(ids.media_id("vest-skadeservice", "r-3", 2)) == "4d81b033-4a2d-57e0-b74b-2bfe93c62198"


@no_deadline
@given(COMPANIES, REQUEST_IDS, st.integers(1, 100))
def test_every_id_is_the_version_5_uuid_of_its_name(company: str, request_id: str, n: int) -> None:
    claim = ids.claim_id(company, request_id)
    assert claim == version_5(f"{company}/{request_id}")
    assert ids.assigned_task_id(company, request_id) == claim
    assert ids.created_task_id(claim, n) == version_5(f"{claim}/{n}")
    assert ids.report_id(company, request_id) == version_5(f"{company}/{request_id}/report")
    assert ids.media_id(company, request_id, n) == version_5(f"{company}/{request_id}/media/{n}")


@no_deadline
@given(COMPANIES, REQUEST_IDS, COMPANIES, REQUEST_IDS)
def test_two_requests_never_share_an_id(company: str, request_id: str, other: str, other_id: str) -> None:
    same = (company, request_id) == (other, other_id)
    assert (ids.claim_id(company, request_id) == ids.claim_id(other, other_id)) is same
