"""The `run` script of a job bundle: finds a Python for the bundle's launcher and hands over."""

from __future__ import annotations

from collections.abc import Sequence

# Functions of a POSIX shell. `find_python` sets `python` to the first that fits on PATH, in pyenv,
# in uv or in the usual folders; what fits has a version, or minor version, that is one of
# `$versions`. Names with one of `$minors` (`3.11 3.12`) are tried before the plain ones.
FIND_PYTHON = r"""fits() {
    "$1" -I -S -c 'import sys; v = "%d.%d.%d" % sys.version_info[:3]; \
        sys.exit(not {v, v.rpartition(".")[0]} & set(sys.argv[1].split()))' \
        "$versions" </dev/null >/dev/null 2>&1
}

look_in() {
    for minor in $minors; do
        python=$1/python$minor
        [ -x "$python" ] && fits "$python" && return 0
    done
    for name in python3 python; do
        python=$1/$name
        [ -x "$python" ] && fits "$python" && return 0
    done
    return 1
}

find_python() {
    separators=$IFS
    IFS=:
    set -f
    # shellcheck disable=SC2086 # split at colons, on purpose
    set -- $PATH
    set +f
    IFS=$separators
    for folder in "$@" \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/*/bin \
        "${UV_PYTHON_INSTALL_DIR:-${XDG_DATA_HOME:-$HOME/.local/share}/uv/python}"/*/bin \
        /usr/local/bin /opt/homebrew/bin /usr/bin; do
        look_in "$folder" && return 0
    done
    return 1
}
"""

# What another Python or PEX left behind would reach into the launcher's own.
FORGET_PYTHONS = (
    "unset PYTHONHOME PYTHONPATH PEX_INTERPRETER PEX_MODULE PEX_SCRIPT PEX_PYTHON PEX_PYTHON_PATH\n"
)

# Sets `python` to one for the launcher; `fail MESSAGE` says that there is none, and ends.
LAUNCHER_PYTHON = r"""if [ -n "$RUNSPEC_LAUNCHER_PYTHON" ]; then
    python=$RUNSPEC_LAUNCHER_PYTHON
    problem="RUNSPEC_LAUNCHER_PYTHON=$python is no Python $versions that runs"
    fits "$python" || fail "$problem; unset it or name another"
else
    problem="no Python $versions on PATH, in pyenv, in uv or in the usual folders"
    fix="install one (uv python install ${versions%% *}) or set RUNSPEC_LAUNCHER_PYTHON to its path"
    find_python || fail "$problem; $fix"
fi
"""

RUN_SCRIPT = r"""#!/bin/sh
# Runs the recipe in this folder. `./run --help` says how.

versions='@versions@' # the Pythons that launcher.pex was made for
minors=$versions

fail() {
    printf 'error: %s\n' "$1" >&2
    exit 2
}

@find_python@
# The folder of this file, also when it was called through a symbolic link.
here=$0
while [ -L "$here" ]; do
    link=$(readlink "$here")
    case $link in
    /*) here=$link ;;
    *) here=$(dirname -- "$here")/$link ;;
    esac
done
here=$(CDPATH='' cd -- "$(dirname -- "$here")" && pwd -P) || fail "cannot find the folder of $0"
[ -f "$here/launcher.pex" ] || fail "$here: launcher.pex is missing; make the bundle anew"

@forget_pythons@
if [ -n "$RUNSPEC_LAUNCHER_PEX" ]; then
    # From `pants run`: the launcher that the profile needs, and the Python that it was made for.
    exec "$RUNSPEC_LAUNCHER_PYTHON" "$RUNSPEC_LAUNCHER_PEX" recipe "$here" "$@"
fi

@launcher_python@
exec "$python" "$here/launcher.pex" recipe "$here" "$@"
"""


def run_script(versions: Sequence[str]) -> str:
    """The text of a bundle's `run` script.

    Args:
        versions: the Python versions that its launcher works with, such as `3.11`, best first.

    Returns:
        A POSIX shell script; it must be made executable.
    """
    text = RUN_SCRIPT.replace("@versions@", " ".join(versions))
    text = text.replace("@find_python@", FIND_PYTHON)
    text = text.replace("@forget_pythons@", FORGET_PYTHONS)
    return text.replace("@launcher_python@", LAUNCHER_PYTHON)
