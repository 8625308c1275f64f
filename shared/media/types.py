"""Which files are taken, recognised by their first bytes and by nothing that a sender says. Pure."""

import re
from enum import StrEnum

FIRST_BYTES = 1024
"""How many of a file's first bytes decide its type: a PDF may begin as late as readers look for it."""

_PNG = b"\x89PNG\r\n\x1a\n"
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
"""Photos, and several in one file, as a phone writes for a burst."""
_HEIF_BRANDS = frozenset({b"mif1", b"mif2", b"msf1", b"miaf"})
"""Any image of the HEIF family; which one is among the compatible brands."""
_ISO_BRANDS = frozenset({b"isom", *(b"iso%d" % n for n in range(2, 10))})
_MP4_BRANDS = _ISO_BRANDS | {b"mp41", b"mp42", b"avc1", b"M4V ", b"M4VH", b"M4VP", b"MSNV", b"XAVC"}
_OTHER_MEDIA = frozenset({b"avif", b"avis", b"M4A ", b"M4B ", b"crx "})
"""Brands of AVIF, sound alone and raw photos, although some name a brand of MP4 too."""
_QUICKTIME_ATOMS = frozenset({b"moov", b"mdat", b"wide", b"pnot"})
"""What a QuickTime file without `ftyp` begins with."""
_FILLERS = frozenset({b"free", b"skip"})
"""Boxes with nothing in them, which some cameras put before the others."""

_PDF = b"%PDF-"
_PROGRAMS = (b"MZ", b"\x7fELF", b"#!", b"%!PS", b"\xca\xfe\xba\xbe", b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe")
_ARCHIVES = (b"PK", b"Rar!", b"7z\xbc\xaf", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"MSCF", b"\xd0\xcf\x11\xe0", b"{\\rtf")
_NOT_TAKEN = (b"GIF8", b"BM", b"II*\x00", b"MM\x00*", b"RIFF", b"OggS", b"ID3", b"\x1aE\xdf\xa3", b"fLaC")
_MARKUP = re.compile(rb"<[!?/a-zA-Z]")


class MediaType(StrEnum):
    """The types that are taken, by their IANA names."""

    JPEG = "image/jpeg"
    PNG = "image/png"
    WEBP = "image/webp"
    HEIC = "image/heic"
    MP4 = "video/mp4"
    MOV = "video/quicktime"
    PDF = "application/pdf"


_ALSO_CALLED = {
    **{str(type): type for type in MediaType},
    "image/jpg": MediaType.JPEG,
    "image/pjpeg": MediaType.JPEG,
    "image/jfif": MediaType.JPEG,
    "image/apng": MediaType.PNG,
    "image/vnd.mozilla.apng": MediaType.PNG,
    "image/heif": MediaType.HEIC,
    "image/heic-sequence": MediaType.HEIC,
    "image/heif-sequence": MediaType.HEIC,
    "video/m4v": MediaType.MP4,
    "video/mpeg4": MediaType.MP4,
    "video/3gpp": MediaType.MP4,
    "application/mp4": MediaType.MP4,
    "video/mov": MediaType.MOV,
    "application/acrobat": MediaType.PDF,
    "text/pdf": MediaType.PDF,
}
"""What systems call them, in lower case and without `x-`."""


def declared(content_type: str) -> MediaType | None:
    """Which type a sender means: `image/jpg` and `IMAGE/JPEG; charset=binary` are `image/jpeg`."""
    return _ALSO_CALLED.get(content_type.partition(";")[0].strip().lower().replace("/x-", "/"))


def recognised(first: bytes) -> MediaType | None:
    """A file's type from its first bytes, of which FIRST_BYTES are enough; None if it is not one that is taken."""
    if first.startswith(b"\xff\xd8\xff"):
        return MediaType.JPEG
    if first.startswith(_PNG):
        return MediaType.PNG
    if first[:4] == b"RIFF" and first[8:12] == b"WEBP":
        return MediaType.WEBP
    name, box = _first_box(first)
    if name == b"ftyp":
        return _of_brands(box)
    if name in _QUICKTIME_ATOMS:
        return MediaType.MOV
    return MediaType.PDF if _is_pdf(first[:FIRST_BYTES]) else None


def _first_box(first: bytes) -> tuple[bytes, bytes]:
    """The name of a file's first box that is no filler, and the bytes from there on."""
    at = 0
    while first[at + 4 : at + 8] in _FILLERS and (size := int.from_bytes(first[at : at + 4], "big")) >= 8:
        at += size
    return first[at + 4 : at + 8], first[at:]


def _of_brands(first: bytes) -> MediaType | None:
    """What an ISO base media file is: its major brand decides, and where that says little, the compatible ones."""
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


def _is_pdf(first: bytes) -> bool:
    """Whether readers open it as a PDF: they look for its header in the first 1,024 bytes.

    Scanners and printers put line breaks, a byte order mark or a job's header before it. What is markup, a program, an
    archive or another kind of file as well is not taken: it is meant to be two things (decision 63).
    """
    before, header, _ = first.partition(_PDF)
    return bool(header) and not before.startswith(_PROGRAMS + _ARCHIVES + _NOT_TAKEN) and not _MARKUP.search(before)
