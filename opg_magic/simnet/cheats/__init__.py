"""Ways in which a simulated host can lie, for teaching and for tests; what befalls an honest one
too (``faults``).

One class per mode, in the module named for what it falsifies; ``modes`` finds them there.  A class
overrides the few steps of :class:`~opg_magic.simnet.host.conduct.Honest` in which it differs.
``says`` completes the sentence "anna …"."""
