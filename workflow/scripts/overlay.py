from pathlib import Path

from longtake.export.overlay import write_overlay
from longtake.job import job

with job(snakemake) as it:
    it.run(
        write_overlay,
        video_path=Path(it.input.video),
        index_path=Path(it.input.index),
        detections=Path(it.input.detections),
        windows=it.windows,
        frame_interval=it.params.frame_interval,
        species=it.params.species,
        width=it.params.width,
        out=Path(it.output.video),
    )
