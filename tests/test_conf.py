"""Every configuration composes, names real arguments, and builds what it says."""

import copy
import functools
import importlib
import inspect
import pathlib
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException, InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf

import sntorch
from sntorch import training

CONF = pathlib.Path(sntorch.config_dir())


def choices(group):
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


OVERRIDES = [
    [],
    *[[f"{group}={name}"] for group in ("task", "model", "callbacks", "logger", "trainer")
      for name in choices(group)],
    *[[f"coupling@cell.J={name}"] for name in choices("coupling")],
    *[[f"experiment={name}"] for name in choices("experiment")],
    ["model=gru", "task=digits_rows", "callbacks=none"],
    ["task=copy", "callbacks=[monitors,early_stopping,averaging]"],
]  # fmt: skip


def composed(overrides):
    return copy.deepcopy(composed_once(tuple(overrides)))


@functools.cache
def composed_once(overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", overrides=list(overrides))
    # Hydra itself, and what only a running job knows, are left out.
    OmegaConf.set_struct(cfg, False)
    cfg.logger = {}
    return cfg


def nodes(cfg):
    if OmegaConf.is_dict(cfg):
        if "_target_" in cfg:
            yield cfg
        for value in cfg.values():
            yield from nodes(value)


@pytest.mark.parametrize("overrides", OVERRIDES, ids=" ".join)
def test_every_key_is_an_argument_of_its_target(overrides):
    found = list(nodes(composed(overrides)))
    assert len(found) >= 5
    for node in found:
        module, _, name = node._target_.rpartition(".")
        target = getattr(importlib.import_module(module), name)
        keys = {str(key): None for key in node if not str(key).startswith("_")}
        signature = None if target is torch.zeros else inspect.signature(target)
        if signature is not None:
            signature.bind_partial(**keys)


def made(task):
    """Return the task, unless it needs an extra that is not here."""
    try:
        return instantiate(task)
    except InstantiationException as error:
        if isinstance(error.__cause__, ImportError) and "pip install sntorch[" in str(error):
            pytest.skip(str(error.__cause__))
        raise


@pytest.mark.parametrize("overrides", OVERRIDES, ids=" ".join)
def test_model_task_and_monitors_are_built_and_fit_each_other(overrides):
    cfg = composed(overrides)
    model, task = instantiate(cfg.model), made(cfg.task)
    task.setup("fit")
    x, _ = next(iter(task.val_dataloader()))
    shape = (4, task.output_size) if task.when == "last" else (4, x.shape[1], task.output_size)
    assert model(x[:4]).shape == shape
    assert (model.kind, model.when) == (task.kind, task.when)
    assert cfg.metric == {"classification": "val/accuracy", "regression": "val/loss"}[task.kind]
    assert cfg.checkpoint.mode == {"classification": "max", "regression": "min"}[task.kind]
    assert model.configure_optimizers()
    for callback in cfg.callbacks.values():
        assert isinstance(instantiate(callback), pl.Callback)


STUDIES = {name: group for group in ("studies", "edge") for name in choices(f"experiment/{group}")}


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_starts_with_the_arguments_of_its_configuration(name):
    cfg = composed([f"experiment={STUDIES[name]}/{name}"])
    study = "gain_sweep" if name == "plastic" else name
    assert cfg.study._target_ == f"sntorch.studies.{study}.run"
    target = getattr(sntorch.studies, study).run
    signature = inspect.signature(target)
    signature.bind(**{str(key): value for key, value in cfg.study.items() if key != "_target_"})
    assert iter(instantiate(cfg.study))


@pytest.mark.parametrize("name", choices("experiment/potential"))
def test_a_potential_experiment_builds_its_learner(name, monkeypatch):
    cell = sntorch.SNTCell(torch.eye(32), trainable=())
    monkeypatch.setattr(training, "trained_gru", lambda **_settings: cell)
    cfg = composed([f"experiment=potential/{name}"])
    assert instantiate(cfg.task) is None
    learner = instantiate(cfg.model)
    assert isinstance(learner, training.PotentialLearner)
    assert learner.configure_optimizers()
    assert (cfg.metric, cfg.checkpoint.mode) == ("val/loss", "min")


def test_every_study_has_a_configuration():
    folder = pathlib.Path(sntorch.studies.__file__).parent
    shared = {"__init__", "claims", "contenders", "ensembles", "searches", "solvable", "study"}
    shared |= {
        "gain_curves",
        "gradients",
        "findings",
        "peaks",
        "potential_contest",
        "potential_growth",
    }
    files = {path.stem for path in folder.glob("*.py")} - shared
    assert files == set(STUDIES) - {"plastic"}  # another setting of `gain_sweep`


def test_all_main_monitors_are_on_by_default():
    assert set(composed([]).callbacks) == {"lyapunov", "spectrum", "flux"}


def test_default_network_is_what_the_main_job_promises():
    cell = instantiate(composed([]).cell)
    assert cell.coupling.requires_grad
    assert cell.gain > 1
    assert cell.leak > 0
    assert cell.noise > 0


TYPOS = ["trainer.max_epoch=3", "cell.gian=1.2", "model=grru", "tsk=digits_rows"]


@pytest.mark.parametrize("override", [*TYPOS, "model=gru cell.gain=2"])
def test_a_typo_is_refused_by_name(override):
    with pytest.raises(ConfigCompositionException, match=r"max_epoch|gian|grru|tsk|cell"):
        composed(override.split())


def test_no_python_file_hides_among_the_configurations():
    assert not list(CONF.rglob("*.py"))


@pytest.mark.parametrize(("task", "goal"), [("digits_rows", "maximize"), ("lorenz", "minimize")])
def test_a_search_goes_where_the_task_has_its_best(task, goal):
    written = OmegaConf.load(CONF / "hydra" / "sweeper" / "search.yaml")
    cfg = OmegaConf.merge(composed([f"task={task}"]), {"search": written})
    assert cfg.search.direction == goal


@pytest.mark.parametrize(("task", "goal"), [("digits_rows", "maximize"), ("lorenz", "minimize")])
def test_a_search_names_what_its_sweeper_knows(task, goal):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        overrides = [f"task={task}", "hydra/sweeper=search"]
        cfg = compose("config", overrides=overrides, return_hydra_config=True)
    found: Any = cfg.hydra.sweeper
    assert (found.direction, found.sampler.seed, found.n_trials) == (goal, 0, 20)


def test_the_example_for_a_cluster_names_what_its_launcher_knows():
    launchers = pytest.importorskip("hydra_plugins.hydra_submitit_launcher.submitit_launcher")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        overrides = ["hydra/launcher=slurm", "hydra.launcher.partition=short"]
        cfg = compose("config", overrides=overrides, return_hydra_config=True)
    found: Any = OmegaConf.to_container(cfg.hydra.launcher, resolve=False)
    assert found["_target_"].endswith(launchers.SlurmLauncher.__name__)
    assert found["max_num_timeout"] == 5
    assert found["partition"] == "short"
