"""Reading, indexing and writing video, exactly and in bounded memory.

``index.index_video`` demuxes a file once and knows every frame of it; ``reader.read_frames`` gives any ascending
choice of those frames, each found by its timestamp and never by counting. A folder of pictures is a video as well.
Nothing is imported here: the Snakefile reads ``windows`` in every job, and no decoder with it.
"""
