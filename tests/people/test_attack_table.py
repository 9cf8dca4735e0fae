"""The table of attacks on web applications in docs/explanation/security-model.md: each row mounts the attack, and it fails.

The server speaks TLS and listens for plain HTTP on a port beside it, as one on the internet does.
"""

import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import httpx
import pytest
from cryptography.x509 import IPAddress

from tests.support.browsers import SAME_ORIGIN, Browser, forms, signed_in
from tests.support.factories import FreshServer
from tests.support.people import PASSWORD, add_person
from tests.support.processes import free_port
from tests.support.server import LiveServer
from tests.support.tls import self_signed
from tests.support.wire import now_ms

CROSS_SITE = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
SCRIPT = "<script>alert(document.cookie)</script>"
PAGES = ["/", "/login", "/account", "/api3-docs", "/nonsense", "/invitation/nonsense"]
ENTRIES = "/api/v3/entries"
COOKIE = "__Host-session"


class Site(NamedTuple):
    """A server with TLS. `plain`: the port for plain HTTP. `api`: a client that may write and read documents."""

    server: LiveServer
    plain: int
    api: httpx.Client

    def unencrypted(self, method: str, path: str, **headers: str) -> httpx.Response:
        return httpx.request(method, f"http://127.0.0.1:{self.plain}{path}", headers=headers, trust_env=False)


@pytest.fixture(scope="module")
def site(lasting_server: FreshServer, tmp_path_factory: pytest.TempPathFactory) -> Site:
    pair, port = self_signed(tmp_path_factory.mktemp("tls"), IPAddress(ip_address("127.0.0.1"))), free_port()
    files = ("--tls-cert", str(pair.certificate), "--tls-key", str(pair.key), "--http-port", str(port))
    server = lasting_server(env={"API3_REQUIRE_HTTPS": None}, arguments=files)
    for name in ("anna", "ben"):
        add_person(server.installation, f"{name}@x.example", PASSWORD, "readable", "careportal", name=name.title())
    return Site(server, port, server.client(server.subject("pump", "api:*:create,read,update")))


@pytest.fixture
def anna(site: Site) -> Browser:
    """A person's browser, signed in."""
    return signed_in(site.server, "anna@x.example", Accept="text/html,*/*;q=0.8")


@pytest.fixture
def stranger(site: Site) -> Browser:
    return Browser(site.server)


@contextmanager
def trap() -> Iterator[tuple[str, socket.socket]]:
    """The URL of a server that must not be asked for anything, and its socket."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.2)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/lang", listening


def treatments(site: Site) -> int:
    """How many there are."""
    return len(site.api.get("/api/v3/treatments?limit=1000&fields=identifier").json()["result"])


def steal(site: Site, browser: Browser) -> Browser:
    """Another browser with a copy of the session's cookie."""
    thief = Browser(site.server)
    thief.cookies.update(browser.cookies)
    return thief


# --- Attacks concerning general web applications ----------------------------------------------------------------------


def test_session_hijacking(site: Site, anna: Browser) -> None:
    """Who listens to the network gets no cookie, and one that was copied is worth nothing once its person has signed out."""
    flags = Browser(site.server).sign_in("anna@x.example").headers.get_list("set-cookie")
    [session] = [each for each in flags if each.startswith(f"{COOKIE}=") and "Max-Age=0" not in each]
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(session.split("; "))
    for name in (COOKIE, "session"):
        listened = site.unencrypted("GET", ENTRIES, Cookie=f"{name}={anna.session}")
        assert (listened.status_code, "result" in listened.text) == (403, False)
    thief = steal(site, anna)
    assert thief.is_signed_in()
    assert anna.post("/logout", anna.form("/account", "/logout")).status_code == 303
    assert not thief.is_signed_in()
    assert thief.get(ENTRIES).status_code == 401
    assert str(thief.session) not in site.server.output


@pytest.mark.parametrize(
    "headers", [CROSS_SITE, {"Sec-Fetch-Site": "same-site"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1"}]
)
def test_cross_site_request_forgery_with_a_nonce(anna: Browser, headers: dict[str, str]) -> None:
    fields = anna.form("/account", "/logout")
    assert anna.post("/logout", fields, headers=headers).status_code == 403
    assert anna.is_signed_in()


def test_cross_site_request_forgery(site: Site, anna: Browser) -> None:
    """The attacker's page makes the browser send what it likes, and the attacker has nonces of their own."""
    before, treatment = treatments(site), {"date": now_ms(), "app": "evil", "eventType": "Meal Bolus", "insulin": 25}
    ben = signed_in(site.server, "ben@x.example")
    of_ben, of_nobody = ben.form("/account", "/logout"), Browser(site.server).form("/login", "/login")
    for nonce in ("", "guessed", of_ben["nonce"], of_nobody["nonce"]):
        assert anna.post("/logout", {"nonce": nonce}).status_code == 403
        sent = anna.request("POST", "/api/v3/treatments", json=treatment, headers=SAME_ORIGIN | {"X-Nonce": nonce})
        assert sent.status_code == 403
    simple = {"Content-Type": "text/plain", **CROSS_SITE}
    assert anna.request("POST", "/api/v3/treatments", json=treatment, headers=simple).status_code == 403
    assert anna.is_signed_in()
    assert treatments(site) == before


def test_session_fixation(site: Site, stranger: Browser) -> None:
    """The attacker plants a session, made up or real, and waits for the victim to sign in."""
    attacker = signed_in(site.server, "ben@x.example")
    for planted in ("A" * 43, str(attacker.session)):
        victim = Browser(site.server)
        victim.cookies.set(COOKIE, planted, domain="127.0.0.1", path="/")
        assert victim.get(f"/login?{COOKIE}={planted}&session={planted}").status_code in (200, 303)
        if planted == attacker.session:
            assert "Anna" not in victim.get("/account").text  # the page names Ben, who is signed in
            victim.post("/logout", victim.form("/account", "/logout"))
        assert victim.sign_in("anna@x.example").status_code == 303
        assert victim.session not in (None, planted)
        stranger.cookies.set(COOKIE, planted, domain="127.0.0.1", path="/")
        assert not stranger.is_signed_in()


def test_cross_site_scripting(site: Site, anna: Browser) -> None:
    """Scripts in whatever a page shows: documents, names, paths, parameters, the name of the browser."""
    now = now_ms()
    hostile = {"date": now, "app": SCRIPT, "device": SCRIPT, "type": "sgv", "sgv": 100, "direction": SCRIPT, "units": SCRIPT}
    assert site.api.post(ENTRIES, json=hostile).is_success
    meal = {"date": now, "app": SCRIPT, "eventType": SCRIPT, "notes": SCRIPT, "enteredBy": SCRIPT, "carbs": SCRIPT}
    assert site.api.post("/api/v3/treatments", json=meal).is_success
    add_person(site.server.installation, "eve@x.example", PASSWORD, "readable", name=SCRIPT)
    eve = signed_in(site.server, "eve@x.example", **{"User-Agent": SCRIPT})
    shown = [eve.get("/"), eve.get("/account"), anna.get("/"), anna.get("/account")]
    shown += [anna.get(f"{path}{quote(SCRIPT)}") for path in ("/", "/login?next=", "/invitation/", "/api3-docs?")]
    shown.append(Browser(site.server).get(f"/login?next={quote(SCRIPT)}"))
    assert any("&lt;script&gt;" in answer.text for answer in shown)
    for answer in shown:
        assert "<script>" not in answer.text
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy


@pytest.mark.parametrize(
    "after",
    [
        "//evil.example",
        "////evil.example",
        "/\\evil.example",
        "/%5Cevil.example",
        "https://evil.example",
        "https:evil.example",
        "/%2F/evil.example",
        "/\t/evil.example",
        "javascript:alert(1)",
        "\\\\evil.example",
        "/.//evil.example/../../..//evil",
    ],
)
def test_open_redirection(site: Site, stranger: Browser, after: str) -> None:
    answer = stranger.sign_in("anna@x.example", after=quote(after, safe=""))
    assert answer.status_code == 303
    [target] = answer.headers.get_list("location")
    assert httpx.URL(site.server.url).join(target).host == "127.0.0.1"
    assert urlsplit(target).netloc == ""
    assert not target.startswith(("//", "/\\"))


@pytest.mark.parametrize("path", PAGES)
def test_mixed_content(anna: Browser, path: str) -> None:
    """A page over TLS loads nothing by plain HTTP, and nothing from elsewhere; nor do its files."""
    answer = anna.get(path)
    loaded = re.findall(r"""<(?:link|script|img|iframe|source)\b[^>]*?\b(?:href|src)=["']?([^"'\s>]+)""", answer.text)
    assert loaded or answer.is_redirect
    for target in map(unescape, loaded):
        assert re.fullmatch(r"/[^/].*|data:image/.*", target), target
        if target.startswith("/static/") and target.endswith(".css"):
            assert not re.search(r"url\(\s*[\"']?(?:https?:)?//|@import", anna.get(target).text)
    assert "http:" not in answer.headers["content-security-policy"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_cross_site_script_inclusion(anna: Browser) -> None:
    """A page of another site loads an answer as a script, and the browser sends the session's cookie in spite of SameSite."""
    for ending in ("", ".json", ".csv", ".xml"):
        answer = anna.get(f"{ENTRIES}{ending}?callback=alert", headers={**CROSS_SITE, "Sec-Fetch-Dest": "script"})
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "javascript" not in answer.headers["content-type"]
        assert not answer.text.startswith(("[", "alert"))
        assert "access-control-allow-origin" not in answer.headers


def test_header_injection(site: Site, anna: Browser) -> None:
    lines = quote("/x\r\nSet-Cookie: session=evil\r\n\r\n<script>", safe="")
    found = [anna.get(path + lines) for path in ("/login?next=", "/?", "/", f"{ENTRIES}/", f"{ENTRIES}?fields=", "/static/")]
    found.append(Browser(site.server).get(f"/login?next={lines}"))
    found.append(Browser(site.server).get(f"/account?x={lines}"))
    found.append(site.unencrypted("GET", "/" + lines))
    found.append(site.api.post(ENTRIES, json={"date": now_ms(), "app": "a", "identifier": "x\r\nSet-Cookie: session=evil"}))
    for answer in found:
        assert not [each for each in answer.headers.get_list("set-cookie") if "evil" in each]
        assert all("\r" not in value and "\n" not in value for value in answer.headers.values())


@pytest.mark.parametrize("path", PAGES)
def test_referer_leakage(anna: Browser, path: str) -> None:
    """Browsers are told to keep the address of a page, which may hold an invitation, to themselves."""
    answer = anna.get(path)
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "referrerpolicy" not in answer.text


# --- Specific to the design of web applications -----------------------------------------------------------------------


def test_cache_poisoning(site: Site, anna: Browser) -> None:
    """Headers that caches do not look at do not show in answers, and what is personal is not for caches."""
    forged = {
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "http",
        "X-Original-URL": "/evil",
        "X-Host": "evil.example",
    }
    forged |= {"Forwarded": "host=evil.example;proto=http", "X-Forwarded-Prefix": "//evil.example"}
    for path in (*PAGES, "/api/v3/version", "/api/v3/openapi.json", ENTRIES):
        answer = anna.get(path, headers=forged)
        assert "evil.example" not in answer.text + str(answer.headers.multi_items())
        assert answer.headers["cache-control"] == "no-store" or path in ("/api3-docs", "/api/v3/openapi.json")
    kept = re.search(r"/static/[^\"']+", anna.get("/").text)
    assert kept is not None
    assert "immutable" in anna.get(kept[0]).headers["cache-control"]
    poisoned = anna.get(kept[0].replace(".", ".x", 1))
    assert (poisoned.status_code, poisoned.headers["cache-control"]) == (404, "no-store")


def test_content_and_character_set_sniffing(site: Site, anna: Browser) -> None:
    """UTF-7 or HTML in a document stays text of the declared type; what is not UTF-8 is not stored."""
    utf7 = "+ADw-script+AD4-alert(1)+ADw-/script+AD4-"
    assert site.api.post(ENTRIES, json={"date": now_ms(), "app": utf7, "device": f"<html>{utf7}", "sgv": 99}).is_success
    for path in (*PAGES, ENTRIES, f"{ENTRIES}.csv", f"{ENTRIES}.xml"):
        answer = anna.get(path)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.is_redirect or path == ENTRIES or "charset=utf-8" in answer.headers["content-type"]
        assert path not in (ENTRIES, f"{ENTRIES}.csv", f"{ENTRIES}.xml") or "html" not in answer.headers["content-type"]
    for body in (b'{"app": "\xff\xfe<script>"}', '{"app": "x"}'.encode("utf-16"), '{"app": "x"}'.encode("utf-7") + b"+"):
        assert (
            site.api.post(ENTRIES, content=body, headers={"Content-Type": "application/json; charset=utf-7"}).status_code == 400
        )


@pytest.mark.parametrize("path", PAGES)
def test_clickjacking(anna: Browser, path: str) -> None:
    assert "frame-ancestors 'none'" in anna.get(path).headers["content-security-policy"]


def test_cookie_forcing(site: Site, anna: Browser) -> None:
    """Who can plant a cookie, from another host of the domain or over plain HTTP, signs nobody in."""
    attacker = signed_in(site.server, "ben@x.example")
    victim = Browser(site.server)
    victim.cookies.set("session", str(attacker.session), domain="127.0.0.1", path="/")
    assert not victim.is_signed_in()
    twice = {"Cookie": f"{COOKIE}={anna.session}; {COOKIE}={attacker.session}"}
    assert Browser(site.server).get("/account", headers=twice).status_code == 400
    assert Browser(site.server).get(ENTRIES, headers=twice).status_code == 400
    assert "set-cookie" not in site.unencrypted("GET", "/login").headers


@pytest.mark.parametrize("path", PAGES)
def test_framebusting(anna: Browser, path: str) -> None:
    """No page is shown in a frame, and none has frames whose parent an attacker could be."""
    answer = anna.get(path)
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert not re.search(r"<i?frame\b", answer.text)


def test_http_downgrade(site: Site, anna: Browser) -> None:
    """Over plain HTTP there is nothing but the way to HTTPS, which browsers keep to for a year."""
    for path in ("/", "/login", "/account?x=1"):
        answer = site.unencrypted("GET", path)
        assert answer.status_code == 308
        assert answer.headers["location"].startswith("https://127.0.0.1")
        assert "strict-transport-security" not in answer.headers
        assert anna.get(path).headers["strict-transport-security"] == "max-age=31536000"
    for path in (ENTRIES, "/api/v3/version"):
        assert site.unencrypted("GET", path).status_code == 403
    assert site.unencrypted("POST", "/api/requestAuthToken").status_code == 403


# --- Specific to the server-side code ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["x' OR '1'='1", "x'; DROP TABLE documents; --", '" OR ""="', "x') UNION SELECT nonce FROM subjects --", "$(touch x)"],
)
def test_command_injection(site: Site, anna: Browser, text: str) -> None:
    """SQL or a shell's commands, wherever a text can be sent."""
    said = quote(text, safe="")
    assert site.api.post(ENTRIES, json={"date": 1_600_000_000_000, "app": "a", "device": "here", "sgv": 90}).is_success
    for query in (f"device={said}", f"device$eq={said}", f"app$re={said}", f"sort={said}&device=nowhere", f"{said}=1"):
        answer = site.api.get(f"{ENTRIES}?{query}")
        assert answer.status_code in (200, 400)
        assert answer.json().get("result", []) == []
    assert site.api.get(f"{ENTRIES}/{said}").status_code in (400, 404)
    assert Browser(site.server).sign_in(text, text).status_code == 401
    for action, field in (("/account/sessions/end", "session"), ("/account/password", "old")):
        fields = anna.form("/account", action)
        anna.post(action, fields | {field: text, "password": "a new long secret"})
    assert anna.is_signed_in()
    assert site.api.get(f"{ENTRIES}?device=here&date$gt=1").json()["result"]


@pytest.mark.parametrize(
    "path",
    [
        "../../../../etc/passwd",
        "..%2f..%2f..%2fetc%2fpasswd",
        "%2e%2e/%2e%2e/settings.py",
        "....//....//etc/passwd",
        "..\\..\\secret",
        "%252e%252e%252fetc%252fpasswd",
        "/etc/passwd",
        "base.html",
        "api_secret",
        ".env",
        "\0.css",
    ],
)
def test_directory_traversal(site: Site, path: str) -> None:
    for folder in ("/static/", "/api3-docs/", "/", "/invitation/"):
        target = (folder + path).replace("\\", "%5C").replace("\0", "%00")
        request = f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode()
        answer = Browser(site.server).get(target) if ".." not in target else _raw(site, request)
        said = answer if isinstance(answer, bytes) else f"HTTP/1.1 {answer.status_code} ".encode() + answer.content
        assert re.match(rb"HTTP/1.1 (400|404) ", said), said[:200]
        assert b"root:" not in said
        assert site.server.secret.encode() not in said


def _raw(site: Site, request: bytes) -> bytes:
    """Send a request whose path a client would shorten, and return the answer."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", site.server.port)) as plain, context.wrap_socket(plain) as line:
        line.sendall(request)
        return b"".join(iter(lambda: line.recv(65536), b""))


def test_parameter_tampering(site: Site, anna: Browser) -> None:
    """Another person's ids, and fields that belong to the server, change nothing."""
    ben = signed_in(site.server, "ben@x.example")
    [of_ben, *_] = forms(ben.get("/account").text, "/account/sessions/end")
    mine = anna.form("/account", "/account/sessions/end")
    unknown = anna.post("/account/sessions/end", mine | {"session": "0" * 24})
    known = anna.post("/account/sessions/end", anna.form("/account", "/account/sessions/end") | {"session": of_ben["session"]})
    assert known.status_code == unknown.status_code
    assert ben.is_signed_in()
    fields = anna.form("/account", "/account/password") | {
        "old": PASSWORD,
        "password": PASSWORD,
        "roles": "admin",
        "role": "admin",
    }
    anna.post("/account/password", fields)
    again = signed_in(site.server, "anna@x.example")
    assert again.get("/api/v2/authorization/subjects").status_code in (401, 403)
    forged = {
        "date": now_ms(),
        "app": "a",
        "sgv": 90,
        "subject": "Anna",
        "srvModified": 1,
        "identifier": f"tampered-{now_ms()}",
    }
    assert site.api.post(ENTRIES, json=forged).is_success
    stored = site.api.get(f"{ENTRIES}/{forged['identifier']}").json()["result"]
    assert (stored["subject"], stored["srvModified"] > 1) == ("pump", True)


def test_file_inclusion(site: Site, anna: Browser) -> None:
    """No parameter names a file or an address to read: the attacker's server is never asked."""
    with trap() as (url, listening):
        for target in (url, "file:///etc/passwd", "/etc/passwd", "php://filter/resource=x"):
            said = quote(target, safe="")
            for path in (
                f"/?lang={said}",
                f"/?page={said}&template={said}",
                f"/api3-docs?url={said}&configUrl={said}",
                f"/{said}",
            ):
                answer = anna.get(path)
                assert "root:" not in answer.text
                assert answer.status_code in (200, 404)
            site.api.post(ENTRIES, json={"date": now_ms(), "app": target, "device": target})
            site.api.post(ENTRIES, content=f'<!DOCTYPE a [<!ENTITY x SYSTEM "{target}">]><a>&x;</a>'.encode())
        with pytest.raises(TimeoutError):
            listening.accept()


def test_buffer_overflow(site: Site, anna: Browser) -> None:
    """Sizes, depths and numbers beyond what any buffer holds are refused, and the server goes on."""
    huge = "A" * 1_000_000
    assert anna.get("/account", headers={"X-Long": huge}).status_code in (400, 431)
    assert re.match(rb"HTTP/1.1 4(00|14|31) ", _raw(site, f"GET /{huge} HTTP/1.1\r\nHost: x\r\n\r\n".encode()))
    assert anna.post("/login", {"email": huge, "password": huge}).status_code == 413
    assert site.api.post(ENTRIES, content=b"[" * 1_000_000).status_code == 413
    assert site.api.post(ENTRIES, content=b'{"app":"a","sgv":' + b"9" * 1_000_000 + b"}").status_code == 400
    assert site.api.get(f"{ENTRIES}?limit={'9' * 400}").status_code == 400
    assert site.api.get(f"{ENTRIES}?date$gt={'9' * 400}").status_code in (200, 400)
    assert site.api.post(ENTRIES, json={"date": now_ms(), "app": "a", "device": "%s%n%x" * 100, "sgv": -(2**53)}).is_success
    assert anna.is_signed_in()


# --- Specific to the system of the seed -------------------------------------------------------------------------------


def test_malicious_programs(site: Site, anna: Browser) -> None:
    """What a program may write is data to the server: nothing in it is run, not even as a template of a page."""
    for text in (
        "{{ 71910007 * 71930011 }}",
        "{% for x in [71910007 * 71930011] %}{{ x }}{% endfor %}",
        "${71910007*71930011}",
        "<%= 71910007*71930011 %>",
        "__import__('os').abort()",
    ):
        document = {"date": now_ms(), "app": text, "eventType": text, "notes": text, "enteredBy": text}
        assert site.api.post("/api/v3/treatments", json=document).is_success
        add_person(site.server.installation, f"x{abs(hash(text))}@x.example", PASSWORD, "readable", name=text)
        mallory = signed_in(site.server, f"x{abs(hash(text))}@x.example")
        for answer in (anna.get("/"), mallory.get("/account"), mallory.get(f"/{quote(text)}")):
            assert "5172487594520077" not in answer.text
        assert text in unescape(mallory.get("/account").text)
