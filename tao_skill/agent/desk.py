"""What a tool works with beside its request: where it may reach and where jobs are by default."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tao_skill.agent.guard import check_request
from tao_skill.agent.roots import Roots
from tao_skill.jobs.store import JobStore
from tao_skill.run.results_root import default_results_root, open_store

__all__ = ["Desk"]


@dataclass(frozen=True)
class Desk:
    """The allowed roots, to which the default results root always belongs, and whom long work tells how far it is.

    ``progress`` gets what is done and how much there is, now and then, from the thread that works; what it raises ends
    the work.
    """

    roots: Roots
    progress: Callable[[int, int], object] | None = None

    @classmethod
    def of(cls, allowed: list[str]) -> Desk:
        """Return the desk for the roots that were allowed by name."""
        return cls(Roots.of(allowed).with_root(default_results_root()))

    def store(self, results_root: str | None) -> JobStore:
        """Return the jobs below a results root.

        Raises:
            NotAllowedError: the root is not allowed.
        """
        check_request({"results_root": results_root}, None, self.roots)
        return open_store(results_root)

    def roots_at(self, store: JobStore) -> Roots:
        """Return what a call about these jobs may reach: the roots, and where jobs of a remote root work."""
        return self.roots.with_root(str(store.root))
