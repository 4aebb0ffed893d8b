from pathlib import Path

from longtake.job import job
from longtake.species.stills import draw_stills

with job(snakemake) as job:
    facts = draw_stills(
        video=job.wildcards["video"],
        video_path=Path(job.input.video),
        index_path=Path(job.input.index),
        windows=job.windows,
        detections=Path(job.input.detections),
        statistics=Path(job.input.statistics[0]).parent,
        species=job.params.species,
        stills_out=Path(job.output.stills),
        overview_out=Path(job.output.overview),
    )
    job.record(**facts)
