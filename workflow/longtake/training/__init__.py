"""Training of clip classifiers on folds: clips made once, no leak, exact accumulation, resumed to the same bytes."""
