"""TensorBoard's events and the file that holds them: written, read back, continued. No torch.

Values are written in the form of `SummaryWriter` of PyTorch, which TensorBoard brings up to date as
it reads them.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Mapping

import numpy as np
from google.protobuf.message import DecodeError
from PIL import Image
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.histogram_pb2 import HistogramProto
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import metadata, plugin_data_pb2, summary_v2
from tensorboard.plugins.hparams.api_pb2 import Status
from tensorboard.summary.writer.record_writer import RecordWriter

from ablate.result.histograms import Histogram

HEADER_BYTES, FOOTER_BYTES = 12, 4
HParam = str | int | float


def first_event(wall_time: float) -> Event:
    """What every file begins with."""
    return Event(wall_time=wall_time, file_version="brain.Event:2")


def scalars(values: Mapping[str, float | None], step: int, wall_time: float) -> Event:
    """One event with a scalar for each tag whose value is there."""
    given = [
        Summary.Value(tag=tag, simple_value=value)
        for tag, value in values.items()
        if value is not None
    ]
    return Event(wall_time=wall_time, step=step, summary=Summary(value=given))


def histograms(values: Mapping[str, Histogram], step: int, wall_time: float) -> Event:
    """One event with a histogram for each tag."""
    given = [Summary.Value(tag=tag, histo=_histogram(value)) for tag, value in values.items()]
    return Event(wall_time=wall_time, step=step, summary=Summary(value=given))


def _histogram(values: Histogram) -> HistogramProto:
    return HistogramProto(
        min=values.low,
        max=values.high,
        num=float(values.counts.sum()),
        sum=values.total,
        sum_squares=values.squares,
        bucket_limit=np.linspace(values.low, values.high, len(values.counts) + 1)[1:].tolist(),
        bucket=values.counts.tolist(),
    )


def picture(tag: str, png: bytes, step: int, wall_time: float) -> Event:
    """One event with an image, given as a PNG."""
    with Image.open(io.BytesIO(png)) as opened:
        width, height = opened.size
    shown = Summary.Image(width=width, height=height, colorspace=3, encoded_image_string=png)
    summary = Summary(value=[Summary.Value(tag=tag, image=shown)])
    return Event(wall_time=wall_time, step=step, summary=summary)


def session_start(settings: Mapping[str, HParam], group: str, wall_time: float) -> Event:
    """What HParams shows of a run. Runs of one group, which are seeds of one variant, are one row."""
    summary = summary_v2.hparams_pb(dict(settings), trial_id=group, start_time_secs=wall_time)
    return Event(wall_time=wall_time, summary=summary)


def session_end(*, succeeded: bool, wall_time: float) -> Event:
    """How a run has ended."""
    status = Status.STATUS_SUCCESS if succeeded else Status.STATUS_FAILURE
    end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=wall_time)
    value = Summary.Value(
        tag=metadata.SESSION_END_INFO_TAG,
        metadata=metadata.create_summary_metadata(
            plugin_data_pb2.HParamsPluginData(session_end_info=end)
        ),
        tensor=metadata.NULL_TENSOR,
    )
    return Event(wall_time=wall_time, summary=Summary(value=[value]))


def graph(definition: bytes, wall_time: float) -> Event:
    """One event with a network's graph, given as a serialised GraphDef."""
    return Event(wall_time=wall_time, graph_def=definition)


def encode(events: Iterable[Event]) -> bytes:
    """Events as records, ready to be put behind those of a file."""
    packed = io.BytesIO()
    writer = RecordWriter(packed)
    for event in events:
        writer.write(event.SerializeToString())
    return packed.getvalue()


def decode(content: bytes) -> tuple[list[Event], int]:
    """The events of a file, and where the last whole one ends: a process may have been killed
    while it wrote.
    """
    events: list[Event] = []
    end = 0
    while len(content) - end >= HEADER_BYTES:
        (length,) = struct.unpack_from("<Q", content, end)
        start = end + HEADER_BYTES
        if start + length + FOOTER_BYTES > len(content):
            break
        try:
            events.append(Event.FromString(content[start : start + length]))
        except DecodeError:
            break
        end = start + length + FOOTER_BYTES
    return events, end
