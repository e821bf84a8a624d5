#!/usr/bin/env bash
# The built wheel in an empty environment for each extra, one at a time: installed, then used by try_extra.py.
# `.ci/try_extras.sh onnx all` tries two of them; WHEEL names a wheel that is built already.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ -z "${WHEEL:-}" ]; then
    .venv/bin/python -m build --outdir "$work/dist" . >"$work/build.log" 2>&1 || { tail -n 40 "$work/build.log"; exit 1; }
    WHEEL=$(echo "$work"/dist/*.whl)
fi
[ $# -gt 0 ] || set -- core segment train eval onnx all
for extra in "$@"; do
    begin=$SECONDS
    "${PYTHON:-python3}" -m venv "$work/$extra"
    # torch first: another package's open range would otherwise pull the newest build with its CUDA packages. Bytecode is
    # written for what is imported, not for all that is installed.
    "$work/$extra/bin/pip" install --quiet --no-compile --constraint constraints.txt torch
    brackets=$([ "$extra" = core ] || echo "[$extra]")
    "$work/$extra/bin/pip" install --quiet --no-compile --constraint constraints.txt "$WHEEL$brackets"
    echo "== $extra: installed in $((SECONDS - begin)) s, $("$work/$extra/bin/pip" list 2>/dev/null | tail -n +3 | wc -l) packages," \
        "$(du -sm "$work/$extra" | cut -f1) MB"
    begin=$SECONDS
    mkdir "$work/$extra/work"
    (cd "$work/$extra/work" && ../bin/python - "$extra" <"$OLDPWD/.ci/try_extra.py") || failed=1
    echo "   used in $((SECONDS - begin)) s"
    rm -rf "${work:?}/$extra"
done
exit "${failed:-0}"
