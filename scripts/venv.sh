# Sourced by the other scripts: a virtual environment in .venv with posed and what one extra of it needs.
#
#   . "$(dirname "$0")/venv.sh"; make_venv test; need_debian mosquitto mosquitto
#
# Quick the second time: what was installed is remembered until the Python, pyproject.toml or what is compiled changes.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PATH="$PATH:/usr/sbin:/sbin"

say() { printf '%s\n' "$*" >&2; }

# show_help: the comment at the head of the script.
show_help() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; }

# refuse ARGUMENT: says that the script does not know it.
refuse() { say "$(basename "$0"): unknown argument $1; see --help"; }

# need_debian COMMAND PACKAGE...: installs the packages if the command is missing and we are root.
# Returns 1, with one line that says what to install, where that is not possible.
need_debian() {
    local command=$1
    shift
    command -v "$command" >/dev/null && return 0
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "installing $*"
        apt_install "$@" && command -v "$command" >/dev/null && return 0
    fi
    say "$command is missing: sudo apt-get install $*"
    return 1
}

apt_install() {
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1 ||
        { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@" >/dev/null; }
}

# find_python: the first in PATH of the versions that posed runs with, but none of our own .venv: what is about
# to be made anew is no ground to make it on.
find_python() {
    local python
    while IFS= read -r python; do
        [ "$(dirname "$python")" -ef "$ROOT/.venv/bin" ] && continue
        if "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))'; then
            printf '%s\n' "$python"
            return 0
        fi
    done < <(type -ap python3 python3.14 python3.13 python3.12 python3.11)
    say "Python 3.11 to 3.14 is missing: sudo apt-get install python3 python3-venv"
    return 1
}

# pip, without its warnings about how this machine's own pip is set up.
pip_install() {
    local venv=$1
    shift
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@" 2>&1 |
        { grep -v '^WARNING' || true; } >&2
    return "${PIPESTATUS[0]}"
}

# make_heavy NAME EXTRA [REQUIREMENT...]: a virtual environment apart from .venv, for what weighs gigabytes or
# is nobody's but one script's. EXTRA may be empty. Says where in $heavy.
make_heavy() {
    local name=$1 extra=$2 python wanted
    shift 2
    heavy="${XDG_CACHE_HOME:-$HOME/.cache}/posed-check/$name"
    wanted="$ROOT $extra $* $(cksum <"$ROOT/pyproject.toml")"
    export PYTHONPATH="$ROOT" # another checkout may have set it up last
    [ "$(cat "$heavy/.installed" 2>/dev/null)" = "$wanted" ] && return 0
    python=$(find_python) || return 1
    say "setting up $heavy (some minutes the first time)"
    mkdir -p "$(dirname "$heavy")"
    [ -x "$heavy/bin/python" ] || "$python" -m venv "$heavy" || return 1
    pip_install "$heavy" --editable "$ROOT${extra:+[$extra]}" "$@" || return 1
    printf '%s\n' "$wanted" >"$heavy/.installed"
}

make_venv() {
    local extra=$1 python system stamp wanted
    command -v python3 >/dev/null || need_debian python3 python3 python3-venv || return 1
    python=$(find_python) || return 1
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        { [ "$(id -u)" = 0 ] && apt_install python3-venv; } ||
            { say "Python's venv is missing: sudo apt-get install python3-venv"; return 1; }
    fi
    # The Pi camera's library comes from apt, and so does the numpy that it was built for.
    system=()
    if "$python" -c 'import picamera2' 2>/dev/null; then system=(--system-site-packages); fi
    wanted="$("$python" -c 'import sys; print(sys.executable, sys.version)') ${system[*]} $(cat "$ROOT/pyproject.toml" "$ROOT/setup.py" "$ROOT/posed/networks/posenet/many.py" "$ROOT/posed/people/bodies.py" | cksum)"
    stamp="$ROOT/.venv/.installed-$extra"
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && [ -x "$ROOT/.venv/bin/posed" ]; then return 0; fi
    say "setting up .venv for $extra (about a minute the first time)"
    if [ ! -x "$ROOT/.venv/bin/python" ] || [ "$(cat "$ROOT/.venv/.python" 2>/dev/null)" != "$python" ]; then
        rm -rf "$ROOT/.venv"
        "$python" -m venv "${system[@]}" "$ROOT/.venv" || return 1
        printf '%s\n' "$python" >"$ROOT/.venv/.python"
    fi
    pip_install "$ROOT/.venv" --editable "$ROOT[$extra]" || return 1
    printf '%s\n' "$wanted" >"$stamp"
}
