"""Scopes: what a caller may do, and what one is told who may not."""

import pytest

from filepath.access import ALL_SCOPES, DEFAULT_KEY_SCOPES, Caller, Scope
from filepath.errors import Forbidden


@pytest.mark.parametrize("scope", Scope)
def test_a_caller_may_do_what_its_scopes_name_and_nothing_else(scope: Scope) -> None:
    Caller("usr_a", "key_a", frozenset({scope})).require(scope)
    with pytest.raises(Forbidden) as refused:
        Caller("usr_a", "key_a", ALL_SCOPES - {scope}).require(scope)
    assert refused.value.details == {"missing": [str(scope)]}
    assert str(scope) in refused.value.message


def test_an_operation_without_a_scope_is_open_to_every_caller() -> None:
    Caller("usr_a", "key_a", frozenset()).require(None)


def test_a_key_makes_no_keys_unless_it_was_made_for_that() -> None:
    assert ALL_SCOPES.difference(DEFAULT_KEY_SCOPES) == {Scope.KEYS_WRITE}


def test_a_callers_secret_is_not_shown_when_the_caller_is() -> None:
    assert "fp_secret" not in repr(Caller("usr_a", "key_a", ALL_SCOPES, secret="fp_secret"))
