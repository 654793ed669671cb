"""Does a retrain learn what people correct? 200 corrections of one kind, against the champion that they were made on.

    python benchmarks/bench_feedback.py [--quick] [--home FOLDER] [--start warm|full|both] [--threads N]

The kind is an instruction that the demo's model never obeyed: a text that begins with "In one sentence:" shall get the
first sentence of its summary alone. The champion of conf/demo.yaml answers 200 such texts, the corrections are written
to the object store as a server writes them, and `mtl retrain` runs again with `uri: feedback` as one more source, from
the champion (`warm`) and from nothing (`full`). Champion and new version then answer texts of that kind whose documents
come from a seed of their own. `--quick` makes the warm start alone. --home: an MTL_HOME that has the demo's champion as
v1; it is changed. The last line is one JSON object; for each start

ratio       ROUGE-Lsum of the new version on held-out texts of the kind over the champion's
kind        both means, and the mean of the differences with its 95% paired bootstrap interval
ordinary    the deciding metric of each task on the ordinary held-out examples: the same, as the gate judged them
passed      whether the interval of the kind lies above 0, and no ordinary one wholly below 0
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from mtl.errors import NotFoundError
from mtl.evaluation.bootstrap import paired_intervals
from mtl.evaluation.report import EvalReport
from mtl.layout import release_prefix
from mtl.metrics.rouge import rouge_scores
from mtl.release.refs import resolve_ref
from mtl.serving.generate import load_generator
from mtl.settings import load_settings
from mtl.sources.demo.corpus import articles
from mtl.traffic.records import Feedback
from mtl.traffic.store import read_feedback, write_feedback
from mtl.workspace import Workspace, open_workspace

PROJECT = Path(__file__).parents[1]
MODEL = "mtl-flan-t5"
INSTRUCTION = "In one sentence:"
TAUGHT_SEED, HELD_OUT_SEED, SEED = 771_201, 771_202, 17
CORRECTIONS = 200
SHARE = 0.3
"""`data.mixture.feedback`."""
DECIDING = {"summarize": "rougeLsum", "mcq": "usable"}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="the warm start alone, on fewer held-out texts")
    parser.add_argument("--home", type=Path, help="MTL_HOME with the demo's champion as v1; default: a temporary one")
    parser.add_argument("--start", choices=("warm", "full", "both"), help="default: both")
    parser.add_argument("--threads", type=int, help="of the training; default: one for each core")
    options = parser.parse_args()
    start = options.start or ("warm" if options.quick else "both")
    held_out = 100 if options.quick else 200
    with tempfile.TemporaryDirectory(prefix="bench-feedback-") as folder:
        home = (options.home or Path(folder) / "home").absolute()
        values = yaml.safe_load((PROJECT / "conf" / "demo.yaml").read_text(encoding="utf-8"))
        values["train"] |= {"threads": options.threads}
        workspace = open_workspace(load_settings({"MTL_HOME": str(home)}))
        if not _has_champion(workspace):
            _retrain(home, Path(folder), values)
        if next(read_feedback(workspace.store, MODEL), None) is None:
            teach(workspace)
        values["data"]["sources"].append({"task": "summarize", "uri": "feedback"})
        values["data"]["mixture"]["feedback"] = SHARE
        found = {}
        for name in ("warm", "full") if start == "both" else (start,):
            values["train"] |= {"from": "v1" if name == "warm" else "scratch"}
            run = _retrain(home, Path(folder), values)
            found[name] = compared(workspace, run, held_out)
    document = {"benchmark": "feedback", "ratio": min(its["ratio"] for its in found.values()), **found}
    print(json.dumps(document | {"corrections": CORRECTIONS, "share": SHARE, "held_out": held_out}))


def kind(seed: int, count: int) -> list[tuple[str, str]]:
    """(text, the summary as it shall be) of some documents."""
    return [(f"{INSTRUCTION} {row['article']}", row["highlights"].splitlines()[0]) for row in articles(seed, count)]


def teach(workspace: Workspace) -> None:
    """The champion answers, and somebody corrects each answer."""
    taught = kind(TAUGHT_SEED, CORRECTIONS)
    for number, ((text, summary), answer) in enumerate(zip(taught, _answers(workspace, "v1", taught), strict=True)):
        opinion = Feedback(
            id=f"{number:032x}",
            at="2026-11-27T12:00:00Z",
            task="summarize",
            text=text,
            request={},
            answer=answer,
            version=1,
            verdict="corrected",
            origin="page",
            correction=summary,
        )
        write_feedback(workspace.store, MODEL, opinion)


def compared(workspace: Workspace, run: dict[str, Any], count: int) -> dict[str, Any]:
    """A retrain's version against the champion that people corrected."""
    texts = kind(HELD_OUT_SEED, count)
    names = {"champion": "v1", "candidate": f"v{run['version']}"}
    scores = {side: _scores(workspace, version, texts) for side, version in names.items()}
    (its,) = paired_intervals((scores["candidate"] - scores["champion"])[:, None], seed=SEED)
    report = EvalReport.from_json(
        json.loads(workspace.store.get(f"{release_prefix(MODEL, int(run['version']))}/report.json"))
    )
    ordinary: dict[str, dict[str, Any]] = {
        task: {
            "metric": metric,
            "champion": report.mean("champion", task, metric),
            "candidate": report.mean("candidate", task, metric),
            "interval": [found.low, found.high],
            "n": found.n,
        }
        for task, metric in DECIDING.items()
        if (found := report.comparison("champion", task, metric)) is not None
    }
    means = {side: float(values.mean()) for side, values in scores.items()}
    not_worse = len(ordinary) == len(DECIDING) and all(found["interval"][1] >= 0 for found in ordinary.values())
    counts = run["dataset"]["counts"]
    return {
        "ratio": round(means["candidate"] / max(1e-9, means["champion"]), 4),
        "kind": {**means, "difference": its.difference, "interval": [its.low, its.high], "n": its.n},
        "ordinary": ordinary,
        "rows_of_people": {task: splits["train"]["feedback"] for task, splits in counts.items()},
        "steps": run["train"]["steps"],
        "promoted": run["decision"]["promoted"],
        "seconds": run["wall"],
        "cpu_seconds": run["cpu"],
        "passed": {"kind learned": its.low > 0, "ordinary not shown to be worse": not_worse},
    }


def _scores(workspace: Workspace, version: str, texts: list[tuple[str, str]]) -> Any:
    answers = _answers(workspace, version, texts)
    return np.array(
        [
            rouge_scores(answer.removeprefix("Summary:").strip(), wanted)["rougeLsum"]
            for answer, (_, wanted) in zip(answers, texts, strict=True)
        ]
    )


def _answers(workspace: Workspace, version: str, texts: list[tuple[str, str]]) -> list[str]:
    folder = resolve_ref(version, store=workspace.store, model=MODEL, cache=workspace.cache).folder
    found = load_generator(folder).generate([text for text, _ in texts], "summarize", truncate=True)
    return [answer.text for answer in found]


def _has_champion(workspace: Workspace) -> bool:
    try:
        resolve_ref("v1", store=workspace.store, model=MODEL, cache=workspace.cache)
    except NotFoundError:
        return False
    return True


def _retrain(home: Path, folder: Path, values: dict[str, Any]) -> dict[str, Any]:
    """What `mtl retrain --json` says, with its wall and CPU time. Errors: SystemExit with the end of its output."""
    path = folder / "conf.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    environment = {**os.environ, "MTL_HOME": str(home)}
    for name in ("MTL_STORE", "MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
        environment.pop(name, None)
    began, before = time.monotonic(), os.times()
    command = [sys.executable, "-m", "mtl.cli", "retrain", "-c", str(path), "--json"]
    done = subprocess.run(command, env=environment, cwd=PROJECT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"mtl retrain failed:\n{done.stderr[-3000:]}\n{done.stdout[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    print(f"version {found['version']}: {time.monotonic() - began:.0f} s, {used:.0f} s of CPU time", file=sys.stderr)
    return found | {"wall": round(time.monotonic() - began, 1), "cpu": round(used, 1)}


if __name__ == "__main__":
    main()
