"""Pictures of each volume on one scale, its maps in the formats of the field, and the figures of the study."""

SHOWING = "axes model_axes variable overlay_slices overlay_alpha formats region_names".split()


rule attribution_pictures:
    input:
        volume_files("path"),
        results=f"{OUT}/attribution/{{volume}}/results.parquet",
        facts=f"{OUT}/probe/volumes/{{volume}}.json",
        findings=f"{OUT}/reports/attribution_results.json",
    output:
        made=f"{OUT}/attribution/pictures/{{volume}}.json",
    log:
        f"{OUT}/logs/attribution_pictures/{{volume}}.log",
    benchmark:
        f"{OUT}/benchmarks/attribution_pictures/{{volume}}.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        mem_mb=per_try(2000),
    params:
        row=volume_row,
        options={name: getattr(settings.attribution, name) for name in SHOWING},
        code=digest("longtake.attribution.pictures"),
    message:
        "Overlays and exports of {wildcards.volume}"
    script:
        "../workflow/scripts/attribution_pictures.py"


rule attribution_figures:
    input:
        findings=f"{OUT}/reports/attribution_results.json",
        results=expand(f"{OUT}/attribution/{{volume}}/results.parquet", volume=ATTRIBUTED),
        probes=PROBES,
    output:
        summary=f"{OUT}/figures/attribution/summary.png",
    log:
        f"{OUT}/logs/attribution_figures/attribution_figures.log",
    benchmark:
        f"{OUT}/benchmarks/attribution_figures/attribution_figures.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        mem_mb=per_try(2000),
    params:
        rows=lambda wildcards: [{**asdict(row), "row": 0} for row in ATTRIBUTED.values()],
        options={name: getattr(settings.attribution, name) for name in SHOWING},
        code=digest("longtake.attribution.figures"),
    message:
        "Figures of the study of volumes"
    script:
        "../workflow/scripts/attribution_figures.py"


ATTRIBUTION = [f"{OUT}/attribution/results.csv", f"{OUT}/figures/attribution/summary.png"]
ATTRIBUTION += [f"{OUT}/attribution/pictures/{volume}.json" for volume in ATTRIBUTED]


# Maps, tables, pictures and figures of every volume.
rule attribution:
    input:
        REQUESTS,
        ATTRIBUTION,


localrules:
    attribution,


wanted("attribution", *ATTRIBUTION)
