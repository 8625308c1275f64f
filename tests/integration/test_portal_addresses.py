"""Whatever comes in an address, form, header or cookie is answered: never with a fault of ours, nor a false alarm."""

import base64
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from starlette.routing import Route

import services.portal
from services.portal.store import KeptForm
from shared.storage.database import cannot_be_kept
from shared.storage.migrations import migrate
from tests.builders.requests import FJORD
from tests.integration.conftest import Databases, engine_of
from tests.integration.portal_site import (
    HOST,
    INSURER_S,
    PARTNER_S,
    TOKEN,
    USERS,
    Answer,
    Form,
    Site,
    posted,
    read_page,
    site_on,
)
from tests.properties import no_deadline

pytestmark = pytest.mark.promise(
    "Nothing in an address, form, header or cookie makes a page fail, as anybody.", about="portal"
)

ID = "0b0f6f0c-6f0e-5d9a-8a53-111111111111"
SOURCES = Path(services.portal.__file__).parent


def after(*place: object) -> str:
    """An address's `etter`, as the list writes it."""
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


ODD_TEXTS = [
    *("", " ", "\0", "a\0b", "'", "x'y", "\\", "x\\'y", "x' | 'y", "a:*", "!(a&b)", "<->", "%", "_", "\r\nx: y", "\t"),
    *("\u202e", "Å", "A\u030a", "\U0001f30a", "\ufffd", "١٢", "²", "１２", "-1", "0", "00", "NaN", "1e999", "9" * 5000),
    *("2027-02-29", "0001-01-01", "9999-12-31", "10000-01-01", "20260101", "2026-W01-1", "24:00", "99:99"),
    *("null", "[]", "{}", "true", "[", "//[", "//x", "http://[", "javascript:x", "../..", "a" * 3000, "å" * 2100),
    *("a.b", "a.a.a", ".", "..", "tasks.0", "tasks." + "9" * 5000 + ".kind", "days.٣.date", "." * 2000),
    *(after("0001-01-01T00:00:00+14:00", ID), after("9999-12-31T23:59:59-14:00", ID)),
    *(after("2026-01-01T00:00:00", ID), after("2026-01-01", ID), after(1, 2), after(None, None)),
    *(after("0001-01-01", ID), base64.urlsafe_b64encode(b"[" * 40_000).decode()),
]
ODD_BYTES = [b"%ED%A0%80", b"%FF%FE", b"%00", b"%", b"%zz", b"%C0%AF", b"\xff", b"+", b"%2e%2e%2f", b";", b"a=b=c"]

texts = st.one_of(
    st.sampled_from(ODD_TEXTS),
    st.text(max_size=20),
    st.dates().map(str),
    st.integers().map(str),
)
values = st.one_of(texts.map(lambda text: quote(text.encode("utf-8", "replace")).encode()), st.sampled_from(ODD_BYTES))
ODD_HEADERS: dict[bytes, list[bytes]] = {
    b"accept-language": [b"\xff", b"nb;q=x", b"*" * 5000],
    b"accept-encoding": [b"\xff", b"gzip;q=nan", b"gzip"],
    b"content-length": [b"", b"-1", b"9" * 5000, b"1e3", b"\xb2", b"0", b"600000"],
    b"content-type": [
        b"",
        b"\xff",
        b"application/json",
        b"multipart/form-data",
        b"multipart/form-data; boundary=x",
        b"multipart/form-data; boundary=x; charset=nothing",
        b"application/x-www-form-urlencoded; charset=utf-16",
    ],
    b"cookie": [b"claimbus=x", b"claimbus=e30=.x.y", b"\xff=\xff", b"claimbus=" + b"a" * 5000, b";;=;", b"="],
    b"forwarded": [b'for="[::', b"\xff"],
    b"host": [b"", b"[", b"a b", b"\xff", b"evil.example.org", b"127.0.0.1:99999999", b"[::1]:x", b"a/b", b"@"],
    b"hx-request": [b"true", b"\xff"],
    b"if-modified-since": [b"x", b"9" * 5000, b"Mon, 99 Foo 99999999999 99:99:99 +9999"],
    b"if-none-match": [b"\xff", b"*", b'"x'],
    b"if-range": [b"x", b"\xff"],
    b"last-event-id": [b"9" * 5000, b"\xff"],
    b"origin": [b"null", b"\xff"],
    b"range": [b"bytes=0-", b"bytes=9-1", b"bytes=" + b"9" * 5000 + b"-", b"bytes=-", b"x", b"bytes=0-0,0-0,-1"],
    b"sec-fetch-site": [b"cross-site", b"\xff"],
    b"x-csrf-token": [b"\xff", b""],
    b"x-forwarded-for": [b"\xff", b"1.2.3.4, [", b"," * 500],
    b"x-forwarded-host": [b"[", b"\xff"],
    b"x-forwarded-proto": [b"x", b"\xff"],
    b"authorization": [b"Bearer", b"Bearer \xff", b"Basic x", b"Bearer " + TOKEN.encode(), b"bearer  x y"],
}


class Surface:
    """All that the portal can be asked: found by looking at its routes, its pages and its source."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.forms: dict[tuple[str, str], list[Form]] = {}
        """By the user, and the address that they are sent to."""
        self.parameters: dict[str, set[str]] = {}
        """By the address, the names that its pages' own links and forms ask it with."""
        self.inputs: list[dict[str, str]] = []
        """The attributes of all fields."""
        self.named: list[str] = []
        """All names that the source looks for, and all of the forms."""


@pytest.fixture(scope="module")
async def surface(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Surface]:
    """The portal with something of every kind behind it, its forms read from its pages."""
    url = databases.new()
    async with engine_of(url) as engine:
        await migrate(engine, "services.portal")
    async with site_on(url, tmp_path_factory.mktemp("portal")) as site:
        found = Surface(site)
        for user in USERS:
            await _read_pages(found, user)
        reads_field = re.compile(r'(?:query_params|query|form|values)\.get\(\s*"([\w.]+)"|_number\(visit, "(\w+)"')
        named = {a or b for file in SOURCES.rglob("*.py") for a, b in reads_field.findall(file.read_text())}
        fields = {name for forms in found.forms.values() for form in forms for name, _ in form.fields}
        found.named = sorted(named | fields)
        yield found


async def _read_pages(surface: Surface, user: str) -> None:
    """Open what links lead to, from every address on, and note the forms and what addresses are asked with."""
    left, seen = [address_of(surface.site, route) for route in surface.site.routes if "GET" in methods_of(route)], set()
    while left:
        address = left.pop()
        if address in seen:
            continue
        seen.add(address)
        answer = await surface.site.page(user, address)
        assert answer.status < 500, (address, answer.text)
        if not answer.headers.get("content-type", "").startswith("text/html"):
            continue
        page = read_page(address, answer.text)
        surface.inputs += page.inputs
        for form in page.forms:
            surface.forms.setdefault((user, form.path), []).append(form)
            if form.method == "GET":
                surface.parameters.setdefault(form.path, set()).update(name for name, _ in form.fields)
        for link in page.links:
            parts = urlsplit(link)
            surface.parameters.setdefault(parts.path, set()).update(name for name, _ in parse_qsl(parts.query))
        left += page.links


def methods_of(route: Route) -> list[str]:
    """The methods of a route."""
    return sorted(route.methods or ())


def address_of(site: Site, route: Route) -> str:
    """An address of a route behind which there is something."""
    return re.sub(r"\{(\w+)(:\w+)?\}", lambda part: site.known[part[1]][0], route.path)


def is_explained(answer: Answer) -> bool:
    """Whether an answer that refuses says so: a page in words, a call with a code."""
    kind = answer.headers.get("content-type", "").partition(";")[0]
    if kind == "application/json":
        return bool(json.loads(answer.body).get("code"))
    return "<h1" in answer.text if kind == "text/html" else kind in ("", "text/plain")


async def see_through(site: Site, request: dict[str, Any]) -> Answer:
    """Ask; nothing may fail, nor be said in the log to be away."""
    with structlog.testing.capture_logs() as logged:
        answer = await site.ask(**request)
    assert [line for line in logged if line["log_level"] not in ("debug", "info")] == [], (request, answer.status)
    # Kafka is away in these tests, so that a form with nothing wrong in it cannot be sent, and comes back filled.
    kept = request["method"] == "POST" and answer.status == 503 and "Ikke sendt ennå" in answer.text
    assert answer.status < 500 or kept, (request, answer.text)
    assert answer.status < 400 or is_explained(answer), (request, answer.text)
    return answer


def odd_path(draw: Any, site: Site, route: Route) -> bytes:
    """An address of a route, whose parts are sometimes what there is."""

    def part(found: re.Match[str]) -> str:
        ids = st.sampled_from(site.known[found[1]])
        if found[2] == ":uuid":
            return str(draw(ids | st.uuids().map(str)))
        return str(draw(ids | values.map(lambda value: value.replace(b"/", b"%2F").decode("latin-1"))))

    return re.sub(r"\{(\w+)(:\w+)?\}", part, route.path).encode("latin-1")


def odd_query(draw: Any, surface: Surface, path: bytes) -> bytes:
    """What comes behind an address: mostly what its own pages ask it with."""
    own = sorted(surface.parameters.get(path.decode("latin-1"), ())) or surface.named
    names = st.sampled_from(own) | st.sampled_from(own) | st.sampled_from(surface.named)
    pairs = draw(st.lists(st.tuples(names, values | st.just(b"berg")), max_size=5))
    return b"&".join(quote(name).encode() + b"=" + value for name, value in pairs)


def odd_form(draw: Any, surface: Surface, user: str | None, path: bytes) -> list[tuple[str, str]]:
    """A form as its page has it, with something else in some of its fields, or some fields more, or fewer."""
    forms = surface.forms.get((user or "", path.decode("latin-1")), [])
    fields = list(draw(st.sampled_from(forms)).fields) if forms else []
    fields = [(name, value) for name, value in fields if name != "csrf" and draw(st.integers(0, 15))]
    names = st.sampled_from([*(name for name, _ in fields), *surface.named]) | texts
    tails = st.sampled_from(["", "", "", ".x", ".0", ".0.kind", "." + "9" * 5000])
    for name, value in draw(st.lists(st.tuples(st.tuples(names, tails).map("".join), texts), max_size=3)):
        if draw(st.booleans()):
            fields = [(n, v) for n, v in fields if n != name]
        fields.append((name, value))
    return [*fields, ("csrf", surface.site.tokens.get(user, ""))] if draw(st.integers(0, 20)) else fields


@settings(no_deadline, max_examples=500)
@given(data=st.data())
async def test_nothing_that_is_asked_makes_a_fault_or_a_false_alarm(surface: Surface, data: st.DataObject) -> None:
    site, draw = surface.site, data.draw
    route = draw(st.sampled_from([*site.routes, *(r for r in site.routes if r.path in surface.parameters)]))
    user = draw(st.sampled_from([None, *USERS]))
    path = odd_path(draw, site, route)
    method = draw(st.sampled_from([*methods_of(route) * 8, "GET", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "X"]))
    if method == "POST":
        request = posted(site, user, path, urlencode(odd_form(draw, surface, user, path), errors="replace").encode())
    else:
        headers = [HOST, (b"cookie", site.cookies[user].encode())]
        request = {
            "method": method,
            "path": path,
            "headers": headers,
            "body": draw(st.sampled_from([b"", b"abc", b"{"])),
        }
    if path.startswith(b"/api/"):
        request["headers"].append((b"authorization", b"Bearer " + TOKEN.encode()))
    for name in draw(st.lists(st.sampled_from(sorted(ODD_HEADERS)), max_size=2, unique=True)):
        request["headers"] = [each for each in request["headers"] if each[0] != name]
        request["headers"].append((name, draw(st.sampled_from(ODD_HEADERS[name]))))
    await see_through(site, request | {"query": odd_query(draw, surface, path)})


@pytest.mark.parametrize(
    ("address", "status", "says"),
    [
        ("/saker?til=9999-12-31", 200, "2 saker"),
        ("/saker?fra=0001-01-01&til=9999-12-30", 200, "2 saker"),
        ("/saker?dato=skadedato&fra=0001-01-01&til=9999-12-31", 200, "2 saker"),
        ("/saker?til=0001-01-01", 200, "0 saker"),
        ("/saker?til=10000-01-01", 200, "2 saker"),
        ("/saker?til=20200101", 200, "2 saker"),
        ("/saker?kontor=x'y&tekst=berg", 200, "0 saker"),
        ("/saker?kontor=x%5C'y&tekst=berg", 200, "0 saker"),
        ("/saker?kontor=x'+|+'vest-bergen&tekst=berg", 200, "0 saker"),
        (f"/saker?kontor={'å' * 2000}&tekst=berg", 400, "Forstår ikke"),
        ("/saker?kontor=%00", 400, "Forstår ikke"),
        (f"/saker?etter={after('2026-01-01T00:00:00', ID)}", 404, "Fant ikke"),
        (f"/saker?etter={after('0001-01-01T00:00:00+14:00', ID)}", 404, "Fant ikke"),
        (f"/saker?etter={base64.urlsafe_b64encode(b'[' * 40_000).decode()}", 404, "Fant ikke"),
        (f"/saker?etter={after('2026-01-01T00:00:00+00:00', 2)}", 404, "Fant ikke"),
        ("/admin/rapporter/%00", 400, "Forstår ikke"),
        ("/del/foresporsel/%00", 400, "Forstår ikke"),
        (f"/direkte?since={'9' * 5000}&directory={'9' * 400}", 200, ""),
        ("/logg-inn?til=//[", 200, 'action="/logg-inn?til=%2F"'),
        ("/saker?kontor=\xff", 400, "The address cannot be read"),
        ("/saker/ny%00", 404, "Fant ikke"),
        (f"/{'a' * 5000}", 404, "Fant ikke"),
        ("/static/%00", 404, "Fant ikke"),
        (f"/static/{'a' * 5000}", 404, "Fant ikke"),
        ("/static/..%2f..%2fweb.py", 404, "Fant ikke"),
        ("/api/%00", 404, "Not Found"),
    ],
)
async def test_an_odd_address_is_answered_with_what_it_says(
    surface: Surface, address: str, status: int, says: str
) -> None:
    site, (path, _, query) = surface.site, address.partition("?")
    headers = [HOST, (b"cookie", site.cookies[INSURER_S].encode())]
    raw = query.encode("latin-1" if "\xff" in query else "utf-8")
    request = {"method": "GET", "path": path.encode(), "query": raw, "headers": headers}
    answer = await see_through(site, request)
    assert answer.status == status, answer.text
    assert says in answer.text


async def test_each_odd_header_is_answered_on_a_page_a_form_and_a_call(surface: Surface) -> None:
    site = surface.site
    cookie, token = (b"cookie", site.cookies[INSURER_S].encode()), (b"authorization", b"Bearer " + TOKEN.encode())
    requests: list[dict[str, Any]] = [
        {"method": "GET", "path": b"/saker", "headers": [HOST, cookie], "body": b""},
        {"method": "GET", "path": f"/api/media/{ID}".encode(), "headers": [HOST, token], "body": b""},
        posted(site, INSURER_S, b"/admin/selskap/kontortid", b"csrf=x"),
    ]
    for name, odd in ((name, value) for name, values in ODD_HEADERS.items() for value in values):
        for request in requests:
            headers = [each for each in request["headers"] if each[0] != name]
            await see_through(site, request | {"query": b"", "headers": [*headers, (name, odd)]})


async def test_the_words_of_a_refusal_are_in_the_session_s_language(surface: Surface) -> None:
    site = surface.site
    chosen = await site.send(INSURER_S, "/sprak", [("csrf", site.tokens[INSURER_S]), ("language", "en")])
    cookie = (b"cookie", chosen.cookies[0].partition(";")[0].encode())
    answer = await site.ask("GET", b"/saker", b"kontor=%00", [HOST, cookie])
    assert "What was sent is not understood" in answer.text


async def test_a_form_that_was_kept_under_older_names_is_shown_and_not_sent(surface: Surface) -> None:
    site = surface.site
    typed = [("insurer", FJORD), ("incident.address.street", "Torget 1"), ("handling", "en-til"), ("sprak", "en")]
    await site.portal.store.keep_form(KeptForm("older", PARTNER_S, "/saker/ny", typed))
    answer = await site.page(PARTNER_S, "/skjema/older")
    assert answer.status == 200
    assert 'value="Torget 1"' in answer.text
    assert "og er ikke sendt ennå" in answer.text


@pytest.mark.parametrize("id", ["x", "portal:", "portal:a\0b", f"portal:{'g' * 32}", "a" * 3000])
async def test_a_form_whose_id_was_not_made_here_is_not_sent(surface: Surface, id: str) -> None:
    site, claim = surface.site, surface.site.known["claim"][0]
    fields = {"reason": "Tull", "csrf": site.tokens[INSURER_S], "request_id": id}
    sent = await see_through(
        site, posted(site, INSURER_S, f"/saker/{claim}/avbryt".encode(), urlencode(fields).encode())
    )
    assert sent.status == 400


async def test_asking_for_a_form_without_its_content_sends_nothing(surface: Surface) -> None:
    site = surface.site
    both = [route for route in site.routes if {"GET", "POST"} <= {*methods_of(route)}]
    assert len(both) > 5
    for route in both:
        request = {
            "path": address_of(site, route).encode(),
            "headers": [HOST, (b"cookie", site.cookies[INSURER_S].encode())],
        }
        shown, head = [await see_through(site, {"method": method, **request}) for method in ("GET", "HEAD")]
        assert head.status == shown.status, route.path


async def test_no_field_is_one_that_a_browser_refuses_or_changes(surface: Surface) -> None:
    """An `email` is sent as xn--…, a `number` knows no comma, `maxlength` cuts what is pasted; the server says why."""
    kept = {"text", "hidden", "search", "tel", "date", "checkbox", None}
    assert {field.get("type") for field in surface.inputs} <= {*kept, "submit", "button"}
    assert [
        field for field in surface.inputs if {"maxlength", "minlength", "pattern", "step", "min"} & field.keys()
    ] == []
    assert len(surface.inputs) > 100


async def test_the_parts_of_a_form_in_any_encoding_are_not_read(surface: Surface) -> None:
    site = surface.site
    part = b'--x\r\ncontent-disposition: form-data; name="csrf"\r\n\r\n+2D3YPQ-\r\n--x--\r\n'
    for charset in (b"utf-7", b"nothing", b"utf-16"):
        kind = b"multipart/form-data; boundary=x; charset=" + charset
        answer = await see_through(site, posted(site, INSURER_S, b"/logg-ut", part, kind))
        assert answer.status == 415


async def test_what_the_driver_cannot_write_is_not_the_database_being_away(surface: Surface) -> None:
    for odd in ("\ud83d", "a\0b"):
        with pytest.raises(DBAPIError) as refused:
            await surface.site.portal.store.report("fjord-forsikring", odd)
        assert cannot_be_kept(refused.value)


async def test_a_page_whose_table_is_not_there_is_one_to_ask_for_again_later(surface: Surface) -> None:
    store = surface.site.portal.store
    async with store.transaction() as connection:
        await connection.execute(text("alter table listing rename to another"))
    try:
        assert (await surface.site.page(INSURER_S, "/")).status == 503
    finally:
        async with store.transaction() as connection:
            await connection.execute(text("alter table another rename to listing"))
