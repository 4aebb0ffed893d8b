"""All models side by side: baselines on features, the leaderboard, and figures."""


# Models on features, and the controls that are such models: permuted labels, and what the container says.
rule training_baseline:
    input:
        features=of_shards("features"),
        folds=STUDY["folds"],
    output:
        model=f"{TRAINING}/{{model}}/fold-{{fold}}/model.safetensors",
        config=f"{TRAINING}/{{model}}/fold-{{fold}}/config.json",
        history=f"{TRAINING}/{{model}}/fold-{{fold}}/history.parquet",
        predictions=f"{TRAINING}/{{model}}/fold-{{fold}}/predictions.parquet",
    log:
        f"{OUT}/logs/training_baseline/{{model}}.{{fold}}.log",
    benchmark:
        f"{OUT}/benchmarks/training_baseline/{{model}}.{{fold}}.tsv"
    wildcard_constraints:
        model="|".join(ON_FEATURES) or "-",
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        mem_mb=per_try(1500),
    params:
        options=baseline_options,
        study=STUDY,
        folder=f"{TRAINING}/{{model}}/fold-{{fold}}",
        code=digest("longtake.training.baseline"),
    message:
        "Fit {wildcards.model}, fold {wildcards.fold}"
    script:
        "../workflow/scripts/training_baseline.py"


rule training_evaluate:
    input:
        EVERY,
    output:
        predictions=f"{TRAINING}/predictions.parquet",
        predictions_csv=f"{TRAINING}/predictions.csv",
        metrics=f"{TRAINING}/metrics.parquet",
        comparisons=f"{TRAINING}/comparisons.parquet",
        calibration=f"{TRAINING}/calibration.parquet",
        leaderboard=f"{TRAINING}/leaderboard.csv",
    log:
        f"{OUT}/logs/training_evaluate/training_evaluate.log",
    benchmark:
        f"{OUT}/benchmarks/training_evaluate/training_evaluate.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        mem_mb=per_try(2000),
    params:
        options=evaluate_options(),
        study=STUDY,
        results=lambda wildcards, output: os.path.dirname(output.leaderboard),
        code=digest("longtake.training.evaluate"),
    message:
        "Put all models side by side"
    script:
        "../workflow/scripts/training_evaluate.py"


rule training_figures:
    input:
        rules.training_evaluate.output,
        every("history.parquet", NETWORKS),
    output:
        directory(f"{TRAINING}/figures"),
    log:
        f"{OUT}/logs/training_figures/training_figures.log",
    benchmark:
        f"{OUT}/benchmarks/training_figures/training_figures.tsv"
    conda:
        "../envs/longtake.yaml"
    threads: 1
    resources:
        mem_mb=per_try(2000),
    params:
        results=lambda wildcards, output: os.path.dirname(output[0]),
        store=STUDY["store"],
        code=digest("longtake.training.figures"),
    message:
        "Draw what training came to"
    script:
        "../workflow/scripts/training_figures.py"


# Leaderboard, metrics, predictions and figures of all models.
rule training:
    input:
        rules.training_evaluate.output,
        rules.training_figures.output,


localrules:
    training,


takes_part(
    "training",
    active=bool(LABELLED),
    facts=lambda: {
        "networks": {name: settings.training.of(name) for name in NETWORKS},
        "folds": len(FITS),
        "videos": len(LABELLED),
        "classes": len({row.label for row in LABELLED}),
        "clips": len(LABELLED) * (1 + settings.training.augmentations) * settings.training.epochs,
        "options": settings.training.model_dump(),
    },
    targets=[rules.training.input] if LABELLED else [],
)
