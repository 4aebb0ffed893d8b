from pathlib import Path

from longtake.job import job
from longtake.media.segment import write_window
from longtake.media.windows import Window

with job(snakemake) as it:
    facts = write_window(
        source=Path(it.input.video),
        index_path=Path(it.input.index),
        window=Window(**it.params.window),
        out=Path(it.output.video),
    )
    it.record(**facts)
