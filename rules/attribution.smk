"""Where a classifier of volumes looks: each volume probed, then explained by every method in one job of bounded memory."""


include: "attribution_inputs.smk"


rule attribution_probe:
    input:
        volume_files("path"),
    output:
        facts=f"{OUT}/probe/volumes/{{volume}}.json",
    log:
        f"{OUT}/logs/attribution_probe/{{volume}}.log",
    benchmark:
        f"{OUT}/benchmarks/attribution_probe/{{volume}}.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        mem_mb=per_try(1500),
    params:
        row=volume_row,
        options={name: EXPLAINING[name] for name in ("axes", "model_axes", "variable", "divide_by")},
        code=digest("longtake.volumes.probe"),
    message:
        "Look at volume {wildcards.volume}"
    script:
        "../workflow/scripts/attribution_probe.py"


rule attribution_volume:
    input:
        files=volume_files("path", "mask", "regions"),
        model=EXPLAINED,
        plan=wait_for_plan,
    output:
        results=f"{OUT}/attribution/{{volume}}/results.parquet",
        regions=f"{OUT}/attribution/{{volume}}/regions.parquet",
        curves=f"{OUT}/attribution/{{volume}}/curves.parquet",
    log:
        f"{OUT}/logs/attribution_volume/{{volume}}.log",
    benchmark:
        f"{OUT}/benchmarks/attribution_volume/{{volume}}.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        **asked(
            "attribution_volume",
            tile=settings.attribution.tile,
            gradient_mb=round(1024 * settings.attribution.memory_gb),
        ),
    params:
        row=volume_row,
        options=EXPLAINING,
        check=lambda wildcards: wildcards.volume in CHECKED,
        seed=settings.seed,
        force_cpu=settings.device.force_cpu,
        code=digest("longtake.attribution.volume", "longtake.attribution.ladder"),
    message:
        "Explain {wildcards.volume}: {resources.mem_mb} MB, {resources.runtime} min; {resources.plan}"
    script:
        "../workflow/scripts/attribution_volume.py"


takes_part(
    "attribution",
    active=bool(ATTRIBUTED),
    facts=lambda: {"volumes": list(ATTRIBUTED), "passes": settings.attribution.passes, "options": EXPLAINING},
    shapes=[lambda wildcards: PROBES],
    model=EXPLAINED,
    needs=PROBES,
)
