"""The studio as its page asks it, for tests."""

import queue
import threading
import time
from contextlib import contextmanager

import pytest
import uvicorn
from starlette.testclient import TestClient

from anomgen.dataset.png import decode_png
from anomgen.studio.app import studio_app
from anomgen.studio.guard import TOKEN_HEADER
from anomgen.studio.serve import studio
from anomgen.studio.session import Session

SMALL = {"source.size": 48, "count": 8, "shard_size": 16}


def opened(photos, out, *folders):
    """Return a client of a studio on the photos; it runs while the client is held open by `with`."""
    app = studio_app(Session(str(photos), out, folders), token="t")
    return TestClient(app, base_url="http://127.0.0.1", headers={TOKEN_HEADER: "t"})


@contextmanager
def served(photos, out):
    """Serve a studio on the photos from a thread of this process; give its address."""
    addresses, servers = queue.SimpleQueue(), queue.SimpleQueue()

    def server_of(config, make=uvicorn.Server):
        servers.put(server := make(config))
        return server

    options = {"out": out, "browser": False, "tell": addresses.put}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(uvicorn, "Server", server_of)
        thread = threading.Thread(target=studio, args=(str(photos),), kwargs=options)
        thread.start()
        try:
            yield addresses.get(timeout=60)
        finally:
            servers.get(timeout=60).should_exit = True
            thread.join()


def chosen(studio, base="perlin", **changes):
    answer = studio.post("/api/recipe", json={"base": base, "changes": {**SMALL, **changes}})
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(answer, text, status=400):
    assert answer.status_code == status and text in answer.json()["error"], answer.text


def picture(studio, address):
    answer = studio.get(address)
    assert answer.status_code == 200 and answer.headers["content-type"] == "image/png", answer.text
    return decode_png(answer.content)


def until(studio, name, states, seconds=60):
    """Wait until a run has one of the states."""
    for _ in range(seconds * 10):
        (run,) = [run for run in studio.get("/api/made").json()["runs"] if run["name"] == name]
        if run["state"] in states:
            return run
        time.sleep(0.1)
    raise AssertionError(run)
