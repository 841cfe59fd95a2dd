#!/bin/sh
# mmh from this clone, set up on first use:
#
#     scripts/mmh.sh                              a menu that asks what to do
#     scripts/mmh.sh compress model.safetensors   the same as mmh compress model.safetensors, exit code included
#
# It needs Rust and Python 3.11 or newer, installs into the clone alone (.venv, target), and works from any directory,
# through a symbolic link too. After the sources have changed, make build brings it up to date.
set -eu

script=$0
while [ -L "$script" ]; do
    link=$(readlink "$script")
    case $link in
        /*) script=$link ;;
        *) script=$(dirname "$script")/$link ;;
    esac
done
clone=$(CDPATH='' cd -- "$(dirname -- "$script")/.." && pwd -P)
mmh=$clone/.venv/bin/mmh

fail() {
    printf 'mmh: %s\n' "$1" >&2
    exit 4
}

if [ ! -x "$mmh" ]; then
    command -v make >/dev/null || fail "make is needed to set it up (Debian: apt install make; macOS: xcode-select --install)"
    printf 'First use: mmh is being built and set up in %s.\n' "$clone/.venv" >&2
    printf 'That takes a few minutes, once. Nothing is installed outside of the clone.\n' >&2
    # To standard error, since standard output may be what a command is to write.
    make --no-print-directory -C "$clone" build >&2 ||
        fail "could not be set up (the reason is above; the same command tries again)"
    [ -x "$mmh" ] || fail "$mmh is missing after the set-up (remove $clone/.venv, then try again)"
    printf 'Ready.\n\n' >&2
fi

if [ $# -eq 0 ]; then
    exec "$mmh" menu
fi
exec "$mmh" "$@"
