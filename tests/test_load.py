"""A trained model comes back from its folder, and wrong files are named."""

import pathlib
import shutil

import pytest
import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

import sntorch as snt


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a folder as a run leaves it, and the model that was trained in it."""
    folder = tmp_path_factory.mktemp("run")
    with initialize_config_dir(snt.config_dir(), version_base="1.3"):
        cfg = compose("config", overrides=["task=digits_rows", "cell.J.n=8", "cell.noise=0.0"])
    torch.manual_seed(3)
    model, task = instantiate(cfg.model), instantiate(cfg.task)
    trainer = pl.Trainer(
        max_steps=2, logger=False, enable_progress_bar=False, enable_checkpointing=False,
        enable_model_summary=False, limit_val_batches=0, accelerator="cpu",
    )  # fmt: skip
    trainer.fit(model, task)
    for name in ("epoch000", "last"):
        trainer.save_checkpoint(folder / "checkpoints" / f"{name}.ckpt")
    OmegaConf.set_struct(cfg, False)
    cfg.hydra, cfg.logger = None, None  # as in a job, where what they refer to is known
    OmegaConf.save(cfg, folder / "config.yaml", resolve=True)
    return folder, model.eval()


@pytest.fixture
def copy(run, tmp_path) -> pathlib.Path:
    return pathlib.Path(shutil.copytree(run[0], tmp_path / "copy"))


def same(a, b):
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(p, q) for p, q in pairs)


@pytest.mark.parametrize("part", ["", "checkpoints/last.ckpt", "checkpoints/epoch000.ckpt"])
def test_the_trained_model_comes_back_with_its_configuration(run, part):
    folder, model = run
    state = torch.get_rng_state()
    loaded = snt.load(folder / part)
    assert torch.equal(torch.get_rng_state(), state)
    assert same(loaded.model, model)
    assert not loaded.model.training
    assert loaded.config["cell"]["J"]["n"] == 8
    assert loaded.config["task"]["order"] == "rows"
    assert loaded.checkpoint == folder / (part or "checkpoints/last.ckpt")
    x = torch.randn(2, 8, 8)
    assert torch.equal(loaded.model(x), model(x))


@pytest.mark.parametrize("damage", ["truncated", "empty", "text"])
def test_a_corrupt_checkpoint_falls_back_to_the_one_before_and_says_so(copy, run, damage):
    last = copy / "checkpoints" / "last.ckpt"
    content = {"truncated": last.read_bytes()[:2000], "empty": b"", "text": b"not a checkpoint"}
    last.write_bytes(content[damage])
    with pytest.warns(UserWarning, match=r"last.ckpt \(\w+\): corrupt; epoch000.ckpt is taken"):
        loaded = snt.load(copy)
    assert loaded.checkpoint.name == "epoch000.ckpt"
    assert same(loaded.model, run[1])
    with pytest.raises(ValueError, match=r"path: expected a checkpoint that can be read, got last"):
        snt.load(last)


def test_a_checkpoint_of_another_configuration_is_refused_and_the_difference_named(copy):
    text = (copy / "config.yaml").read_text()
    (copy / "config.yaml").write_text(text.replace("'n': 8", "'n': 9").replace("- 8\n", "- 9\n"))
    with pytest.raises(ValueError, match=r"got another; .*coupling.*\[8, 8\].*\[9, 9\]"):
        snt.load(copy)


def test_foreign_files_and_folders_are_named(copy, tmp_path):
    with pytest.raises(ValueError, match="path: expected the folder of a run or a checkpoint"):
        snt.load(tmp_path / "nothing")
    with pytest.raises(ValueError, match=r"path: expected a run with config.yaml"):
        snt.load(tmp_path)
    torch.save({"weights": torch.zeros(2)}, copy / "checkpoints" / "last.ckpt")
    with pytest.raises(ValueError, match="path: expected a checkpoint of a run, got a foreign"):
        snt.load(copy)
    shutil.rmtree(copy / "checkpoints")
    with pytest.raises(ValueError, match=r"path: expected a checkpoint in .*, got none"):
        snt.load(copy)
    (copy / "config.yaml").write_text("seed: 0\nstudy: {}\n")
    with pytest.raises(ValueError, match="path: expected a run that trained a model"):
        snt.load(copy)
