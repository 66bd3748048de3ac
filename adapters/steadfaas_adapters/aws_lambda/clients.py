"""boto3 clients, credentials and endpoints. boto3 is loaded here, on first use.

All that a user can set up for the AWS command line holds here as well: variables, profiles, single
sign-on, instance and container roles, endpoint overrides, certificates. botocore's own chain reads
it. Everything here may block and is thread-safe; call it from a thread.
"""

from __future__ import annotations

import os
import ssl
import threading
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Any, Final

from steadfaas.errors import BadRequest, RequestError

if TYPE_CHECKING:
    from botocore.config import Config
    from botocore.credentials import Credentials
    from botocore.session import Session

_SESSION_NAME: Final = "steadfaas"
_ATTEMPTS: Final = 5
# So many questions at once need no new connection: a plan asks about many functions together.
_CONNECTIONS: Final = 32
_CONNECT_SECONDS: Final = 5
_READ_SECONDS: Final = 15

NO_CREDENTIALS: Final = (
    "there are no AWS credentials where this runs: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY,"
    " name a profile with AWS_PROFILE, or give the machine a role"
)


class Clients:
    """The clients for one set of AWS settings, one of each region and role."""

    def __init__(self) -> None:
        self._session = _botocore_session()
        self._lock = threading.RLock()
        self._clients: dict[tuple[str, str | None], Any] = {}
        self._roles: dict[tuple[str, str], Credentials] = {}

    def region(self) -> str:
        """The region that the settings name. Raises BadRequest."""
        # botocore alone reads AWS_DEFAULT_REGION only; the command line and all other SDKs of AWS
        # look here first.
        region = os.environ.get("AWS_REGION") or self._session.get_config_variable("region")
        if not region:
            raise BadRequest(
                "no AWS region is set where this runs: set AWS_REGION, or write the full ARN"
            )
        return str(region)

    def control(self, region: str, role: str | None) -> Any:
        """A boto3 client of the Lambda API. It retries within the API's rate limits by itself."""
        with self._lock:
            found = self._clients.get((region, role))
            if found is None:
                found = self._clients[region, role] = self._client(region, role)
            return found

    def endpoint(self, region: str) -> str:
        """The address of the Lambda API: the region's, or the override that the settings name."""
        return str(self.control(region, None).meta.endpoint_url)

    def credentials(self, region: str, role: str | None) -> Credentials:
        """What calls are signed with; they can renew themselves. Raises NoCredentialsError."""
        from botocore.exceptions import NoCredentialsError

        with self._lock:
            found = self._session.get_credentials()
            if found is None:
                raise NoCredentialsError
            if role is None:
                return found
            assumed = self._roles.get((region, role))
            if assumed is None:
                assumed = self._roles[region, role] = self._assumed(found, region, role)
            return assumed

    @cached_property
    def trust(self) -> ssl.SSLContext | bool:
        """Whom to trust: the usual authorities, or a file of certificates (AWS_CA_BUNDLE)."""
        bundle = self._session.get_config_variable("ca_bundle")
        return True if bundle is None else ssl.create_default_context(cafile=bundle)

    @cached_property
    def _config(self) -> Config:
        from botocore.config import Config

        return Config(
            # Slows down by itself where the API says so: 15 calls a second is all it grants
            # (developer guide, "Lambda quotas").
            retries={"mode": "adaptive", "total_max_attempts": _ATTEMPTS},
            max_pool_connections=_CONNECTIONS,
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            user_agent_extra="steadfaas",
        )

    def _client(self, region: str, role: str | None) -> Any:
        session = self._session
        if role is not None:
            session = _botocore_session()
            session._credentials = self.credentials(region, role)
        import boto3

        made = boto3.Session(botocore_session=session)
        return made.client("lambda", region_name=region, config=self._config)

    def _assumed(self, source: Credentials, region: str, role: str) -> Credentials:
        """Credentials of a role, which are fetched again some minutes before they expire."""
        from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials

        fetcher = AssumeRoleCredentialFetcher(
            client_creator=partial(
                self._session.create_client, region_name=region, config=self._config
            ),
            source_credentials=source,
            role_arn=role,
            extra_args={"RoleSessionName": _SESSION_NAME},
        )
        return DeferredRefreshableCredentials(
            method="assume-role", refresh_using=fetcher.fetch_credentials
        )


def clients() -> Clients:
    """The clients for the AWS settings of this moment. Raises RequestError without boto3."""
    settings = frozenset((k, v) for k, v in os.environ.items() if k.startswith("AWS_"))
    return _clients(settings)


def forget() -> None:
    """Read all settings again next time: what they named is no good any more."""
    _clients.cache_clear()


@lru_cache(maxsize=4)
def _clients(settings: frozenset[tuple[str, str]]) -> Clients:
    return Clients()


def _botocore_session() -> Session:
    try:
        import boto3  # noqa: F401 - what the extra stands for
        from botocore.session import get_session
    except ImportError as error:
        raise RequestError(
            "Lambda targets need the extra 'aws', which is not installed here:"
            " pip install 'steadfaas[aws]'",
            status=501,
        ) from error
    return get_session()
