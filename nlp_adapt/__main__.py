"""`python -m nlp_adapt` is the command `nlp-adapt`, so that launchers can start it."""

from nlp_adapt.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
