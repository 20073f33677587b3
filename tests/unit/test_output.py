"""Windows of a log: whatever the chunks it was stored in, any window gives exactly the bytes that it names."""

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from filepath import output
from filepath.protocol import Chunk, Run, Stream

STREAMS: Sequence[Stream] = ("stdout", "stderr")
RUNS = st.lists(st.tuples(st.sampled_from(STREAMS), st.binary(min_size=1, max_size=9)), min_size=1, max_size=5)


@st.composite
def logs(draw: st.DrawFn) -> list[Chunk]:
    """Any log in any split: consecutive chunks of a few runs each."""
    chunks, offset = [], 0
    for runs in draw(st.lists(RUNS, max_size=6)):
        data = b"".join(piece for _, piece in runs)
        chunks.append(Chunk(offset, tuple(Run(stream, len(piece)) for stream, piece in runs), data))
        offset += len(data)
    return chunks


def whole(chunks: Sequence[Chunk]) -> bytes:
    return b"".join(chunk.data for chunk in chunks)


def streams_of(chunks: Sequence[Chunk]) -> list[Stream]:
    """The stream of each byte."""
    return [run.stream for chunk in chunks for run in chunk.runs for _ in range(run.length)]


@given(logs(), st.integers(0, 250), st.integers(1, 250))
def test_any_window_of_any_split_of_a_log_gives_exactly_those_bytes(log: list[Chunk], after: int, limit: int) -> None:
    window = list(output.window(log, after, limit))
    assert whole(window) == whole(log)[after : after + limit]
    assert streams_of(window) == streams_of(log)[after : after + limit]
    assert all(chunk.data and sum(run.length for run in chunk.runs) == len(chunk.data) for chunk in window)


@given(logs(), st.integers(0, 250), st.integers(1, 250))
def test_a_window_begins_where_it_was_asked_to(log: list[Chunk], after: int, limit: int) -> None:
    place = after
    for chunk in output.window(log, after, limit):
        assert chunk.offset == place
        place = chunk.end


@given(logs(), st.integers(0, 250))
def test_what_is_before_an_offset_and_what_is_after_it_make_the_whole(log: list[Chunk], at: int) -> None:
    for chunk in log:
        before, after = output.until(chunk, at), chunk.from_offset(at)
        parts = [part for part in (before, after) if part.data]
        if chunk.offset < at < chunk.end:
            assert whole(parts) == chunk.data
            assert streams_of(parts) == streams_of([chunk])
        else:
            assert parts == [chunk]


@given(logs())
def test_pieces_are_the_log_with_neighbours_of_one_stream_joined(log: list[Chunk]) -> None:
    pieces = list(output.pieces(log))
    assert b"".join(piece.data for piece in pieces) == whole(log)
    assert [piece.stream for piece in pieces for _ in piece.data] == streams_of(log)
    assert all(one.stream != other.stream and one.end == other.offset for one, other in pairwise(pieces))


@given(logs(), st.sampled_from(STREAMS))
def test_the_pieces_of_one_stream_are_its_bytes_at_their_own_offsets(log: list[Chunk], wanted: Stream) -> None:
    data, streams = whole(log), streams_of(log)
    pieces = [piece for piece in output.pieces(log) if piece.stream == wanted]
    places = [place for piece in pieces for place in range(piece.offset, piece.end)]
    assert places == [place for place, stream in enumerate(streams) if stream == wanted]
    assert all(data[piece.offset : piece.end] == piece.data for piece in pieces)


@given(logs(), st.integers(1, 40))
def test_reading_on_from_where_each_window_ended_gives_the_whole(log: list[Chunk], limit: int) -> None:
    read, total = b"", len(whole(log))
    while len(read) < total:
        read += whole(list(output.window(log, len(read), limit)))
    assert read == whole(log)
