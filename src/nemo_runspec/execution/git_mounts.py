"""The repositories that `${auto_mount:…}` asked for, cloned where the job will run."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Collection
from typing import Any

from nemo_runspec.config.mounts import get_git_mounts
from nemo_runspec.execution.errors import ExecutionError
from nemo_runspec.masking import mask_secrets

__all__ = ["clone_git_repos_via_tunnel"]

CACHE_FOLDER = "git-cache"


def clone_git_repos_via_tunnel(
    tunnel: Any, remote_job_dir: str, *, names: Collection[str] | None = None
) -> list[str]:
    """Clones, or brings up to date, each repository, at the commit that its ref names now.

    Each commit has a folder of its own, which nothing changes afterwards: a job that runs keeps
    what it started with when another asks for a newer state of the same branch.

    Args:
        tunnel: runs a command on the cluster: `run(command, hide=…, warn=…)` gives a result with
            `ok` and `stdout`.
        remote_job_dir: folder there that holds the cache.
        names: the repositories; None for all that this process ever came across.

    Returns:
        `FOLDER:TARGET` of each repository that is to be mounted somewhere.

    Raises:
        ExecutionError: a repository, or the ref in it, cannot be had.
    """
    mounts = []
    for name, mount in get_git_mounts().items():
        if names is not None and name not in names:
            continue
        folder = _checkout(tunnel, f"{remote_job_dir}/{CACHE_FOLDER}", name, mount)
        if mount["target"]:
            mounts.append(f"{folder}:{mount['target']}")
    return mounts


def _checkout(tunnel: Any, cache: str, name: str, mount: dict[str, str]) -> str:
    url, ref = mount["url"], mount["ref"]
    _check(name, url, ref)
    print(f"auto_mount: {name} at {ref}", file=sys.stderr, flush=True)
    script = _SCRIPT.format(
        cache=shlex.quote(cache), name=shlex.quote(name), url=shlex.quote(url), ref=shlex.quote(ref)
    )
    done = tunnel.run(f"bash -c {shlex.quote(script)}", hide=True, warn=True)
    lines = str(done.stdout or "").strip().splitlines()
    if not done.ok or not lines or not lines[-1].startswith(f"{cache}/"):
        said = str(getattr(done, "stderr", "") or "").strip().splitlines() or ["git said nothing"]
        # Behind the reason there is advice.
        why = next((line for line in said if line.startswith(("fatal:", "error:"))), said[-1])
        raise ExecutionError(f"auto_mount: {name} at {ref} cannot be had on the cluster: {why}")
    return lines[-1]


def _check(name: str, url: str, ref: str) -> None:
    if mask_secrets(url) != url:
        raise ExecutionError(
            f"auto_mount: the URL of {name} holds a password, which would lie in git's files on "
            "the cluster; leave it to git's credential helper or an ssh key there"
        )
    if url.startswith("-") or ref.startswith("-") or not re.fullmatch(r"\w[\w.+-]*", name):
        raise ExecutionError(f"auto_mount: {url}@{ref} names no repository and ref")


# A bare clone per repository under a lock, a work tree per commit: several launchers may come at
# once. The tree gets its name when it is complete.
_SCRIPT = """\
set -eu
cache={cache} name={name} url={url} ref={ref}
mkdir -p "$cache"
exec 9> "$cache/$name.lock"
flock 9
bare="$cache/$name.git"
if [ ! -d "$bare" ]; then
    git init -q --bare "$bare"
fi
git -C "$bare" config remote.origin.url "$url"
git -C "$bare" config uploadpack.allowAnySHA1InWant true
have() {{ git -C "$bare" rev-parse -q --verify "$1^{{commit}}"; }}
commit=""
if printf %s "$ref" | grep -Eqx '[0-9a-fA-F]{{40}}'; then commit="$(have "$ref" || true)"; fi
if [ -z "$commit" ]; then
    if ! git -C "$bare" fetch -q --force --tags origin '+refs/heads/*:refs/heads/*' >&2; then
        exit 1
    fi
    commit="$(have "refs/heads/$ref" || have "refs/tags/$ref" || have "$ref" || true)"
fi
if [ -z "$commit" ]; then
    git -C "$bare" fetch -q origin "$ref" >&2
    commit="$(have FETCH_HEAD)"
fi
tree="$cache/$name-$commit"
if [ ! -d "$tree" ]; then
    git init -q "$tree.new.$$"
    git -C "$tree.new.$$" fetch -q "$bare" "$commit" >&2
    git -C "$tree.new.$$" checkout -q --detach "$commit" >&2
    mv "$tree.new.$$" "$tree"
fi
echo "$tree"
"""
