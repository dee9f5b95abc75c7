"""Search with a language model: it proposes, everything it says is checked, and Optuna remembers and prunes."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tao_skill.automl.chat import BadAnswer, Chat
from tao_skill.automl.chat_settings import ChatSettings
from tao_skill.automl.history import SearchHistory, Trial
from tao_skill.automl.llm_answer import InvalidAnswer, read_values
from tao_skill.automl.llm_prompt import first_messages, mending_messages
from tao_skill.automl.optuna_searcher import OptunaSearcher
from tao_skill.automl.searcher import Ended, Recommendation
from tao_skill.automl.space import SearchSpace
from tao_skill.config.automl import AutoML
from tao_skill.errors import Problem

__all__ = ["LanguageModelSearcher"]

_log = logging.getLogger(__name__)
ORIGIN = "language model"
# So long a call waits for the model; in between, the search looks after its trials, its clock and whether to stop.
_PATIENCE_SECONDS = 0.2


@dataclass(frozen=True)
class _Proposal:
    """What came of asking: values, or why there are none; ``rejected`` counts the answers that broke a rule."""

    values: dict[str, Any] | None = None
    rejected: int = 0
    invalid: str = ""
    failure: BaseException | None = None


class LanguageModelSearcher:
    """A language model's proposals, all of them (llm) or every other one, in turn with the Gaussian process (hybrid).

    Trials are Optuna's in either case: its median pruner ends the hopeless, and in hybrid the process learns from
    what the model proposed. A model that gives ``llm_max_invalid_answers`` invalid answers in a row ends the search,
    or leaves it to Optuna where ``llm_fallback`` says so; a server that can't be asked is a failure of the
    machine: the search breaks off, and resuming goes on with it.
    """

    def __init__(
        self,
        optuna: OptunaSearcher,
        history: SearchHistory,
        space: SearchSpace,
        settings: AutoML,
        chat: ChatSettings,
        *,
        acceptable: Callable[[Mapping[str, Any]], Sequence[Problem]],
    ) -> None:
        self._optuna, self._history, self._space, self._settings = optuna, history, space, settings
        self._chat, self._acceptable = chat, acceptable
        self._has_given_up = False
        self._pending: queue.Queue[_Proposal] | None = None
        self._why_over = ""

    def ask(self) -> Recommendation | None:
        """Return the baseline first, then what the model, or in its turn the Gaussian process, proposes.

        None while the model `is_thinking`, and from then on where it ended the search.

        Raises:
            JobError: the server can't be asked, and nothing else was asked for.
        """
        if self._why_over:
            return None
        number = len(self._history.trials)
        if not self._is_the_models_turn(number) or self._optuna.is_used_up():
            return self._optuna.ask()
        proposal = self._proposal(number)
        if proposal is None:
            return None
        self._history.rejected += proposal.rejected
        if proposal.values is not None:
            return self._optuna.recommend(number, proposal.values, ORIGIN)
        return self._without_the_model(proposal)

    @property
    def is_thinking(self) -> bool:
        """Say whether the model was asked and has not answered yet."""
        return self._pending is not None

    def go_on_from(self, best: Trial) -> Recommendation | None:
        """Return what Optuna's side proposes."""
        return self._optuna.go_on_from(best)

    def report(self, number: int, epoch: int, value: float) -> bool:
        """Report to Optuna."""
        return self._optuna.report(number, epoch, value)

    def tell(self, number: int, ended: Ended, value: float | None) -> None:
        """Tell Optuna."""
        self._optuna.tell(number, ended, value)

    def needed(self) -> set[int]:
        """Return what Optuna's side needs: none."""
        return self._optuna.needed()

    def why_over(self) -> str:
        """Say what the model did last, where it ended the search."""
        return self._why_over or self._optuna.why_over()

    def _is_the_models_turn(self, number: int) -> bool:
        if number == 0 or self._has_given_up:
            return False
        return self._history.algorithm == "llm" or number % 2 == 1

    def _proposal(self, number: int) -> _Proposal | None:
        """Return what the model proposes; None while it is still thinking."""
        if self._pending is None:
            self._pending = queue.Queue()
            work = _Asking(self._chat, self._space, self._settings.llm_max_invalid_answers, self._acceptable)
            tried = {trial.number: trial.values for trial in self._history.trials}
            messages = first_messages(self._history, self._space, number)
            threading.Thread(target=work.run, args=(messages, tried, self._pending), daemon=True).start()
        try:
            proposal = self._pending.get(timeout=_PATIENCE_SECONDS)
        except queue.Empty:
            return None
        self._pending = None
        return proposal

    def _without_the_model(self, proposal: _Proposal) -> Recommendation | None:
        failure = proposal.failure
        why = proposal.invalid if failure is None else (str(failure).splitlines() or [type(failure).__name__])[0]
        if self._settings.llm_fallback:
            self._has_given_up = True
            self._note(f"{why} From trial {len(self._history.trials)} on, Optuna proposes instead (llm_fallback).")
            return self._optuna.ask()
        if proposal.failure is not None:
            raise proposal.failure
        self._why_over = why.rstrip(".")
        self._note(f"{why} That ends the search; with llm_fallback=true it goes on without the model.")
        return None

    def _note(self, text: str) -> None:
        _log.warning("%s", text)
        if text not in self._history.notes:
            self._history.notes.append(text)


class _Asking:
    """One proposal: ask, check, tell what is wrong, ask again; in a thread of its own."""

    def __init__(
        self,
        chat: ChatSettings,
        space: SearchSpace,
        most: int,
        acceptable: Callable[[Mapping[str, Any]], Sequence[Problem]],
    ) -> None:
        self._chat, self._hide = Chat(chat), chat.without_key
        self._space, self._most, self._acceptable = space, most, acceptable

    def run(
        self, messages: list[dict[str, str]], tried: Mapping[int, Mapping[str, Any]], found: queue.Queue[_Proposal]
    ) -> None:
        """Put what came of it into ``found``."""
        try:
            found.put(self._ask(messages, tried))
        except Exception as error:
            found.put(_Proposal(failure=error))

    def _ask(self, first: list[dict[str, str]], tried: Mapping[int, Mapping[str, Any]]) -> _Proposal:
        messages, rejected = first, 0
        problems: tuple[str, ...] = ()
        for attempt in range(1, self._most + 1):
            answer = ""
            try:
                answer = self._chat.complete(messages)
                values = read_values(answer, self._space, self._hide)
                problems = self._wrong(values, tried)
                rejected += bool(problems)
            except InvalidAnswer as invalid:
                problems = invalid.problems
            except BadAnswer as bad:
                problems = (str(bad),)
            if not problems:
                return _Proposal(values, rejected)
            _log.info("answer %d of the language model can't be used: %s", attempt, "; ".join(problems))
            messages = mending_messages(first, answer, problems)
        count = "an invalid answer" if self._most == 1 else f"{self._most} invalid answers in a row"
        return _Proposal(None, rejected, f"The language model gave {count}, the last: {'; '.join(problems)}.")

    def _wrong(self, values: Mapping[str, Any], tried: Mapping[int, Mapping[str, Any]]) -> tuple[str, ...]:
        twin = next((number for number, held in tried.items() if held == values), None)
        if twin is not None:
            return (f"these values were tried already, as trial {twin}",)
        return tuple(f"{one.key} = {one.value!r}: {one.expected}" for one in self._acceptable(values))
