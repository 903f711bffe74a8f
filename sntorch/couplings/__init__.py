"""What J is (`ensembles`)."""

from sntorch.couplings.ensembles import gaussian as gaussian
