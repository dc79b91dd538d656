"""One simulated host: a gateway in an enclave behind its TLS front.

``host`` listens and takes payment, ``answering`` and ``streaming`` answer by the ``steps`` that
every answer takes, ``conduct`` is how an honest host takes them.  ``nitro`` and ``identity`` make
what the host proves itself with."""
