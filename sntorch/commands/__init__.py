"""Commands of ``sntorch`` that need no Hydra: one file each, called by `sntorch.cli`."""
