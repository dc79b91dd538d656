"""Runs in the official SDK's own environment: ``login_chat_account`` as it is, then a call with
what it was given.

Reads the chat app's address and the registry on standard input.  What the user would do in the
browser, it does over HTTP, in the page's own order: the grant, the preflight, the post."""

import json
import sys
import threading
import urllib.request
from urllib.parse import parse_qs, urlsplit

import opengradient as og

given = json.load(sys.stdin)


def press(url):
    page = urllib.request.urlopen(url, timeout=10)
    assert page.status == 200
    origin = given["relay"]
    ask = urllib.request.Request(
        f"{origin}/cli-auth/grant", data=b"", headers={"Origin": origin}, method="POST"
    )
    bundle = urllib.request.urlopen(ask, timeout=10).read()
    to = parse_qs(urlsplit(url).query)["redirect_uri"][0]
    for method, body in (("OPTIONS", None), ("POST", bundle)):
        headers = {"Origin": origin, "Content-Type": "application/json"}
        sent = urllib.request.Request(to, data=body, headers=headers, method=method)
        urllib.request.urlopen(sent, timeout=10).read()


auth = og.login_chat_account(
    given["relay"],
    open_browser=False,
    timeout=60,
    on_ready=lambda url: threading.Thread(target=press, args=(url,), daemon=True).start(),
)
llm = og.ConfidentialLLM(
    relay_url=auth.chat_api_base_url,
    rpc_url=auth.tee_registry_rpc_url,
    registry_address=auth.tee_registry_address,
    auth_headers=auth.auth_headers,
)
question = [{"role": "user", "content": given["question"]}]
# Under Python 3.11 the SDK sends its own enumeration as "TEE_LLM.GPT_5", so the name goes in.
answer = llm.chat(model="openai/gpt-5", messages=question, max_tokens=60)
json.dump(
    {
        "email": auth.email,
        "expired": auth.is_expired,
        "relay": auth.chat_api_base_url,
        "answer": answer.content,
    },
    sys.stdout,
)
