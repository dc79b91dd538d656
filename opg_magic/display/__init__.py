"""What one sees: a running call, an answer, its receipt card, as text, Markdown, HTML and MIME from
one object.

``card.py`` says in words what stands (no markup); ``plain.py``, ``markdown.py`` and ``html.py``
write those words down; ``bundle.py`` puts the three and the receipt together; ``live.py`` keeps one
display up to date while a call runs. Model output is data everywhere: it can neither run, load, nor
write where the card lives (attack 27)."""
