"""Damaged claims and profiles: decided, or refused in one bounded message that names the file."""

import json
import random
from pathlib import Path

import yaml
from mutate import as_json, count, mutated_bytes, mutated_data

from eibench.errors import LONGEST_LINE, MOST_LINES, UserError
from eibench.plan.claims import read_claims
from eibench.report.model.claim_results import agreement
from eibench.report.model.claims import ClaimEvidence
from eibench.report.model.claims_document import claims_document
from eibench.report.writers import write
from tests.report.conftest import FakeSuite

RESULTS = Path("results")
FORMATS = ("table", "markdown", "json")
CLAIMS = """\
claims:
- id: shallow
  group: depth
  text: "{difference} points ({low} to {high}), {mean} ± {std}"
  suite: depth_scaling
  metric: test_accuracy
  cells:
    shallow: {method: ei, model.depth: 4}
  control: {method: batchnorm}
  relation: within
  margin: 1.5
  n: 3
- id: all
  text: "{a.share} and {b.share}"
  suite: depth_scaling
  compare: share_trained
  cells: {a: {method: ei}, b: {method: batchnorm}}
  relation: above
  bound: 1
- id: cost
  text: "{ratio} times"
  profile: vgg8
  compare: profile_ratio
  cells: {a: {method: ei}}
  control: {method: batchnorm}
  relation: any
"""
ROW = {"step_seconds": {"median": 0.3}, "ratio": 1.4, "peak_mib": 90.0}
PROFILE = {
    "device": "cpu",
    "environment": {"cpu": "Abacus", "commit": "0123456789"},
    "steps": 20,
    "reference": "batchnorm",
    "rows": [{"name": "ei", **ROW}, {"name": "batchnorm", **ROW}],
}


def read(claims, i):
    results = ClaimEvidence([RESULTS]).decide(read_claims(claims))
    text = write(
        [claims_document(results, list(map(agreement, results, results)))],
        FORMATS[i % len(FORMATS)],
    )
    assert text.replace("\n", "").isprintable()
    text.encode()


def check_refusal(error, name):
    text = str(error)
    lines = text.split("\n")
    assert name in text, text
    assert len(lines) <= MOST_LINES + 1
    assert all(line and line.isprintable() and len(line) <= LONGEST_LINE for line in lines), text


def test_damaged_claims_are_decided_or_refused(tmp_path):
    suite = FakeSuite(tmp_path / "results")
    suite.seeds([97.0, 98.0, 96.0], "ei", result={"test_images": 360, "classes": 10})
    suite.seeds([98.0, 98.5, 97.0], "batchnorm")
    profile = RESULTS / "performance" / "vgg8.json"
    profile.parent.mkdir()
    profile.write_text(json.dumps(PROFILE))
    claims = Path("claims.yaml")
    claims.write_text(CLAIMS)
    read(claims, 0)
    refused = 0
    for i in range(count(200)):
        chance = random.Random(i)
        path, whole = (claims, CLAIMS) if i % 4 else (profile, json.dumps(PROFILE))
        if chance.random() < 0.5:
            path.write_bytes(mutated_bytes(whole.encode(), chance))
        else:
            path.write_bytes(as_json(mutated_data(yaml.safe_load(whole), chance)))
        try:
            read(claims, i)
        except UserError as error:
            refused += 1
            check_refusal(error, path.name)
        except BaseException as error:
            error.add_note(f"damage {i}")
            raise
        path.write_text(whole)
    assert refused > count(200) / 3
