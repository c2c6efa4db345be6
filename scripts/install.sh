# Sourced by quickstart.sh and test.sh: makes .venv and installs the project with the tested versions.
# Usage: install_project [EXTRA]
install_project() {
    local extra="${1:-}" python="${PYTHON:-python3}"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
        echo "Python 3.10 or newer is needed; $("$python" --version) was found. Set PYTHON=/path/to/python3." >&2
        return 1
    }
    [ -x .venv/bin/python ] || "$python" -m venv .venv
    # The stamp says what was installed: a second call does nothing unless the requirements have changed.
    local wanted
    wanted="$(cat setup.cfg pyproject.toml constraints.txt | cksum) $extra"
    if [ "$(cat .venv/installed 2>/dev/null)" != "$wanted" ]; then
        echo "Installing into .venv (two to three minutes) ..."
        .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt torch==2.13.0
        .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt \
            -e ".${extra:+[$extra]}"
        echo "$wanted" > .venv/installed
    fi
}
