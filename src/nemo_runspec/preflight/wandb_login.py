"""Whether W&B takes this user's key: the `viewer` query of its GraphQL API, at most five seconds.

The request is what W&B's own client sends (`wandb/apis`: POST {base}/graphql, basic
authentication with the user `api`).
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import urllib.error
import urllib.request

from nemo_runspec.evaluator import logged_in_key
from nemo_runspec.preflight.checks import Check

_WHAT = "wandb"
_PATIENCE_SECONDS = 5.0
_QUERY = "query Viewer { viewer { username entity } }"
_LOGIN = "`wandb login`, or set WANDB_API_KEY; or wandb = false in [artifacts] of env.toml"


def check_wandb() -> Check:
    """Asks the server who we are; the key itself is never shown."""
    base = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai").rstrip("/")
    key = os.environ.get("WANDB_API_KEY") or logged_in_key(base)
    if not key:
        return Check(_WHAT, False, f"no key for {base}, neither here nor in netrc", _LOGIN)
    token = base64.b64encode(f"api:{key}".encode()).decode()
    try:
        request = urllib.request.Request(
            f"{base}/graphql",
            data=json.dumps({"query": _QUERY, "variables": {}}).encode(),
            headers={"Authorization": f"Basic {token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=_PATIENCE_SECONDS) as answer:
            document = json.loads(answer.read(1 << 20))
        viewer = (document.get("data") or {}).get("viewer")
    except urllib.error.HTTPError as error:
        refused = error.code in (401, 403)
        why = f"{base} refuses the key" if refused else f"{base} answers with {error.code}"
        return Check(_WHAT, False, why, _LOGIN if refused else "try again; runs go on without it")
    except (OSError, ValueError, AttributeError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        return Check(
            _WHAT,
            False,
            f"{base} cannot be reached: {reason}",
            "look at the network or WANDB_BASE_URL; runs go on without it",
        )
    if not viewer:
        return Check(_WHAT, False, f"{base} does not know the key", _LOGIN)
    return Check(_WHAT, True, f"{viewer.get('username') or viewer.get('entity')} at {base}")
