"""What was typed, where its form cannot be shown: by the fields' labels, in words."""

import re
from pathlib import Path

import services.portal
from services.portal.fields import is_field, label, readable
from services.portal.words import translations

TEMPLATES = Path(services.portal.__file__).parent / "templates"
NORWEGIAN = translations("nb").gettext
ENGLISH = translations("en").gettext


def labelled(*typed: tuple[str, str]) -> list[tuple[str, str]]:
    """How it reads in Norwegian."""
    return readable(typed, NORWEGIAN, office="kontor {}".format, person="person {}".format)


def test_every_field_of_a_form_has_the_form_s_own_label() -> None:
    pages = [file.read_text() for file in TEMPLATES.glob("*.html")]
    sent = [page for page in pages if 'method="get"' not in page]
    labels = {pair for page in sent for pair in re.findall(r'(?:text|choice|check)\("([\w.]+)", _\("([^"]+)"\)', page)}
    assert len(labels) > 20
    assert {(name, label(name, NORWEGIAN)) for name, _ in labels} == labels


def test_numbers_and_weekdays_are_part_of_what_fields_are_called() -> None:
    assert label("policyholder.name", NORWEGIAN) == "Navn"
    assert label("tasks.1.kind", NORWEGIAN) == "Oppgave 2"
    assert label("days.0.opens", ENGLISH) == "Date 1, opens"
    assert label("office_hours.fri.closes", NORWEGIAN) == "Fredag, stenger"


def test_what_a_form_carries_unseen_is_not_shown() -> None:
    unseen = ["request_id", "insurer", "button", "rights", "user", "media.0.key", "incident.address.country", "x.y"]
    assert labelled(*((name, "x") for name in unseen)) == []


def test_choices_boxes_offices_and_people_are_said_in_words() -> None:
    typed = [("incident.cause", "water"), ("tasks.0.kind", "first_aid"), ("creation", "never"), ("kind", "made up")]
    assert [text for _, text in labelled(*typed)] == ["Vann", "Førstehjelpsoppgave", "Aldri", "made up"]
    assert labelled(("finished", "1")) == [("Oppgaven er ferdig", "ja")]
    assert labelled(("assigned_office", "bergen"), ("handler", "kari")) == [
        ("Tildel saken til kontor", "kontor bergen"),
        ("Saksbehandler", "person kari"),
    ]


def test_dates_are_said_as_people_write_them() -> None:
    typed = [("incident.date", "2026-11-24"), ("days.0.date", "2026-12-24"), ("days.1.date", "julaften")]
    assert [text for _, text in labelled(*typed)] == ["24.11.2026", "24.12.2026", "julaften"]


def test_a_form_has_fields_that_are_paths_with_short_numbers_and_no_others() -> None:
    fields = ["csrf", "incident.address.street", "tasks.19.kind", "office_hours.mon.opens", "media.0.sha256"]
    assert [name for name in fields if not is_field(name)] == []
    others = ["", ".", "a.", "a..b", "a.b.c.d.e", "tasks.12345.kind", "tasks.١.kind", "x\0", "a b", "Å", "a-b", "0"]
    assert [name for name in others if is_field(name)] == []


def test_what_was_left_empty_is_not_shown() -> None:
    assert labelled(("policyholder.email", "")) == []
