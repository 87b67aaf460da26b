"""A provider of our own that does whatever a test tells it to: forges tokens, answers nonsense, hangs."""

import base64
import hmac
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey

Key = RSAKey | ECKey | OctKey
Claims = dict[str, Any]

CLIENT = "calipso"
SECRET = "a secret of the forger's client"
RSA = RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"})
EC = ECKey.generate_key("P-256", {"kid": "ec", "use": "sig"})
STRANGER = RSAKey.generate_key(2048, {"kid": "rsa"})
ACCESS_TOKEN = "an-access-token"


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What the forger answers, after a time."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    seconds: float = 0.0


def told(value: object, status: int = 200) -> Reply:
    """A reply with a JSON value."""
    return Reply(status=status, body=json.dumps(value).encode())


@dataclass(kw_only=True)
class Forger:
    """The forger: `replies` by path, how often each path was `asked` for, and the last form that came."""

    issuer: str
    replies: dict[str, Reply] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    form: Mapping[str, str] = field(default_factory=dict)

    def reset(self) -> None:
        """Behave from now on."""
        self.asked.clear()
        self.replies.clear()
        self.replies["/.well-known/openid-configuration"] = told(self.metadata())
        self.publish(RSA, EC)

    def metadata(self, **other: object) -> dict[str, object]:
        """What it tells of itself."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/auth",
            "token_endpoint": f"{self.issuer}/token",
            "userinfo_endpoint": f"{self.issuer}/me",
            "jwks_uri": f"{self.issuer}/jwks",
            **other,
        }

    def publish(self, *keys: RSAKey | ECKey) -> None:
        """Publish keys."""
        self.replies["/jwks"] = told(KeySet(list(keys)).as_dict(private=False))

    def hand_out(self, id_token: object) -> None:
        """Hand out an id token from now on."""
        self.replies["/token"] = told({"id_token": id_token, "access_token": ACCESS_TOKEN, "token_type": "Bearer"})

    def claims(self, nonce: str, /, **other: object) -> Claims:
        """The claims of a good token for a sign-in; those that are None are left out."""
        now = int(time.time())
        claims: Claims = {"iss": self.issuer, "sub": "s-1", "aud": CLIENT, "nonce": nonce, "iat": now, "exp": now + 300}
        claims |= {"preferred_username": "ada", **other}
        return {name: value for name, value in claims.items() if value is not None}


def sign(claims: Claims, key: Key = RSA, **header: object) -> str:
    """A token with a signature."""
    made = {"alg": "RS256", "kid": "rsa", **header}
    made = {name: value for name, value in made.items() if value is not None}
    return jwt.encode(made, claims, key, algorithms=["RS256", "RS384", "ES256", "HS256"])


def with_header(claims: object, signature: bytes = b"signature", **header: object) -> str:
    """A token with any header and any signature."""
    return ".".join(map(_base64, [json.dumps(header).encode(), json.dumps(claims).encode(), signature]))


def sign_by_text(claims: Claims, text: bytes) -> str:
    """A token signed by HMAC with any text, also one that the library refuses to use as a key."""
    content = with_header(claims, b"", alg="HS256", kid="rsa")
    return content + _base64(hmac.digest(text, content[:-1].encode(), "sha256"))


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


@contextmanager
def forging(port: int) -> Iterator[Forger]:
    """Run a forger within the block."""
    forger = Forger(issuer=f"http://127.0.0.1:{port}")
    ended = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", port), _handler(forger, ended.wait))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield forger
    finally:
        ended.set()
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(forger: Forger, wait: Callable[[float], bool]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            forger.asked[path] += 1
            reply = forger.replies.get(path, Reply(status=404))
            wait(reply.seconds)
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                self.wfile.write(reply.body)
            except OSError:  # who asked has gone
                self.close_connection = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            forger.form = dict(parse_qsl(body.decode()))
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
