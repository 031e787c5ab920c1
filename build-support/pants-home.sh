# To be sourced by a POSIX shell with `set -e`, with $root naming the build root.
#
# Sets RUNSPEC_PANTS_HOME to the folder that holds Pants and the Pex CLI, and HOME if it was empty;
# sets Pants up first where it is not there yet. When it is, nothing is searched and no Python starts.
# shellcheck shell=sh

: "${root:?}"

fail() {
  printf './pants: %s\n' "$*" >&2
  exit 1
}

# Pants and pip both go astray with an empty HOME (Pants would write to /.cache).
if [ -z "${HOME:-}" ]; then
  user=$(id -un 2>/dev/null) || user=
  case $user in
    '' | *[!A-Za-z0-9._-]*) HOME= ;;
    *) eval "HOME=~$user" ;;
  esac
  case $HOME in
    /*) export HOME ;;
    *) fail 'HOME is not set and this user has no home folder; set HOME to a folder that you can write to' ;;
  esac
fi

cache=${XDG_CACHE_HOME:-$HOME/.cache}
case $cache in
  /*) ;;
  *) fail "the cache folder '$cache' is a relative path; set XDG_CACHE_HOME to an absolute one, or unset it" ;;
esac
# Pants watches the build root: a cache in it would wake Pants up with every file that Pants writes.
physical=$(CDPATH='' cd -P -- "$cache" 2>/dev/null && pwd -P) || physical=$cache
case $physical/ in
  "$root"/*) fail "the cache folder $cache lies inside the build root $root; set XDG_CACHE_HOME to a folder outside it" ;;
esac

support=$root/build-support
digest=$(
  {
    uname -sm
    cat "$support/pants-2.17.lock" "$support/pex.lock" "$support/bootstrap.py"
  } | { sha256sum 2>/dev/null || shasum -a 256; } | cut -c1-16
)
RUNSPEC_PANTS_HOME=$cache/nemo-runspec/pants-$digest

# A link that is made last: it is whole or it is not there. It dangles when its interpreter is gone.
if ! [ -x "$RUNSPEC_PANTS_HOME/venv/bin/python" ]; then
  python=$(sh "$support/find-python" 3.9 "$cache/nemo-runspec/python")
  "$python" -I "$support/bootstrap.py" "$RUNSPEC_PANTS_HOME"
fi

# Pants 2.17 does not decode file:// addresses: a path that would have to be encoded gets a plain name.
# Nothing is trusted for being in /tmp, as Pants checks the hash of what it takes from there.
case $RUNSPEC_PANTS_HOME in
  *[!A-Za-z0-9/._-]*)
    plain=/tmp/nemo-runspec-$(id -u)-$digest
    [ -e "$plain/venv" ] || ln -sfn "$RUNSPEC_PANTS_HOME" "$plain" ||
      fail "cannot make the link $plain; set XDG_CACHE_HOME to a folder whose path has only letters, digits and ./_-"
    PANTS_PEX_CLI_URL_TEMPLATE=${PANTS_PEX_CLI_URL_TEMPLATE:-file://$plain/pex-{version\}.pex}
    export PANTS_PEX_CLI_URL_TEMPLATE
    ;;
esac
