"""A key says what was uploaded, and only we can have said it."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import URLSafeSerializer

from shared.media.keys import MediaKeys, UploadedMedia
from shared.media.types import MediaType

KEYS = MediaKeys(["a secret"])
PHOTO = UploadedMedia(
    company="vest-skadeservice",
    upload_id=UUID(int=1),
    name="Kjøkken før rydding.jpg",
    content_type=MediaType.JPEG,
    size=3_000_000,
    sha256="0" * 63 + "1",
    name_by=datetime(2026, 12, 1, 12, 0, tzinfo=UTC),
)


@given(
    st.builds(
        UploadedMedia,
        company=st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True),
        upload_id=st.uuids(),
        name=st.text(min_size=1, max_size=200),
        content_type=st.sampled_from(MediaType),
        size=st.integers(1, 100 * 1024 * 1024),
        sha256=st.binary(min_size=32, max_size=32).map(bytes.hex),
        name_by=st.integers(0, 4_000_000_000).map(lambda s: datetime.fromtimestamp(s, UTC)),
    )
)
def test_a_key_says_what_was_signed(media: UploadedMedia) -> None:
    assert KEYS.verify(KEYS.sign(media)) == media


def test_a_key_can_stand_in_an_address_and_many_fit_into_a_report() -> None:
    key = KEYS.sign(PHOTO)
    assert set(key) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")
    assert len(key) < 320


@given(st.integers(min_value=0), st.characters(codec="ascii"))
def test_a_key_that_was_changed_anywhere_is_forged(at: int, other: str) -> None:
    key = KEYS.sign(PHOTO)
    at %= len(key)
    changed = key[:at] + other + key[at + 1 :]
    # The last character of base 64 has bits that count for nothing: it says the same, or it is forged.
    assert changed == key or KEYS.verify(changed) in ((PHOTO, None) if at == len(key) - 1 else (None,))


@pytest.mark.parametrize("key", ["", ".", "a.b", "x" * 1000, "æøå", str(UUID(int=7)), "bnVsbA.x"])
def test_what_is_no_key_is_forged(key: str) -> None:
    assert KEYS.verify(key) is None


def test_a_key_signed_with_another_secret_is_forged() -> None:
    assert MediaKeys(["another"]).verify(KEYS.sign(PHOTO)) is None


def test_what_the_same_secret_signed_for_another_purpose_is_no_key() -> None:
    session = URLSafeSerializer("a secret", salt="session").dumps(["vest-skadeservice"])
    assert KEYS.verify(session if isinstance(session, str) else session.decode()) is None


def test_the_first_secret_signs_and_all_verify() -> None:
    old, both, new = MediaKeys(["old"]), MediaKeys(["new", "old"]), MediaKeys(["new"])
    assert both.verify(old.sign(PHOTO)) == PHOTO
    assert new.verify(both.sign(PHOTO)) == PHOTO
    assert old.verify(both.sign(PHOTO)) is None


@pytest.mark.parametrize("secrets", [[], [""], ["good", ""]])
def test_there_is_no_signing_without_a_secret(secrets: list[str]) -> None:
    with pytest.raises(ValueError, match="must be a secret"):
        MediaKeys(secrets)
