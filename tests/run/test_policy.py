"""R15-R17: which words switch AutoML off."""

import pytest

from tao_skill.errors import UsageError
from tao_skill.run.policy import find_off_words, resolve_policy

OFF = [
    "turn off AutoML",
    "Please TURN OFF automl for this one",
    "disable AutoML",
    "no HPO",
    "plain training",
    "Just plain training, no HPO",
    "without automl",
    "no hyperparameter search",
    "train it without any hyper-parameter tuning",
    "turn AutoML off",
    "switch off auto-ml and train 30 epochs",
    "train with AutoML disabled",
    "train with automl turned off please",
    "AutoML should be off",
    "skip the AutoML",
    "skip hyperparameter optimisation",
    "don't use AutoML",
    "I do not want to run HPO",
    "I don't need AutoML here",
    "automl_policy: off",
    "automl_policy=off",
    "automl off",
    "No, plain training please",
    "not today; disable AutoML",
    "turn  off\tAutoML",
    "I don’t care about speed, so plain training it is",
    "I have no GPU and want plain training",
    "don't change the rate and disable AutoML",
]
ON = [
    "",
    "train on my shelves",
    "don't turn off AutoML",
    "Do not disable AutoML.",
    "don’t turn off AutoML",
    "never disable AutoML",
    "please do not under any circumstances turn off AutoML",
    "there is no need to turn off AutoML",
    "train without disabling AutoML",
    "without turning off AutoML",
    "I do not want plain training",
    "use AutoML rather than plain training",
    "AutoML instead of plain training",
    "do not skip hyperparameter search",
    "don't go and turn off AutoML",
    "don't go ahead and turn off AutoML",
    "do not change it or turn off AutoML",
    "AutoML should not be turned off",
    "AutoML is not disabled",
    "turn off AutoML's early stopping",
    "turn off the lights, then run AutoML",
    "use automl",
    "turn on AutoML",
    "no augmentation",
    "explain training",
    "disable automlx",
]


@pytest.mark.parametrize("request_text", OFF)
def test_these_words_say_off(request_text: str) -> None:  # R17
    assert resolve_policy(None, None, request_text).value == "off"


@pytest.mark.parametrize("request_text", ON)
def test_these_words_do_not(request_text: str) -> None:  # R17
    assert find_off_words(request_text) == ""
    assert resolve_policy(None, None, request_text).value == "on"  # R16


def test_the_flag_wins_over_the_words() -> None:  # R15
    assert resolve_policy("on", None, "plain training").value == "on"
    assert resolve_policy(None, "OFF", "use AutoML").value == "off"


def test_the_reason_names_the_words() -> None:
    assert "'no hpo'" in resolve_policy(None, None, "Quick run, no HPO.").reason


@pytest.mark.parametrize("value", ["auto", "true", "", "none"])
def test_only_on_and_off_exist(value: str) -> None:  # R16
    with pytest.raises(UsageError, match="only on and off") as caught:
        resolve_policy(value, None, None)
    assert caught.value.problems[0].expected == "on or off"


def test_a_contradiction_is_refused() -> None:
    with pytest.raises(UsageError, match="twice"):
        resolve_policy("on", "off", None)
    assert resolve_policy("off", "off", None).value == "off"
