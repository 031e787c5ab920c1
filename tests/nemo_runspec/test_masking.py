from __future__ import annotations

import pytest

from nemo_runspec.masking import MASK, is_secret_name, mask_secrets


@pytest.mark.parametrize(
    "name",
    [
        "HF_TOKEN",
        "WANDB_API_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "apiKey",
        "wandb.api_key",
        "--api-key",
        "private_key",
        "password",
        "db-passwd",
        "client_secret",
        "credentials",
        "token",
        "accessToken",
    ],
)
def test_secret_names(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "tokenizer",
        "max_tokens",
        "num_tokens",
        "tokens_per_sec",
        "eos_token",
        "pad_token_id",
        "loss_per_token",
        "token_dispatcher_type",
        "key",
        "monkey",
        "secretary",
        "api_key_file",
        "secret_name",
        "",
    ],
)
def test_other_names(name: str) -> None:
    assert not is_secret_name(name)


def test_masking_goes_everywhere() -> None:
    secret = "s3cret"
    shown = mask_secrets(
        {
            "env_vars": {"HF_TOKEN": secret, "HF_HOME": "/hf"},
            "argv": ["p", f"a.api_key={secret}", "--token", secret, f"--password={secret}", "ok"],
            "credentials": {"user": secret, "more": [secret, None]},
            "password": 12345,
            "url": f"git+https://me:{secret}@host/repo.git@main",
            "nothing": {"token": None, "secret": "", "password": False},
            "reference": {"token": "${oc.env:HF_TOKEN}", "secret": f"${{oc.env:X,{secret} x}}"},
            "tuple": ({"api_key": secret},),
        }
    )
    assert secret not in str(shown)
    assert shown == {
        "env_vars": {"HF_TOKEN": MASK, "HF_HOME": "/hf"},
        "argv": ["p", f"a.api_key={MASK}", "--token", MASK, f"--password={MASK}", "ok"],
        "credentials": {"user": MASK, "more": [MASK, None]},
        "password": MASK,
        "url": f"git+https://me:{MASK}@host/repo.git@main",
        "nothing": {"token": None, "secret": "", "password": False},
        "reference": {"token": "${oc.env:HF_TOKEN}", "secret": MASK},
        "tuple": [{"api_key": MASK}],
    }


def test_a_secret_with_newlines_is_hidden_whole() -> None:
    assert mask_secrets("api_key=line 1\nline 2") == f"api_key={MASK}"
