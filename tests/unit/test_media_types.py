"""What a file is, told from its first bytes: files that encoders wrote, and the headers of phones and cameras."""

import io

import pillow_heif
import pytest
from PIL import Image

from shared.media_types import FIRST_BYTES, MediaType, recognised

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
        (ftyp(b"mif1", b"mif1", b"avif"), None),
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


def test_what_follows_the_first_box_does_not_make_a_file_what_it_is_not() -> None:
    assert recognised(ftyp(b"abcd") + b"isom" * 8) is None
