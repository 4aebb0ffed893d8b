from pathlib import Path

from longtake.job import job
from longtake.species.stills import draw_stills

with job(snakemake) as it:
    facts = draw_stills(
        video=it.wildcards["video"],
        video_path=Path(it.input.video),
        index_path=Path(it.input.index),
        windows=it.windows,
        detections=Path(it.input.detections),
        statistics=Path(it.input.statistics[0]).parent,
        species=it.params.species,
        stills_out=Path(it.output.stills),
        overview_out=Path(it.output.overview),
    )
    it.record(**facts)
