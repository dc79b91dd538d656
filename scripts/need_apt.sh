#!/bin/sh
# need_apt.sh COMMAND PACKAGE: installs a Debian package, saying so, unless COMMAND is there already.
set -eu
command=$1 package=$2
command -v "$command" >/dev/null 2>&1 && exit 0
if ! command -v apt-get >/dev/null 2>&1; then
    echo "make: '$command' is needed for the tests and is not here; please install it" >&2
    exit 1
fi
as_root=
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "make: '$command' is needed for the tests; as root: apt-get install $package" >&2
        exit 1
    fi
    as_root=sudo
fi
echo "Installing the Debian package '$package' (for '$command') with ${as_root:+$as_root }apt-get ..."
$as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >/dev/null
command -v "$command" >/dev/null 2>&1 || { echo "make: '$package' brought no '$command'" >&2; exit 1; }
