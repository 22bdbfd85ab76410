"""What the Hub's client raises: whether to try again, and what to tell the user."""

from nlp_adapt.escaping import redact

TRY_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
CONFLICT = frozenset({409, 412})


def hub_errors() -> tuple[type[Exception], ...]:
    """Whatever the client raises: refusals, broken connections, unreadable files, bad metadata."""
    from huggingface_hub.errors import HfHubHTTPError

    # The HTTP library differs between versions of the client; its base class is among these.
    library = next(base for base in HfHubHTTPError.__mro__ if base.__name__ == "HTTPError")
    return (library, OSError, ValueError)


def status(error: Exception) -> int | None:
    """The HTTP status of a refusal."""
    return getattr(getattr(error, "response", None), "status_code", None)


def is_broken_line(error: Exception) -> bool:
    """Whether there was no answer at all."""
    from huggingface_hub.errors import OfflineModeIsEnabled

    if isinstance(error, OfflineModeIsEnabled) or status(error) is not None:
        return False
    return isinstance(error, (hub_errors()[0], ConnectionError, TimeoutError))


def may_succeed(error: Exception, connection: bool) -> bool:
    """Whether to try again: the Hub was busy or, with `connection`, out of reach."""
    return status(error) in TRY_AGAIN or (connection and is_broken_line(error))


def asked_wait(error: Exception) -> float | None:
    """Seconds that the Hub asks to wait for, where it says so."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    seconds = headers.get("Retry-After", "")
    return float(seconds) if seconds.isdigit() else None


def explain(error: Exception, repo_id: str, attempts: int) -> str:
    """What went wrong and what to do, as the second half of a sentence."""
    code = status(error)
    known = {
        401: "because the Hub knows no such token: log in with `hf auth login`, or set HF_TOKEN",
        403: f"because the token may not write to {repo_id}: use one with write access to it",
        404: f"because {repo_id} or its branch cannot be found with this token",
        429: f"because the Hub asks for fewer requests ({attempts} attempts): wait some minutes",
    }
    if code in known:
        return known[code]
    if code in CONFLICT:
        return (
            f"because {repo_id} has changed meanwhile: push again to build on the change, or open "
            "a pull request with create_pr"
        )
    if code is not None and code >= 500:
        return f"because the Hub has trouble of its own (error {code}, {attempts} attempts)"
    if is_broken_line(error):
        return (
            f"because the connection to the Hub broke ({type(error).__name__}): check the network"
        )
    lines = [line.strip() for line in redact(str(error)).splitlines() if line.strip()]
    reason = " ".join(lines[:2]).rstrip(".") if lines else type(error).__name__
    return f"because of this: {reason}"
