#!/usr/bin/env bash
# Asks Argo CD to refresh one Application until it has seen this commit, or fails.
# A refresh, not a sync: with automated sync on, a sync asked for right after a push can flap
# between the old and the new state.
set -euo pipefail

: "${APPLICATION:?the name of the Application}"
: "${ARGOCD_SERVER:?add the secret ARGOCD_SERVER, as in https://argocd.example.com}"
: "${ARGOCD_TOKEN:?add the secret ARGOCD_TOKEN}"
: "${GITHUB_SHA:?the commit that was pushed}"

url="${ARGOCD_SERVER%/}/api/v1/applications/$APPLICATION?refresh=normal"

# The token goes in by standard input: arguments of a process can be seen.
ask() {
  printf 'Authorization: Bearer %s\nContent-Type: application/json\n' "$ARGOCD_TOKEN" |
    curl --fail --silent --show-error --max-time 60 --header @- "$url"
}

# Later commits may be there by now: the one that Argo CD saw must contain ours.
seen() {
  git cat-file -e "$1^{commit}" 2>/dev/null || git fetch --quiet origin || return 1
  git merge-base --is-ancestor "$GITHUB_SHA" "$1" 2>/dev/null
}

for attempt in $(seq "${ATTEMPTS:-20}"); do
  if answer="$(ask)"; then
    revision="$(jq --raw-output '.status.sync.revision // empty' <<<"$answer")"
    if [ -n "$revision" ] && seen "$revision"; then
      echo "$APPLICATION: Argo CD compares with $revision"
      exit 0
    fi
    echo "$APPLICATION: attempt $attempt, Argo CD is still at $revision" >&2
  fi
  sleep "${PAUSE:-5}"
done
echo "$APPLICATION: Argo CD has not looked at $GITHUB_SHA" >&2
exit 1
