"""``opg serve``: verified calls for programs that speak OpenAI's API, on this machine alone.

A request comes in through :mod:`~opg_magic.endpoint.guard`, is read by
:mod:`~opg_magic.endpoint.chat_request` or, in OpenAI's newer words, by
:mod:`~opg_magic.endpoint.response_request`, and becomes a call like any other
(:meth:`opg_magic.call.session.Session.ask_here`).  No answer's last piece leaves before its
verdict: :mod:`~opg_magic.endpoint.event_stream`."""
