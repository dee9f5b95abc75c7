"""Which storage a URI belongs to."""

from tao_skill.errors import NotAvailableError, Problem
from tao_skill.storage.locate import SCHEMES, redact, scheme_of
from tao_skill.storage.objects import ObjectStore

__all__ = ["store_for"]


def store_for(uri: str) -> ObjectStore:
    """Return the storage of a URI's scheme; what it needs is imported only here.

    Raises:
        NotAvailableError: a scheme that nothing here speaks.
    """
    scheme = scheme_of(uri)
    if scheme in ("", "file"):
        from tao_skill.storage.disk import DiskStore

        return DiskStore()
    if scheme == "s3":
        from tao_skill.storage.s3 import S3Store

        return S3Store()
    if scheme in ("http", "https"):
        from tao_skill.storage.web import WebStore

        return WebStore()
    raise NotAvailableError(
        f"{scheme}:// is not supported.",
        problems=[Problem(redact(uri), scheme, f"a plain path, or one of {', '.join(f'{one}://' for one in SCHEMES)}")],
        next_step="copy the data to this machine, or to S3",
    )
