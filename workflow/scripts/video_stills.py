from pathlib import Path

from longtake.job import job
from longtake.report.stills import draw_stills
from longtake.windows import Window

with job(snakemake) as it:
    facts = draw_stills(
        video=it.wildcards["video"],
        video_path=Path(it.input.video),
        index_path=Path(it.input.index),
        windows=[Window(**window) for window in it.params.windows],
        detections=Path(it.input.detections),
        statistics=Path(it.input.statistics[0]).parent,
        species=it.params.species,
        stills_out=Path(it.output.stills),
        overview_out=Path(it.output.overview),
    )
    it.record(**facts)
