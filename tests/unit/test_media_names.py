"""What a file is called: whatever a device calls it, it is kept, shown, and saved as what it is."""

import base64
import json
import re
import unicodedata
from email.message import Message as Headers

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from services.portal.pages.media import Chosen
from shared.contract.fields import Line
from shared.contract.uploads import NewUpload
from shared.media.names import disposition, kept_name, saved_name
from shared.media.types import MediaType

NAMES = st.one_of(
    st.text(max_size=300),
    st.text(st.characters(categories=["Cs", "Cc", "Cf", "Mn", "Zs", "Lo", "So", "Po", "Ll"]), max_size=300),
    st.lists(
        st.sampled_from(
            [
                "👩‍👩‍👧",
                "🏠",
                "\ud83d",
                "é",
                "e\u0301",
                "å",
                "ـ",
                "\u202egpj.exe",
                "/",
                "\\",
                "..",
                ".",
                " ",
                "\x00",
                "\n",
                "CON",
                ".jpg",
            ]
        ),
        max_size=120,
    ).map("".join),
)
"""As devices, people and attackers write them; half an emoji too, which Windows allows."""
INVISIBLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200b\u200e\u200f\ufeff\ud800-\udfff]")


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("Kjøkken.jpg", "Kjøkken.jpg"),
        ("Ba\u030aten fo\u0308r.jpg", "Båten för.jpg"),  # as macOS writes them
        (f"{'a' * 195}🏠.jpeg", f"{'a' * 195}.jpeg"),
        (f"{'a' * 199}🏠", f"{'a' * 199}🏠"),
        (f"{'a' * 198}👩‍👧.jpg", f"{'a' * 196}.jpg"),
        (f"{'a' * 194}👩‍👧.jpg", f"{'a' * 194}.jpg"),
        (f"{'a' * 251}.jpg", f"{'a' * 196}.jpg"),  # 255 bytes, the longest that file systems take
        (f"{'漢' * 85}.pdf", f"{'漢' * 85}.pdf"),
        ("\u202egpj.exe", "gpj.exe"),  # is shown as exe.jpg
        ("تقرير.pdf", "تقرير.pdf"),
        ("C:\\Users\\Anne Berg\\stue.jpg", "stue.jpg"),
        ("../../etc/passwd", "passwd"),
        ("a\r\nSet-Cookie: x.jpg", "a Set-Cookie: x.jpg"),
        ("  stue \t 1 .jpg ", "stue 1.jpg"),
        ("", "fil"),
        (".jpg", "fil.jpg"),
        ("..", "fil"),
        ("\u200b.\u200bpng", "fil.png"),
        ("\ud83d.jpg", "fil.jpg"),
        ("skade.", "skade"),
        ("Rapport 12.03. Anne Bergs leilighet", "Rapport 12.03. Anne Bergs leilighet"),
        (".htaccess", "fil.htaccess"),
    ],
)
def test_a_name_is_kept_so_that_it_can_be_shown_and_sent(name: str, kept: str) -> None:
    assert kept_name(name) == kept


@given(NAMES)
@example("a" * 199 + "\u0301" * 5)
def test_every_name_becomes_one_that_the_contract_takes_and_stays_what_it_is(name: str) -> None:
    kept = kept_name(name)
    assert TypeAdapter(Line).validate_python(kept) == kept
    assert unicodedata.is_normalized("NFC", kept)
    assert not INVISIBLE.search(kept)
    assert not set(kept) & {"/", "\\"}
    assert not kept.startswith((".", " "))
    assert kept_name(kept) == kept
    about = NewUpload(name=kept, content_type="image/jpeg", size=1, sha256="0" * 64)
    assert NewUpload.model_validate_json(about.json_bytes()) == about


@pytest.mark.parametrize(
    ("name", "type", "saved"),
    [
        ("IMG_1.jpg", MediaType.JPEG, "IMG_1.jpg"),
        ("IMG_1.JPEG", MediaType.JPEG, "IMG_1.JPEG"),
        ("IMG_1.jpg", MediaType.HEIC, "IMG_1.heic"),
        ("DSC0001.HIF", MediaType.HEIC, "DSC0001.HIF"),
        ("stue", MediaType.PNG, "stue.png"),
        ("rapport.html", MediaType.PDF, "rapport.html.pdf"),
        ("faktura.pdf.exe", MediaType.PDF, "faktura.pdf.exe.pdf"),
        ("Skade 12.03", MediaType.MP4, "Skade 12.03.mp4"),
        ("con.jpg", MediaType.JPEG, "_con.jpg"),
        ("NUL", MediaType.PDF, "_NUL.pdf"),
        ('a:b*c?"<d>|.png', MediaType.PNG, "a_b_c___d__.png"),
        (".jpg", MediaType.JPEG, "fil.jpg"),
    ],
)
def test_a_file_is_saved_under_a_name_that_every_system_takes_and_that_says_what_it_is(
    name: str, type: MediaType, saved: str
) -> None:
    assert saved_name(name, type) == saved


@given(NAMES, st.sampled_from(MediaType))
def test_what_a_client_reads_in_the_header_is_the_saved_name_and_old_ones_read_nearly_it(
    name: str, type: MediaType
) -> None:
    header = disposition(name, type)
    assert header.isascii()
    assert header.isprintable()
    extended = header.partition("filename*=")[2]
    read = Headers()
    read["content-disposition"] = f"attachment; filename*={extended}" if extended else header
    assert read.get_filename() == saved_name(name, type)
    assert plain(header).rpartition(".")[2] == saved_name(name, type).rpartition(".")[2]
    assert not re.search(r'[/\\<>:"|?*%\x00-\x1f]', plain(header))


def plain(header: str) -> str:
    """What a client reads that knows no `filename*`."""
    found = re.fullmatch(r'attachment; filename="([^"]*)"(; filename\*=UTF-8\'\'[^;\s]+)?', header)
    assert found is not None
    return found[1]


def test_a_name_in_norwegian_can_be_read_by_old_clients_too() -> None:
    header = "attachment; filename=\"Kjokken for rydding.jpg\"; filename*=UTF-8''Kj%C3%B8kken%20f%C3%B8r%20rydding.jpg"
    assert disposition("Kjøkken før rydding.jpg", MediaType.JPEG) == header


@given(st.binary(max_size=1024))
def test_a_browser_s_first_bytes_are_read_as_they_are(first: bytes) -> None:
    chosen = Chosen(name="x", size=1, sha256="0", first=first)
    assert Chosen.model_validate_json(as_browsers_write(chosen)).first == first


def as_browsers_write(chosen: Chosen) -> str:
    """JSON with base 64 of the alphabet that `btoa` has."""
    return json.dumps(dict(chosen) | {"first": base64.b64encode(chosen.first).decode()})
