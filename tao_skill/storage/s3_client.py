"""One S3 client for each thread-safe use: who asks, where, and how patiently."""

import logging
import os
import threading
from typing import Any
from urllib.parse import urlsplit

from tao_skill.errors import NotAvailableError, Problem, StorageError
from tao_skill.installation import install_command

__all__ = ["QUIET_LOGGERS", "bucket_of", "client", "endpoint_name", "has_credentials", "timeout_seconds", "with_bucket"]

TIMEOUT_VARIABLE = "TAO_SKILL_STORAGE_TIMEOUT"
_DEFAULT_TIMEOUT = 30.0
_CONNECT_TIMEOUT = 10.0
# These write signatures, tokens or whole links into their logs.
QUIET_LOGGERS = ("botocore", "boto3", "urllib3", "s3transfer", "httpx", "httpcore")
_SETTINGS = (
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE",
    "ACCESS_KEY", "SECRET_KEY", "S3_ENDPOINT_URL", "CLOUD_REGION", TIMEOUT_VARIABLE,
)  # fmt: skip

_ADDRESSES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "S3_ENDPOINT_URL")

_lock = threading.Lock()
_clients: dict[tuple[str | None, ...], Any] = {}


def client() -> Any:
    """Return the S3 client for the present environment; made once, as making it takes a tenth of a second.

    Credentials come from the standard AWS chain, else from ``ACCESS_KEY`` and ``SECRET_KEY``; where there are none,
    requests are anonymous, as public buckets allow.

    Raises:
        NotAvailableError: boto3 is not installed.
        StorageError: the server's address is none.
    """
    settings = tuple(os.environ.get(name) for name in _SETTINGS)
    with _lock:
        if settings not in _clients:
            _clients[settings] = _make()
        return _clients[settings]


def has_credentials() -> bool:
    """Say whether requests are signed."""
    from botocore import UNSIGNED

    return client().meta.config.signature_version is not UNSIGNED


def endpoint_name() -> str:
    """Return the address of the server, without a user or password; where that can't be told, what was asked for."""
    from botocore.exceptions import BotoCoreError

    from tao_skill.storage.locate import redact

    try:
        return redact(str(client().meta.endpoint_url))
    except (BotoCoreError, ValueError):  # such as half of the credentials, or a profile that is none
        return redact(_endpoint() or _older_endpoint() or "AWS")


def bucket_of(named: str) -> str:
    """Return the bucket of a URI, or that of ``S3_BUCKET_NAME`` where the URI leaves it out (``s3:///key``)."""
    return named or os.environ.get("S3_BUCKET_NAME", "").strip()


def with_bucket(uri: str) -> str:
    """Return ``s3:///key`` with the bucket of ``S3_BUCKET_NAME``, and any other URI as it is."""
    scheme, mark, rest = uri.partition("://")
    named = scheme.lower() != "s3" or (rest and not rest.startswith("/"))
    return uri if named else f"{scheme}{mark}{bucket_of('')}{rest}"


def timeout_seconds() -> float:
    """Return after how many seconds without a byte a transfer counts as stalled."""
    try:
        return max(0.1, float(os.environ.get(TIMEOUT_VARIABLE, "")))
    except ValueError:
        return _DEFAULT_TIMEOUT


def _make() -> Any:
    try:
        import boto3
        from botocore import UNSIGNED
        from botocore.config import Config
    except ModuleNotFoundError as error:
        raise NotAvailableError(
            "s3:// needs the package boto3, which is not installed.", next_step=install_command("s3")
        ) from error
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    _check_address()
    session = boto3.Session(region_name=_region())
    keys: dict[str, str] = {}
    if session.get_credentials() is None and os.environ.get("ACCESS_KEY") and os.environ.get("SECRET_KEY"):
        keys = {
            "aws_access_key_id": os.environ["ACCESS_KEY"],
            "aws_secret_access_key": os.environ["SECRET_KEY"],
        }
    anonymous = not keys and session.get_credentials() is None
    config = Config(
        connect_timeout=min(_CONNECT_TIMEOUT, timeout_seconds()),
        read_timeout=timeout_seconds(),
        retries={"mode": "standard", "max_attempts": 3},
        max_pool_connections=32,
        # Servers other than AWS's may not know the newer trailing checksums.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        signature_version=UNSIGNED if anonymous else "s3v4",
        s3={"addressing_style": "path"} if _endpoint() or _older_endpoint() else {},
    )
    return session.client("s3", endpoint_url=_older_endpoint() if not _endpoint() else None, config=config, **keys)


def _region() -> str | None:
    names = ("AWS_DEFAULT_REGION", "AWS_REGION", "CLOUD_REGION")
    named = next((os.environ[name] for name in names if os.environ.get(name)), None)
    # A server of one's own has no regions, but a signature needs one.
    return named or ("us-east-1" if _endpoint() or _older_endpoint() else None)


def _check_address() -> None:
    address = _endpoint() or _older_endpoint()
    if address is None:
        return
    from tao_skill.storage.locate import redact

    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        name = next(name for name in _ADDRESSES if os.environ.get(name))
        raise StorageError(
            f"{name} is no address of a server.",
            problems=[Problem(name, redact(address), "http://host:port or https://host")],
            next_step=f"export {name}=https://HOST",
        )


def _endpoint() -> str | None:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None


def _older_endpoint() -> str | None:
    return os.environ.get("S3_ENDPOINT_URL") or None
