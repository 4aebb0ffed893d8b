"""The windows as files of their own, for those who want files: no analysis reads them, and `all` does not make them."""


rule window_file:
    input:
        video=ancient(video_of),
        index=ancient(f"{OUT}/probe/{{video}}.index.parquet"),
        windows=wait_for_windows,
    output:
        video=f"{OUT}/segments/{{video}}/window-{{window}}.mp4",
    log:
        f"{OUT}/logs/window_file/{{video}}.{{window}}.log",
    benchmark:
        f"{OUT}/benchmarks/window_file/{{video}}.{{window}}.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        mem_mb=per_try(1500),
    params:
        source=lambda wildcards: cut().sources[wildcards.video],
        window=cut_window,
        code=digest("longtake.media.segment"),
    message:
        "Write the frames of {wildcards.video}, window {wildcards.window}, to a file"
    script:
        "../workflow/scripts/window_file.py"


# Every window of every readable video as an MP4.
rule segments:
    input:
        lambda wildcards: [
            f"{OUT}/segments/{video}/window-{window.window:04d}.mp4" for video in cut() for window in cut()[video]
        ],


localrules:
    segments,
