#!/bin/sh
# need_anvil.sh DIR: Foundry's anvil from npm in DIR, unless this version is there already.  The tests that run on it are
# skipped, and say so, where it cannot be had: no failure here.
set -eu
dir=$1 version=1.7.1
stamp="$dir/.stamp-$version"
[ -e "$stamp" ] && exit 0
if ! command -v npm >/dev/null 2>&1; then
    echo "make: npm is not here; the tests on anvil will be skipped" >&2
    exit 0
fi
echo "Installing @foundry-rs/anvil@$version into $dir ..."
mkdir -p "$dir"
[ -e "$dir/package.json" ] || printf '{ "private": true }\n' >"$dir/package.json"
if npm install --prefix "$dir" --no-audit --no-fund --loglevel=error --save-exact "@foundry-rs/anvil@$version" >"$dir/install.log" 2>&1; then
    rm -f "$dir"/.stamp-*
    touch "$stamp"
else
    echo "make: @foundry-rs/anvil could not be installed ($dir/install.log); the tests on it will be skipped" >&2
fi
