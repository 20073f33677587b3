#!/usr/bin/env bash
# The main job as a caller does it, with curl and jq alone: an account, a key, a session, two tasks, the money.
#
#   FILEPATH_URL       the deployment, e.g. http://127.0.0.1:8080 (needed)
#   FILEPATH_EMAIL     with FILEPATH_PASSWORD: the account to use; it is made if it is not there
#   FILEPATH_PASSWORD
#   FILEPATH_INVITE    where the deployment asks for one
#   FILEPATH_API_KEY   a key of that account to use again, in place of a new one
#   FILEPATH_PATIENCE  seconds in which a task must be over, 120 unless given; a first Fargate start takes long
#
# Prints one PASS line a step; at the first FAIL it shows the response and exits with 1. It closes what it opened.
set -euo pipefail

if [[ -z ${FILEPATH_URL:-} ]]; then
  # shellcheck disable=SC2016 # shown, to be typed
  echo 'FILEPATH_URL is not set. For the local stack: make up && eval "$(make -s env)"' >&2
  exit 2
fi
for tool in curl jq; do
  command -v "$tool" >/dev/null || { echo "This gate needs $tool." >&2; exit 2; }
done

url=${FILEPATH_URL%/}
patience=${FILEPATH_PATIENCE:-120}
run="$(date +%s)-$$"
email=${FILEPATH_EMAIL:-gate-$run@example.com}
password=${FILEPATH_PASSWORD:-gate password $run}
key=${FILEPATH_API_KEY:-}
key_id='' session=''
status='' body=''
scratch=$(mktemp -d)

finish() {
  local code=$?
  trap - EXIT
  if [[ -n $session ]]; then
    curl -s -o /dev/null -X DELETE -H "x-api-key: $key" "$url/api/orchestrator/session/$session" || true
  fi
  rm -rf "$scratch"
  if ((code == 0)); then
    echo "PASS  the gate, against $url"
  else
    echo "FAIL  the gate, against $url" >&2
  fi
  exit "$code"
}
trap finish EXIT

pass() { echo "PASS  $1"; }

fail() {
  {
    echo "FAIL  $1"
    echo "      the last response: $status"
    printf '      %s\n' "${body//$'\n'/$'\n'      }"
  } >&2
  exit 1
}

# call METHOD PATH [JSON] [HEADER…]: sets `status` and `body`. Secrets go by a file: arguments show in `ps`.
call() {
  local method=$1 path=$2 json=${3:-} header
  shift $(($# < 3 ? $# : 3))
  {
    for header in "$@"; do printf 'header = "%s"\n' "$header"; done
    if [[ -n $json ]]; then printf 'header = "content-type: application/json"\n'; fi
  } >"$scratch/curl"
  printf '%s' "$json" >"$scratch/request"
  local arguments=(-sS -m 60 -X "$method" -K "$scratch/curl" -o "$scratch/response" -w '%{http_code}')
  if [[ -n $json ]]; then arguments+=(--data-binary "@$scratch/request"); fi
  : >"$scratch/response"
  status=$(curl "${arguments[@]}" "$url$path") || status="no answer from $url"
  body=$(cat "$scratch/response")
}

as_key() { call "$1" "$2" "${3:-}" "x-api-key: $key" "${@:4}"; }

expect() { [[ $status == "$1" ]] || fail "$2 (expected $1)"; }

get() { jq -r "$1" <<<"$body"; }

is() { jq -e "$1" <<<"$body" >/dev/null; }

expect_error() { # STATUS CODE STEP
  expect "$1" "$3"
  [[ $(get '.error.code') == "$2" && -n $(get '.error.message') ]] || fail "$3 (expected the error $2)"
  pass "$3"
}

# submit COMMAND: sets `workflow`.
submit() {
  local json
  json=$(jq -n --arg session "$session" --arg task "$1" '{sessionId: $session, task: $task, timeoutSeconds: 60}')
  as_key POST /api/orchestrator "$json" "Idempotency-Key: gate-$run-$RANDOM$RANDOM"
  expect 202 "submit: $1"
  workflow=$(get .workflowId)
  [[ $workflow == wf_* ]] || fail "submit: $1 (a workflowId wf_… is expected)"
}

# over STEP: polls `workflow` until it is in a terminal state; `body` is then its status.
over() {
  local deadline=$((SECONDS + patience))
  while ((SECONDS < deadline)); do
    as_key GET "/api/workflow/$workflow/status"
    expect 200 "$1"
    case $(get .status) in
      queued | awaiting_approval | running) sleep 0.5 ;;
      completed) return ;;
      *) fail "$1 (expected completed)" ;;
    esac
  done
  fail "$1 (not over within $patience s)"
}

# Reaching it, and being nobody

call GET /api/health
expect 200 "the deployment answers"
pass "the deployment answers"

call GET /api/credits
expect_error 401 unauthenticated "without a key: 401"

# An account and a key

if [[ -z $key ]]; then
  json=$(jq -n --arg email "$email" --arg password "$password" --arg invite "${FILEPATH_INVITE:-}" \
    '{email: $email, password: $password, name: "The gate"} + if $invite == "" then {} else {invite: $invite} end')
  call POST /api/auth/sign-up/email "$json"
  if [[ $status == 409 && -n ${FILEPATH_EMAIL:-} ]]; then
    call POST /api/auth/sign-in/email "$(jq -n --arg e "$email" --arg p "$password" '{email: $e, password: $p}')"
    expect 200 "sign in as $email"
    pass "sign in as $email"
  else
    expect 200 "sign up as $email"
    [[ $(get .user.email) == "$email" ]] || fail "sign up as $email (expected that address)"
    pass "sign up as $email"
  fi
  token=$(get .token)
  call POST /api/auth/api-key/create '{"name": "gate"}' "Authorization: Bearer $token"
  expect 200 "create an API key"
  key=$(get .key) key_id=$(get .id)
  [[ $key == fp_* && $key_id == key_* ]] || fail "create an API key (expected fp_… with an id key_…)"
  call GET /api/auth/api-key/list '' "Authorization: Bearer $token"
  expect 200 "the list of keys does not show the secret"
  [[ $body == *"$key_id"* && $body != *"$key"* ]] || fail "the list of keys does not show the secret"
  pass "create an API key, $key_id, shown once"
fi

as_key GET /api/credits
expect 200 "the key is good: credits"
granted=$(get .balance)
is '.held == 0 and .available == .balance' ||
  fail "credits at the start (expected nothing held: other tasks of this account would spoil the sums)"
((granted >= 3)) || fail "credits at the start (expected at least 3: ask the owner for \`make grant\`)"
pass "the key is good: $granted credits, none held"

# A session, with no body at all

as_key POST /api/orchestrator/session '' "Idempotency-Key: gate-$run-session"
expect 202 "create a session"
session=$(get .sessionId)
[[ $session == ses_* ]] || fail "create a session (a sessionId ses_… is expected)"
pass "create a session with no body, $session"

as_key POST /api/orchestrator/session '' "Idempotency-Key: gate-$run-session"
expect 202 "the same request again gives the same session"
[[ $(get .sessionId) == "$session" ]] || fail "the same request again gives the same session"
pass "the same request again gives the same session"

# A task

submit 'echo test && pwd'
first=$workflow
pass "submit: echo test && pwd, $first"
over "poll until completed"
pass "poll until completed"
is '.exitCode == 0 and .signal == null' || fail "exit code 0"
is '.outputBytes == 16' || fail "16 bytes of output"
is '.creditsCharged == 1' || fail "one credit charged"
pass "exit code 0, 16 bytes, one credit charged"

as_key GET "/api/workflow/$first/output?after=0"
expect 200 "its output"
is '[.chunks[].data] | join("") == "test\n/workspace\n"' || fail "its output (expected test, /workspace)"
is '.complete and .nextOffset == 16' || fail "its output (expected it complete, with nextOffset 16)"
pass "its output is test, /workspace"

# What one task leaves, the next one finds

submit 'echo kept > made-by-the-second && ls -a && exit 3'
over "a task that writes a file"
is '.exitCode == 3' || fail "a non-zero exit code is a result (expected completed with 3)"
pass "a non-zero exit code is a result"
submit 'cat made-by-the-second'
over "a task that reads the file"
as_key GET "/api/workflow/$workflow/output"
is '[.chunks[].data] | join("") == "kept\n"' || fail "a task finds what the one before left (expected kept)"
pass "a task finds what the one before left"

# The money

as_key GET /api/credits
expect 200 "the balance"
is ".balance == $granted - 3 and .available == .balance and .held == 0" ||
  fail "three tasks cost three credits and hold none (expected a balance of $((granted - 3)))"
is '.granted == null or .balance == .granted - .charged' || fail "the balance is what was granted less what was charged"
pass "three tasks cost three credits and hold none: $granted - 3 = $((granted - 3))"

json=$(jq -n --arg session "$session" '{sessionId: $session, task: "true", timeoutSeconds: 86400}')
if ((granted - 3 < 1440)); then
  as_key POST /api/orchestrator "$json"
  expect_error 402 insufficient_credits "a task that would hold more than there is: 402"
  as_key GET /api/credits
  is '.held == 0' || fail "a refused task holds nothing"
fi

# What is refused

as_key GET /api/workflow/wf_00000000000000000000000000000000/status
expect_error 404 not_found "a task that is not there: 404"
as_key POST /api/orchestrator '{"sessionId": "ses_00000000000000000000", "task": "true"}'
expect_error 404 not_found "a session that is not there: 404"
as_key POST /api/orchestrator "$(jq -n --arg session "$session" '{sessionId: $session, task: "true", nonsense: 1}')"
expect_error 400 invalid_request "an unknown field: 400"

# The end

as_key DELETE "/api/orchestrator/session/$session"
expect 202 "close the session"
as_key DELETE "/api/orchestrator/session/$session"
expect 202 "closing twice is fine"
deadline=$((SECONDS + patience))
while as_key GET "/api/orchestrator/session/$session" && [[ $(get .status) == closing ]] && ((SECONDS < deadline)); do
  sleep 0.5
done
[[ $(get .status) == closed ]] || fail "the session is closed"
pass "the session is closed, reason $(get .reason)"
as_key POST /api/orchestrator "$(jq -n --arg session "$session" '{sessionId: $session, task: "true"}')"
expect_error 410 session_closed "a task for a closed session: 410"
session=''

if [[ -n $key_id ]]; then
  call POST /api/auth/api-key/delete "$(jq -n --arg id "$key_id" '{keyId: $id}')" "Authorization: Bearer $token"
  expect 200 "revoke the key"
  as_key GET /api/credits
  expect_error 401 unauthenticated "a revoked key: 401"
fi
