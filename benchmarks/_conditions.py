"""Whether a storage keeps what is there: each write on the condition that the key is free."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from _storage import WRITERS, Answer, Property, Storage, race, refused

FIRST, SECOND = b"the first", b"the second"
FAILED = "412"
Contender = Callable[[str, bytes], Callable[[], None]]
"""Prepares a write of a key, and gives what writes it."""


def put(storage: Storage) -> Answer:
    key = storage.key()
    storage.put_new(key, FIRST)
    return _kept(storage, key, refused(partial(storage.put_new, key, SECOND)))


def completion(storage: Storage) -> Answer:
    key = storage.key()
    _completion(storage, key, FIRST)()
    return _kept(storage, key, refused(_completion(storage, key, SECOND)))


def copy_object(storage: Storage) -> Answer:
    source, key = storage.key(), storage.key()
    storage.put(source, SECOND)
    storage.put(key, FIRST)
    copy = partial(
        storage.client.copy_object,
        Bucket=storage.bucket,
        Key=key,
        CopySource={"Bucket": storage.bucket, "Key": source},
        IfNoneMatch="*",
    )
    return _kept(storage, key, refused(copy))


def one_part_copy(storage: Storage) -> Answer:
    first, second, key = storage.key("first"), storage.key("second"), storage.key()
    storage.put(first, FIRST)
    storage.put(second, SECOND)
    _copy(storage, key, first)()
    return _kept(storage, key, refused(_copy(storage, key, second)))


def source_match(storage: Storage) -> Answer:
    source, key = storage.key("source"), storage.key()
    tag = storage.put(source, FIRST)["ETag"]
    upload = storage.begin(key)
    stale = refused(
        partial(storage.part_copy, key, upload, source, CopySourceIfMatch=f'"{"0" * 32}"')
    )
    if not stale:
        return Answer(False, "another ETag was taken")
    part = storage.part_copy(key, upload, source, CopySourceIfMatch=tag)
    storage.complete(key, upload, [part])
    return Answer(storage.read(key) == FIRST, "" if stale.startswith(FAILED) else stale)


def put_race(storage: Storage) -> Answer:
    return _raced(storage, [_putting(storage)] * WRITERS)


def completion_race(storage: Storage) -> Answer:
    return _raced(storage, [partial(_completion, storage)] * WRITERS)


def mixed_race(storage: Storage) -> Answer:
    return _raced(storage, [_putting(storage), partial(_completion, storage)] * (WRITERS // 2))


def _putting(storage: Storage) -> Contender:
    return lambda key, body: partial(storage.put_new, key, body)


def _completion(storage: Storage, key: str, body: bytes) -> Callable[[], None]:
    upload, parts = storage.uploaded(key, body)
    return partial(storage.complete_new, key, upload, parts)


def _copy(storage: Storage, key: str, source: str) -> Callable[[], None]:
    upload = storage.begin(key)
    part = storage.part_copy(key, upload, source)
    return partial(storage.complete_new, key, upload, [part])


def _kept(storage: Storage, key: str, answer: str) -> Answer:
    if storage.read(key) != FIRST:
        return Answer(False, "overwrites, and says so" if answer else "overwrites in silence")
    if not answer:
        return Answer(False, "keeps it, and answers that it was written")
    return Answer(answer.startswith(FAILED), "" if answer.startswith(FAILED) else answer)


def _raced(storage: Storage, contenders: Sequence[Contender]) -> Answer:
    """In every round exactly one is told that it wrote, and what it wrote is there."""
    wrong = []
    for _ in range(storage.rounds):
        key = storage.key()
        bodies = [b"%d" % number for number in range(len(contenders))]
        acts = [prepare(key, body) for prepare, body in zip(contenders, bodies, strict=True)]
        ends = race(acts)
        winners = [body for body, end in zip(bodies, ends, strict=True) if not end]
        if len(winners) != 1:
            wrong.append(f"{len(winners)} winners")
        elif storage.read(key) != winners[0]:
            wrong.append("another's bytes")
    told = f"{len(wrong)} of {storage.rounds} rounds: {', '.join(sorted(set(wrong)))}"
    return Answer(not wrong, told if wrong else "")


CONDITIONS = (
    Property("put", "PUT: a second is refused", put, used=True),
    Property("put-race", f"the same, {WRITERS} racing: one wins", put_race, used=True),
    Property("completion", "multipart completion: a second is refused", completion, used=True),
    Property("completion-race", f"the same, {WRITERS} racing: one wins", completion_race),
    Property("mixed-race", "PUTs and completions racing: one wins", mixed_race),
    Property("copy-object", "CopyObject: a second is refused", copy_object),
    Property(
        "one-part-copy", "a copy as a multipart of one part: refused", one_part_copy, used=True
    ),
    Property(
        "source-match", "UploadPartCopy of a changed source: refused", source_match, used=True
    ),
)
