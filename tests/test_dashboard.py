"""The dashboard of a run: what TensorBoard serves, and what a browser makes of it."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1400,1600",
    "--virtual-time-budget=25000",
]
TABS = ("scalars", "custom_scalars", "images", "distributions", "text", "hparams")
WRONG = ("Failed to fetch", "No dashboards are active", "TensorBoard encountered an error")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Return the address of a TensorBoard that shows a tiny run."""
    folder = tmp_path_factory.mktemp("run")
    words = ["experiment=quick", "callbacks.flux.steps=40", f"hydra.run.dir={folder}"]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "sntorch.cli", *words],
        capture_output=True, text=True, env=env, timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "tensorboard.main", f"--logdir={folder}", "--host=127.0.0.1",
         f"--port={port}", "--load_fast=false"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        wait(address)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=30)


def get(address, path):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{address}/data/{path}", timeout=60) as answer:
        return json.loads(answer.read())


def wait(address):
    deadline = time.monotonic() + 120
    while True:
        try:
            if get(address, "plugin/custom_scalars/layout"):
                return
        except (OSError, ValueError):
            pass
        assert time.monotonic() < deadline, "TensorBoard did not start"
        time.sleep(0.3)


def tags(address, plugin):
    return {tag for run in get(address, f"plugin/{plugin}/tags").values() for tag in run}


@pytest.mark.slow
def test_every_tag_and_chart_is_served(server):
    scalars = tags(server, "scalars")
    for monitor, names in {
        "lyapunov": ("max", "1", "8"),
        "spectrum": ("radius", "circular_law"),
        "flux": ("entropy_production_per_neuron", "irreversibility"),
        "train": ("loss",),
        "val": ("loss", "accuracy"),
        "test": ("accuracy", "lyapunov/max"),
        "hp": ("test/accuracy", "lyapunov/max"),
    }.items():
        assert {f"{monitor}/{name}" for name in names} <= scalars
    assert "flux/contraction_rate" not in scalars  # there is none of a noisy network
    assert tags(server, "histograms") == {"spectrum/eigenvalue_modulus"}
    assert {"lyapunov/figure", "spectrum/figure", "flux/figure/field"} <= tags(server, "images")
    assert any("summary" in tag for run in get(server, "plugin/text/tags").values() for tag in run)
    layout = get(server, "plugin/custom_scalars/layout")
    charts = {c["title"]: [chart["title"] for chart in c["chart"]] for c in layout["category"]}
    assert charts == {
        "learning": ["loss", "accuracy"],
        "lyapunov": ["exponents"],
        "spectrum": ["radius, measured and predicted"],
        "flux": ["entropy production per neuron", "irreversibility"],
    }


@pytest.mark.slow
@pytest.mark.parametrize("tab", TABS)
def test_a_browser_shows_no_error(server, tab, tmp_path):
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("no chromium")
    shown = subprocess.run(
        [browser, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom",
         f"{server}/?forceSVG=true#{tab}"],
        capture_output=True, text=True, timeout=200,
    ).stdout  # fmt: skip
    assert "<tb-webapp" in shown
    for sentence in WRONG:
        assert sentence not in shown
