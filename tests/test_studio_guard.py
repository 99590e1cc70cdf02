"""Who may ask the studio: every way in but its own page, with its token, is closed."""

import asyncio

import pytest

pytest.importorskip("starlette", reason="the studio is an extra")

from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from anomgen.studio import guard
from anomgen.studio.guard import Guard, is_own_name

TOKEN = "a-token"
HOME = "http://127.0.0.1:8123"


async def anything(scope, receive, send):
    """Read the whole body, then say yes to everything: what is refused, the guard refused."""
    more = True
    while more:
        more = (await receive()).get("more_body", False)
    await PlainTextResponse("yes")(scope, receive, send)


def client(**options):
    app = Guard(anything, token=TOKEN, port=8123, **options)
    return TestClient(app, base_url=HOME, follow_redirects=False)


def opened(**options):
    """Return a client that has opened the address with the token, as a browser does."""
    browser = client(**options)
    assert browser.get(f"/?token={TOKEN}").status_code == 303
    return browser


@pytest.mark.parametrize("path", ["/", "/api/start", "/static/main.js", "/row/x/1/image.png", "/?token=", "/?token=b"])
def test_without_the_token_nothing_is_told(path):
    answer = client().get(path)
    assert answer.status_code == 403 and "yes" not in answer.text


def test_the_token_opens_the_page_once_and_leaves_the_address():
    browser = client()
    answer = browser.get(f"/?token={TOKEN}")
    cookie = answer.headers["set-cookie"].lower()
    assert answer.headers["location"] == "/" and "httponly" in cookie and "samesite=strict" in cookie
    assert browser.get("/").text == "yes"
    assert client().get(f"/api/start?token={TOKEN}").status_code == 403  # only the page's own address takes it


def test_the_cookie_belongs_to_one_port():
    browser = client()
    browser.cookies.set("anomgen-8124", TOKEN)
    assert browser.get("/").status_code == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8123", "", "[::1", "a b"]
)
def test_a_host_that_somebody_could_have_pointed_here_is_refused(host):
    answer = opened().get("/", headers={"host": host})
    assert answer.status_code == 403 and "no name of this machine" in answer.text


@pytest.mark.parametrize("host", ["127.0.0.1:9", "localhost", "[::1]:8123", "10.1.2.3"])
def test_an_address_in_numbers_and_localhost_are_this_machine(host):
    assert opened().get("/", headers={"host": host}).text == "yes"


def test_the_name_that_was_asked_for_is_this_machine_too():
    assert is_own_name("box.lan", "box.lan") and not is_own_name("box.lan", "127.0.0.1") and not is_own_name("", "")


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:9999", "null", "http://localhost:8123"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_another_site_is_refused_even_with_the_cookie(origin, method):
    answer = opened().request(method, "/api/make", headers={"origin": origin})
    assert answer.status_code == 403 and "another site" in answer.text


def test_a_change_says_which_page_it_comes_from():
    browser = opened()
    assert browser.post("/api/make").status_code == 403
    assert browser.post("/api/make", headers={"origin": HOME}).text == "yes"
    assert browser.get("/api/made", headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert client().post("/api/make", headers={guard.TOKEN_HEADER: TOKEN}).text == "yes"  # a program, not a browser


def test_what_is_too_large_is_refused_by_its_length_and_when_it_lies_about_it(monkeypatch):
    monkeypatch.setattr(guard, "MAX_BODY", 1000)
    browser = opened()
    whole = browser.post("/", content=b"x" * 1001, headers={"origin": HOME})
    pieces = browser.post("/", content=iter([b"x" * 600, b"x" * 600]), headers={"origin": HOME})
    assert whole.status_code == pieces.status_code == 413
    assert browser.post("/", content=b"x" * 1000, headers={"origin": HOME}).text == "yes"
    assert browser.post("/", headers={"origin": HOME, "content-length": "-5"}).status_code == 413


def test_a_public_page_needs_no_token_and_is_still_nobody_elses():
    browser = client(public=True, name="me-demo.hf.space")
    page, own = {"host": "me-demo.hf.space", "sec-fetch-site": "cross-site"}, "https://me-demo.hf.space"
    answer = browser.get("/", headers=page)
    assert answer.text == "yes" and "x-frame-options" not in answer.headers
    assert "frame-ancestors https://huggingface.co" in answer.headers["content-security-policy"]
    assert browser.get("/api/start", headers=page).status_code == 403
    post = {"host": "me-demo.hf.space", "origin": own}
    assert browser.post("/api/make", headers=post).text == "yes"
    for wrong in ({"origin": "https://evil.example"}, {"host": "evil.example"}, {"origin": None}):
        headers = {name: value for name, value in {**post, **wrong}.items() if value}
        assert browser.post("/api/make", headers=headers).status_code == 403


def test_a_websocket_is_closed():
    with pytest.raises(WebSocketDisconnect), opened().websocket_connect("/"):
        pass


@pytest.mark.parametrize("path", ["/", f"/?token={TOKEN}", "/nothing"])
def test_every_answer_carries_the_headers(path):
    for browser in (client(), opened()):
        headers = browser.get(path).headers
        assert {name: headers[name] for name in guard.HEADERS} == guard.HEADERS
    assert "unsafe" not in guard.HEADERS["content-security-policy"]


def test_the_life_of_the_server_is_no_request():
    heard = []

    async def app(scope, receive, send):
        heard.append(scope["type"])

    asyncio.run(Guard(app, token=TOKEN)({"type": "lifespan"}, None, None))
    assert heard == ["lifespan"]
