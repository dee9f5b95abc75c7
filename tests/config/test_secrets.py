"""What must stay secret."""

import pytest

from tao_skill.config.secrets import is_secret, masked, masked_as_given, masked_text, without_secrets


def test_only_a_secret_that_is_given_is_masked() -> None:
    spec = {"encryption_key": "SECRET123", "train": {"num_epochs": 3, "encryption_keys": ["SECRET123"]}, "a": {}}
    assert masked(spec) == {
        "encryption_key": "***",
        "train": {"num_epochs": 3, "encryption_keys": "***"},
        "a": {},
    }
    assert masked({"encryption_key": ""}) == {"encryption_key": ""}
    assert without_secrets(spec) == {"train": {"num_epochs": 3}, "a": {}}


@pytest.mark.parametrize(
    "key", ["encryption_key", "encyption_key", "encrption_key", "ENCRYPTION-KEY", "x.encryptionkey"]
)
def test_a_misspelt_key_is_masked_too(key: str) -> None:
    assert masked({key: "SECRET123"}).popitem()[1] != "SECRET123"
    assert masked_text(f"say {key}=SECRET123 now") == f"say {key} ***"


def test_other_keys_stay() -> None:
    assert masked_text("train.num_epochs 3") == "train.num_epochs 3"


@pytest.mark.parametrize(
    "key",
    [
        "model.sentencepiece_model",
        "model.referencePath",
        "encoderPath",
        "encoder.pretrained_path",
        "dataset.encryption_type",
        "train.num_epochs",
        "key",
    ],
)
def test_innocent_keys_are_no_secrets(key: str) -> None:
    assert not is_secret(key)
    assert masked({key: "/m"}) != masked({key: "***"})


def test_what_was_given_keeps_its_form() -> None:
    given = [
        {"train.num_epochs": 3, "encryption_key": "SECRET123", "a": {"encryption_kye": ["SECRET123"], "b": [1]}},
        "train.num_epochs=3",
        "encryption_key=SECRET123",
    ]
    assert masked_as_given(given) == [
        {"train.num_epochs": 3, "encryption_key": "***", "a": {"encryption_kye": "***", "b": [1]}},
        "train.num_epochs=3",
        "encryption_key ***",
    ]
