"""Where a server listens."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Self

# Who listens everywhere is reached on this machine as well.
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens. Port 0 lets the operating system choose one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """The address in `HOST:PORT`; an IPv6 host stands in brackets. Raises ValueError."""
        host, colon, port = text.strip().rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        if bracketed:
            host = host[1:-1]
        elif ":" in host:
            raise ValueError("an IPv6 host needs brackets, as in [::1]:8080")
        if not colon or not host or any(char.isspace() or char in "/@" for char in host):
            raise ValueError("expected HOST:PORT, as in 127.0.0.1:8080")
        if not (port.isascii() and port.isdigit() and int(port) <= 65_535):
            raise ValueError(f"'{port}' is not a port between 0 and 65535")
        return cls(host, int(port))

    @property
    def url(self) -> str:
        """The address as an HTTP origin, without a trailing slash."""
        return f"http://{self}"

    @property
    def local_url(self) -> str:
        """The same for clients on this machine, also if the server listens everywhere."""
        return replace(self, host=_EVERYWHERE.get(self.host, self.host)).url

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"
