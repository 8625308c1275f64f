"""What is typed into forms, and the requests that it becomes."""

import io

import pytest
from PIL import Image

from services.portal.forms import WrongForm, read
from services.portal.picture_maker import Unreadable
from services.portal.pictures import small
from shared.contract.requests import ApproveBudget, CreateTemporaryClaim

FORM = {
    "insurer": "fjord",
    "incident.date": "2026-11-23",
    "incident.cause": "water",
    "incident.description": "",
    "incident.address.street": "Strandgata 1",
    "incident.address.postal_code": "5004",
    "incident.address.city": "Bergen",
    "policyholder.name": "Anne Berg",
    "policyholder.phone": "912 34 567",
    "csrf": "x",
}


def creation(**typed: str) -> CreateTemporaryClaim:
    """The request of a form."""
    return read(CreateTemporaryClaim, FORM | typed, office="bergen")


@pytest.mark.parametrize(
    ("typed", "phone"),
    [
        ("912 34 567", "+4791234567"),
        ("91234567", "+4791234567"),
        ("+47 912 34 567", "+4791234567"),
        ("0046 70-123 45 67", "+46701234567"),
        ("(+46) 70 123 45 67", "+46701234567"),
    ],
)
def test_a_phone_number_is_taken_as_people_write_it(typed: str, phone: str) -> None:
    assert creation(**{"policyholder.phone": typed}).policyholder.phone == phone


def test_what_was_left_empty_is_not_sent() -> None:
    request = creation()
    assert request.incident.description is None
    assert "description" not in request.incident.model_fields_set
    assert "claim_number" not in request.model_fields_set


def test_tasks_come_in_their_order_without_gaps() -> None:
    tasks = {f"tasks.{n}.kind": kind for n, kind in ((10, "inspection"), (2, "first_aid"))}
    assert [task.kind for task in creation(**tasks).tasks] == ["first_aid", "inspection"]


def test_what_is_wrong_is_told_by_the_field_s_name() -> None:
    with pytest.raises(WrongForm) as wrong:
        creation(**{"policyholder.phone": "12", "policyholder.name": "", "incident.cause": "rain"})
    assert set(wrong.value.problems) == {"policyholder.phone", "policyholder.name", "incident.cause"}


@pytest.mark.parametrize(
    ("typed", "amount"),
    [
        ("12 500,50", "12500.50"),
        ("12500", "12500"),
        ("0,5", "0.5"),
        ("12.500,50", "12500.50"),
        ("kr 12\u202f500,-", "12500"),
        ("\uff11\uff12", "12"),
        ("12.5", "12.5"),
    ],
)
def test_an_amount_is_taken_as_people_write_it(typed: str, amount: str) -> None:
    id = "00000000-0000-0000-0000-000000000001"
    request = read(ApproveBudget, {"amount": typed, "currency": "NOK"}, claim_id=id, task_id=id)
    assert request.amount == amount


@pytest.mark.parametrize(
    ("typed", "email"),
    [
        ("øyvind@bærum.no", "øyvind@bærum.no"),
        ("a\u030ase@a\u030asen.no", "åse@åsen.no"),
        ("\u202aanne@example.org\u202c", "anne@example.org"),
        ("anne@xn--brum-voa.no", "anne@xn--brum-voa.no"),
    ],
)
def test_an_e_mail_address_is_taken_as_it_is_written(typed: str, email: str) -> None:
    assert creation(**{"policyholder.email": typed}).policyholder.email == email


@pytest.mark.parametrize("typed", ["anne", "anne@example", "anne @example.org", "a@b@example.org", "@example.org"])
def test_what_is_no_e_mail_address_is_told_at_its_field(typed: str) -> None:
    with pytest.raises(WrongForm) as wrong:
        creation(**{"policyholder.email": typed})
    assert list(wrong.value.problems) == ["policyholder.email"]


def test_an_amount_whose_point_could_mean_thousands_is_not_guessed() -> None:
    id = "00000000-0000-0000-0000-000000000001"
    with pytest.raises(WrongForm):
        read(ApproveBudget, {"amount": "12.500", "currency": "NOK"}, claim_id=id, task_id=id)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "HEIF"])
def test_a_picture_of_each_kind_is_made_small(kind: str) -> None:
    file = io.BytesIO()
    Image.new("RGB", (1200, 800), "blue").save(file, kind)
    with Image.open(io.BytesIO(small(file.getvalue()))) as made:
        assert made.format == "JPEG"
        assert made.size == (320, 213)


def test_a_thumbnail_is_the_right_way_up_and_tells_nothing_of_where_it_was_taken() -> None:
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # turned by 90°
    exif[0x010F] = "Phone"
    Image.new("RGB", (1200, 800), "blue").save(file, "JPEG", exif=exif)
    with Image.open(io.BytesIO(small(file.getvalue()))) as made:
        assert made.size == (213, 320)
        assert not made.getexif()


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n broken", b"GIF89a" + bytes(20)])
def test_what_is_no_picture_has_no_thumbnail(content: bytes) -> None:
    with pytest.raises(Unreadable):
        small(content)


def test_a_picture_of_too_many_pixels_is_not_unpacked() -> None:
    file = io.BytesIO()
    Image.new("1", (10_000, 6_000)).save(file, "PNG")
    with pytest.raises(Unreadable):
        small(file.getvalue())
