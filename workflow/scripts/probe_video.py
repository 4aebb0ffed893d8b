from longtake.job import job
from longtake.media.cut import probe

with job(snakemake) as it:
    facts = probe(
        it.wildcards["video"],
        it.input.video,
        it.output.summary,
        it.output.index,
        it.progress,
        picture_rate=it.params.picture_rate,
        stream=it.params.stream,
    )
    it.record(status=facts["status"], reason=facts["reason"])
