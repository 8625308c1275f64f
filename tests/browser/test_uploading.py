"""Files of a report in a browser: as devices make and call them, and whatever happens on the way (issue 13)."""

import io
from collections.abc import Iterator

import pillow_heif
import pytest
from PIL import Image
from playwright.sync_api import FilePayload, Locator, Page, expect

from shared.media.names import disposition, kept_name
from shared.media.types import MediaType
from tests.browser.conftest import Browse, log_in
from tests.browser.test_for_everyone import violations
from tests.browser.test_linking import picture
from tests.world import World

pillow_heif.register_heif_opener()

PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"
MOV = b"\x00\x00\x00\x14ftypqt  \x00\x00\x02\x00qt  \x00\x00\x00\x08wide"
WIDTHS = (320, 390, 768, 1024, 1400)
FOR_DEVELOPERS = ("fetch", "detaljer", "SHA", "HTTP ", "undefined", "Error", "MiB", "meldt", "opplastingens adresse")


def file(name: str, content: bytes, type: str = "") -> FilePayload:
    """A file, and what the browser calls it."""
    return FilePayload(name=name, mimeType=type, buffer=content)


def choose(page: Page, *files: FilePayload) -> None:
    """Choose files."""
    page.locator('input[type="file"][multiple]').set_input_files(list(files))


def send(page: Page) -> None:
    """Press *Send*."""
    page.get_by_role("button", name="Send", exact=True).click()


def listed(page: Page, name: str) -> Locator:
    """A file of the list."""
    return page.get_by_role("listitem").filter(has_text=name)


@pytest.fixture
def page(world: World, browse: Browse) -> Page:
    """The form of a report, with a text."""
    created = world.create(tasks=[{"kind": "first_aid"}]).body
    path = f"/saker/{created['claim_id']}/oppgaver/{created['task_ids'][0]}/rapport"
    page = browse(world.plumber, path, viewport={"width": 1280, "height": 900})
    page.get_by_label("Rapport", exact=True).fill("Her er bildene.")
    return page


def test_a_file_is_sent_as_what_it_is_whatever_it_and_its_type_are_called(page: Page) -> None:
    files = {
        "IMG_0001.jpg": ("image/jpeg", picture("red", "HEIF"), MediaType.HEIC),
        "IMG_0002.HEIC": ("application/octet-stream", picture("green", "HEIF"), MediaType.HEIC),
        "IMG_0003": ("", picture("blue", "HEIF"), MediaType.HEIC),
        "bilde.jpg": ("image/jpeg", picture("blue", "WEBP"), MediaType.WEBP),
        "bilde.jfif": ("image/pjpeg", picture("blue", "JPEG"), MediaType.JPEG),
        "film.mp4": ("video/mp4", MOV, MediaType.MOV),
        "skann.pdf": ("application/x-pdf", b"\xef\xbb\xbf\r\n" + PDF, MediaType.PDF),
        "skann.tmp": ("text/plain", b"\n" + PDF, MediaType.PDF),
        f"{'a' * 199}🏠.jpg": ("image/jpeg", picture("pink", "JPEG"), MediaType.JPEG),
        f"{'b' * 251}.jpg": ("image/jpeg", picture("lime", "JPEG"), MediaType.JPEG),
        "Ba\u030aten \u202egpj.exe": ("image/jpeg", picture("gold", "JPEG"), MediaType.JPEG),
        ".jpg": ("image/jpeg", picture("cyan", "JPEG"), MediaType.JPEG),
    }
    choose(page, *(file(name, content, declared) for name, (declared, content, _) in files.items()))
    expect(page.get_by_text("Lastet opp", exact=True)).to_have_count(len(files))
    send(page)
    expect(page.get_by_text("Rapporten er sendt.")).to_be_visible()
    for name, (_, content, type) in files.items():
        link = page.get_by_role("link", name=kept_name(name), exact=True).first
        answer = page.request.get(link.get_attribute("href") or "")
        assert answer.headers["content-type"] == type
        assert answer.headers["content-disposition"].partition(";")[2] == disposition(name, type).partition(";")[2]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.body() == content


def test_what_is_refused_says_what_to_do_fits_every_screen_and_is_removed(page: Page) -> None:
    choose(
        page,
        file("x" * 60 + ".png", picture("blue"), "image/png"),
        file("bilde.png", b"MZ this is no picture, whatever it says", "image/png"),
        file("tom.pdf", b"", "application/pdf"),
    )
    expect(page.get_by_text("Ble ikke lastet opp:")).to_have_count(2)
    expect(listed(page, "bilde.png")).to_contain_text("Denne typen fil kan ikke sendes. Bruk bilder")
    expect(listed(page, "tom.pdf")).to_contain_text("eller den er tom. Velg den på nytt")
    expect(page.get_by_role("button", name="Prøv igjen")).to_have_count(0)  # it would be in vain
    assert violations(page) == []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), width
        assert narrowest_text(page) > 150, width
    page.get_by_role("button", name="Fjern bilde.png").click()
    expect(page.get_by_role("button", name="Fjern tom.pdf")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Ble ikke lastet opp:")).to_have_count(0)
    send(page)
    expect(page.get_by_text("Oppgave rapportert (1 fil)")).to_be_visible()


def narrowest_text(page: Page) -> float:
    """How many pixels a name or a sentence of the list has for its lines."""
    boxes = "texts => Math.min(...texts.map(text => text.parentElement.clientWidth))"
    width: float = page.locator(".file-name:visible, .file-state:visible").evaluate_all(boxes)
    return width


def test_send_asks_before_it_leaves_files_out(page: Page) -> None:
    choose(page, file("bilde.png", b"MZ", "image/png"), file("ok.png", picture("blue"), "image/png"))
    expect(page.get_by_text("Lastet opp", exact=True)).to_be_visible()
    send(page)
    dialog = page.get_by_role("dialog", name="Send uten disse filene?")
    expect(dialog.get_by_role("listitem")).to_have_text(["bilde.png"])
    assert violations(page) == []
    dialog.get_by_role("button", name="Tilbake til rapporten").click()
    expect(dialog).to_be_hidden()
    assert page.url.endswith("/rapport")
    send(page)
    dialog.get_by_role("button", name="Send uten dem").click()
    expect(page.get_by_text("Rapporten er sendt.")).to_be_visible()
    expect(page.get_by_text("Oppgave rapportert (1 fil)")).to_be_visible()


def test_send_asks_while_a_file_is_on_its_way_and_it_can_be_stopped(page: Page) -> None:
    page.route("**/api/uploads/**", lambda _: None)  # it waits for an answer
    choose(page, file("treg.png", picture("blue"), "image/png"), file("kø.png", picture("red"), "image/png"))
    expect(page.get_by_text("Sendes", exact=True)).to_be_visible()
    send(page)
    dialog = page.get_by_role("dialog", name="Send uten disse filene?")
    expect(dialog.get_by_role("listitem")).to_have_text(["treg.png", "kø.png"])
    dialog.get_by_role("button", name="Tilbake til rapporten").click()
    page.get_by_role("button", name="Fjern treg.png").click()
    page.unroute_all()
    expect(listed(page, "kø.png")).to_contain_text("Lastet opp")
    send(page)
    expect(page.get_by_text("Oppgave rapportert (1 fil)")).to_be_visible()


@pytest.fixture
def failing(page: Page) -> Iterator[Page]:
    """The page, on which every way in which an upload can fail is tried."""
    yield page
    page.unroute_all()


def test_whatever_ends_an_upload_is_told_to_people_and_it_can_be_tried_again(failing: Page) -> None:
    page = failing
    put, start, complete = "**/api/uploads/**", "**/opplasting", "**/opplasting/*/ferdig"
    json = '{"code": "%s", "message": {"nb": "til utviklere", "en": "for developers"}}'
    ways = {
        "the portal is gone": (start, lambda r: r.abort(), "Portalen svarer ikke."),
        "the portal's proxy has no portal": (start, lambda r: r.fulfill(status=502, body="<html>"), "akkurat nå."),
        "the proxy takes no such file": (put, lambda r: r.fulfill(status=413, body="<html>"), "for stor."),
        "the connection breaks": (put, lambda r: r.abort(), "kom ikke helt fram."),
        "the store refuses": (put, lambda r: r.fulfill(status=403, body="<Error/>"), "kom ikke helt fram."),
        "the store is away": (put, lambda r: r.fulfill(status=503, body=json % "try_again"), "akkurat nå."),
        "it took too long": (put, lambda r: r.fulfill(status=410, body=json % "upload_expired"), "kom ikke helt"),
        "the answer is lost": (complete, lambda r: r.abort(), "Portalen svarer ikke."),
        "the company has too much": (start, lambda r: r.fulfill(status=422, body=json % "too_much_unnamed"), "mange"),
        "a code that is new": (complete, lambda r: r.fulfill(status=422, body=json % "new_code"), "kom ikke helt"),
    }
    for n, (way, (address, fulfil, sentence)) in enumerate(ways.items()):
        page.route(address, fulfil)
        name = f"bilde-{n}.png"
        choose(page, file(name, picture("blue"), "image/png"))
        expect(listed(page, name), way).to_contain_text("Ble ikke lastet opp:")
        expect(listed(page, name), way).to_contain_text(sentence)
        page.unroute_all()
    text = page.locator("#media").inner_text()
    assert [word for word in (*FOR_DEVELOPERS, "utviklere") if word in text] == []
    page.context.set_offline(True)
    choose(page, file("uten-nett.png", picture("red"), "image/png"))
    expect(listed(page, "uten-nett.png")).to_contain_text("Du er ikke på nett. Prøv igjen når du er det.")
    page.context.set_offline(False)
    again = page.get_by_role("button", name="Prøv igjen")
    expect(again).to_have_count(len(ways))  # but for the one that is too large
    while again.count():
        again.first.click()
    expect(page.get_by_text("Lastet opp", exact=True)).to_have_count(len(ways))
    page.get_by_role("button", name="Fjern bilde-2.png").click()
    send(page)
    expect(page.get_by_text(f"Oppgave rapportert ({len(ways)} filer)")).to_be_visible()


def test_who_was_logged_out_meanwhile_logs_in_elsewhere_and_goes_on(world: World, page: Page) -> None:
    page.context.clear_cookies()
    choose(page, file("bilde.png", picture("blue"), "image/png"))
    expect(listed(page, "bilde.png")).to_contain_text("Du er logget ut. Logg inn i en ny fane, og prøv igjen her.")
    log_in(page.context, world.plumber)
    page.get_by_role("button", name="Prøv igjen").click()
    expect(page.get_by_text("Lastet opp", exact=True)).to_be_visible()
    send(page)
    expect(page.get_by_text("Oppgave rapportert (1 fil)")).to_be_visible()


def test_a_file_that_the_report_cannot_name_any_more_is_marked_and_removed(page: Page) -> None:
    choose(page, *(file(name, picture("blue"), "image/png") for name in ("en.png", "to.png")))
    expect(page.get_by_text("Lastet opp", exact=True)).to_have_count(2)
    page.locator('[name="media.1.key"]').evaluate("input => { input.value = 'a key that is no more'; }")
    send(page)
    expect(page.get_by_role("alert")).to_contain_text("En fil er ikke lenger hos oss.")
    expect(listed(page, "to.png").filter(has_text="Fjern den, og legg den ved på nytt.")).to_be_visible()
    assert violations(page) == []
    page.get_by_role("button", name="Fjern to.png").click()
    choose(page, file("tre.png", picture("olive"), "image/png"))
    expect(page.get_by_text("Lastet opp", exact=True)).to_have_count(2)
    send(page)
    expect(page.get_by_text("Oppgave rapportert (2 filer)")).to_be_visible()


def test_a_camera_s_photo_has_a_thumbnail_that_stands_upright(page: Page) -> None:
    """With a preview behind it, and turned on its side, as cameras write it."""
    photo = Image.effect_noise((900, 600), 80).convert("RGB")
    exif = photo.getexif()
    exif[0x0112] = 6
    content = io.BytesIO()
    photo.save(content, "MPO", save_all=True, append_images=[photo.resize((90, 60))], exif=exif)
    choose(page, file("DSC_0001.MPO", content.getvalue(), "image/mpo"))
    expect(page.get_by_text("Lastet opp", exact=True)).to_be_visible()
    send(page)
    thumbnail = page.get_by_role("link", name="DSC_0001.MPO").locator("img")
    size = thumbnail.evaluate("image => image.decode().then(() => [image.naturalWidth, image.naturalHeight])")
    assert size[0] < size[1]
