"""Files for all jobs: fetched once, checked, never replaced."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from kommandir.deadline import Deadline
from kommandir.errors import TimeOutError
from kommandir.hosting import files
from kommandir.hosting.places import Places

CONTENT = b"a package\n" * 200_000
SUM = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Has one file, one that is cut off, and counts how often it is asked."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path == "/missing":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:1000] if self.path == "/cut" else CONTENT)

    def log_message(self, *_words: object) -> None:
        """Nothing on standard error."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(Handler, "asked", [], raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def fill(places: Places, *urls: str, checksum: str = SUM) -> tuple[list[str], dict[str, str]]:
    wanted = [{"url": url, "checksum": f"sha256:{checksum}", "cachepath": "x"} for url in urls]
    told = files.fill(wanted, places, deadline=Deadline.after(60))
    return told["ready"], told["refused"]


def test_a_file_is_fetched_once(tmp_path: Path, server: str) -> None:
    places = Places(tmp_path)
    for _ in range(2):
        assert fill(places, f"{server}/it", f"{server}/it") == ([f"{server}/it"], {})
    assert Handler.asked == ["/it"]
    assert files.path(SUM, places).read_bytes() == CONTENT
    assert files.path(SUM, places).stat().st_mode & 0o777 == 0o644
    assert [path.name for path in places.files.iterdir()] == [SUM]


@pytest.mark.parametrize(
    ("name", "checksum", "why"),
    [
        ("it", "0" * 64, f"its checksum is sha256:{SUM}"),
        ("cut", SUM, "its checksum is sha256:"),
        ("missing", SUM, "404"),
    ],
)
def test_what_is_not_that_file_is_refused(tmp_path: Path, server: str, name: str, checksum: str, why: str) -> None:
    ready, refused = fill(Places(tmp_path), f"{server}/{name}", checksum=checksum)
    assert ready == []
    assert why in refused[f"{server}/{name}"]
    assert {path.name for path in Places(tmp_path).files.iterdir()} <= {f".{checksum}.lock"}


@pytest.mark.parametrize("url", ["file:///etc/shadow", "ftp://example.org/x", "https://me:secret@example.org/x"])
def test_what_not_everybody_may_fetch_is_refused(tmp_path: Path, url: str) -> None:
    ready, refused = fill(Places(tmp_path), url)
    assert ready == []
    assert "without a password" in refused[url]


def test_what_a_killed_call_left_is_swept(tmp_path: Path, server: str) -> None:
    places = Places(tmp_path)
    places.files.mkdir(parents=True)
    (places.files / f".{SUM}.x.new").write_text("half")
    fill(places, f"{server}/it")
    assert [path.name for path in places.files.iterdir()] == [SUM]


def test_a_deadline_that_passes_ends_it(tmp_path: Path, server: str) -> None:
    wanted = [{"url": f"{server}/it", "checksum": f"sha256:{SUM}", "cachepath": "x"}]
    with pytest.raises(TimeOutError):
        files.fill(wanted, Places(tmp_path), deadline=Deadline.after(0))
