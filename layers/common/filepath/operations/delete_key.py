from __future__ import annotations

from filepath.access import Scope
from filepath.aws import accounts, sockets
from filepath.errors import NotFound
from filepath.operations.fields import KeyId
from filepath.operations.registry import Context, Model, operation


class DeleteKey(Model):
    key_id: KeyId


class KeyDeleted(Model):
    id: KeyId


@operation("POST", "/api/auth/api-key/delete", scope=Scope.KEYS_WRITE, errors=(NotFound,))
def delete_key(context: Context, request: DeleteKey) -> KeyDeleted:
    """Revoke an API key, at once, and close the sockets opened with it."""
    accounts.delete_key(context.caller.user_id, request.key_id)
    sockets.disconnect_credential(context.caller.user_id, request.key_id)
    return KeyDeleted(id=request.key_id)
