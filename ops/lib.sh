# Shell functions that ops/run and ops/test share. Sourced by them, not run.
# shellcheck shell=bash

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
readonly ROOT
readonly PROGRAM=ops/${0##*/}

say() { printf '%s: %s\n' "${PROGRAM#ops/}" "$*"; }

fail() {
    printf '%s: %s\n' "${PROGRAM#ops/}" "$*" >&2
    exit 1
}

apt() { DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@"; }

# Installs Debian packages. A second try after `apt-get update` serves empty and
# outdated package lists alike.
install_packages() {
    type apt-get >/dev/null 2>&1 || fail "missing here: $*; and there is no apt-get: install them yourself"
    [[ $EUID == 0 ]] || fail "missing here: $*; run this as root to install them, or: apt-get install --no-install-recommends $*"
    say "installing $* (apt-get)"
    apt install --no-install-recommends -y "$@" >/dev/null 2>&1 && return
    apt update || fail "apt-get update failed: see above"
    apt install --no-install-recommends -y "$@" >/dev/null || fail "apt-get could not install $*: see above"
}

# The same, without the services of the packages being started.
install_packages_without_service() {
    local policy=/usr/sbin/policy-rc.d
    if [[ $EUID == 0 && ! -e $policy ]]; then
        # shellcheck disable=SC2064 # the path of now
        trap "rm -f '$policy'" EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        install_packages "$@"
        rm -f "$policy"
        trap - EXIT
    else
        install_packages "$@"
    fi
}

# Sets `python` to a Python that can make virtual environments.
choose_python() {
    local candidate
    for candidate in ${CALIPSO_PYTHON:-python3 python3.11 python3.12 python3.13 python3.14}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            python=$candidate
            "$python" -c 'import ensurepip, venv' 2>/dev/null && return
            install_packages python3-venv
            "$python" -c 'import ensurepip, venv' 2>/dev/null && return
            fail "$python cannot make virtual environments: its module ensurepip is missing"
        fi
    done
    fail "Python 3.11 or later is missing (looked for ${CALIPSO_PYTHON:-python3}); install it, or name one in CALIPSO_PYTHON"
}

# What a finished environment is known by: where it is and what runs it, then what is in it.
place_of() { { echo "$1" && "$1/bin/python" --version; } 2>&1 | sha256sum; }
content_of() { cat "$1" "$ROOT/pyproject.toml" | sha256sum; }

is_finished() { [[ -f $1/calipso.stamp && $(<"$1/calipso.stamp") == "$(place_of "$1")"$'\n'"$(content_of "$2")" ]]; }

# Makes the virtual environment $1 from the lock $2, both relative to the root, and
# installs this tree in it; at once when that is done. Never two at the same time: pip
# shares the lock, so one that outlives a killed script is waited for.
ensure_venv() {
    local venv=$ROOT/$1 lock=$ROOT/$2
    is_finished "$venv" "$lock" && return
    exec 9<"$lock"
    flock --nonblock 9 || { say "waiting for another installation to finish" && flock 9; }
    is_finished "$venv" "$lock" || make_venv "$venv" "$lock"
    exec 9<&-
}

make_venv() {
    local venv=$1 lock=$2 python
    # one that was interrupted, moved, or made by another Python is not worth mending
    if [[ ! -f $venv/calipso.stamp || $(head -n 1 "$venv/calipso.stamp") != "$(place_of "$venv")" ]]; then
        choose_python
        say "making ${venv#"$ROOT"/} with $("$python" --version)"
        "$python" -m venv --clear "$venv" || fail "the virtual environment $venv could not be made: see above"
    fi
    rm -f "$venv/calipso.stamp"
    say "installing the packages of ${lock#"$ROOT"/}"
    pip_install "$venv" --require-hashes -r "$lock"
    pip_install "$venv" --no-deps --no-build-isolation -e "$ROOT"
    printf '%s\n' "$(place_of "$venv")" "$(content_of "$lock")" >"$venv/calipso.stamp"
}

pip_install() {
    local venv=$1
    shift
    "$venv/bin/python" -m pip install -qq --no-input --disable-pip-version-check --progress-bar off "$@" ||
        fail "pip could not install the packages: see above"
}
