"""The contracts of the simulated chains: sources, compiled artefacts, and who puts them in place.

``build.mjs`` compiles the sources into ``artifacts.json``; ``deploy`` puts them at the addresses of
the real network and runs the registry's business."""
