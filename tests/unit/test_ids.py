"""Ids: one is read from another, they sort by age, and a mistyped key is told from an unknown one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filepath import ids

ENTROPY = st.binary(min_size=32, max_size=32)
TIMES = st.integers(0, 2**45 - 1)


@given(TIMES, ENTROPY, TIMES, ENTROPY)
def test_a_tasks_id_tells_its_session(created: int, dice: bytes, submitted: int, other_dice: bytes) -> None:
    session = ids.session_id(created, dice)
    task = ids.task_id(session, submitted, other_dice)
    assert ids.session_of(task) == session
    assert ids.is_task(task)


@given(TIMES, ENTROPY)
def test_a_sessions_own_workflow_is_no_task_and_tells_its_session(created: int, dice: bytes) -> None:
    session = ids.session_id(created, dice)
    workflow = ids.session_workflow_id(session)
    assert ids.session_of(workflow) == session
    assert not ids.is_task(workflow)


@given(TIMES, ENTROPY, ENTROPY)
def test_every_id_has_the_form_that_it_is_checked_for(now: int, dice: bytes, other_dice: bytes) -> None:
    session = ids.session_id(now, dice)
    assert ids.SESSION_ID.fullmatch(session)
    assert ids.WORKFLOW_ID.fullmatch(ids.task_id(session, now, other_dice))
    assert ids.WORKFLOW_ID.fullmatch(ids.session_workflow_id(session))


@given(TIMES, TIMES, ENTROPY, ENTROPY)
def test_ids_sort_by_age(first: int, second: int, dice: bytes, other_dice: bytes) -> None:
    earlier, later = sorted((first, second))
    if earlier < later:
        assert ids.session_id(earlier, dice) < ids.session_id(later, other_dice)
        session = ids.session_id(0, dice)
        assert ids.task_id(session, earlier, dice) < ids.task_id(session, later, other_dice)


@given(ENTROPY)
def test_a_key_as_it_was_made_is_well_formed(dice: bytes) -> None:
    assert ids.is_well_formed_key(ids.api_key(dice))


@given(ENTROPY, st.data())
def test_a_key_with_any_one_character_changed_is_malformed(dice: bytes, data: st.DataObject) -> None:
    key = ids.api_key(dice)
    position = data.draw(st.integers(0, len(key) - 1))
    other = data.draw(st.sampled_from(ids.ALPHABET).filter(lambda character: character != key[position]))
    assert not ids.is_well_formed_key(key[:position] + other + key[position + 1 :])


@given(ENTROPY, st.integers(0, 44))
def test_a_key_with_two_neighbours_swapped_is_malformed(dice: bytes, at: int) -> None:
    key = ids.api_key(dice)
    position = len(ids.KEY_PREFIX) + at
    swapped = key[:position] + key[position + 1] + key[position] + key[position + 2 :]
    assert ids.is_well_formed_key(swapped) == (swapped == key)


@pytest.mark.parametrize("key", ["", "fp_", "fp_short", "fp_" + "o" * 46, "sk_" + "0" * 46])
def test_what_is_no_key_at_all_is_malformed(key: str) -> None:
    assert not ids.is_well_formed_key(key)


@given(ENTROPY)
def test_a_secrets_hash_is_its_own_and_does_not_show_it(dice: bytes) -> None:
    secret = ids.api_key(dice)
    assert ids.hashed(secret) == ids.hashed(secret) != ids.hashed(secret + "0")
    assert secret not in ids.hashed(secret)


@given(ENTROPY)
def test_what_is_derived_is_the_same_again_and_another_for_another_purpose(dice: bytes) -> None:
    secret = ids.api_key(dice)
    assert ids.derived(secret, "a") == ids.derived(secret, "a")
    assert ids.derived(secret, "a") != ids.derived(secret, "b")


@given(st.integers(0, 2**60 - 1))
def test_base_32_keeps_the_order_and_the_number(number: int) -> None:
    text = ids.base32(number, 12)
    assert len(text) == 12
    assert sum(ids.ALPHABET.index(digit) * 32**place for place, digit in enumerate(reversed(text))) == number
