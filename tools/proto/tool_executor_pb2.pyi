import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Caller(_message.Message):
    __slots__ = ("tenant", "automation", "lineage", "step", "deadline", "options", "input", "settings")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    AUTOMATION_FIELD_NUMBER: _ClassVar[int]
    LINEAGE_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    automation: str
    lineage: str
    step: str
    deadline: _timestamp_pb2.Timestamp
    options: bytes
    input: bytes
    settings: bytes
    def __init__(self, tenant: _Optional[str] = ..., automation: _Optional[str] = ..., lineage: _Optional[str] = ..., step: _Optional[str] = ..., deadline: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., options: _Optional[bytes] = ..., input: _Optional[bytes] = ..., settings: _Optional[bytes] = ...) -> None: ...

class ListRequest(_message.Message):
    __slots__ = ("automation",)
    AUTOMATION_FIELD_NUMBER: _ClassVar[int]
    automation: str
    def __init__(self, automation: _Optional[str] = ...) -> None: ...

class ListResponse(_message.Message):
    __slots__ = ("tools",)
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    tools: _containers.RepeatedCompositeFieldContainer[Tool]
    def __init__(self, tools: _Optional[_Iterable[_Union[Tool, _Mapping]]] = ...) -> None: ...

class Tool(_message.Message):
    __slots__ = ("name", "description", "arguments", "result", "effect", "guarantee", "key_ttl", "compensate_with", "irreversible", "lookup", "time_limit", "cost_micros", "secrets", "version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    GUARANTEE_FIELD_NUMBER: _ClassVar[int]
    KEY_TTL_FIELD_NUMBER: _ClassVar[int]
    COMPENSATE_WITH_FIELD_NUMBER: _ClassVar[int]
    IRREVERSIBLE_FIELD_NUMBER: _ClassVar[int]
    LOOKUP_FIELD_NUMBER: _ClassVar[int]
    TIME_LIMIT_FIELD_NUMBER: _ClassVar[int]
    COST_MICROS_FIELD_NUMBER: _ClassVar[int]
    SECRETS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    arguments: bytes
    result: bytes
    effect: str
    guarantee: str
    key_ttl: _duration_pb2.Duration
    compensate_with: str
    irreversible: bool
    lookup: bool
    time_limit: _duration_pb2.Duration
    cost_micros: int
    secrets: _containers.RepeatedScalarFieldContainer[str]
    version: str
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., arguments: _Optional[bytes] = ..., result: _Optional[bytes] = ..., effect: _Optional[str] = ..., guarantee: _Optional[str] = ..., key_ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., compensate_with: _Optional[str] = ..., irreversible: _Optional[bool] = ..., lookup: _Optional[bool] = ..., time_limit: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., cost_micros: _Optional[int] = ..., secrets: _Optional[_Iterable[str]] = ..., version: _Optional[str] = ...) -> None: ...

class InvokeRequest(_message.Message):
    __slots__ = ("tool", "arguments", "key", "caller", "version")
    TOOL_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    tool: str
    arguments: bytes
    key: str
    caller: Caller
    version: str
    def __init__(self, tool: _Optional[str] = ..., arguments: _Optional[bytes] = ..., key: _Optional[str] = ..., caller: _Optional[_Union[Caller, _Mapping]] = ..., version: _Optional[str] = ...) -> None: ...

class InvokeResponse(_message.Message):
    __slots__ = ("output", "retry", "failed", "unknown", "transient")
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    RETRY_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    TRANSIENT_FIELD_NUMBER: _ClassVar[int]
    output: bytes
    retry: Retry
    failed: Failed
    unknown: Unknown
    transient: Transient
    def __init__(self, output: _Optional[bytes] = ..., retry: _Optional[_Union[Retry, _Mapping]] = ..., failed: _Optional[_Union[Failed, _Mapping]] = ..., unknown: _Optional[_Union[Unknown, _Mapping]] = ..., transient: _Optional[_Union[Transient, _Mapping]] = ...) -> None: ...

class LookupRequest(_message.Message):
    __slots__ = ("tool", "key", "caller")
    TOOL_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    tool: str
    key: str
    caller: Caller
    def __init__(self, tool: _Optional[str] = ..., key: _Optional[str] = ..., caller: _Optional[_Union[Caller, _Mapping]] = ...) -> None: ...

class LookupResponse(_message.Message):
    __slots__ = ("happened", "absent", "unsure", "failed", "transient")
    HAPPENED_FIELD_NUMBER: _ClassVar[int]
    ABSENT_FIELD_NUMBER: _ClassVar[int]
    UNSURE_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    TRANSIENT_FIELD_NUMBER: _ClassVar[int]
    happened: Happened
    absent: Absent
    unsure: Unsure
    failed: Failed
    transient: Transient
    def __init__(self, happened: _Optional[_Union[Happened, _Mapping]] = ..., absent: _Optional[_Union[Absent, _Mapping]] = ..., unsure: _Optional[_Union[Unsure, _Mapping]] = ..., failed: _Optional[_Union[Failed, _Mapping]] = ..., transient: _Optional[_Union[Transient, _Mapping]] = ...) -> None: ...

class Happened(_message.Message):
    __slots__ = ("output",)
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    output: bytes
    def __init__(self, output: _Optional[bytes] = ...) -> None: ...

class Absent(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Unsure(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Retry(_message.Message):
    __slots__ = ("message",)
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    message: str
    def __init__(self, message: _Optional[str] = ...) -> None: ...

class Failed(_message.Message):
    __slots__ = ("message",)
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    message: str
    def __init__(self, message: _Optional[str] = ...) -> None: ...

class Unknown(_message.Message):
    __slots__ = ("message",)
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    message: str
    def __init__(self, message: _Optional[str] = ...) -> None: ...

class Transient(_message.Message):
    __slots__ = ("message", "retry_after")
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_FIELD_NUMBER: _ClassVar[int]
    message: str
    retry_after: _duration_pb2.Duration
    def __init__(self, message: _Optional[str] = ..., retry_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...
