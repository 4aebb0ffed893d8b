from longtake.job import job
from longtake.media.cut import plan

with job(snakemake) as it:
    windows = plan(
        it.input.summaries,
        it.input.indexes,
        duration=it.params.duration,
        overlap=it.params.overlap,
        frame_interval=it.params.frame_interval,
        windows_out=it.output.windows,
        videos_out=it.output.videos,
        independent=it.params.independent,
    )
    it.record(windows=windows)
