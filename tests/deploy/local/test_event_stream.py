"""Frames, as botocore's own decoder reads them."""

from __future__ import annotations

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.local.event_stream import encode, payload_part, stream_error


@settings(max_examples=30, deadline=None)
@given(
    st.dictionaries(st.text(min_size=1, max_size=30), st.text(max_size=100), max_size=5),
    st.binary(max_size=2000),
)
def test_a_frame_is_decoded_to_what_it_was(headers: dict[str, str], payload: bytes) -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(encode(headers, payload))
    (event,) = list(buffer)
    assert event.headers == headers
    assert event.payload == payload


def test_frames_may_arrive_in_any_pieces() -> None:
    stream = payload_part(b"one") + payload_part(b"") + stream_error("ModelStreamError", ErrorCode="StreamBroken")
    buffer = EventStreamBuffer()
    events = []
    for byte in stream:
        buffer.add_data(bytes([byte]))
        events += list(buffer)
    assert [event.payload for event in events[:2]] == [b"one", b""]
    assert events[2].headers[":exception-type"] == "ModelStreamError"


def test_a_changed_byte_is_noticed() -> None:
    frame = bytearray(payload_part(b"a payload"))
    frame[-6] ^= 1
    buffer = EventStreamBuffer()
    buffer.add_data(bytes(frame))
    with pytest.raises(Exception, match="Checksum mismatch"):
        list(buffer)
