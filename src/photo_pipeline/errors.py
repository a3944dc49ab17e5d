"""What can go wrong, and what follows from it.

* PhotoPipelineError
  x RetryableError             the same message may succeed later
    + StoreUnavailableError        MongoDB does not answer: waiting for it costs no attempt
    + BlobUnavailableError         the photo storage or the archive does not answer
      + StorageFullError           it has no room
    + OverloadedError              as many uploads as this process takes at a time
    + RequestInProgressError       the first request with this key has no answer yet
    + DetectionUnavailableError    a gate that nothing here could ever open
    + BrokerUnavailableError       RabbitMQ does not answer
    + DecoderCrashedError          the child process died over this photo
    + StageTimeoutError            the child process was stopped at the time limit
    + SandboxUnavailableError      no child process could be started
    + WebhookFailedError           a webhook's receiver did not accept the event
    + UnexpectedError              anything nobody foresaw: the attempts bound it
      + PrivacyViolationError      a rendition carries what must not be published
      + FidelityViolationError     a rendition does not look like its photo
      + BlurUnavailableError       faces must be blurred, and none can be looked for
    + TrialUnansweredError         no worker has tried a dead letter in time
  x PermanentError             the same message can never succeed
    + MalformedMessageError        not a work message
    + UnknownPhotoError            no such photo
    + UnknownRenditionError        the photo has no such rendition
    + WithheldError                the preset does not let this picture be served
    + HeldError                    a gate is closed until a person opens it
    + AwaitingDetectionError       a gate is closed until detection has looked
    + NotModeratedError            there is no verdict that a person could give
    + NotReadyError                the rendition is still being made
    + NotFinishedError             the photo has not reached its end
    + PhotoDeletedError            the photo was deleted
    + StageNotReusableError        a run cannot begin behind this stage
    + StageFailedError             a stage failed earlier; stands for the stored reason
    + UnroutableError              no queue takes the message
    + ForwardFailedError           the photo cannot be handed on
    + CrashLoopError               begun again and again without an end
    + MissingBlobError             the bytes a stage reads are gone
    + MemoryLimitError             the photo needs more memory than a stage may use
    + ArchiveCorruptError          what belongs into the archive is not what the document says
    + InvalidPresetError           a preset asks for something no stage can do
    + WebhookRefusedError          a webhook's URL may not be called
    + UnknownDeadLetterError       no such dead letter
    + DeadLetterClosedError        the dead letter was replayed or discarded before
    + DeadLetterObsoleteError      a dead letter that nobody waits for any more
    + NotReplayableError           a dead letter that nothing can be made of
    x BadInputError            the client sent something wrong
      + InvalidRequestError        malformed request
      + FieldTooLargeError         a form field is too long
      + KeyReusedError             another upload came under this key
      + UnknownPresetError         no preset of this name
      + UnknownStageError          no stage of this name
      + PreconditionFailedError    If-Match does not hold
      + RangeNotSatisfiableError   the asked-for bytes lie behind the end
      + StalledUploadError         the body stopped coming
      + BodyTooLargeError          more bytes than allowed
      + UnsupportedFormatError     not an image by its bytes
      + EmptyFileError             no bytes at all
      + UnreadableImageError       an image whose header or pixels cannot be read
      + TooManyPixelsError         more pixels than allowed
  x ConsumerStuckError         a consumer gets nothing and cannot be mended: the process ends
  x SetupError                 the process cannot start as asked
    + SettingsError                environment variables are wrong
    + EmbeddedServerError          a private server is missing or did not start
"""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an error was raised: the name of its type, and our own frames, outermost first."""

    type: str
    frames: tuple[str, ...]


class PhotoPipelineError(Exception):
    """Base of every error raised on purpose.

    ``code`` is stable and part of the public contract, ``retryable`` says whether the
    same message may succeed later, ``http_status`` is the answer's status (RFC 9110).
    ``origin`` is set if the error was raised in another process and only told here.
    """

    origin: Origin | None = None

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False
    http_status: ClassVar[int] = 500

    @property
    def message(self) -> str:
        """One sentence for people."""
        return str(self) or type(self).__doc__ or self.code


class RetryableError(PhotoPipelineError):
    """The same message may succeed later; as an answer, after ``retry_after_s`` seconds."""

    retryable = True
    http_status = 503
    retry_after_s: ClassVar[int] = 5  # a restarted broker or database is back after about this long


class StoreUnavailableError(RetryableError):
    """The database with the status documents does not answer.

    ``in_doubt`` says that it may have done, or may still do, what it was asked for.
    """

    code = "store_unavailable"

    def __init__(self, *args: object, in_doubt: bool = True) -> None:
        super().__init__(*args)
        self.in_doubt = in_doubt


class BlobUnavailableError(RetryableError):
    """The storage of photos, or of the archive, does not answer."""

    code = "storage_unavailable"


class StorageFullError(BlobUnavailableError):
    """The storage of photos, or of the archive, has no room left."""

    code = "storage_full"
    retry_after_s = 60  # somebody has to make room: soon enough to notice, too rare to be a load


class OverloadedError(RetryableError):
    """This process has as many uploads in hand as it takes at a time."""

    code = "overloaded"
    retry_after_s = 2  # one of so many uploads, each of a second or two, has ended by then


class RequestInProgressError(RetryableError):
    """The first request with this Idempotency-Key has no answer yet."""

    code = "request_in_progress"
    http_status = 409
    retry_after_s = 5  # most uploads are over by then; the lease of one that died, the next time


class DetectionUnavailableError(RetryableError):
    """The preset has a gate, and what would open it is not installed."""

    code = "detection_unavailable"
    retry_after_s = 60
    http_status = 503


class BrokerUnavailableError(RetryableError):
    """RabbitMQ does not answer."""

    code = "broker_unavailable"


class DecoderCrashedError(RetryableError):
    """The process that worked on this photo died."""

    code = "decoder_crashed"


class StageTimeoutError(RetryableError):
    """The stage did not finish this photo within its time limit."""

    code = "stage_timeout"


class SandboxUnavailableError(RetryableError):
    """No process could be started to work on this photo."""

    code = "sandbox_unavailable"


class WebhookFailedError(RetryableError):
    """The receiver of a webhook did not accept the event."""

    code = "webhook_failed"


class TrialUnansweredError(RetryableError):
    """No worker has tried the dead letter in time."""

    code = "trial_unanswered"


class UnexpectedError(RetryableError):
    """An error that nobody foresaw."""

    code = "unexpected_error"
    http_status = 500


class PrivacyViolationError(UnexpectedError):
    """A rendition was found to carry metadata that must not be published."""

    code = "privacy_violation"


class FidelityViolationError(UnexpectedError):
    """A rendition was found to differ too much from its photo."""

    code = "fidelity_violation"


class BlurUnavailableError(UnexpectedError):
    """Faces must be blurred, and nothing can look for them: nothing is published.

    Another worker may have the model, or this one after the operator's help.
    """

    code = "blur_unavailable"


class PermanentError(PhotoPipelineError):
    """The same message can never succeed."""


class MalformedMessageError(PermanentError):
    """The message cannot be parsed."""

    code = "malformed_message"


class UnknownPhotoError(PermanentError):
    """There is no photo with this id."""

    code = "unknown_photo"
    http_status = 404


class UnknownRenditionError(PermanentError):
    """The photo has no rendition of this name."""

    code = "unknown_rendition"
    http_status = 404


class NotReadyError(PermanentError):
    """The rendition is still being made."""

    code = "not_ready"
    http_status = 409


class NotFinishedError(PermanentError):
    """The photo has not reached its end yet."""

    code = "not_finished"
    http_status = 409


class WithheldError(PermanentError):
    """The photo's preset lets only its marked, or blurred, pictures be served."""

    code = "withheld"
    http_status = 403


class HeldError(PermanentError):
    """Detection has not passed the photo, or a person has rejected it: only its status is told."""

    code = "held"
    http_status = 403


class AwaitingDetectionError(PermanentError):
    """The preset has a gate, and detection has not looked at the photo yet."""

    code = "awaiting_detection"
    http_status = 409


class NotModeratedError(PermanentError):
    """A person can only decide about a photo with a gate that detection has looked at."""

    code = "not_moderated"
    http_status = 409


class PhotoDeletedError(PermanentError):
    """The photo was deleted; its tombstone is left."""

    code = "photo_deleted"
    http_status = 410


class StageNotReusableError(PermanentError):
    """A run cannot begin behind a stage that is not done, or that its preset changes."""

    code = "stage_not_reusable"
    http_status = 409


class StageFailedError(PermanentError):
    """A stage failed earlier; the instance carries the code that was stored then."""

    code = "stage_failed"

    def __init__(self, message: str, stored_code: str) -> None:
        super().__init__(message)
        self.stored_code = stored_code


class UnroutableError(PermanentError):
    """No queue takes the message: nobody consumes that stage."""

    code = "unroutable"


class ForwardFailedError(PermanentError):
    """The stage is done, but the photo cannot be handed on."""

    code = "forward_failed"


class CrashLoopError(PermanentError):
    """The stage was begun many times for this photo and never came to an end."""

    code = "crash_loop"


class MissingBlobError(PermanentError):
    """The stored bytes are gone."""

    code = "missing_blob"
    http_status = 404


class MemoryLimitError(PermanentError):
    """The photo needs more memory than a stage may use."""

    code = "memory_limit_exceeded"


class ArchiveCorruptError(PermanentError):
    """The stored bytes are not those that the status document tells of."""

    code = "archive_corrupt"


class InvalidPresetError(PermanentError):
    """The preset asks for something that no stage can do."""

    code = "invalid_preset"


class WebhookRefusedError(PermanentError):
    """The URL of a webhook may not be called."""

    code = "webhook_refused"


class UnknownDeadLetterError(PermanentError):
    """There is no dead letter with this id."""

    code = "unknown_dead_letter"
    http_status = 404


class DeadLetterClosedError(PermanentError):
    """The dead letter was replayed or discarded before."""

    code = "dead_letter_closed"
    http_status = 409


class DeadLetterObsoleteError(PermanentError):
    """Nobody waits for what the dead letter is about: its photo has gone on, or was deleted."""

    code = "dead_letter_obsolete"
    http_status = 409


class NotReplayableError(PermanentError):
    """Nothing can be made of the dead letter; it can only be discarded."""

    code = "not_replayable"
    http_status = 409


class BadInputError(PermanentError):
    """The client sent something that is refused."""

    http_status = 400


class InvalidRequestError(BadInputError):
    """The request is malformed."""

    code = "invalid_request"


class FieldTooLargeError(BadInputError):
    """A form field is longer than allowed."""

    code = "field_too_large"


class KeyReusedError(BadInputError):
    """Another upload came under this Idempotency-Key before."""

    code = "idempotency_key_reused"
    http_status = 422


class UnknownPresetError(BadInputError):
    """There is no preset of this name."""

    code = "unknown_preset"
    http_status = 422


class UnknownStageError(BadInputError):
    """There is no stage of this name."""

    code = "unknown_stage"
    http_status = 422


class PreconditionFailedError(BadInputError):
    """The stored bytes are not the ones that the request is about (RFC 9110, 13.1)."""

    code = "precondition_failed"
    http_status = 412


class RangeNotSatisfiableError(BadInputError):
    """The asked-for range begins behind the end, at *size* bytes (RFC 9110, 15.5.17)."""

    code = "range_not_satisfiable"
    http_status = 416

    def __init__(self, size: int) -> None:
        super().__init__(f"there are {size} bytes")
        self.size = size


class StalledUploadError(BadInputError):
    """The body of the upload stopped coming."""

    code = "stalled_upload"
    http_status = 408


class BodyTooLargeError(BadInputError):
    """The upload has more bytes than allowed."""

    code = "body_too_large"
    http_status = 413


class UnsupportedFormatError(BadInputError):
    """By its bytes the upload is not an image of a supported format."""

    code = "unsupported_format"
    http_status = 415


class EmptyFileError(BadInputError):
    """The uploaded file has no bytes."""

    code = "empty_file"
    http_status = 422


class UnreadableImageError(BadInputError):
    """The image cannot be read."""

    code = "unreadable_image"
    http_status = 422


class TooManyPixelsError(BadInputError):
    """The image has more pixels than allowed."""

    code = "too_many_pixels"
    http_status = 422


class ConsumerStuckError(PhotoPipelineError):
    """A consumer gets nothing although messages wait; another process may."""

    code = "consumer_stuck"


class SetupError(PhotoPipelineError):
    """The process cannot start as asked."""

    code = "setup"


class SettingsError(SetupError):
    """One or more settings are wrong."""

    code = "settings"


class EmbeddedServerError(SetupError):
    """A private server is missing or did not start."""

    code = "embedded_server"


def error_class(code: str) -> type[PhotoPipelineError] | None:
    """Return the class that owns *code*, or None: the way back from a child process."""
    pending = [PhotoPipelineError]
    while pending:
        cls = pending.pop()
        if cls.__dict__.get("code") == code:
            return cls
        pending.extend(cls.__subclasses__())
    return None
