"""A kernel's calls and receipts, as the magics, the functions and the shell use them.

Everything heavy is imported inside the methods that need it, so that loading the extension stays
light."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from opg_magic import errors
from opg_magic.call.chats import Chats
from opg_magic.call.kernel import Kernel, Observer, Simulator, T
from opg_magic.call.overview import Overview
from opg_magic.call.wallet_desk import WalletDesk
from opg_magic.models import Answer, Prompt, Quote
from opg_magic.settings.config import Settings

if TYPE_CHECKING:
    import pandas as pd

    from opg_magic.call.agreement import Agreement
    from opg_magic.call.engine import Engine
    from opg_magic.call.settlements import Outcome
    from opg_magic.call.state import CallOptions, EngineSettings
    from opg_magic.receipt.document import Receipt


class Session(Kernel):
    """One kernel's calls.  They may come from any thread; they run on one background loop."""

    def __init__(
        self, settings: Settings | None = None, *, simulator: Simulator | None = None
    ) -> None:
        """``simulator`` gives the running simulated network's state, starting it if need be (tests
        give their own)."""
        super().__init__(settings, simulator=simulator)
        #: Hosts, models, builds and limits, to be shown.
        self.overview = Overview(self)
        #: Funds and allowance of the wallet.
        self.wallet = WalletDesk(self)
        #: Conversations by name.
        self.chats = Chats(self)

    def ask(
        self, prompt: Prompt, options: CallOptions | None = None, observer: Observer | None = None
    ) -> Answer:
        """One call; blocks, shows progress to ``observer`` on this thread, and stops at once on an
        interrupt.

        Raises :class:`opg_magic.errors.OpgError`, or :class:`opg_magic.errors.CallInterrupted` when
        stopped."""
        from opg_magic.call.state import CallOptions

        chosen = options or CallOptions()
        repeated = self._repeated(prompt, chosen, observer)
        if repeated is not None:
            return repeated
        return self._until_stopped(
            chosen,
            observer,
            lambda engine, settings, emit: engine.ask(prompt, self.by_id(chosen), settings, emit),
        )

    def _repeated(
        self, prompt: Prompt, options: CallOptions, observer: Observer | None = None
    ) -> Answer | None:
        """The recorded answer to what this notebook asked before; None if it is to be asked."""
        from opg_magic.call import repeating

        if not repeating.may_repeat(prompt, options, self.settings.get("on_repeat")):
            return None
        if not self.ledger.count():
            return None
        # Started first: a simulated network gives its hosts their names.
        self.started(options.network or self.settings.get("network"), observer)
        chosen = self.by_id(options)
        (found,) = self.recorded(
            [prompt], chosen, fits=lambda receipt: repeating.is_same(receipt, prompt, chosen)
        )
        if found is None:
            return None
        self.chats.goes_on(prompt, found)
        return replace(found, repeated=True, notes=(repeating.SAID, *found.notes))

    def agree(
        self,
        prompt: Prompt,
        options: CallOptions | None = None,
        *,
        hosts: int,
        quorum: int | None = None,
        observer: Observer | None = None,
    ) -> Agreement:
        """One prompt to several independent hosts at once: see
        :func:`opg_magic.call.agreement.agree`."""
        from opg_magic.call.agreement import agree, counts
        from opg_magic.call.state import CallOptions

        hosts, quorum = counts(hosts, quorum)
        chosen = options or CallOptions()
        return self._until_stopped(
            chosen,
            observer,
            lambda engine, settings, emit: agree(
                engine, prompt, chosen, settings, hosts=hosts, quorum=quorum, observer=emit
            ),
        )

    def _until_stopped(
        self,
        options: CallOptions,
        observer: Observer | None,
        call: Callable[[Engine, EngineSettings, Observer], Coroutine[Any, Any, T]],
    ) -> T:
        """Run a call to its end on the background loop; a stop says whether it was charged
        (CallInterrupted)."""
        from opg_magic.call.interruption import interrupted
        from opg_magic.network.background import Stopped

        self.counted(+1)
        begun = False
        try:
            engine = self.engine(options, observer)
            loop = self.loop()
            begun = True
            return self.within_limits(
                lambda: loop.run(
                    lambda emit: call(engine, self.engine_settings(engine.network), emit), observer
                )
            )
        except Stopped as stopped:
            raise interrupted(stopped) from None
        except KeyboardInterrupt:
            # Not begun: the simulated network or the ledger was being opened.
            raise interrupted(Stopped(None, ended=not begun)) from None
        finally:
            self.counted(-1)

    async def aask(self, prompt: Prompt, options: CallOptions | None = None) -> Answer:
        """The same call, awaited on the caller's own loop.  Cancelling the await cancels and
        records it."""
        import asyncio

        loop = await asyncio.to_thread(self.loop)
        return await loop.submit(self.ask_here(prompt, options))

    async def ask_here(
        self,
        prompt: Prompt,
        options: CallOptions | None = None,
        observer: Observer | None = None,
    ) -> Answer:
        """The same call, for code that runs on this session's own loop (:meth:`run`).

        ``observer`` is called on that loop, with every step."""
        import asyncio

        from opg_magic.call.state import CallOptions

        chosen = options or CallOptions()
        repeated = await asyncio.to_thread(self._repeated, prompt, chosen, observer)
        if repeated is not None:
            return repeated
        self.counted(+1)
        try:
            # In a thread: it may start the simulated network, or ask a keyring.
            engine = await asyncio.to_thread(self.engine, chosen)
            chosen, network = self.by_id(chosen), engine.network
            try:
                return await engine.ask(prompt, chosen, self.engine_settings(network), observer)
            except errors.LimitExceeded:
                if not self.settings.reread_limits():
                    raise
            return await engine.ask(prompt, chosen, self.engine_settings(network), observer)
        finally:
            self.counted(-1)

    def quote(self, prompt: Prompt, options: CallOptions | None = None) -> Quote:
        """Host, model, price, tokens and cap of a call that is not made; nothing is paid and the
        prompt is not sent."""
        from opg_magic.call.state import CallOptions

        options = options or CallOptions()
        engine = self.engine(options)
        return self.run(
            engine.quote(prompt, self.by_id(options), self.engine_settings(engine.network))
        )

    def receipts(self, **filters: Any) -> pd.DataFrame:
        """The ledger as a DataFrame, one row a call (filters: see
        :func:`opg_magic.ledger.frames.receipts`)."""
        from opg_magic.ledger.frames import receipts

        names = self.simulated_hosts()
        if filters.get("host") in names:
            filters["host"] = names[filters["host"]]
        return receipts(self.ledger, **filters)

    def show(self, which: str = "last", *, unverified: bool = False) -> Answer:
        """An answer out of the ledger, unpaid.  A withheld one only with ``unverified=True``."""
        receipt = self.ledger.last() if which == "last" else self.ledger.get(which)
        if receipt is None:
            raise errors.LedgerError(
                "the ledger holds no receipt yet", hint="Run a cell that starts with %%opg."
            )
        from opg_magic.call.saved import saved_answer

        roots = self.simulated_roots()
        return saved_answer(
            receipt, self.settings, simulated_roots=roots, include_withheld=unverified
        )

    def recorded(
        self,
        prompts: Sequence[Prompt],
        options: CallOptions | None = None,
        *,
        fits: Callable[[Receipt], bool] = lambda _receipt: True,
    ) -> list[Answer | None]:
        """For each prompt, the newest answer that the ledger holds of the same request to the same
        model, and that this call's policy lets through; None where there is none.  Asks nobody.

        ``fits``: which receipts count besides.  Raises PromptError for a prompt that cannot be
        sent."""
        from opg_magic.call.state import CallOptions
        from opg_magic.ledger.index import prompt_key

        keys = [*map(prompt_key, prompts)]
        found = self.recorded_under(keys, options or CallOptions(), fits=fits)
        return [found.get(key) for key in keys]

    def recorded_under(
        self, keys: Sequence[str], options: CallOptions, *, fits: Callable[[Receipt], bool]
    ) -> dict[str, Answer]:
        """The same by :func:`opg_magic.ledger.index.request_key`, where the prompts themselves are
        not at hand."""
        from opg_magic.call.saved import recorded_answers
        from opg_magic.call.state import policy_of

        network = self._profile(options.network or self.settings.get("network"))
        return recorded_answers(
            keys,
            self.ledger,
            network,
            self.settings,
            simulated_roots=self.simulated_roots(),
            demanded=policy_of(self.engine_settings(network), options),
            fits=fits,
        )

    def verify(self, which: str = "last", *, weights: bool = False) -> Answer:
        """An answer out of the ledger, checked again; unpaid.  ``weights``: open weights that this
        user trusts are run again over it, and the figures are added to its receipt.

        Raises AnswerWithheld if the answer does not pass."""
        answer = self.show(which)
        if not weights:
            return answer
        engine = self.connected().engine
        settings = self.engine_settings(engine.network)
        try:
            return self.run(engine.reruns.run(answer, settings, settings.policy))
        finally:
            self.changed()

    def reconcile(self) -> int:
        """Ask the payment chain what was taken under authorisations that are over; returns how many
        became known."""
        known = self.run(self.connected().route.payments.reconciler.payments(young=True))
        self.changed()
        return known

    def settle(self, ids: Sequence[str] | None = None, *, watch: bool = False) -> list[Outcome]:
        """Look for calls' hashes on the relay: all that wait for it, or these receipts.

        ``watch``: until none waits any more, or the last can no longer come; an interrupt ends it.
        """
        settlements = self.connected().engine.settlements
        found = self.run(settlements.look_until_found(ids) if watch else settlements.look(ids))
        self.changed()
        return found

    def simnet(self, command: list[str]) -> str:
        """Run ``opg simnet COMMAND`` and return what it says."""
        from opg_magic.network import simnet_client

        text = simnet_client.command(command)
        if command and command[0] == "down":
            self._sim_state = None
        return text


_current: Session | None = None
_current_lock = threading.Lock()
_kernel_of_process: str | None = None
_of_the_parent: list[Session] = []


def current_session() -> Session:
    """This process's session, made on first use."""
    global _current
    with _current_lock:
        if _current is None:
            _current = Session()
            # Reloading the extension makes a new session, and is no new kernel: its limits go on.
            _current.kernel_id = _kernel_of_process or _current.kernel_id
        return _current


def _forget_after_fork() -> None:
    """A forked child has neither the loop's thread nor the limits' kernel of its parent: it begins
    anew."""
    global _current, _current_lock, _kernel_of_process
    if _current is not None:
        atexit.unregister(_current.close)
        # Kept, not closed: its connections are the parent's.
        _of_the_parent.append(_current)
    _current, _current_lock, _kernel_of_process = None, threading.Lock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)


def close_current_session() -> None:
    """End this process's session, if there is one; the next use makes a new one."""
    global _current, _kernel_of_process
    with _current_lock:
        if _current is not None:
            _kernel_of_process = _current.kernel_id
            _current.close()
            _current = None
