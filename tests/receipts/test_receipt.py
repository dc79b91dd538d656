"""A receipt holds all that is judged, reads strictly, and is made whatever a host sent."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from jsonschema import Draft202012Validator
from support import receipts as making
from support.receipts import NOW, SIM, evidence, failed_receipt, receipt, response, verdict

from opg_magic.errors import AnswerWithheld, CallFailed, UnreadableReceipt
from opg_magic.models import Charge, Problem, Prompt, VerdictStatus
from opg_magic.models.secret import Secret
from opg_magic.receipt.build import source_sha256
from opg_magic.receipt.document import Receipt, new_id, normalise_id
from opg_magic.receipt.form import MAX_BYTES, canonical_bytes, digest, schema
from opg_magic.receipt.question import asked
from opg_magic.receipt.secret_scan import HoldsSecret, holds, masked


def edited(one: Receipt, **changes: object) -> str:
    return json.dumps({**one.document, **changes})


def test_evidence_comes_back_as_it_went_in() -> None:
    original = evidence()
    assert Receipt.from_json(receipt().to_json()).evidence() == original


def test_registry_entry_of_another_host_is_kept_apart() -> None:
    listed = replace(making.HOST, endpoint="https://elsewhere:1", enabled=False)
    original = evidence(
        registry=replace(
            evidence().registry, entry=listed, active=False, inactive_reason="disabled"
        )
    )
    assert receipt(evidence=original).evidence() == original


def test_document_is_valid_under_the_published_schema() -> None:
    Draft202012Validator.check_schema(schema())
    validator = Draft202012Validator(schema())
    for one in (
        receipt(),
        failed_receipt(),
        receipt(verdict=verdict(VerdictStatus.FAILED), notebook=None, cell=None),
    ):
        assert not list(validator.iter_errors(one.document))


def test_schema_allows_no_unknown_key_in_any_object_but_open_ones() -> None:
    open_objects = []

    def walk(node: object, path: str) -> None:
        if isinstance(node, dict):
            if "properties" in node and node.get("additionalProperties") is not False:
                open_objects.append(path)
            for key, value in node.items():
                walk(value, f"{path}/{key}")
        elif isinstance(node, list):
            for index, value in enumerate(node):
                walk(value, f"{path}/{index}")

    walk(schema(), "")
    assert open_objects == []


def test_digest_is_over_rfc_8785_without_the_digest_itself() -> None:
    one = receipt()
    body = {k: v for k, v in one.document.items() if k != "digest"}
    shuffled = json.loads(json.dumps(dict(reversed(list(body.items())))))
    assert digest(shuffled) == one.digest == one.computed_digest
    # RFC 8785, section 3.2.3 and 3.2.2: sorted by UTF-16 units, shortest numbers, no spaces.
    assert (
        canonical_bytes({"\u20ac": 1.0, "a": [1e21, "\u000f"]})
        == '{"a":[1e+21,"\\u000f"],"€":1}'.encode()
    )


def test_amounts_and_chain_numbers_are_decimal_strings() -> None:
    payment = receipt().document["payment"]
    assert payment["authorisation"]["nonce"] == str(2**255 + 7)
    assert payment["cap"]["amount"] == "100000000000000000"
    assert receipt().document["host"]["last_heartbeat_at"] == str(2**255)


def test_cost_and_verdict_come_back() -> None:
    one = Receipt.from_json(receipt().to_json())
    # "charged" is what its host may collect: claimed, until the chain shows it.
    assert one.cost == replace(making.cost(), charge=Charge.CLAIMED)
    back = one.verdict_at_creation
    assert back is not None
    assert (back.status, back.outcome) == ("SIMULATED", VerdictStatus.VERIFIED)
    assert (
        one.document["checked"]["verdict"] == "VERIFIED"
        and one.document["checked"]["simulated"] is True
    )
    assert (back.simulated, back.policy, back.because) == (
        True,
        "default",
        ("why",),
    )
    assert list(back.claims) == list(verdict().claims)
    assert one.label == "SIMULATED"


def test_call_without_response_is_a_receipt() -> None:
    one = Receipt.from_json(failed_receipt().to_json())
    assert one.withheld
    assert one.cost.charge is Charge.NONE
    assert one.evidence().response.problem == Problem("timeout", "no answer within 60 s")
    with pytest.raises(CallFailed, match="no answer within 60 s"):
        one.answer()


def test_answer_is_rebuilt_and_withheld_only_on_request() -> None:
    text = response().text
    assert receipt().answer().text == text
    failed = receipt(verdict=verdict(VerdictStatus.FAILED))
    with pytest.raises(AnswerWithheld) as raised:
        failed.answer()
    assert text not in str(raised.value)
    assert raised.value.verdict.status is VerdictStatus.FAILED
    assert failed.answer(include_withheld=True).text == text


@pytest.mark.parametrize("code", ["truncated", "timeout", "interrupted", "host-failure"])
def test_partial_text_counts_as_withheld(code: str) -> None:
    cut = receipt(
        evidence=evidence(answer=response("partial", frame=None, problem=Problem(code, "cut"))),
        verdict=verdict(VerdictStatus.UNVERIFIED),
    )
    assert cut.withheld


def test_complete_unsigned_answer_is_not_withheld_by_itself() -> None:
    unsigned = receipt(
        evidence=evidence(answer=response(problem=Problem("unsigned", "no signature"))),
        verdict=verdict(VerdictStatus.UNVERIFIED),
    )
    assert not unsigned.withheld


def test_tool_calls_come_back() -> None:
    calls = '[{"function": {"arguments": "{}", "name": "f"}, "id": "1", "type": "function"}]'
    one = receipt(evidence=evidence(answer=response(None, tool_calls=calls)))
    assert one.answer().tool_calls == tuple(json.loads(calls))


# ----------------------------------------------------------------------------------- strict reading


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        '{"type": "opg-receipt"}',
        b"\xff\xfe",
        "[" * 100_000,
        '{"type": "opg-receipt", "version": 2}',
    ],
)
def test_what_is_no_receipt_is_unreadable(text: str | bytes) -> None:
    with pytest.raises(UnreadableReceipt):
        Receipt.from_json(text)


def test_duplicate_key_is_unreadable() -> None:
    text = receipt().to_json()
    doubled = text[:-1] + ',"id":"0123456789"}'
    with pytest.raises(UnreadableReceipt, match="twice"):
        Receipt.from_json(doubled)


def test_nan_is_unreadable() -> None:
    text = receipt().to_json().replace('"raw_size":', '"raw_size":NaN,"x":')
    with pytest.raises(UnreadableReceipt):
        Receipt.from_json(text)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("id", "short"),
        ("sent_at", "2026-11-20T22:10:40Z"),
        ("sent_at", "2026-13-40T22:10:40.000000Z"),
        ("signing_key", "not base64!"),
        ("signing_key", "QUJ="),  # trailing bits: a second spelling of the same bytes
        ("extra", 1),
        ("channel", {"certificate_sha256": "AA" * 32, "tls_version": None}),
        ("digest", "sha256:xyz"),
        ("host", None),  # while the registry's entry says "host"
    ],
)
def test_value_outside_the_schema_is_unreadable(key: str, value: object) -> None:
    with pytest.raises(UnreadableReceipt):
        Receipt.from_json(edited(receipt(), **{key: value}))


def test_too_long_a_text_is_unreadable_before_it_is_parsed() -> None:
    with pytest.raises(UnreadableReceipt, match="longer"):
        Receipt.from_json(" " * (MAX_BYTES + 1))


def test_message_of_an_unreadable_receipt_does_not_repeat_its_content() -> None:
    with pytest.raises(UnreadableReceipt) as raised:
        Receipt.from_json(edited(receipt(), software="\x1b[31m" + "x" * 10_000))
    assert "\x1b" not in str(raised.value)
    assert len(str(raised.value)) < 400


# -------------------------------------------------------------------- whatever a host may have sent


def test_lone_surrogates_and_huge_numbers_of_a_host_do_not_lose_the_receipt() -> None:
    hostile = response(
        "a\ud800b",
        model="m" * 5000,
        usage={"prompt_tokens": 2**60, "k" * 500: 1, "negative": -1, "total_tokens": 3},
    )
    one = receipt(
        evidence=evidence(
            answer=hostile,
        )
    )
    back = Receipt.from_json(one.to_json())
    assert back.text is not None
    assert back.text.startswith("a\ufffd")
    assert back.document["response"]["usage"] == {"k" * 64: 1, "total_tokens": 3}
    assert len(back.document["response"]["model"]) == 256


def test_answer_that_is_too_long_is_kept_by_digest_and_says_so() -> None:
    one = receipt(evidence=evidence(answer=response("x" * MAX_BYTES)))
    back = Receipt.from_json(one.to_json())
    assert back.text is None
    assert back.document["response"]["problem"]["code"] == "too-large"
    assert back.document["response"]["raw_sha256"] == response().raw_sha256


def test_rpc_urls_are_kept_as_host_labels() -> None:
    rpcs = ("https://user:pw@rpc.example:8545/v1/APIKEY?k=1", "127.0.0.1:1", "rpc.example/APIKEY")
    one = receipt(evidence=evidence(registry=replace(evidence().registry, rpcs=rpcs)))
    assert one.document["registry"]["rpcs"] == ["rpc.example:8545", "127.0.0.1:1", "rpc.example"]
    assert Receipt.from_json(one.to_json()).evidence().registry.rpcs == (
        "rpc.example:8545",
        "127.0.0.1:1",
        "rpc.example",
    )


@pytest.mark.parametrize(
    "secret", ["5f0c7e0a-1111-2222-3333-44445555AAAA", "0x" + "ab" * 65], ids=["id", "signature"]
)
@pytest.mark.parametrize(
    "write", [str, str.upper, lambda s: s.removeprefix("0x")], ids=["as it is", "upper", "bare"]
)
def test_attack_41_a_secret_echoed_by_a_host_is_never_in_a_receipt_and_nothing_is_rewritten(
    secret: str, write
) -> None:
    for echo in (
        response(f"your session is {write(secret)}"),
        response("fine", problem=Problem("http-status", f"bad {write(secret)}")),
        response("fine", model=write(secret)),
    ):
        with pytest.raises(HoldsSecret) as refused:
            receipt(
                evidence=evidence(answer=echo),
                secrets=[Secret("another-one-of-them"), Secret(secret)],
            )
        assert secret.lower() not in repr(refused.value).lower()
    plain = response("your session is not told")
    assert receipt(evidence=evidence(answer=plain), secrets=[Secret(secret)]).text == plain.text


@pytest.mark.parametrize("secret", ["5f0c7e0a-1111-2222-3333-44445555AAAA", "Qm9/" * 8])
def test_attack_41_a_secret_in_json_s_escapes_is_a_secret_too(secret: str) -> None:
    """A frame is kept as it came, and whoever reads its JSON reads the secret."""
    one = f"\\u{ord(secret[0]):04x}{secret[1:]}"
    written = (one, "".join(f"\\u{ord(c):04X}" for c in secret), secret.replace("/", "\\/"))
    for name in written:
        frame = f'{{"id": "{name}"}}'
        assert json.loads(frame)["id"] == secret
        echo = replace(response("fine"), frame=frame)
        with pytest.raises(HoldsSecret):
            receipt(evidence=evidence(answer=echo), secrets=[Secret(secret)])
        kept = masked(frame, [Secret("another-one-of-them"), Secret(secret)])
        assert kept is not None and secret not in kept and name not in kept
        # Also in tool calls, whose arguments are JSON in JSON.
        assert holds(json.dumps({"arguments": frame}).encode(), [Secret(secret)])
    assert masked('{"id": "\\u0035"}', [Secret(secret)]) == '{"id": "\\u0035"}'


@pytest.mark.parametrize("secret", ["", "a", "0", "{", '"', "type", "<", "\\"])
def test_attack_41_what_is_too_short_for_a_secret_changes_nothing(secret: str) -> None:
    one, other = receipt(secrets=[Secret(secret)]), receipt()
    assert one.document.keys() == other.document.keys()
    assert one.text == other.text
    Receipt.from_json(one.to_json())


# -------------------------------------------------------------------------------------- small parts


def test_ids_are_random_crockford_base32() -> None:
    ids = {new_id() for _ in range(200)}
    assert len(ids) == 200
    assert all(re.fullmatch("[0-9A-HJKMNP-TV-Z]{10}", i) for i in ids)


def test_id_is_read_as_a_person_types_it() -> None:
    assert normalise_id(" 7q4k-2mOil ") == "7Q4K2M011"


@pytest.mark.parametrize(
    "other",
    [
        "%%opg tee --model m\nWhat?\n",
        "%%opg   tee --model m  \r\nWhat?\r\n\r\n",
        "%%opg tee --model m\nWhat?",
    ],
)
def test_source_hash_survives_what_ipython_does_to_a_cell(other: str) -> None:
    assert source_sha256(other) == source_sha256("%%opg tee --model m\nWhat?")


def test_source_hash_tells_other_sources_apart() -> None:
    sources = ["%%opg\nWhat?", "%%opg x\nWhat?", "%%opg\nWhat", "%%opg\n What?", "%%opg\nWhat?\nx"]
    assert len({source_sha256(s) for s in sources}) == len(sources)


def test_the_prompt_of_a_request_is_the_last_user_message() -> None:
    def signed_prompt(kind: str, body: str) -> str | None:
        found = asked(kind, body)
        return found and found.prompt

    body = {
        "messages": [
            {"role": "user", "content": "a"},
            {"role": "user", "content": "b"},
            {"role": "assistant"},
        ]
    }
    assert signed_prompt("chat", json.dumps(body)) == "b"
    parts = {
        "messages": [
            {
                "role": "user",
                "content": [{"type": "text", "text": "x"}, {"type": "text", "text": "y"}],
            }
        ]
    }
    assert signed_prompt("chat", json.dumps(parts)) == "xy"
    assert signed_prompt("completion", '{"prompt": "p"}') == "p"
    for broken in ("", "[]", "{}", '{"messages": 3}', '{"messages": [3]}', "[" * 100_000):
        assert signed_prompt("chat", broken) is None


def test_messages_of_a_caller_show_their_last_question_as_prompt() -> None:
    prompt = Prompt(text="", model="m", messages=({"role": "user", "content": "Say hi."},))
    assert receipt(prompt=prompt).document["prompt"]["text"] == "Say hi."


def test_no_cell_source_is_kept_but_its_hash() -> None:
    one = receipt(
        prompt=Prompt(text="Say hi.", model="m", source="%%opg secretname\nSay hi."),
        created_at=NOW,
        network=SIM,
    )
    assert "secretname" not in one.to_json()
