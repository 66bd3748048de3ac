"""A small client of the admin API: one call, one answer, one kind of error.

The standard library's client is enough and loads in a few milliseconds. It reads no proxy
variables, so `http://127.0.0.1:9070` always means this machine.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult, quote, urlencode, urlsplit

import steadfaas
from steadfaas.cli.exits import CommandError, ExitCode

if TYPE_CHECKING:
    import http.client

URL_OPTION: Final = "--admin-url"
URL_VARIABLE: Final = "STEADFAAS_ADMIN_URL"
# What users of the official command line have set already.
FALLBACK_VARIABLE: Final = "RESTATE_ADMIN_URL"
DEFAULT_URL: Final = "http://127.0.0.1:9070"
ACTOR_HEADER: Final = "x-steadfaas-actor"
VERDICT_HEADER: Final = "x-steadfaas-verdict"

# A registration waits for discovery, whose own deadline lies below this.
_TIMEOUT_SECONDS: Final = 30.0
# Verdicts of what may work a little later.
_PASSING: Final = frozenset({"retry", "throttled"})
# What a server, or a proxy before it, says when the same request may work a little later.
_LATER: Final = frozenset({429, 502, 503, 504})

Query = Mapping[str, str | int | bool | Sequence[str] | None]

_chosen: str | None = None
# What a file says, and the words for it.
_written: tuple[str, str] | None = None
_otherwise: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and parsed JSON body (None when empty) of what the server accepted, and when it
    answered by its own clock (ms since the epoch; None where it does not tell)."""

    status: int
    body: Any
    at: int | None = None


class Unreachable(CommandError):
    """Nobody answers at the admin API's address."""


class MissingRoute(CommandError):
    """The server does not offer what a command needs: it is a stock one, or an older one."""


def use(url: str | None, *, otherwise: Callable[[], None] | None = None) -> None:
    """Speak to this address from now on; None: to the one that the environment names, or else to
    the one that `otherwise` finds and falls back on."""
    global _chosen, _written, _otherwise
    _chosen, _written, _otherwise = url, None, otherwise


def fall_back_on(url: str = DEFAULT_URL, source: str = URL_VARIABLE) -> None:
    """Speak to this address if neither an option nor a variable says otherwise."""
    global _written
    _written = url, source


def address() -> tuple[str, str]:
    """The admin API's base URL, and the option, variable or file that says so."""
    if _chosen:
        return _chosen, URL_OPTION
    for variable in (URL_VARIABLE, FALLBACK_VARIABLE):
        if url := os.environ.get(variable):
            return url, variable
    if _written is None and _otherwise is not None:
        _otherwise()
    return _written or (DEFAULT_URL, URL_VARIABLE)


def path(*parts: str) -> str:
    """A path of these parts; none of them can reach another route."""
    return "".join(f"/{quote(part, safe='')}" for part in parts)


def call(
    method: str,
    path: str,
    body: Mapping[str, object] | None = None,
    *,
    query: Query | None = None,
    timeout: float = _TIMEOUT_SECONDS,
) -> Any:
    """The body of `ask`'s answer."""
    return ask(method, path, body, query=query, timeout=timeout).body


def ask(
    method: str,
    path: str,
    body: Mapping[str, object] | None = None,
    *,
    query: Query | None = None,
    timeout: float = _TIMEOUT_SECONDS,
) -> Answer:
    """What the admin API answers within `timeout` seconds. Entries of `query` without a value
    are left out.

    Raises CommandError: TRY_LATER when the server cannot be reached or asks to wait, REFUSED when
    it says no, USAGE when the configured address is none.
    """
    base, _ = address()
    status, headers, raw = _exchange(method, path + _query(query), body, timeout)
    if status >= 300:
        if status in (404, 405) and not raw.strip():
            raise _missing(base, method, path, status)
        raise _refusal(status, headers, raw)
    return Answer(status, _parsed(base, raw), _moment(headers.get("date")))


@contextmanager
def next_steps(steps: Mapping[int, str]) -> Iterator[None]:
    """Add to a refusal with one of these statuses the sentence that says what to do."""
    try:
        yield
    except MissingRoute:
        raise
    except CommandError as error:
        if step := steps.get(error.status or 0):
            end = "" if error.message.endswith((".", "!", "?")) else "."
            error.message += f"{end} {step}"
        raise


def _exchange(
    method: str, target: str, body: Mapping[str, object] | None, timeout: float
) -> tuple[int, Mapping[str, str], bytes]:
    # Loaded here: it costs as much as the command line itself, and help needs none of it.
    from http.client import HTTPException

    base, source = address()
    parts = _parse(base, source)
    payload = None if body is None else json.dumps(body).encode()
    try:
        with closing(_connection(parts, timeout)) as connection:
            headers = _headers(method, payload)
            connection.request(method, parts.path.rstrip("/") + target, payload, headers)
            answer = connection.getresponse()
            fields = {name.lower(): value for name, value in answer.headers.items()}
            return answer.status, fields, answer.read()
    except TimeoutError as error:
        raise CommandError(
            f"The admin API at {base} did not answer {method} {target} within {timeout:.0f} s. "
            "Look whether it took effect before you ask again.",
            ExitCode.TRY_LATER,
        ) from error
    except (OSError, HTTPException) as error:
        raise _unreachable(base, source, error) from error


def _headers(method: str, payload: bytes | None) -> dict[str, str]:
    # The official server gives JSON for a query only if nothing else is accepted.
    headers = {"accept": "application/json", "user-agent": f"steadfaas/{steadfaas.__version__}"}
    if payload is not None:
        headers["content-type"] = "application/json"
    if method != "GET":
        headers[ACTOR_HEADER] = _actor()
    return headers


def _actor() -> str:
    """Who asks, as `user@host`; recorded with what the request changes."""
    import getpass
    import socket

    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    text = f"{user}@{socket.gethostname()}"
    return "".join(letter if "!" <= letter <= "~" else "?" for letter in text)


def _query(query: Query | None) -> str:
    pairs: list[tuple[str, str]] = []
    for name, value in (query or {}).items():
        if value is None or value is False:
            continue
        many = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        pairs += [(name, "true" if each is True else str(each)) for each in many]
    return f"?{urlencode(pairs)}" if pairs else ""


def _parse(base: str, source: str) -> SplitResult:
    parts = urlsplit(base)
    if "@" in parts.netloc:
        raise CommandError(
            f"{source} holds a user name or password. None is sent to an admin API: leave it out.",
            ExitCode.USAGE,
        )
    try:
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise CommandError(
            f"{source} is '{base}', which is not an address like {DEFAULT_URL}.",
            ExitCode.USAGE,
        )
    return parts


def _connection(parts: SplitResult, timeout: float) -> http.client.HTTPConnection:
    import http.client

    secure = parts.scheme == "https"
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    return kind(parts.hostname or "", parts.port, timeout=timeout)


def _unreachable(base: str, source: str, error: Exception) -> Unreachable:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    elsewhere = f"Set {URL_VARIABLE} if it listens elsewhere."
    if source != URL_VARIABLE:
        elsewhere = f"If it listens elsewhere, correct {source}."
    return Unreachable(
        f"No answer from the admin API at {base}: {reason}. "
        f"Is the engine running ('steadfaas up')? {elsewhere}",
        ExitCode.TRY_LATER,
    )


def is_ours() -> bool:
    """Whether a steadfaas engine answers there."""
    return "steadfaas" in _version_of_server()


def _missing(base: str, method: str, path: str, status: int) -> MissingRoute:
    version = _version_of_server()
    if "steadfaas" in version:
        advice = "It is older than this command: update it."
    else:
        advice = "Only steadfaas does."
    return MissingRoute(
        f"The server at {base}{version and f' (version {version})'} does not offer {method} {path},"
        f" which this command needs. {advice}",
        ExitCode.REFUSED,
        status=status,
    )


def _version_of_server() -> str:
    try:
        _, _, raw = _exchange("GET", "/version", None, 5.0)
        return str(json.loads(raw)["version"])
    except (CommandError, ValueError, KeyError, TypeError):
        return ""


def _refusal(status: int, headers: Mapping[str, str], raw: bytes) -> CommandError:
    message, code = _error_body(raw)
    if not message:
        message = f"The server answered {_reason(status)} without an explanation."
    later = status in _LATER
    wait = headers.get("retry-after")
    if later and wait:
        message += f" Try again in {wait} s."
    exit_code = ExitCode.TRY_LATER if later else ExitCode.REFUSED
    passing = later or headers.get(VERDICT_HEADER) in _PASSING
    return CommandError(message, exit_code, status=status, code=code, passing=passing)


def _reason(status: int) -> str:
    from http import HTTPStatus

    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _error_body(raw: bytes) -> tuple[str, str | None]:
    """Sentence and stable code of an error answer; restate-server answers some in plain text."""
    try:
        body = json.loads(raw)
    except ValueError:
        return raw.decode(errors="replace").strip(), None
    if not isinstance(body, dict):
        return "", None
    code = body.get("restate_code")
    return str(body.get("message") or ""), str(code) if code else None


def _moment(date: str | None) -> int | None:
    from email.utils import parsedate_to_datetime

    try:
        return None if date is None else int(parsedate_to_datetime(date).timestamp() * 1000)
    except ValueError:
        return None


def _parsed(base: str, raw: bytes) -> Any:
    if not raw.strip():
        return None
    try:
        return json.loads(raw)
    except ValueError as error:
        raise CommandError(
            f"What answered at {base} is not an admin API: its answer is not JSON.",
            ExitCode.REFUSED,
        ) from error
