from pathlib import Path

from longtake.export import WRITERS, Annotated
from longtake.job import job
from longtake.windows import Window

with job(snakemake) as it:
    windows = [Window(**window) for window in it.params.windows]
    files = [Path(it.input.video), Path(it.input.index), Path(it.input.detections)]
    facts = WRITERS[it.params.format](
        Annotated(it.wildcards["video"], *files, windows),
        frame_interval=it.params.frame_interval,
        categories=it.params.species,
        out=Path(it.output.file),
    )
    it.record(**facts)
