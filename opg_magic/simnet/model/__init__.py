"""What answers behind the hosts.

``interface`` says what that is.  ``scripted`` is a script (with ``knowledge``, ``numbers``,
``instances``, ``tokens``), ``local`` a real model on this machine, ``upstream`` a server of the
user's."""
