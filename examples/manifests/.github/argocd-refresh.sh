#!/usr/bin/env bash
# Asks Argo CD to refresh one Application until it has applied this commit, or fails with the cause.
# A refresh, never a sync: with automated sync on, a sync asked for right after a push can flap
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

# One field for each line, without line breaks of its own.
fields='
def line: tostring | gsub("[[:cntrl:]]+"; " ");
(.status // {}) as $status | ($status.operationState // {}) as $operation |
($status.sync.revision // "no commit"),
($status.sync.status // "Unknown"),
([$status.conditions[]? | select(.type | IN("ComparisonError", "InvalidSpecError")) | .message]
  | first // ""),
(.spec.syncPolicy.automated as $automated | $automated != null and $automated.enabled != false),
($operation.phase // "no operation"),
($operation.syncResult.revision // $operation.operation.sync.revision // ""),
($operation.retryCount // 0),
($operation.message | if . then ": " + . else "" end) | line'

# Later commits may be there by now: the one that Argo CD names must contain ours. While it cannot
# build the manifests, it names the branch instead of a commit.
has_ours() {
  [[ "$1" =~ ^([0-9a-f]{40}|[0-9a-f]{64})$ ]] || return 1
  [ "$1" != "$GITHUB_SHA" ] || return 0
  git cat-file -e "$1^{commit}" 2>/dev/null || git fetch --quiet origin 2>/dev/null || return 1
  git merge-base --is-ancestor "$GITHUB_SHA" "$1" 2>/dev/null
}

done_with() {
  echo "$APPLICATION: $1"
  exit 0
}

fail() {
  echo "$APPLICATION: $1" >&2
  exit 1
}

# Sets `state` to what the answer says, and ends the script where it decides.
judge() {
  { read -r revision; read -r status; read -r condition; read -r automated; read -r phase
    read -r applying; read -r retries; read -r message; } < <(jq --raw-output "$fields" <<<"$1") ||
    { state="the answer is not an Application"; return; }

  if [ -n "$condition" ]; then
    state="Argo CD cannot compare: $condition"
    # The first such answer may still be about the commit before ours.
    [ "$is_broken" = no ] || fail "$state"
    is_broken=yes
    return
  fi
  is_broken=no
  if ! has_ours "$revision"; then
    state="Argo CD has not looked at $GITHUB_SHA, it is at $revision"
    return
  fi
  [ "$status" != Synced ] || done_with "in sync at $revision"
  [ "$automated" = true ] ||
    done_with "Argo CD compares with $revision; automated sync is off, so somebody has to sync it"
  if has_ours "$applying"; then
    case "$phase" in
      Succeeded) done_with "applied $applying; it shows $status: the cluster has another value in some field" ;;
      Failed | Error) fail "the sync of $applying failed$message" ;;
      *) [ "$retries" -lt 2 ] || fail "the sync of $applying fails again and again$message" ;;
    esac
  fi
  state="Argo CD has not applied $revision: $status, $phase$message"
}

state="Argo CD has not answered"
is_broken=no
deadline=$((SECONDS + ${TIMEOUT:-480}))
for attempt in $(seq "${ATTEMPTS:-60}"); do
  if answer="$(ask)"; then
    judge "$answer"
  fi
  echo "attempt $attempt: $state" >&2
  [ "$SECONDS" -lt "$deadline" ] || break
  sleep "${PAUSE:-5}"
done
fail "gave up: $state"
