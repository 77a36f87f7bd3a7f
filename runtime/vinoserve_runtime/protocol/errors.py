"""Why a request gets no inference. Each transport maps these to its own codes in one table."""


class RequestError(Exception):
    """The message is written for whoever sent the request."""


class InvalidRequestError(RequestError):
    """The request itself is wrong; sending it again won't help."""


class ModelNotFoundError(RequestError):
    """No model, or no version, of that name is served here."""


class NotOfferedError(RequestError):
    """The request is understood, and this server doesn't do that, for anybody."""


class QueueFullError(RequestError):
    """More requests wait than `limits.maxQueuedRequests` allows; later there may be room."""


class NotReadyError(RequestError):
    """The model isn't loaded (yet), or the server is about to stop."""


class DeadlineExceededError(RequestError):
    """The result wasn't there within `limits.requestTimeoutSeconds`."""
