"""Open weights: which file a model's name stands for, and whether it gives an answer.

:mod:`~opg_magic.weights.store` pins weights by SHA-256 under a model's name,
:mod:`~opg_magic.weights.check` runs them over a call's request and answer.  llama.cpp runs in a
child process (:mod:`~opg_magic.weights.runner`), never in the kernel.  What the figures of a run
mean is decided in :mod:`opg_magic.verify.weights`."""
