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
        *("PGPASSWORD", "MYSQL_PWD", "DB_PASS", "GITHUB_PAT", "HF_TOKENS", "DOCKER_AUTH_CONFIG"),
        *("data_encryption_key", "signing_key", "run.env.env_vars.PGPASSWORD"),
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
        *("total_tokens", "pad_token_id", "special_tokens", "PWD", "OLDPWD", "run.env.PWD"),
        *("forward_pass", "bypass", "compass", "author", "PATH", "pattern"),
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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("export HF_TOKEN=hf_abc", "export HF_TOKEN=****** "),
        ("FOO=1 WANDB_API_KEY='hf_abc d' python {script}", "FOO=1 WANDB_API_KEY=****** python"),
        ("login --token hf_abc -v", "login --token ****** -v"),
        ("login --token='hf_abc'", "login --token=******"),
        ("env_vars={A: b, HF_TOKEN: hf_abc, C: d}", "env_vars={A: b, HF_TOKEN: ******, C: d}"),
        ('{"HF_TOKEN":"hf_abc"}', '{"HF_TOKEN":******}'),
        ('curl -H "Authorization: Bearer hf_abc" url', 'curl -H "Authorization: ******" url'),
        ("sh -c 'export HF_TOKEN=hf_abc; run'", "sh -c 'export HF_TOKEN=******; run'"),
        ("${oc.env:HF_TOKEN,hf_abc}/x", "${oc.env:HF_TOKEN,******}/x"),
        ("git clone https://hf_abc@host/r", "git clone https://******@host/r"),
        ("https://hf_abc:x-oauth-basic@host/r", "https://******:******@host/r"),
        ("https://hf_abc:@host/r", "https://******:@host/r"),
    ],
)
def test_secrets_inside_texts(text: str, shown: str) -> None:
    for value in (text, [text], {"a": text}):
        assert "hf_abc" not in str(mask_secrets(value))
    assert mask_secrets(text).startswith(shown.strip())


@pytest.mark.parametrize(
    "text",
    [
        "export HF_TOKEN=$HF_TOKEN; run",
        'HF_TOKEN=$(cat ~/.token) DB_PASS="${PASS}" python {script}',
        "python x.py --tokenizer gpt2 --max_tokens 5 steps=7",
        "git+ssh://git@github.com/x https://host:8080/a@b",
        "nvcr.io/nvidia/secret:latest ${run.token}/x",
    ],
)
def test_texts_without_secrets_stay(text: str) -> None:
    assert mask_secrets(text) == text
