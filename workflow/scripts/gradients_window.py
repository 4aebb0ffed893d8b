from longtake.gradients.window import analyse_window, asked, ladder
from longtake.job import job

with job(snakemake) as it:
    it.survive(
        analyse_window,
        ladder,
        video_path=it.input.video,
        index_path=it.input.index,
        window=it.window,
        detections_path=it.input.detections,
        **it.params.about,
        options=asked(it.params.options, it.resources),
        curves_out=it.output.curves,
        clips_out=it.output.clips,
        maps_out=it.output.maps,
        perturbations_out=it.output.perturbations,
        device=it.device(it.params.force_cpu),
        requested_mb=it.resources.get("mem_mb"),
    )
