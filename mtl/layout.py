"""Layout: every key of the object store and every file below MTL_HOME, named in one place.

datasets/{fingerprint}/...                     a data set: files, then manifest.json last
runs/{identity}/log/..., manifests/, blobs/    checkpoints, see mtl.checkpoints
runs/{identity}/result.json                    the result of a finished training
runs/{identity}/record.json                    the loss of each of its steps, and what was installed
runs/{identity}/evaluation/...                 its report, the scores of single examples, its week (rotation),
                                               which logged texts judge it
runs/{identity}/judged/{rules}.json            what became of it under one evaluation and gate
starts/{question}.json                         the adapter that a retrain starts from, see mtl.pipeline.warm_start
releases/{model}/v{n}/...                      a release: files, then model.sig if it is signed, manifest.json last
releases/{model}/decisions/v{n}/{asked}.json   the decision about a version, see mtl.pipeline.gate
releases/{model}/log/{seq}.json                the journal of champions, see mtl.release.journal
predictions/{subject}/{call}.json              answers that models gave, see mtl.evaluation.kept
told/{model}/{event}/{key}                     marks of events that people were notified of
traffic/{model}/requests/{day}/{server}-{n}.parquet  the request log of the servers, see mtl.traffic
traffic/{model}/feedback/{answer}.json         what people said of answers
traffic/{model}/served/{hour}/{server}.json    counts of what each version served
drift/{model}/{day}/report.json, page.html     the last comparison of a day with the champion's training data
"""

from __future__ import annotations

import re
from pathlib import Path

from mtl.errors import InputError

DATASETS, RUNS, RELEASES, PREDICTIONS = "datasets/", "runs/", "releases/", "predictions/"
TRAFFIC = "traffic/"
MANIFEST = "manifest.json"
"""The last file of a data set or a release: without it there is none."""
SIGNATURE = "model.sig"
"""The signature of a release, over all its files and the manifest."""
PROVENANCE = "provenance/"
"""Below a release, the files that say how to train it again."""
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def dataset_prefix(fingerprint: str) -> str:
    return f"{DATASETS}{fingerprint}"


def dataset_manifest_key(fingerprint: str) -> str:
    return f"{dataset_prefix(fingerprint)}/{MANIFEST}"


def run_prefix(identity: str) -> str:
    """Where a run is kept."""
    return f"{RUNS}{identity}"


def blob_key(identity: str, sha256: str) -> str:
    """A file of a checkpoint, by its content."""
    return f"{run_prefix(identity)}/blobs/{sha256}"


def result_key(identity: str) -> str:
    return f"{run_prefix(identity)}/result.json"


def record_key(identity: str) -> str:
    """What a finished training leaves for whoever repeats it."""
    return f"{run_prefix(identity)}/record.json"


def report_key(identity: str) -> str:
    return f"{run_prefix(identity)}/evaluation/report.json"


def scores_key(identity: str) -> str:
    return f"{run_prefix(identity)}/evaluation/scores.parquet"


def rotation_key(identity: str) -> str:
    """The week whose part of the examples judges a run."""
    return f"{run_prefix(identity)}/evaluation/rotation.json"


def traffic_sample_key(identity: str, asked: str) -> str:
    """Which logged texts judge a run. asked: hash of what was asked for."""
    return f"{run_prefix(identity)}/evaluation/traffic/{asked}.json"


def outcome_key(identity: str, rules: str) -> str:
    """What became of a run. rules: hash of the evaluation and the gate that it went through."""
    return f"{run_prefix(identity)}/judged/{rules}.json"


def start_key(question: str) -> str:
    """Which adapter a retrain starts from. question: hash of the retrain."""
    return f"starts/{question}.json"


def check_model_name(model: str) -> str:
    """`model`, or InputError if it is no name of a registered model."""
    if not _MODEL.fullmatch(model) or ".." in model:
        raise InputError(f"bad model name {model!r}", hint="letters, digits and . _ -, e.g. mtl-flan-t5")
    return model


def model_prefix(model: str) -> str:
    return f"{RELEASES}{check_model_name(model)}"


def release_prefix(model: str, version: int) -> str:
    return f"{model_prefix(model)}/v{version}"


def release_manifest_key(model: str, version: int) -> str:
    return f"{release_prefix(model, version)}/{MANIFEST}"


def decision_key(model: str, version: int, asked: str) -> str:
    """The final decision about a version. asked: hash of what was decided about."""
    return f"{model_prefix(model)}/decisions/v{version}/{asked}.json"


def journal_prefix(model: str) -> str:
    return f"{model_prefix(model)}/log"


def last_entry_key(model: str) -> str:
    return f"{model_prefix(model)}/last-entry.json"


def predictions_prefix(subject: str) -> str:
    """Answers of one model. subject: hash of the model and of what computes with it."""
    return f"{PREDICTIONS}{subject}"


def mark_key(model: str, event: str, key: str) -> str:
    return f"told/{model}/{event}/{key}"


def requests_prefix(model: str) -> str:
    """The request log: a folder for each day, such as 2026-01-31, with Parquet parts."""
    return f"{TRAFFIC}{check_model_name(model)}/requests"


def request_part_key(model: str, day: str, server: str, number: int) -> str:
    """A part. server: its name, a new one with every start."""
    return f"{requests_prefix(model)}/{day}/{server}-{number}.parquet"


def feedback_prefix(model: str) -> str:
    """Feedback: one document for each answer, or for each of its questions."""
    return f"{TRAFFIC}{check_model_name(model)}/feedback"


def served_prefix(model: str) -> str:
    """Counts of what each version served: a folder for each hour, such as 2026-01-31T17."""
    return f"{TRAFFIC}{check_model_name(model)}/served"


def drift_prefix(model: str, day: str) -> str:
    """What was found on a day, such as 2026-01-31, when new texts were compared with the champion's training data."""
    return f"drift/{check_model_name(model)}/{day}"


def home_store(home: Path) -> Path:
    """The object store, where MTL_STORE names no other."""
    return home / "store"


def home_cache(home: Path) -> Path:
    """Local copies of objects; safe to delete."""
    return home / "cache"


def home_mlflow(home: Path) -> Path:
    """MLflow's database, where MLFLOW_TRACKING_URI names no other; its artifacts stand beside it."""
    return home / "mlflow.db"


def home_mlflow_artifacts(home: Path) -> Path:
    return home / "mlflow-artifacts"


def home_prefect(home: Path) -> Path:
    return home / "prefect"


def home_stack(home: Path) -> Path:
    """State of the services of `mtl stack`."""
    return home / "stack"


def home_training(home: Path) -> Path:
    """Folders of trainers at work."""
    return home / "train"


def home_reproduce(home: Path) -> Path:
    """Folders of trainings that `mtl reproduce` repeats."""
    return home / "reproduce"


def home_metrics(home: Path) -> Path:
    """Metrics that MLflow did not take yet, one file a run."""
    return home / "metrics"


def home_curve(home: Path, configuration: str) -> Path:
    return home / "curves" / configuration / "learning-curve.png"


def home_ending(home: Path, configuration: str) -> Path:
    """How the last training of a configuration ended."""
    return home / "last-words" / f"{configuration}.json"


def home_report(home: Path, model: str, version: int) -> Path:
    return home / "reports" / f"{model}-v{version}.html"


def home_drift(home: Path, model: str) -> Path:
    """The page of the last comparison."""
    return home / "reports" / f"{model}-drift.html"


def home_times(home: Path, flow_run: str) -> Path:
    """Times of the steps of a flow run that is not over."""
    return home / "timings" / f"{flow_run}.jsonl"


def home_serving(home: Path) -> Path:
    """How far each server of this machine has written its request log, while it runs."""
    return home / "serving"


def home_webhooks(home: Path) -> Path:
    """Webhooks that were received."""
    return home / "webhooks"
