"""What a file is, told from its first bytes: files that encoders wrote, and the headers of phones and cameras."""

import io

import pillow_heif
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from shared.media.types import FIRST_BYTES, MediaType, declared, recognised

pillow_heif.register_heif_opener()


def image(format: str) -> bytes:
    """Have an encoder write a small picture."""
    file = io.BytesIO()
    Image.new("RGB", (64, 48), (20, 120, 220)).save(file, format)
    return file.getvalue()


def ftyp(major: bytes, *compatible: bytes) -> bytes:
    """Write the box that an ISO base media file begins with."""
    body = b"ftyp" + major + bytes(4) + b"".join(compatible)
    return (len(body) + 4).to_bytes(4, "big") + body + b"\x00\x00\x00\x08free"


@pytest.mark.parametrize(
    ("format", "type"),
    [
        ("JPEG", MediaType.JPEG),
        ("PNG", MediaType.PNG),
        ("WEBP", MediaType.WEBP),
        ("HEIF", MediaType.HEIC),
        ("PDF", MediaType.PDF),
        ("GIF", None),
        ("TIFF", None),
        ("BMP", None),
        ("AVIF", None),
    ],
)
def test_a_file_is_what_its_encoder_wrote(format: str, type: MediaType | None) -> None:
    assert recognised(image(format)[:FIRST_BYTES]) is type


def test_files_of_cameras_are_what_their_encoders_wrote() -> None:
    """Several pictures in one: a live photo's, a camera's preview behind the photo, an animation, a burst."""
    picture, small = Image.new("RGB", (64, 48), "blue"), Image.new("RGB", (32, 24), "red")
    for format, type in (("MPO", MediaType.JPEG), ("PNG", MediaType.PNG), ("HEIF", MediaType.HEIC)):
        file = io.BytesIO()
        picture.save(file, format, save_all=True, append_images=[small])
        assert recognised(file.getvalue()[:FIRST_BYTES]) is type


@pytest.mark.parametrize(
    ("first", "type"),
    [
        (ftyp(b"mp42", b"isom", b"mp42"), MediaType.MP4),  # Android's camera
        (ftyp(b"isom", b"isom", b"iso2", b"avc1", b"mp41"), MediaType.MP4),  # ffmpeg
        (ftyp(b"iso5", b"iso5", b"dash"), MediaType.MP4),
        (ftyp(b"3gp4", b"isom", b"3gp4"), MediaType.MP4),  # older Android, in a file named .mp4
        (ftyp(b"M4V ", b"M4V ", b"mp42"), MediaType.MP4),
        (ftyp(b"qt  ", b"qt  "), MediaType.MOV),  # iPhone's video
        (b"\x00\x00\x10\x00moov\x00\x00\x00lmvhd", MediaType.MOV),
        (b"\x00\x00\x00\x08wide\x00\x01\x00\x00mdat", MediaType.MOV),
        (ftyp(b"heic", b"mif1", b"heic"), MediaType.HEIC),  # iPhone's photo
        (ftyp(b"heix", b"mif1", b"heix"), MediaType.HEIC),
        (ftyp(b"mif1", b"mif1", b"heic"), MediaType.HEIC),
        (ftyp(b"heic", b"mif1", b"MiHE", b"MiPr", b"miaf", b"MiHB", b"heic", b"tmap"), MediaType.HEIC),  # iOS 18
        (ftyp(b"mif1", b"miaf", b"heix"), MediaType.HEIC),  # Canon's .HIF
        (ftyp(b"mif1", b"mif1", b"miaf", *[b"abcd"] * 20, b"heic"), MediaType.HEIC),  # behind the first 64 bytes
        (ftyp(b"hevc", b"msf1", b"hevc", b"iso8"), MediaType.HEIC),  # a burst
        (ftyp(b"msf1", b"msf1", b"hevc"), MediaType.HEIC),
        (ftyp(b"mif1", b"mif1", b"avif"), None),
        (ftyp(b"avis", b"avis", b"msf1", b"mif1"), None),
        (ftyp(b"XAVC", b"XAVC", b"mp42", b"iso2"), MediaType.MP4),  # Sony's cameras
        (ftyp(b"MSNV", b"MSNV"), MediaType.MP4),
        (ftyp(b"mp41", b"mp41", b"isom"), MediaType.MP4),  # GoPro
        (ftyp(b"3gp4", b"3gp4"), None),  # 3GPP alone is no MP4
        (b"\x00\x00\x00\x10free12345678" + ftyp(b"isom", b"mp42"), MediaType.MP4),
        (b"\x00\x00\x00\x08skip\x00\x00\x10\x00mdat", MediaType.MOV),  # older cameras
        (b"\x00\x00\x00\x14pnot\x00\x00\x00\x00\x00\x00PICT", MediaType.MOV),
        (b"\x00\x00\x00\x00free" * 20, None),
        (ftyp(b"M4A ", b"M4A ", b"mp42"), None),  # sound only
        (ftyp(b"crx ", b"crx ", b"isom"), None),  # Canon's raw photos
        (ftyp(b"abcd"), None),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", None),
        (b"PK\x03\x04", None),
        (b"MZ\x90\x00", None),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", None),
        (b"<!doctype html><script>", None),
        (b"\xff\xd8", None),
        (b"", None),
    ],
)
def test_a_file_is_told_by_its_first_bytes(first: bytes, type: MediaType | None) -> None:
    assert recognised(first) is type


PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n"
"""Encrypted ones, those of many pages, and those of version 2.0 begin no differently."""


@pytest.mark.parametrize(
    "before",
    [
        b"\n",
        b"\r\n\r\n",
        b"\x00" * 16,
        b"\xef\xbb\xbf",
        b"\xef\xbb\xbf\r\n",
        b'\x1b%-12345X@PJL SET JOBNAME="skade"\r\n@PJL ENTER LANGUAGE=PDF\r\n',  # printers and scanners
        b"\x00\x09skade.pdf" + bytes(117),  # MacBinary
        b"Content-Type: application/pdf\r\n\r\n",
        b"x" * 1019,
    ],
)
def test_a_pdf_may_begin_as_late_as_readers_look_for_it(before: bytes) -> None:
    assert recognised((before + PDF)[:FIRST_BYTES]) is MediaType.PDF


@pytest.mark.parametrize(
    "before",
    [
        b"x" * 1020,
        b"<!doctype html><script>alert(1)</script>",
        b"\xef\xbb\xbf \n<svg xmlns='http://www.w3.org/2000/svg'>",
        b"x <script src=//x></script>",
        b"GIF89a",
        b"MZ\x90\x00",
        b"PK\x03\x04",
        b"#!/bin/sh\n",
        b"%!PS-Adobe-3.0\n",
        b"Rar!\x1a\x07",
        b"RIFF\x00\x00\x00\x00WAVE",
        ftyp(b"avif", b"mif1"),
        ftyp(b"abcd"),
    ],
)
def test_what_is_a_pdf_and_something_else_as_well_is_not_taken(before: bytes) -> None:
    assert recognised((before + PDF)[:FIRST_BYTES]) is None


@given(st.binary(max_size=2000), st.booleans())
def test_what_is_taken_begins_as_one_of_the_seven_and_more_bytes_change_nothing(first: bytes, pdf: bool) -> None:
    first += PDF if pdf else b""
    type = recognised(first)
    assert recognised(first[:FIRST_BYTES]) is type
    if type is MediaType.PDF:
        before, header, _ = first[:FIRST_BYTES].partition(b"%PDF-")
        assert header
        assert b"<s" not in before
        assert not before.startswith((b"MZ", b"PK", b"#!", b"GIF8"))


@pytest.mark.parametrize(
    ("written", "type"),
    [
        ("image/jpeg", MediaType.JPEG),
        ("image/jpg", MediaType.JPEG),
        ("image/pjpeg", MediaType.JPEG),
        ("IMAGE/JPEG", MediaType.JPEG),
        ("image/jpeg; charset=binary", MediaType.JPEG),
        (" image/jpeg ;q=1", MediaType.JPEG),
        ("image/x-png", MediaType.PNG),
        ("image/apng", MediaType.PNG),
        ("image/heif", MediaType.HEIC),
        ("image/heic-sequence", MediaType.HEIC),
        ("video/x-m4v", MediaType.MP4),
        ('video/mp4; codecs="avc1.42E01E, mp4a.40.2"', MediaType.MP4),
        ("video/x-quicktime", MediaType.MOV),
        ("application/x-pdf", MediaType.PDF),
        ("image/avif", None),
        ("image/gif", None),
        ("application/octet-stream", None),
        ("jpeg", None),
        ("", None),
        (";", None),
    ],
)
def test_a_type_is_understood_as_systems_write_it(written: str, type: MediaType | None) -> None:
    assert declared(written) is type


@given(st.sampled_from(MediaType), st.sampled_from(["", ";", "; charset=binary", " ; name=x.y"]), st.booleans())
def test_every_type_is_understood_in_capitals_and_with_parameters(type: MediaType, more: str, upper: bool) -> None:
    assert declared((type.upper() if upper else type) + more) is type


def test_what_follows_the_first_box_does_not_make_a_file_what_it_is_not() -> None:
    assert recognised(ftyp(b"abcd") + b"isom" * 8) is None
