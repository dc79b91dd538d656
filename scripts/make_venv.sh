#!/bin/sh
# make_venv.sh PYTHON DIR: a virtual environment at DIR, unless there is one already.
set -eu
python=$1 dir=$2
[ -x "$dir/bin/python" ] && exit 0
if ! "$python" -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "make: Python 3.11 or newer is needed, and '$python' is not it; name another: make PYTHON=/path/to/python3.12 ..." >&2
    exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    echo "make: '$python' cannot create virtual environments; on Debian: sudo apt-get install python3-venv" >&2
    exit 1
fi
echo "Creating $dir ..."
"$python" -m venv "$dir"
