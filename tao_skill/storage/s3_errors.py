"""Say in the project's words what an S3 server or the way to it answered."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tao_skill.errors import Problem, StorageError
from tao_skill.storage.locate import redact_text
from tao_skill.storage.objects import DeniedError, SilentError, TransferError, UnreachableError

__all__ = ["code_of", "status_of", "translated"]

_DENIED = {"AccessDenied", "403", "Forbidden", "AllAccessDisabled", "AccountProblem"}
_WRONG_KEYS = {"SignatureDoesNotMatch", "InvalidAccessKeyId", "AuthFailure", "InvalidSecurity"}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "InvalidToken", "RequestExpired"}
_REGION = {"PermanentRedirect", "301", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
_CHANGED = {"PreconditionFailed", "412"}
_GONE = {"NoSuchKey", "404", "NotFound", "NoSuchVersion"}
# "400" is an answer without S3's own code: of a server that got confused about where a request begins, as happens after
# it refused an upload without reading it. A request that is really bad gets a code.
_PASSING = {
    "400",
    "SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "Throttling", "ThrottlingException",
    "500", "502", "503", "504", "429", "OperationAborted", "IncompleteBody", "BadDigest",
}  # fmt: skip


def code_of(error: Any) -> str:
    """Return the code of a ClientError, such as NoSuchKey; for answers without a body the HTTP status."""
    return str(error.response.get("Error", {}).get("Code", ""))


def status_of(error: Any) -> int:
    """Return the HTTP status of a ClientError; 0 where it tells none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)


@contextmanager
def translated(uri: str) -> Iterator[None]:
    """Raise what botocore and its transport raise as StorageError, or TransferError where it may pass."""
    from botocore import exceptions as aws
    from botocore.parsers import ResponseParserError
    from urllib3.exceptions import HTTPError

    try:
        yield
    except StorageError:
        raise
    except aws.ClientError as error:
        raise _of_answer(uri, error) from error
    except (aws.NoCredentialsError, aws.PartialCredentialsError, aws.CredentialRetrievalError) as error:
        raise _error(
            uri, "no usable credentials", "credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ) from error
    except aws.ProfileNotFound as error:
        raise _error(uri, str(error), "a profile of ~/.aws/config in AWS_PROFILE") from error
    except (aws.ParamValidationError, aws.InvalidRegionError) as error:
        said = str(error).splitlines()[-1].strip().partition(": Bucket name must match")[0]
        raise _error(uri, said, "s3://bucket/key with a valid bucket name") from error
    except aws.EndpointConnectionError as error:
        raise _unreachable(uri, "the server can't be reached") from error
    except aws.ConnectTimeoutError as error:
        raise _unreachable(uri, "the server can't be reached: it lets the time run out", SilentError) from error
    except (aws.ProxyConnectionError, aws.SSLError) as error:
        raise _unreachable(uri, f"the server can't be reached: {type(error).__name__}") from error
    except aws.ReadTimeoutError as error:
        raise _passing(uri, "the server doesn't answer", SilentError) from error
    except (aws.HTTPClientError, aws.IncompleteReadError, HTTPError, ConnectionError, TimeoutError) as error:
        raise _passing(uri, f"the connection broke: {type(error).__name__}") from error
    except (ResponseParserError, KeyError, ValueError) as error:
        raise _passing(uri, "the answer can't be understood") from error
    except aws.BotoCoreError as error:
        raise _error(uri, redact_text(str(error)), "an answer that can be understood") from error


def _of_answer(uri: str, error: Any) -> StorageError:  # noqa: PLR0911
    from tao_skill.storage.s3_client import has_credentials

    code = code_of(error)
    status = status_of(error)
    bucket = uri.partition("://")[2].partition("/")[0]
    if code == "NoSuchBucket":
        return _error(uri, f"there is no bucket {bucket}", "an existing bucket, spelled right, on this server")
    if code in _EXPIRED:
        return _error(uri, "the credentials have expired", "fresh credentials (aws sso login, or a new session token)")
    if code in _WRONG_KEYS:
        return _error(uri, f"the server refuses the keys ({code})", "the right AWS_ACCESS_KEY_ID and secret for it")
    if code in _REGION:
        return _error(uri, "the bucket lies in another region", f"AWS_DEFAULT_REGION={_region_said(error)}")
    if code in _CHANGED:
        return _error(uri, "it changed while it was read", "an object that nobody replaces meanwhile; run again")
    if code in _GONE:
        return _error(uri, "it is not there (any more)", "an existing object")
    if code == "RequestTimeTooSkewed":
        return _error(uri, "this machine's clock is wrong", "the right time (timedatectl)")
    if code in _PASSING or status >= 500 or status == 429:
        return _passing(uri, f"the server answered {code or status}")
    if code in _DENIED or status in (401, 403):
        # Who may not list a bucket gets the same answer for a name that does not exist.
        expected = (
            "the permission to read (or write) it with these credentials; without the right to list, this can also "
        )
        expected += "mean that there is no such name"
        if not has_credentials():
            expected = "credentials, in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or ~/.aws; none were found"
            return _error(uri, "access denied to a request without credentials", expected, DeniedError)
        return _error(uri, "access denied", expected, DeniedError)
    return _error(uri, f"the server answered {code or status}", "an answer that can be understood")


def _region_said(error: Any) -> str:
    named = error.response.get("Error", {}).get("Region")
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return str(named or headers.get("x-amz-bucket-region") or "the bucket's region")


def _error(uri: str, said: str, expected: str, kind: type[StorageError] = StorageError) -> StorageError:
    from tao_skill.storage.s3_client import endpoint_name

    return kind(
        f"{uri}: {said}.",
        problems=[Problem(uri, said, expected)],
        next_step=f"correct that, then run the command again (server: {endpoint_name()})",
    )


def _unreachable(uri: str, said: str, kind: type[UnreachableError] = UnreachableError) -> UnreachableError:
    from tao_skill.storage.s3_client import endpoint_name

    return kind(
        f"{uri}: {said} ({endpoint_name()}).",
        problems=[Problem(uri, said, f"a server at {endpoint_name()} (AWS_ENDPOINT_URL)")],
        next_step="check AWS_ENDPOINT_URL and the network, then run the command again",
    )


def _passing(uri: str, said: str, kind: type[TransferError] = TransferError) -> TransferError:
    return kind(
        f"{uri}: {said}.",
        problems=[Problem(uri, said, "a transfer that ends")],
        next_step="run the command again; what is already here is kept",
    )
