#!/usr/bin/env bash
# Checks what a change touches, and nothing else; to be copied into a repository and called by its CI:
#
#     check-change.sh BASE [MAX_GPU_HOURS]
#
# BASE is what the change is to be merged into, such as origin/main. In order: writes change.md, the
# artifacts that the change makes stale with the reason and the cost of each, for a comment on the pull
# request (REPORT names another file); lints; tests; packages the recipes that it touches. With
# MAX_GPU_HOURS it ends with an exit code other than 0 before any of that where the change costs more.
set -euo pipefail

usage='usage: check-change.sh BASE [MAX_GPU_HOURS]'
base=$(git merge-base "${1:?$usage}" HEAD)
limit=${2:-}
report=${REPORT:-change.md}
pants=./pants
[[ -x $pants ]] || pants=pants
# Whatever depends on a changed file, however far away.
touched=(--changed-since="$base" --changed-dependents=transitive)

# list KIND…: the addresses of the touched targets of these kinds.
list() {
  local IFS=,
  "$pants" "${touched[@]}" --filter-target-type="$*" list
}

# Assigned first: a failure within an argument would pass unseen.
artifacts=$(list artifact artifact_variant)
recipes=$(list runspec_recipe)

status=0
if [[ -z $artifacts ]]; then
  printf 'No artifact is touched by this change.\n' >"$report"
else
  # shellcheck disable=SC2086  # an address a word
  "$pants" plan --format=markdown ${limit:+"--max-gpu-hours=$limit"} $artifacts >"$report" || status=$?
fi
cat "$report"
# GitHub shows this file on the run's page.
if [[ -n ${GITHUB_STEP_SUMMARY:-} ]]; then
  cat "$report" >>"$GITHUB_STEP_SUMMARY"
fi

if [[ $status != 0 ]]; then
  exit "$status"
fi

"$pants" "${touched[@]}" lint
"$pants" "${touched[@]}" test
if [[ -n $recipes ]]; then
  # shellcheck disable=SC2086
  "$pants" package $recipes
fi
