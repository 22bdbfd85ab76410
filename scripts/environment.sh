# Sourced by the other scripts: `prepare EXTRA` makes .venv with the package and one of its extras.
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
  .venv/bin/python - "$1" <<'PYTHON'
import hashlib, pathlib, sys
parts = [pathlib.Path(name).read_bytes() for name in ("pyproject.toml", "constraints.txt")]
print(hashlib.sha256(b"\0".join([*parts, sys.argv[1].encode()])).hexdigest())
PYTHON
}

prepare() {
  local extra=$1 stamp=.venv/installed-$1 wanted
  if ! .venv/bin/python -c '' 2>/dev/null; then
    echo "Making .venv ..." >&2
    "$(find_python)" -m venv .venv
  fi
  wanted=$(fingerprint "$extra")
  if [ "$(cat "$stamp" 2>/dev/null || true)" != "$wanted" ]; then
    echo "Installing nlp-adapt[$extra]; the first time takes a few minutes ..." >&2
    .venv/bin/python -m pip install --quiet --disable-pip-version-check \
      -c constraints.txt -e ".[$extra]"
    echo "$wanted" >"$stamp"
  fi
}
