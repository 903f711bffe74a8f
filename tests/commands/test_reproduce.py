"""Every study has a claim; the page says what was measured; what is finished is not run again."""

import base64
import json
import math
import pathlib
import sys

import pytest

import sntorch as snt
from sntorch.commands import reproduce as command
from sntorch.commands.page import Chapter, page
from sntorch.commands.reproduce import reproduce
from sntorch.studies.claims import CLAIMS, judge
from sntorch.studies.findings import Finding

NAMES = ("memory_capacity", "sleep_cycle")
RESULTS = {
    "memory_capacity": {"peak/exponent": -0.05},
    "sleep_cycle": {"barrier": 2.0, "entropy_production": 1.0},
}
SCRIPT = """
import json, pathlib, sys
name = sys.argv[1].partition("=")[2].rpartition("/")[2]
folder = pathlib.Path(sys.argv[2].partition("=")[2])
print(name, "runs", flush=True)
result = json.loads(sys.argv[-1]).get(name)
if result is None:
    sys.exit("it fails")
(folder / "result.json").write_text(json.dumps(result))
(folder / "table.txt").write_text("a < b")
(folder / "report.png").write_bytes(b"PNG")
"""


@pytest.fixture
def studies(monkeypatch):
    """Replace the studies by a process that writes what it is told to."""
    start, results = command.subprocess.Popen, dict(RESULTS)

    def instead(words, **options):
        known = [sys.executable, "-c", SCRIPT, *words[3:5], json.dumps(results)]
        return start(known, **options)

    monkeypatch.setattr(command.subprocess, "Popen", instead)
    return results


def test_every_study_has_a_claim():
    conf = pathlib.Path(snt.config_dir()) / "experiment"
    files = [*conf.glob("studies/*.yaml"), conf / "edge" / "flossing.yaml"]
    assert set(CLAIMS) == {str(f.relative_to(conf).with_suffix("")) for f in files}
    assert all(each.source and each.text.endswith(".") for each in CLAIMS.values())


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_without_numbers_is_not_agreed_to(name):
    assert not all(each.agrees for each in judge(name, {}))


def test_claims_are_judged_by_numbers():
    route = {"max/1": -0.0134, "max/1.1": 0.0, "max/1.4": 0.0197}
    assert all(each.agrees for each in judge("studies/route_to_chaos", route))
    wrong = judge("studies/route_to_chaos", route | {"max/1.4": 0.03})
    assert [each.agrees for each in wrong] == [True, True, False]
    lost = judge("studies/route_to_chaos", route | {"max/1": math.nan})
    assert [each.agrees for each in lost] == [False, True, True]
    falling = {"distance/100": 0.04, "distance/200": 0.02, "distance/800": 0.01}
    assert all(each.agrees for each in judge("studies/mean_field_lyapunov", falling))
    rising = judge("studies/mean_field_lyapunov", falling | {"distance/400": 0.03})
    assert [each.agrees for each in rising] == [False, True]
    with pytest.raises(ValueError, match="name: expected one of studies/route_to_chaos"):
        judge("nothing", {})


def test_the_page_needs_no_other_file_and_escapes_what_it_shows():
    words = {"source": "A & B", "claim": "x < y.", "table": "<b>", "seconds": 3.0}
    finding = Finding("number <i>", "1", "> 0", True)
    good = Chapter(name="studies/a_b", findings=[finding], picture=b"bytes", **words)
    bad = Chapter(name="c", findings=[finding, Finding("", "", "", False)], picture=None, **words)
    none = Chapter(name="d", findings=[], picture=None, **words)
    assert [each.verdict for each in (good, bad, none)] == ["agrees", "disagrees", "not finished"]
    text = page([good, bad, none])
    assert "1 of 3 studies agree" in text
    assert base64.b64encode(b"bytes").decode() in text
    assert "<b>" not in text
    assert "number &lt;i&gt;" in text
    assert 'src="data:' in text
    assert "http" not in text


def test_studies_are_run_judged_and_kept(studies, tmp_path, capsys):
    words = [*NAMES, "--output", str(tmp_path)]
    assert reproduce(words) == 0
    assert capsys.readouterr().out.count("agrees") == 2
    text = (tmp_path / "index.html").read_text()
    assert "2 of 2 studies agree" in text
    assert "a &lt; b" in text
    studies["memory_capacity"] = {"peak/exponent": 0.5}
    assert reproduce(words) == 0  # it is finished and kept
    assert reproduce([*words, "--again"]) == 1
    assert "disagrees    studies/memory_capacity" in capsys.readouterr().out


def test_a_failed_study_shows_its_last_words_and_is_run_again(studies, tmp_path, capsys):
    result = studies.pop("sleep_cycle")
    words = [*NAMES, "--output", str(tmp_path), "--jobs", "1"]
    assert reproduce(words) == 1
    assert "not finished studies/sleep_cycle" in capsys.readouterr().out
    assert "it fails" in (tmp_path / "index.html").read_text()
    studies["sleep_cycle"] = result
    assert reproduce(words) == 0


def test_wrong_words_are_named(tmp_path, capsys):
    assert reproduce(["nothing", "--output", str(tmp_path)]) == 1
    assert "names: expected some of route_to_chaos" in capsys.readouterr().err
    assert reproduce(["--jobs", "0", "--output", str(tmp_path / "x")]) == 1
    assert not (tmp_path / "x").exists()
