#!/usr/bin/env bash
# Checks verification with an execution provider: the models of this repository and 100 random exports pass, and planted
# errors are seen. On CUDA with TensorFloat-32 off and on, in ten minutes at most.
#
#   tests/gpu/run.sh                    on a machine with an NVIDIA GPU and its driver
#   tests/gpu/run.sh cpu                the same checks on the CPU
#   EXPORTS=4 ERRORS=4 tests/gpu/run.sh cpu
#
# If the Python at hand (PYTHON, by default python3) has all that kir needs and an onnxruntime with the provider, it is
# used as it is. Otherwise onnxruntime-gpu with CUDA and cuDNN, some 2 GB, and the rest go into an environment of their
# own, which is deleted at the end; WHEELS names a folder to install from where no index is reachable.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
provider=${1:-cuda}
python=${PYTHON:-python3}
seconds=${SECONDS_IN_ALL:-600}
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1 ORT_DISABLE_TELEMETRY=1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Says whether a Python has all that kir needs, and an onnxruntime with the provider. kir itself runs from here.
has_provider() {
    "$1" - "$provider" <<'PY' >"$work/why" 2>&1
import sys
import kir.cli
from kir.exporters.onnx_file.session import provider_name
provider_name(sys.argv[1])
PY
}

# Prints kir's requirements but onnxruntime, which onnxruntime-gpu takes the place of.
requirements() {
    "$python" - <<'PY'
import tomllib
from pathlib import Path
needed = tomllib.loads(Path("pyproject.toml").read_text())["project"]["dependencies"]
print("\n".join(one for one in needed if not one.startswith("onnxruntime")))
PY
}

install() {
    echo "installing, since $python cannot use $provider: $(tail -n 1 "$work/why")"
    "$python" -m venv "$work/env"
    python=$work/env/bin/python
    requirements >"$work/requirements"
    local source=()
    [ -z "${WHEELS:-}" ] || source=(--no-index --find-links "$WHEELS")
    local runtime="onnxruntime-gpu[cuda,cudnn]"
    case $provider in cuda | cuda-tf32 | tensorrt) ;; openvino) runtime=onnxruntime-openvino ;; *) runtime=onnxruntime ;; esac
    "$python" -m pip install --quiet "${source[@]}" -r "$work/requirements" "$runtime"
}

# CUDA's libraries, where pip installed them: onnxruntime finds them on the search path of the system alone.
find_libraries() {
    local found
    found=$("$python" - <<'PY'
import site
from pathlib import Path
folders = {path.parent for root in site.getsitepackages() for path in Path(root).glob("nvidia/**/lib/*.so*")}
print(":".join(sorted(map(str, folders))))
PY
    )
    [ -z "$found" ] || export LD_LIBRARY_PATH=$found${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
}

# Runs the checks in a process for every two cores, of two to eight, and prints what they say. Each has its share of the
# cores for NumPy, or they would wait for one another.
check() {
    local provider=$1 limit=$2 count part failed=0
    count=$(($(nproc) / 2))
    [ "$count" -ge 2 ] || count=2
    [ "$count" -le 8 ] || count=8
    export OMP_NUM_THREADS=$((($(nproc) + count - 1) / count))
    export OPENBLAS_NUM_THREADS=$OMP_NUM_THREADS
    local processes=()
    for part in $(seq "$count"); do
        "$python" -m tests.gpu.check --provider "$provider" --part "$part/$count" --seconds "$limit" \
            --exports "${EXPORTS:-100}" --errors "${ERRORS:-100}" >"$work/$provider.$part" 2>&1 &
        processes+=($!)
    done
    for part in $(seq "$count"); do
        wait "${processes[part - 1]}" || failed=1
        cat "$work/$provider.$part"
    done
    return $failed
}

has_provider "$python" || install
find_libraries
[ "$provider" != cuda ] || nvidia-smi --query-gpu=name,driver_version --format=csv,noheader
left=$((seconds - SECONDS))
if [ "$left" -lt 120 ]; then
    echo "only $left s of $seconds are left after installing, too few to check anything: give more (SECONDS_IN_ALL)" >&2
    exit 1
fi
failed=0
if [ "$provider" = cuda ]; then
    check cuda $((left / 2 - 15)) || failed=1
    check cuda-tf32 $((left / 2 - 15)) || failed=1
else
    check "$provider" $((left - 30)) || failed=1
fi
[ $failed = 0 ] && echo "all is right with $provider" || echo "something is wrong with $provider: see above" >&2
exit $failed
