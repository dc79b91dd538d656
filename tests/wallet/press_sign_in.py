"""Stands in for the user's browser: opens the sign-in page, presses its button, and notes the token
and every process's command line in the file that it was given."""

import json
import sys
import urllib.request
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

notes, url = sys.argv[1:]
parts = urlsplit(url)
origin = f"{parts.scheme}://{parts.netloc}"
grant = urllib.request.Request(
    f"{origin}/cli-auth/grant", data=b"", headers={"Origin": origin}, method="POST"
)
bundle = urllib.request.urlopen(grant, timeout=10).read()
headers = {"Origin": origin, "Content-Type": "application/json"}
to = parse_qs(parts.query)["redirect_uri"][0]
urllib.request.urlopen(urllib.request.Request(to, data=bundle, headers=headers), timeout=10).read()
lines = []
for file in Path("/proc").glob("[0-9]*/cmdline"):
    try:
        lines.append(file.read_bytes().decode(errors="replace"))
    except OSError:
        continue
token = json.loads(bundle)["access_token"]
Path(notes).write_text(json.dumps({"token": token, "processes": lines}))
