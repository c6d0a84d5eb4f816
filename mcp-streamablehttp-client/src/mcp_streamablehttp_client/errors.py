"""Everything that can go wrong and be told to a person or a host in one sentence."""


class ClientError(Exception):
    """Base of all errors of this package; the text is one clear sentence without secrets."""


class Unreachable(ClientError):
    """No HTTP answer could be had from the server."""


class BrokenStream(ClientError):
    """The connection ended in the middle of an answer."""


class MessageTooLarge(ClientError):
    """A message exceeded the stated cap."""


class SignInFailed(ClientError):
    """The OAuth sign-in could not be completed."""


class DiscoveryFailed(SignInFailed):
    """The server's or its authorization server's metadata is missing, wrong or unsafe."""


class OAuthRefused(SignInFailed):
    """An OAuth endpoint answered with an error (RFC 6749 §5.2)."""

    def __init__(self, error: str, text: str) -> None:
        super().__init__(text)
        self.error = error
