"""An admin API for tests of the command line: fixed answers, and a record of what was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

DEPLOYMENT = "dp_10WhCjMVvnlgwL8TRBx8Pu1"
INVOCATION = "inv_11BMrezOxK8q4xJaZV9TKs6AmiuzNAOkUr"
MOMENT = "2026-11-23T02:28:59.668000000Z"

SERVICE: dict[str, Any] = {
    "name": "Greeter",
    "ty": "Service",
    "handlers": [
        {"name": "wave", "public": True, "input_description": "", "output_description": ""},
        {"name": "greet", "public": True, "input_description": "", "output_description": ""},
    ],
    "deployment_id": DEPLOYMENT,
    "revision": 2,
    "public": True,
}
REGISTERED: dict[str, Any] = {
    "id": DEPLOYMENT,
    "services": [SERVICE],
    "min_protocol_version": 5,
    "max_protocol_version": 6,
    "sdk_version": "restate-sdk-python/1.3.0",
}
DESCRIBED: dict[str, Any] = {
    **REGISTERED,
    "uri": "http://127.0.0.1:9080/",
    "protocol_type": "RequestResponse",
    "http_version": "HTTP/1.1",
    "created_at": MOMENT,
    "additional_headers": {"authorization": "a-secret"},
    "metadata": {"commit": "3f2c"},
}
OLDER = "dp_10000000000000000000001"


@dataclass
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class FakeAdmin:
    """Answers by method and path; anything else is 404 in the API's own shape."""

    url: str = ""
    answers: dict[tuple[str, str], list[tuple[int, object]]] = field(default_factory=dict)
    default: tuple[int, object] = (404, {"message": "there is no such thing", "restate_code": None})
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def answer(self, method: str, path: str, status: int, body: object) -> None:
        """Answer this request so. A `str` is sent as it is, None as an empty body."""
        self.answers[method, path] = [(status, body)]

    def then(self, method: str, path: str, status: int, body: object) -> None:
        """Answer this request so from the next time on."""
        self.answers[method, path].append((status, body))

    def next_answer(self, method: str, path: str) -> tuple[int, object]:
        """What the request is answered now; the last answer stays."""
        answers = self.answers.get((method, path), [self.default])
        return answers.pop(0) if len(answers) > 1 else answers[0]


@contextmanager
def serve() -> Iterator[FakeAdmin]:
    """A running fake on a loopback port."""
    fake = FakeAdmin()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(fake))
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(fake: FakeAdmin) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _reply(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = json.loads(raw) if raw else None
            fake.asked.append(Asked(self.command, self.path, headers, body))
            status, answer = fake.next_answer(self.command, self.path)
            text = answer if isinstance(answer, str) else json.dumps(answer)
            payload = b"" if answer is None else text.encode()
            self.send_response(status)
            for name, value in fake.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_POST = do_PATCH = do_DELETE = _reply

        def log_message(self, format: str, *args: Any) -> None:
            """Stay silent."""

    return Handler
