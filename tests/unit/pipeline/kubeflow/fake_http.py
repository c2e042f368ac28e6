"""HTTP of the fake server: its token, its failures, and the check of every message against the schema."""

from __future__ import annotations

import email
import http.server
import json
import urllib.parse
from typing import TYPE_CHECKING, Any

from tests.unit.pipeline.kubeflow.kubeflow_schema import SchemaError, check

if TYPE_CHECKING:
    from tests.unit.pipeline.kubeflow.fake_kubeflow import FakeKubeflow

Answer = tuple[int, Any, str]
"""Status, content, and the kind of the content in the schema."""


class Text(str):
    """A plain-text response."""

    __slots__ = ()


def refusal(status: int, message: str) -> Answer:
    return status, {"error": message, "code": 5, "message": message, "details": []}, "object"


def handler_of(server: FakeKubeflow) -> type[http.server.BaseHTTPRequestHandler]:
    """Serves the responses of `server` over HTTP."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def _serve(self) -> None:
            url = urllib.parse.urlsplit(self.path)
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            server.headers.append(dict(self.headers))
            url = url._replace(path=url.path.removeprefix(server.base))
            server.requests.append(f"{self.command} {url.path.removeprefix('/apis/v2beta1/')}")
            status, answer, _ = self._answer(url, raw)
            text = answer if isinstance(answer, str) else json.dumps(answer)
            kind = "plain" if isinstance(answer, Text) else "html"
            self.send_response(status)
            self.send_header("Content-Type", f"text/{kind}" if isinstance(answer, str) else "application/json")
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def _answer(self, url: urllib.parse.SplitResult, raw: bytes) -> Answer:
            if server.failures and server.failing in url.path:
                return (*server.failures.pop(0), "object")
            if server.token and self.headers.get("Authorization") != f"Bearer {server.token}":
                return refusal(401, "Request header error: there is no valid identity token")
            try:
                query = dict(urllib.parse.parse_qsl(url.query))
                answer = server.answer(self.command, url.path, query, self._body(raw))
                if answer[0] == 200:
                    check(answer[1], answer[2])
            except (SchemaError, KeyError) as error:
                server.broken.append(f"{self.command} {url.path}: {error!r}")
                return refusal(400, str(error))
            return answer

        def _body(self, raw: bytes) -> Any:
            kind = self.headers.get("Content-Type", "")
            if kind.startswith("multipart/form-data"):
                message = email.message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + raw)
                (part,) = message.get_payload()
                assert part.get_param("name", header="content-disposition") == "uploadfile"
                return part.get_payload(decode=True)
            return json.loads(raw) if raw else None

        do_GET = do_POST = do_DELETE = _serve  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    return Handler
