"""Which files are taken, recognised by their first bytes and by nothing that a sender says (contract: Media). Pure."""

from enum import StrEnum

FIRST_BYTES = 64
"""So many of a file's first bytes tell its type."""

_PNG = b"\x89PNG\r\n\x1a\n"
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis"})
_HEIF_BRANDS = frozenset({b"mif1", b"msf1"})
"""Say that it is an image of the HEIF family; which one is among the compatible brands."""
_MP4_BRANDS = frozenset({b"isom", b"mp41", b"mp42", b"avc1", b"M4V ", *(b"iso%d" % n for n in range(2, 10))})
_OTHER_MEDIA = frozenset({b"avif", b"avis", b"M4A ", b"M4B ", b"crx "})
"""Say that it is AVIF, sound alone, or raw photos, although some name a brand of MP4 beside."""
_QUICKTIME_ATOMS = frozenset({b"moov", b"mdat", b"wide"})
"""What a QuickTime file without `ftyp` begins with."""


class MediaType(StrEnum):
    """The types that are taken, by their IANA names."""

    JPEG = "image/jpeg"
    PNG = "image/png"
    WEBP = "image/webp"
    HEIC = "image/heic"
    MP4 = "video/mp4"
    MOV = "video/quicktime"
    PDF = "application/pdf"


def recognised(first: bytes) -> MediaType | None:
    """Tell a file's type from its first bytes, of which FIRST_BYTES are enough; None if it is not one that is taken."""
    if first.startswith(b"\xff\xd8\xff"):
        return MediaType.JPEG
    if first.startswith(_PNG):
        return MediaType.PNG
    if first[:4] == b"RIFF" and first[8:12] == b"WEBP":
        return MediaType.WEBP
    if first.startswith(b"%PDF-"):
        return MediaType.PDF
    if first[4:8] == b"ftyp":
        return _of_brands(first)
    return MediaType.MOV if first[4:8] in _QUICKTIME_ATOMS else None


def _of_brands(first: bytes) -> MediaType | None:
    """Tell what an ISO base media file is: its major brand decides, and where that says little, the compatible ones."""
    end = min(int.from_bytes(first[:4], "big"), len(first))
    major = first[8:12]
    compatible = {first[at : at + 4] for at in range(16, end - 3, 4)}
    if major in _HEIC_BRANDS or (major in _HEIF_BRANDS and compatible & _HEIC_BRANDS):
        return MediaType.HEIC
    if major == b"qt  ":
        return MediaType.MOV
    if major in _HEIF_BRANDS | _OTHER_MEDIA:
        return None
    return MediaType.MP4 if ({major} | compatible) & _MP4_BRANDS else None
