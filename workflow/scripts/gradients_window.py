from longtake.gradients.window import analyse_window, asked, ladder
from longtake.job import job

with job(snakemake) as job:
    job.survive(
        analyse_window,
        ladder,
        video_path=job.input.video,
        index_path=job.input.index,
        window=job.window,
        detections_path=job.input.detections,
        **job.params.about,
        options=asked(job.params.options, job.resources),
        curves_out=job.output.curves,
        clips_out=job.output.clips,
        maps_out=job.output.maps,
        perturbations_out=job.output.perturbations,
        device=job.device(job.params.force_cpu),
        requested_mb=job.resources.get("mem_mb"),
    )
