"""Where each thing lies in the table: partition and sort keys, and the two indexes.

| item | pk | sk |
|---|---|---|
| account, its credits | `USER#usr_…` | `USER`, `CREDIT` |
| its keys, sockets, ledger | `USER#usr_…` | `KEY#key_…`, `CONNECTION#address`, `LEDGER#time#id` |
| address of an account | `EMAIL#address` | `EMAIL` |
| what a secret opens (key, sign-in, ticket, invite) | `SECRET#hash` | `SECRET` |
| session, its environment, its tasks | `SESSION#…` | `SESSION`, `ENV`, `TASK#…` |
| what a task is to run, its log | `WORKFLOW#wf_…` | `INPUTS`, `LOG`, `CHUNK#offset` |
| what is written to it later | `WORKFLOW#wf_…` | `STDIN`, `STDIN#offset` |
| open socket | `CONNECTION#address` | `CONNECTION` |
| first answer to an Idempotency-Key | `IDEMPOTENCY#usr_…#key` | `IDEMPOTENCY` |
| sandboxes of the whole stack | `STACK` | `SANDBOXES` |
| tries of one origin within a window | `RATE#limit#who#window` | `RATE` |

Index `owner` lists an account's sessions and tasks by age; index `live` holds the sessions that are not over, for
reconcile. Both hold keys alone: what is shown is read from the table, and a change of status writes no index.
"""

from __future__ import annotations

from filepath import ids
from filepath.aws.table import Key

OWNER = "owner"
LIVE = "live"
LIVE_SESSIONS = "sessions"

STACK: Key = {"pk": "STACK", "sk": "SANDBOXES"}


def user_partition(user_id: str) -> str:
    return f"USER#{user_id}"


def user(user_id: str) -> Key:
    return {"pk": user_partition(user_id), "sk": "USER"}


def credit(user_id: str) -> Key:
    return {"pk": user_partition(user_id), "sk": "CREDIT"}


def api_key(user_id: str, key_id: str) -> Key:
    return {"pk": user_partition(user_id), "sk": f"KEY#{key_id}"}


def ledger_entry(user_id: str, at: int, entry_id: str) -> Key:
    return {"pk": user_partition(user_id), "sk": f"LEDGER#{at:013d}#{entry_id}"}


def user_connection(user_id: str, address: str) -> Key:
    return {"pk": user_partition(user_id), "sk": f"CONNECTION#{address}"}


def email(address: str) -> Key:
    return {"pk": f"EMAIL#{address}", "sk": "EMAIL"}


def secret(secret_hash: str) -> Key:
    return {"pk": f"SECRET#{secret_hash}", "sk": "SECRET"}


def session_partition(session_id: str) -> str:
    return "SESSION#" + session_id.removeprefix("ses_")


def session(session_id: str) -> Key:
    return {"pk": session_partition(session_id), "sk": "SESSION"}


def session_env(session_id: str) -> Key:
    return {"pk": session_partition(session_id), "sk": "ENV"}


def task(workflow_id: str) -> Key:
    partition = session_partition(ids.session_of(workflow_id))
    return {"pk": partition, "sk": "TASK#" + workflow_id[3 + ids.SESSION_CHARS :]}


def workflow_partition(workflow_id: str) -> str:
    return f"WORKFLOW#{workflow_id}"


def inputs(workflow_id: str) -> Key:
    return {"pk": workflow_partition(workflow_id), "sk": "INPUTS"}


def log(workflow_id: str) -> Key:
    return {"pk": workflow_partition(workflow_id), "sk": "LOG"}


def chunk(workflow_id: str, offset: int) -> Key:
    return {"pk": workflow_partition(workflow_id), "sk": chunk_sort_key(offset)}


def chunk_sort_key(offset: int) -> str:
    return f"CHUNK#{offset:014d}"


def stdin(workflow_id: str) -> Key:
    return {"pk": workflow_partition(workflow_id), "sk": "STDIN"}


def stdin_piece(workflow_id: str, offset: int) -> Key:
    return {"pk": workflow_partition(workflow_id), "sk": stdin_sort_key(offset)}


def stdin_sort_key(offset: int) -> str:
    return f"STDIN#{offset:014d}"


def connection(address: str) -> Key:
    return {"pk": f"CONNECTION#{address}", "sk": "CONNECTION"}


def rate(limit: str, who: str, window: int) -> Key:
    return {"pk": f"RATE#{limit}#{who}#{window}", "sk": "RATE"}


def idempotency(user_id: str, key: str) -> Key:
    return {"pk": f"IDEMPOTENCY#{user_id}#{key}", "sk": "IDEMPOTENCY"}
