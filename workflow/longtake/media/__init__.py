"""Reading, indexing and writing video, exactly and in bounded memory.

``index_video`` demuxes a file once and knows every frame of it; ``read_frames`` gives any ascending
choice of those frames, each found by its timestamp and never by counting. A folder of pictures is a
video as well.
"""

from longtake.media.flow import flow, flow_magnitude
from longtake.media.index import PICTURE_RATE, VideoIndex, index_video
from longtake.media.index_file import load_index, load_times, save_index
from longtake.media.probe import probe_video
from longtake.media.reader import Frame, read_frames
from longtake.media.writer import write_video

__all__ = [
    "PICTURE_RATE",
    "Frame",
    "VideoIndex",
    "flow",
    "flow_magnitude",
    "index_video",
    "load_index",
    "load_times",
    "probe_video",
    "read_frames",
    "save_index",
    "write_video",
]
