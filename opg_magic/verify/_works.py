"""Whether a library does its work here: asked only where it refused something.

One that is broken, or of a version without what is used, refuses everything.  That says nothing
about anyone's document, so it must never come out as evidence."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime

from opg_magic.errors import InstallationError


def insist(library: str, probe: Callable[[], object], refusal: Exception) -> None:
    """Return if ``library`` takes what it must take; ``probe`` raises, or is false, where it does
    not.

    Raises:
        InstallationError: it does not; ``refusal`` is what it said of something else.
    """
    try:
        if probe():
            return
    except Exception:  # noqa: S110 - whatever it is: the library refuses what is known to be good
        pass
    raise InstallationError(
        f"{library} does not work in this installation ({type(refusal).__name__}: {refusal}). "
        f"Nothing was judged.",
        hint=f"Install it again: pip install --force-reinstall {library.replace(' and ', ' ')}",
    ) from refusal


#: Maps, arrays, byte and text strings, integers, null; the second of indefinite length.
CBOR = (
    bytes.fromhex("a2616184012141 62f60361 74".replace(" ", "")),
    bytes.fromhex("bf61619f01ffff"),
)

# Made for this: a root and a certificate under it, both on P-384 and valid from 2020 to 2120, and
# an RSA key with its signature of RSA_MESSAGE. The private keys were thrown away.
_ROOT = (
    "MIIBmTCCASCgAwIBAgIBATAKBggqhkjOPQQDAzAVMRMwEQYDVQQDDApwcm9iZSByb290MCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAx"
    "MDAwMDAwWjAVMRMwEQYDVQQDDApwcm9iZSByb290MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEfCv94g6m05N1w/WeR9SFKnXwkL7KxAI9"
    "mgkoLYHYU1xeE/qXUG/2x8Emftbc7Y717pVNzp4cDSvN9dT3HWdCQTmATTjUxWnF495y+FGOe9di/2zFPkWo0c7tsIv+/EOuo0IwQDAP"
    "BgNVHRMBAf8EBTADAQH/MA4GA1UdDwEB/wQEAwIBBjAdBgNVHQ4EFgQU/wz/WSo3Db11yKtd2+aIaxm3mi8wCgYIKoZIzj0EAwMDZwAw"
    "ZAIwTNUlkaH0gHicOKFWrjoAa+vK8rcbSOxsudvhNFfZ+KuSUfl/P9QA0PC3Gh+K3uPWAjB7EOFwwAAx2TCCY49B+q3pNNL1oTlSZ06h"
    "0CiRGlRmNaT0vhRD/6I5nwl0qcUKf8E="
)
_LEAF = (
    "MIIBczCB+aADAgECAgECMAoGCCqGSM49BAMDMBUxEzARBgNVBAMMCnByb2JlIHJvb3QwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEw"
    "MDAwMDBaMBAxDjAMBgNVBAMMBXByb2JlMHYwEAYHKoZIzj0CAQYFK4EEACIDYgAE4eIjxHpTvPNgikXa3XQcvVdrXgIG3lnlXmbjZy5R"
    "RPpHLscDeQY31O75vtcPeZ0g8F6OBifCC73qg6kBiwwjPtLCDbpXlJfGPuJx8+WAaWdQHIJ6h0W6II5DY7ILgEN1oyAwHjAMBgNVHRMB"
    "Af8EAjAAMA4GA1UdDwEB/wQEAwIHgDAKBggqhkjOPQQDAwNpADBmAjEA1GZZyiZqGJKJSBa3Jpc2xxzFmwOcmj93XtGyhANzzksjUIfI"
    "1apT10NMVqvMiUJXAjEA2cjyl9aq8dx59SsaAG6TMWbvmhGhNg6x9teD+0NlI3JGQLmwiul7dr/Nb4R+mZV9"
)
_RSA_KEY = (
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAsOb9Ah0j0FWVEaAtZIX7EBZs/3ORsnKIBrWOmstqg26QPd4fpDsSLc8STg/Z"
    "SjdzCwcH+DR13qmsRVtXcvP3lblQtUDjYE7UU6w4K2bgrKo4QACp6igZvHc7A9h2sXgWKlFG2uODckM6twHOlo8Ub6uj+afNUIUbg3Uh"
    "ZnKND7xdnkYVWk7oJergKyxMgiy80iVWb7wTQV5pTKTlUilX3/DaqttlQcikzUfw7FIrI7q0zSm72NUpm6FFq4k4oL2N/o/NwegNHu55"
    "sJM5Pkykc1vhTuymvcEnT/jeV9hWOQ3XlQD9EIFP0WQTatoREpTaI/EyI+g1qNyBH/j99igKHwIDAQAB"
)
_RSA_SIGNATURE = (
    "QQtoWo22jSoni6qpTMBH5qMgHyXSrRXCPpUjXlzz5hFL4/pO1OMDG7onBvLgdyDGZ5ulOGA8s1wxE6lnhoDD1g2dUDivkBgdhlfExJ/o"
    "CeqvzrADLE6AT0YmEVR/W6OsNxrTfQE0uUdsqCPLAbq/yNoiZ46C5fHKiDP3qmr4WJxne16uDCJ/3YrSkPCJNkIdom3AdVESSf0FSy7a"
    "RiXFG1/b5C+QJ6hAaZCg4CQ0JVaQNj0bGnbe42HhCH2UusOzNPf3+0JHSh3jIvFlmMW6kTRJIw5Y1bFt5F0ieYig75RkXNctMrIoDam6"
    "qJW6z1yF7+A3u4sqcUzZvKeI/G98wQ=="
)

RSA_MESSAGE = b"probe"

#: A time at which both certificates are valid.
AT = datetime(2030, 1, 1, tzinfo=UTC)


def root() -> bytes:
    """The probe's root certificate, DER."""
    return base64.b64decode(_ROOT)


def leaf() -> bytes:
    """A certificate under it, DER."""
    return base64.b64decode(_LEAF)


def rsa_key() -> bytes:
    """The probe's RSA key, DER SubjectPublicKeyInfo."""
    return base64.b64decode(_RSA_KEY)


def rsa_signature() -> bytes:
    """Its signature of :data:`RSA_MESSAGE`."""
    return base64.b64decode(_RSA_SIGNATURE)
