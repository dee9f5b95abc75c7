"""The settings of a search, as a user or the peer's user writes them."""

from dataclasses import asdict

import pytest

from tao_skill.config.automl import AutoML
from tao_skill.config.automl_settings import _REFUSED, SETTING_NAMES, change_settings, is_setting, read_settings
from tao_skill.errors import SpecError


def test_the_peers_names_are_understood() -> None:
    settings = read_settings(
        {"num_recommendations": 7, "automl_reduction_factor": 4, "automl_max_concurrent": 2, "algorithm": "asha"}
    )
    assert (settings.automl_max_recommendations, settings.automl_reduction_factor) == (7, 4)
    assert (settings.automl_max_concurrent, settings.automl_algorithm) == (2, "asha")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("automl_max_recomendations", 3, "the nearest is automl_max_recommendations"),
        ("automl_max_recommendations", 0, "greater than or equal to 1"),
        ("automl_max_minutes", -1, "greater than 0"),
        ("automl_max_minutes", float("nan"), "finite"),
        ("direction", "up", "maximize"),
        ("run_baseline", False, "always the first trial"),
        ("automl_mutation_factor", 0.5, "bohb is the nearest"),
        ("xyzzy", 1, "known: automl_algorithm"),
    ],
)
def test_what_is_wrong_is_told_with_what_is_right(name: str, value: object, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        read_settings({name: value})
    assert says in caught.value.problems[0].expected


def test_everything_wrong_is_told_at_once() -> None:
    with pytest.raises(SpecError, match="3 problems"):
        read_settings({"automl_max_minutes": -1, "foo": 1, "run_baseline": True})


def test_two_names_of_one_setting_must_agree() -> None:
    assert read_settings({"max_minutes": 5, "automl_max_minutes": 5}).automl_max_minutes == 5
    with pytest.raises(SpecError, match="the same value"):
        read_settings({"max_minutes": 5, "automl_max_minutes": 6})


def test_settings_are_known_from_spec_keys() -> None:
    assert is_setting("automl_anything")
    assert is_setting("custom_param_ranges")
    assert not is_setting("train")


@pytest.mark.parametrize(
    "url", ["https://me:sk-123@h/v1", "https://h/v1?key=sk-123", "https://h/v1#sk-123", "me:sk-123@h"]
)
@pytest.mark.parametrize("more", [{}, {"automl_algorithm": "llm"}, {"automl_max_minutes": -1}])
def test_no_address_with_a_key_in_it_becomes_a_setting(url: str, more: dict[str, object]) -> None:
    with pytest.raises(SpecError, match="without a key") as caught:
        read_settings({"automl_llm_endpoint": url} | more)
    assert "sk-123" not in f"{caught.value}{caught.value.document()}"


@pytest.mark.parametrize("url", ["ftp://h/v1", "h:80", "http://", "http://h:x/v1", "http://[h/v1"])
def test_an_address_is_one_of_a_server(url: str) -> None:
    with pytest.raises(SpecError, match="base URL"):
        read_settings({"llm_endpoint": url})
    assert read_settings({"llm_endpoint": " https://h:8000/v1 "}).llm_endpoint


def test_a_search_goes_on_with_another_budget_but_no_other_trials() -> None:
    first = asdict(read_settings({"automl_max_minutes": 60, "automl_algorithm": "asha"}))
    changed = change_settings(
        first, {"max_minutes": 90, "automl_platform": "ray", "algorithm": "asha", "llm_timeout": 5}
    )
    assert (changed.automl_max_minutes, changed.automl_platform, changed.llm_timeout) == (90, "ray", 5)
    with pytest.raises(SpecError, match="another automl_algorithm, metric") as caught:
        change_settings(first, {"algorithm": "random", "metric": "accuracy", "automl_max_minutes": 90})
    assert caught.value.problems[0].expected == "'asha', as at first: its trials would not be comparable"
    with pytest.raises(SpecError, match="a problem"):
        change_settings(first, {"automl_max_minuts": 90})


# Another value than the default for settings of no simple kind.
OTHERS = {
    "automl_hyperparameters": ["a.b"],
    "custom_param_ranges": {"a.b": {"valid_min": 1}},
    "automl_starting_points": [{"a.b": 1}],
    "direction": "minimize",
    "automl_platform": "ray",
    "llm_endpoint": "http://h/v1",
    "llm_model": "x",
    "llm_max_tokens": 100,
}


@pytest.mark.parametrize("name", SETTING_NAMES)
def test_every_setting_is_read_under_its_name(name: str) -> None:  # 8.22
    default = asdict(AutoML())[name]
    if name in OTHERS:
        value = OTHERS[name]
    elif isinstance(default, bool):
        value = not default
    elif isinstance(default, int | float):
        value = type(default)(default + 1)
    else:
        value = "x" if isinstance(default, str) or name == "metric" else 2
    found = asdict(read_settings({name: value}))
    assert found.pop(name) == value
    assert found == {key: one for key, one in asdict(AutoML()).items() if key != name}


@pytest.mark.parametrize("name", _REFUSED)
def test_what_the_peer_knows_and_a_search_does_not_is_refused_with_the_reason(name: str) -> None:
    with pytest.raises(SpecError) as caught:
        read_settings({name: True})
    assert [(one.key, one.expected) for one in caught.value.problems] == [(name, _REFUSED[name])]
