"""IPython and Jupyter: the magics, completion, the live card, the dashboard."""
