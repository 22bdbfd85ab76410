# Sourced by the other scripts: `prepare EXTRA` makes .venv with the package and one of its extras,
# `prepare EXTRA FOLDER CONSTRAINTS` another environment with other versions.
# What is in place already is left alone, so that a second run starts at once.

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3 python3.12 python3.11 python3.10 python3.13 python; do
    if [ -n "$candidate" ] &&
      "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1; then
      echo "$candidate"
      return
    fi
  done
  echo "Python 3.10 or newer is needed; name it with PYTHON=/path/to/python." >&2
  return 1
}

fingerprint() {
  "$1/bin/python" - "$2" "$3" <<'PYTHON'
import hashlib, pathlib, sys
extra, constraints = sys.argv[1:]
parts = [pathlib.Path(name).read_bytes() for name in ("pyproject.toml", constraints)]
print(hashlib.sha256(b"\0".join([*parts, extra.encode()])).hexdigest())
PYTHON
}

prepare() {
  local extra=$1 folder=${2:-.venv} constraints=${3:-constraints.txt} stamp wanted
  stamp=$folder/installed-$extra
  if ! "$folder/bin/python" -c '' 2>/dev/null; then
    echo "Making $folder ..." >&2
    "$(find_python)" -m venv "$folder"
  fi
  wanted=$(fingerprint "$folder" "$extra" "$constraints")
  if [ "$(cat "$stamp" 2>/dev/null || true)" != "$wanted" ]; then
    echo "Installing nlp-adapt[$extra] in $folder; the first time takes a few minutes ..." >&2
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check \
      -c "$constraints" -e ".[$extra]"
    echo "$wanted" >"$stamp"
  fi
}
