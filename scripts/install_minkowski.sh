#!/usr/bin/env bash
# Builds MinkowskiEngine 0.5.4 from its source release and installs it into the current environment: with CUDA where
# torch sees a GPU and nvcc is there, for the CPU otherwise. The build is kept, so that it happens once for each Python,
# torch and processor. Can be run again, also after it was interrupted.
#
#   bash scripts/install_minkowski.sh               # the active environment, else .venv; PYTHON=... chooses another
#   bash scripts/install_minkowski.sh --cpu         # without CUDA; --cuda demands it, also where no GPU is present
#   bash scripts/install_minkowski.sh --rebuild     # ignore what was built before
#   bash scripts/install_minkowski.sh --is-cached   # say by the exit status whether a build is kept; install nothing
#
# Needs g++ (or CXX=...), and OpenBLAS with its headers. MAX_JOBS limits the compilers that run at the same time.
set -euo pipefail

version=0.5.4
source_hash=sha256:b1879c00d0b0b1d30ba622cce239886a7e3c78ee9da1064cdfe2f64c2ab15f94
here="$(cd "$(dirname "$0")/.." && pwd)"
cache="${MONAI_EXT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/monai_ext}/minkowski"

fail() {
    printf 'MinkowskiEngine was not installed: %s\n' "$*" >&2
    exit 1
}

choose_python() {
    python="${PYTHON:-}"
    if [ -z "$python" ] && [ -n "${VIRTUAL_ENV:-}${CONDA_PREFIX:-}" ]; then
        python="${VIRTUAL_ENV:-$CONDA_PREFIX}/bin/python"
    elif [ -z "$python" ] && [ -x "$here/.venv/bin/python" ]; then
        python="$here/.venv/bin/python"
    fi
    python="$(command -v "${python:-python3}")" || fail "no Python was found; activate an environment, or set PYTHON."
    # The commands below also run in other folders.
    case "$python" in /*) ;; *) python="$PWD/$python" ;; esac
    "$python" -m pip --version > /dev/null 2>&1 || fail "$python has no pip; run '$python -m ensurepip'."
    "$python" -c 'import torch, numpy' 2> /dev/null ||
        fail "torch and numpy are not installed for $python. Install the project first: bash scripts/test.sh"
}

# Sets $device (cpu or cuda) and $build, the name of the build for this Python, torch and processor.
choose_build() {
    device="$wanted_device"
    if [ "$device" = auto ]; then
        device=cpu
        if "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
            command -v nvcc > /dev/null || fail "torch sees a GPU, and nvcc, CUDA's compiler, was not found. Put the" \
                "CUDA toolkit of torch's CUDA version on PATH, or build for the CPU: --cpu"
            device=cuda
        fi
    fi
    if [ "$device" = cuda ]; then
        "$python" -c 'import sys, torch; sys.exit(torch.version.cuda is None)' ||
            fail "CUDA was demanded, and the torch of $python was built without it."
        command -v nvcc > /dev/null || fail "CUDA was demanded, and nvcc was not found on PATH."
    fi
    build="$("$python" -c '
import platform, sys, torch
print(f"{sys.implementation.cache_tag}-torch{torch.__version__}-{platform.machine()}")')-$device"
}

cached_wheel() {
    find "$cache/$build" -name '*.whl' 2> /dev/null | head -n 1
}

check_tools() {
    [ "$(uname -s)" = Linux ] || fail "its source release builds on Linux only."
    command -v "${CXX:-g++}" > /dev/null ||
        fail "no C++ compiler was found (${CXX:-g++}). On Debian and Ubuntu: apt-get install g++"
    # Where cblas.h lies differs: Debian, Fedora, an activated conda environment.
    local folder program=$'#include <cblas.h>\nint main() { return cblas_idamax(0, nullptr, 1) != 0; }'
    for folder in "" /usr/include/*/openblas-pthread /usr/include/openblas "${CONDA_PREFIX:-/nowhere}/include"; do
        if "${CXX:-g++}" -x c++ ${folder:+"-I$folder"} ${CONDA_PREFIX:+"-L$CONDA_PREFIX/lib"} \
            -o "$work/blas" - -lopenblas <<< "$program" 2> "$work/blas.log"; then
            export CPATH="$folder${CPATH:+:$CPATH}"
            export LIBRARY_PATH="${CONDA_PREFIX:+$CONDA_PREFIX/lib}${LIBRARY_PATH:+:$LIBRARY_PATH}"
            return
        fi
    done
    fail "OpenBLAS with its headers was not found. On Debian and Ubuntu: apt-get install libopenblas-dev"
}

# A compiler takes up to 2 GiB.
limit_jobs() {
    local gibibytes
    gibibytes=$(awk '/MemAvailable/ {print int($2 / 1048576)}' /proc/meminfo)
    MAX_JOBS="${MAX_JOBS:-$(nproc)}"
    [ "$MAX_JOBS" -le $((gibibytes / 2)) ] || MAX_JOBS=$((gibibytes / 2 > 0 ? gibibytes / 2 : 1))
    export MAX_JOBS
}

# Everything happens in $work, on the cache's file system; the wheel is moved into place whole.
build_wheel() {
    local log="$cache/$build.log" flag=--cpu_only
    [ "$device" = cpu ] || flag=--force_cuda
    limit_jobs
    echo "Building MinkowskiEngine $version for $build ($MAX_JOBS compilers, 5 to 15 minutes; log: $log) ..."
    # Its setup calls `pip uninstall MinkowskiEngine`, in whatever environment comes first on PATH: give it nothing.
    mkdir "$work/bin" "$work/tmp"
    printf '#!/bin/sh\nexit 0\n' > "$work/bin/pip"
    chmod +x "$work/bin/pip"
    printf 'MinkowskiEngine==%s --config-settings="--global-option=%s" --config-settings="%s" --hash=%s\n' \
        "$version" "$flag" --global-option=--blas=openblas "$source_hash" > "$work/requirements.txt"
    # pip's own cache of wheels does not tell builds for different versions of torch apart: --no-cache-dir.
    local pip=("$python" -m pip --disable-pip-version-check --no-cache-dir)
    export TMPDIR="$work/tmp" PYTHONNOUSERSITE=1
    if ! {
        "${pip[@]}" install --target "$work/tools" "pip>=25" "setuptools>=77" ninja &&
            PATH="$work/bin:$work/tools/bin:$PATH" PYTHONPATH="$work/tools" "${pip[@]}" wheel --verbose --no-deps \
                --no-build-isolation --no-binary :all: --wheel-dir "$work/wheel" -r "$work/requirements.txt"
    } > "$log" 2>&1; then
        tail -n 5 "$log" >&2
        grep -q 'running build_ext' "$log" &&
            fail "the compiler stopped with an error; the first one in $log says why."
        fail "pip could not fetch the source release or what builds it; the end of $log says why." \
            "Nothing was kept; run this again when the network is there."
    fi
    mkdir -p "$cache/$build"
    mv "$work"/wheel/*.whl "$cache/$build/"
}

# One 3 x 3 convolution and its gradient, compared with torch's.
works() {
    (cd "$here/monai_ext/networks" && "$python" - "$device") << 'END'
import sys

import torch
from minkowski_engine import minkowski_engine

engine = minkowski_engine()
device = "cuda" if sys.argv[1] == "cuda" and torch.cuda.is_available() else "cpu"
if sys.argv[1] == "cuda" and not engine.is_cuda_available():
    sys.exit("MinkowskiEngine is installed without CUDA.")
image, weight = torch.rand(1, 4, 5, 6, device=device), torch.rand(8, 4, 3, 3, device=device)
expected = torch.nn.functional.conv2d(image, weight, padding=1)
points = torch.ones(1, 6, 5).nonzero().int().contiguous().to(device)  # axes swapped against torch's
layer = engine.MinkowskiConvolution(4, 8, kernel_size=3, dimension=2).to(device)
layer.kernel.data = weight.flatten(2).permute(2, 1, 0).contiguous()
result = layer(engine.SparseTensor(image.permute(0, 3, 2, 1).reshape(-1, 4), points))
result.F.sum().backward()
sample, x, y = result.C.long().unbind(1)
torch.testing.assert_close(result.F, expected.permute(0, 2, 3, 1)[sample, y, x])
torch.testing.assert_close(layer.kernel.grad.sum(0)[:, 0], layer.kernel.grad.sum(0)[:, 7])
print(f"MinkowskiEngine {engine.__version__} works in {sys.prefix} ({device}).")
END
}

wanted_device=auto rebuild=
for argument in "$@"; do
    case "$argument" in
        --cpu | --cuda) wanted_device="${argument#--}" ;;
        --rebuild) rebuild=yes ;;
        --is-cached) choose_python && choose_build && exec test -n "$(cached_wheel)" ;;
        *) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" && exit 2 ;;
    esac
done
choose_python
choose_build
if [ -z "$rebuild" ] && works 2> /dev/null; then
    exit 0
fi
mkdir -p "$cache"
if command -v flock > /dev/null; then
    exec 9> "$cache/lock"
    flock --nonblock 9 || { echo "Another build is running; waiting for it ..." && flock 9; }
    rm -rf "$cache"/.building-* # left by a build that was killed: a living one would hold the lock
fi
if [ -n "$rebuild" ] || [ -z "$(cached_wheel)" ]; then
    work="$(mktemp -d "$cache/.building-XXXXXX")"
    trap 'rm -rf "$work"' EXIT
    check_tools
    build_wheel
fi
"$python" -m pip install --quiet --disable-pip-version-check --no-index --no-deps --force-reinstall "$(cached_wheel)"
works || fail "it was built and cannot be used, see above. If a library is missing, install it (Debian and Ubuntu:" \
    "apt-get install libopenblas0); else build again with --rebuild."
