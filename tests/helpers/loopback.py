"""A web server on loopback whose misbehaviour can be chosen: cuts, wrong ranges, changed files, error codes."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Resource:
    """A file of the server.

    Attributes:
        content: its bytes.
        cut_after: of the n-th answer (in order), how many bytes are sent before the connection is cut; complete when
            the list is used up or has None.
        statuses: answered in order before the file is served.
        ranges: ``"right"``, ``"ignored"`` (always the whole file) or ``"shifted"`` (a 206 that begins elsewhere).
        stalls: so many answers stop after half of the bytes and keep the connection open.
        tag: its ETag; empty for none.
        sized: whether Content-Length is sent (otherwise chunked).
        requested: the Range header of every request, in order.
    """

    content: bytes
    cut_after: list[int | None] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    ranges: str = "right"
    stalls: int = 0
    tag: str = '"v1"'
    sized: bool = True
    requested: list[str | None] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    resources: dict[str, Resource]
    stopped: threading.Event

    def do_GET(self) -> None:
        resource = self.resources.get(self.path)
        if resource is None:
            self.send_error(404)
            return
        resource.requested.append(self.headers.get("Range"))
        if resource.statuses:
            self.send_error(resource.statuses.pop(0))
            return
        body, start = self._choose_body(resource)
        if body is None:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(resource.content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self._send(resource, body, start)

    def _choose_body(self, resource: Resource) -> tuple[bytes | None, int]:
        """The bytes to send and where they begin; -1 for an ordinary answer with the whole file."""
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        same = self.headers.get("If-Range") in (None, resource.tag)
        if not wanted or not same or resource.ranges == "ignored":
            return resource.content, -1
        start = int(wanted[1]) + 7 * (resource.ranges == "shifted")
        return (resource.content[start:], start) if start < len(resource.content) else (None, start)

    def _send(self, resource: Resource, body: bytes, start: int) -> None:
        self.send_response(200 if start < 0 else 206)
        if resource.tag:
            self.send_header("ETag", resource.tag)
        if start >= 0:
            end = len(resource.content)
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{end}")
        self.send_header(*(("Content-Length", str(len(body))) if resource.sized else ("Transfer-Encoding", "chunked")))
        self.end_headers()
        if resource.stalls:
            resource.stalls -= 1
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self.stopped.wait()
            return
        cut = resource.cut_after.pop(0) if resource.cut_after else None
        sent = body if cut is None else body[:cut]
        self.wfile.write(sent if resource.sized else b"%x\r\n%s\r\n" % (len(sent), sent))
        if cut is not None:
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
        elif not resource.sized:
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *arguments: object) -> None:
        """Stay quiet."""


@contextmanager
def serve(resources: dict[str, Resource]) -> Iterator[Callable[[str], str]]:
    """Serve the resources by path; gives a function that makes addresses of them."""
    stopped = threading.Event()
    handler = type("Handler", (_Handler,), {"resources": resources, "stopped": stopped})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield lambda path: f"http://127.0.0.1:{server.server_address[1]}{path}"
    finally:
        stopped.set()
        server.shutdown()
        server.server_close()
