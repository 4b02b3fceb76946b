# The runtime client of layercake's local Lambda: one source for Python 3.6 to 3.15.
#
# Owns what happens between the interpreter's start and the handler: sys.path, the handler's
# import, the loop over the Runtime API, errors as AWS words them. It must import as little as
# possible before the handler does, since every import here is paid on each cold start: so it
# speaks HTTP over _socket and JSON through _json, and loads the rest only when it is needed.
import os
import sys

import _socket
from time import time as _time

try:
    import _json
except ImportError:  # A CPython built without its C accelerator.
    _json = None

_VERSION = "3.%d" % sys.version_info[1]
_NBSP = u"\u00a0"
_PREFIX = b"/2018-06-01/runtime/"
_NEXT = b"GET " + _PREFIX + b"invocation/next HTTP/1.1\r\nHost: localhost\r\n\r\n"
_ACCEPTED = (
    b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n"
    b'{"status":"OK"}\n'
)
_JSON_TIME = "%Y-%m-%dT%H:%M:%SZ"
_request_id = None
# What every context says of the function.
_function = ()


class Fault(Exception):
    def __init__(self, error_type, message, trace=None):
        Exception.__init__(self, message)
        self.error_type = error_type
        self.message = message
        self.trace = trace


# JSON, with the results of the json module but without its import.


class _Scanning(object):
    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = {"-Infinity": -float("inf"), "Infinity": float("inf"), "NaN": float("nan")}.__getitem__
    memo = {}


_ENSURE_ASCII = sys.version_info < (3, 12)
_scan = _json and _json.make_scanner(_Scanning)


def from_json(body):
    if _scan is not None:
        try:
            text = body.decode("utf-8").strip(" \t\n\r")
            value, end = _scan(text, 0)
            if end == len(text):
                return value
        except (StopIteration, ValueError):
            pass
    import json

    return json.loads(body.decode("utf-8"))


# Numbers that the encoder has no way to write, by the markers that stand for them.
_raw = {}
# What the encoder works on, by which it knows an object that holds itself.
_open = {}


def _default(other):
    kind = type(other).__name__
    if kind == "Decimal":
        if other.is_nan():
            return float("nan")
        marker = "%s:%d" % (os.urandom(16).hex(), len(_raw))
        _raw['"' + marker + '"'] = str(other)
        return marker
    if isinstance(other, bytes):
        return other.decode("utf-8")
    raise TypeError("Object of type %s is not JSON serializable" % kind)


def _encoder():
    escape = _json.encode_basestring_ascii if _ENSURE_ASCII else _json.encode_basestring
    return _json.make_encoder(_open, _default, escape, None, ": ", ", ", False, False, True)


_encode = _json and _encoder()


def to_json(value):
    try:
        if _encode is not None:
            text = "".join(_encode(value, 0))
        else:
            import json

            text = json.dumps(value, default=_default, ensure_ascii=_ENSURE_ASCII)
        for marker in _raw:
            text = text.replace(marker, _raw[marker])
        return text
    finally:
        _open.clear()
        _raw.clear()


# The Runtime API, over one connection that is kept.


class Connection(object):
    def __init__(self, address):
        host, _, port = address.rpartition(":")
        self.socket = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
        self.socket.connect((host, int(port)))
        self.socket.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        self.buffer = b""

    def send(self, data):
        self.socket.sendall(data)

    def read(self, most=65536):
        data = self.socket.recv(most)
        if not data:
            os._exit(0)  # The platform is gone, so nobody waits for this process.
        return data

    def receive(self):
        """The status and headers of the next response, and its body."""
        buffer = self.buffer or self.read()
        while True:
            end = buffer.find(b"\r\n\r\n")
            if end >= 0:
                break
            buffer += self.read()
        # Only this server is spoken to: a line is "Name: value", and a name is written in one way.
        status, _, lines = buffer[:end].decode("latin-1").partition("\r\n")
        headers = dict([line.split(": ", 1) for line in lines.split("\r\n")])
        start = end + 4
        length = int(headers["Content-Length"])
        missing = start + length - len(buffer)
        if missing <= 0:
            body = buffer[start : start + length]
            self.buffer = buffer[start + length :]
        else:
            parts = [buffer[start:]]
            while missing > 0:
                data = self.read(min(missing, 1048576))
                parts.append(data)
                missing -= len(data)
            body = b"".join(parts)
            self.buffer = b""
        return status[9:12], headers, body

    def accepted(self):
        """Reads the answer to what was posted, which most often comes together with the next call."""
        buffer = self.buffer or self.read()
        self.buffer = buffer
        if buffer.startswith(_ACCEPTED):
            self.buffer = buffer[len(_ACCEPTED) :]
        else:
            self.receive()


def _post(path, body, content_type, extra=b""):
    return b"POST %s%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %d\r\n%s\r\n%s" % (
        _PREFIX,
        path,
        content_type,
        len(body),
        extra,
        body,
    )


def _error_type_header(error):
    name = error["errorType"].encode("ascii", "backslashreplace")
    return b"Lambda-Runtime-Function-Error-Type: %s\r\n" % name


def _flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass  # The function has replaced or closed it.


# Errors, as AWS's client words them.


def make_error(message, error_type, trace, request_id=""):
    return {
        "errorMessage": message if message else "",
        "errorType": error_type if error_type else "",
        "requestId": request_id,
        "stackTrace": trace if trace else [],
    }


def error_of(exception_info, request_id=""):
    """The error of an exception, without the frames of this file at its beginning."""
    import traceback

    kind, value, trace = exception_info
    frames = traceback.extract_tb(trace)
    own = main.__code__.co_filename
    for index, frame in enumerate(frames):
        if frame[0] != own:
            frames = frames[index:]
            break
    frames = [(frame[0], frame[1], frame[2], frame[3]) for frame in frames]
    return make_error(str(value), kind.__name__, traceback.format_list(frames), request_id)


def _logs_json():
    return os.environ.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON"


def log_error(error):
    if _logs_json():
        import time

        line = {"timestamp": time.strftime(_JSON_TIME, time.gmtime()), "log_level": "ERROR"}
        line.update(error)
        sys.stdout.write(to_json(line) + "\n")
        return
    head = "[ERROR]"
    if error["errorType"]:
        head += " " + error["errorType"]
    if error["errorMessage"]:
        head += (": " if error["errorType"] else " ") + error["errorMessage"]
    lines = [head, "Traceback (most recent call last):"]
    for element in error["stackTrace"]:
        for line in element.splitlines():
            text = line.lstrip(" ")
            lines.append(_NBSP * (len(line) - len(text)) + text)
    sys.stdout.write("\r".join(lines) + "\n")


# logging: the root logger has AWS's handler as soon as anything imports the module.


class _LoggingFinder(object):
    def find_spec(self, name, path=None, target=None):
        if name != "logging":
            return None
        sys.meta_path.remove(self)
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    spec.loader = _LoggingLoader(spec.loader)
                return spec
        return None


class _LoggingLoader(object):
    def __init__(self, loader):
        self.loader = loader

    def __getattr__(self, name):
        return getattr(self.loader, name)

    def create_module(self, spec):
        return self.loader.create_module(spec)

    def exec_module(self, module):
        self.loader.exec_module(module)
        module.__loader__ = module.__spec__.loader = self.loader
        if hasattr(module, "Handler") and hasattr(module, "Formatter"):
            set_up_logging(module)


def write_message(text):
    """Writes one log event: a message of several lines goes in a frame that says where it ends."""
    if text.find("\n", 0, -1) < 0:
        sys.stdout.write(text)
        return
    _flush()
    message = text.encode("utf-8", "backslashreplace")
    length, now = len(message).to_bytes(4, "big"), int(_time() * 1000000).to_bytes(8, "big")
    frame = b"\xa5\x5a\x00\x03" + length + now + message
    while frame:
        frame = frame[os.write(1, frame) :]


# What a record has beside the fields that its creator added, as AWS's client has the list.
_OWN_FIELDS = (
    "name msg args levelname levelno pathname filename module exc_info exc_text stack_info lineno "
    "funcName created msecs relativeCreated thread threadName processName process aws_request_id "
    "tenant_id _frame_type"
)


def json_formatter(logging):
    """Formats records as AWS's client does: the same keys, in its order."""
    import json

    own_fields = frozenset(_OWN_FIELDS.split())
    encode = json.JSONEncoder(ensure_ascii=False, default=str).encode

    class JsonFormatter(logging.Formatter):
        def format(self, record):
            record.levelno = min(50, max(0, record.levelno)) // 10 * 10
            record.levelname = logging.getLevelName(record.levelno)
            is_object = isinstance(record.msg, dict) and not record.args
            line = {
                "timestamp": self.formatTime(record, _JSON_TIME),
                "level": record.levelname,
                "message": record.msg if is_object else record.getMessage(),
                "logger": record.name,
            }
            if record.exc_info:
                import traceback

                line["stackTrace"] = traceback.format_tb(record.exc_info[2])
                line["errorType"] = record.exc_info[0].__name__ if record.exc_info[0] else None
                line["errorMessage"] = str(record.exc_info[1])
            line["requestId"] = getattr(record, "aws_request_id", None)
            if record.exc_info:
                line["location"] = "%s:%s:%s" % (record.pathname, record.funcName, record.lineno)
            if getattr(record, "tenant_id", None) is not None:
                line["tenantId"] = record.tenant_id
            known = ("stackTrace", "errorType", "errorMessage", "location")
            for name, value in record.__dict__.items():
                if name not in own_fields and name not in line and name not in known:
                    line[name] = value
            return encode({name: value for name, value in line.items() if value is not None}) + "\n"

    return JsonFormatter()


def set_up_logging(logging):
    import time

    class LambdaLoggerHandler(logging.Handler):
        def emit(self, record):
            write_message(self.format(record))

    class LambdaLoggerFilter(logging.Filter):
        def filter(self, record):
            record.aws_request_id = _request_id or ""
            record.tenant_id = None
            return True

    logging.Formatter.converter = time.gmtime
    handler = LambdaLoggerHandler()
    if _logs_json():
        handler.setFormatter(json_formatter(logging))
    else:
        text = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n"
        handler.setFormatter(logging.Formatter(text, "%Y-%m-%dT%H:%M:%S"))
    handler.addFilter(LambdaLoggerFilter())
    root = logging.getLogger()
    root.addHandler(handler)
    level = os.environ.get("AWS_LAMBDA_LOG_LEVEL", "").upper().replace("TRACE", "DEBUG").replace("FATAL", "CRITICAL")
    if level in logging._nameToLevel:
        root.setLevel(level)


# The context object.


class _Fields(object):
    __slots__ = ()

    def __init__(self, values):
        for name in self.__slots__:
            setattr(self, name, values.get(name))

    def __repr__(self):
        fields = ",".join("%s=%s" % (name, getattr(self, name)) for name in self.__slots__)
        return "%s([%s])" % (self.__class__.__name__, fields)


class CognitoIdentity(_Fields):
    __slots__ = ("cognito_identity_id", "cognito_identity_pool_id")

    def __init__(self, values):
        self.cognito_identity_id = values.get("cognitoIdentityId")
        self.cognito_identity_pool_id = values.get("cognitoIdentityPoolId")


class Client(_Fields):
    __slots__ = ("installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name")


class ClientContext(_Fields):
    __slots__ = ("custom", "env", "client")


def _parse_header(text, what):
    if not text:
        return None
    try:
        return from_json(text.encode("latin-1"))
    except ValueError as error:
        message = "Unable to parse %s JSON: %s" % (what, error)
        raise Fault("Runtime.LambdaContextUnmarshalError", message)


class LambdaContext(object):
    def __init__(self, headers):
        get = headers.get
        client = _parse_header(get("Lambda-Runtime-Client-Context"), "Client Context")
        identity = _parse_header(get("Lambda-Runtime-Cognito-Identity"), "Cognito Identity")
        self.aws_request_id = headers["Lambda-Runtime-Aws-Request-Id"]
        (
            self.log_group_name,
            self.log_stream_name,
            self.function_name,
            self.memory_limit_in_mb,
            self.function_version,
        ) = _function
        self.invoked_function_arn = get("Lambda-Runtime-Invoked-Function-Arn")
        self.tenant_id = get("Lambda-Runtime-Aws-Tenant-Id")
        self._w3c_fields = {}
        self.client_context = None
        if client is not None:
            carried = client.pop("w3c", None)
            if isinstance(carried, dict):
                for name in ("traceparent", "tracestate", "baggage"):
                    if isinstance(carried.get(name), str):
                        self._w3c_fields[name] = carried[name]
            self.client_context = ClientContext(client)
            if self.client_context.client is not None:
                self.client_context.client = Client(self.client_context.client)
        self.identity = CognitoIdentity(identity or {})
        self._epoch_deadline_time_in_ms = int(get("Lambda-Runtime-Deadline-Ms", 0))

    def get_remaining_time_in_millis(self):
        return max(0, self._epoch_deadline_time_in_ms - int(_time() * 1000))

    def w3c(self):
        return dict(self._w3c_fields)

    def log(self, msg):
        sys.stdout.write(str(msg))

    def __repr__(self):
        names = (
            "aws_request_id log_group_name log_stream_name function_name memory_limit_in_mb "
            "function_version invoked_function_arn client_context identity tenant_id"
        ).split()
        fields = ",".join("%s=%s" % (name, getattr(self, name)) for name in names)
        return "LambdaContext([%s])" % fields


# Start-up.


def know_function(environ):
    global _function
    names = "LOG_GROUP_NAME LOG_STREAM_NAME FUNCTION_NAME FUNCTION_MEMORY_SIZE FUNCTION_VERSION"
    _function = tuple([environ.get("AWS_LAMBDA_" + name) for name in names.split()])


def set_up_streams():
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)
        else:
            import io

            errors = "backslashreplace" if name == "stderr" else "strict"
            stream = io.TextIOWrapper(stream.detach(), "utf-8", errors, line_buffering=True)
            setattr(sys, name, stream)


def set_up_path(task, opt):
    """AWS's order; see the notes on sys.path in the facts."""
    # Without site, which would do it, Python 3.6 and 3.7 name the library twice.
    sys.path[:] = [path for index, path in enumerate(sys.path) if path not in sys.path[:index]]
    own = os.environ.get("PYTHONPATH") is None
    layers = [opt + "/python/lib/python" + _VERSION + "/site-packages", opt + "/python"] if own else []
    shared = "%s/lib/python%s/site-packages" % (sys.prefix, _VERSION)
    folders = [task] + layers
    if own and sys.version_info >= (3, 11) and sys.prefix == "/var/lang":
        folders.append(shared)
    sys.path[:0] = folders
    if sys.prefix == "/var/lang" and sys.path[-1] != shared:
        sys.path.append(shared)
    for folder in [task] + layers:
        try:
            has_pth = any(name.endswith(".pth") for name in os.listdir(folder))
        except OSError:
            has_pth = False
        if has_pth:
            import site

            site.addsitedir(folder)
    if own:
        os.environ["PYTHONPATH"] = "/var/runtime"


def set_up_builtins():
    """What site would add: the interpreter is started without it, which saves milliseconds."""
    if not sys.flags.no_site:
        return
    import builtins

    class Quitter(object):
        def __init__(self, name):
            self.name = name

        def __repr__(self):
            return "Use %s() or Ctrl-D (i.e. EOF) to exit" % self.name

        def __call__(self, code=None):
            raise SystemExit(code)

    builtins.exit = Quitter("exit")
    builtins.quit = Quitter("quit")


def load_handler(handler):
    import importlib

    try:
        module_name, function_name = handler.rsplit(".", 1)
    except ValueError as error:
        raise Fault("Runtime.MalformedHandlerName", "Bad handler '%s': %s" % (handler, error))
    try:
        if module_name.split(".")[0] in sys.builtin_module_names:
            message = "Cannot use built-in module %s as a handler module" % module_name
            raise Fault("Runtime.BuiltInModuleConflict", message)
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as error:
        raise Fault("Runtime.ImportModuleError", "Unable to import module '%s': %s" % (module_name, error))
    except SyntaxError as error:
        trace = ['  File "%s" Line %s\n    %s' % (error.filename, error.lineno, error.text)]
        message = "Syntax error in module '%s': %s" % (module_name, error)
        raise Fault("Runtime.UserCodeSyntaxError", message, trace)
    try:
        return getattr(module, function_name)
    except AttributeError:
        message = "Handler '%s' missing on module '%s'" % (function_name, module_name)
        raise Fault("Runtime.HandlerNotFound", message)


def call_handler(handler, headers, body):
    """The request that answers one invocation."""
    path = b"invocation/" + _request_id.encode("latin-1")
    try:
        context = LambdaContext(headers)
        try:
            event = from_json(body)
        except Exception as error:
            raise Fault("Runtime.UnmarshalError", "Unable to unmarshal input: %s" % error)
        answer = handler(event, context)
        if isinstance(answer, bytes):
            return _post(path + b"/response", answer, b"application/unknown")
        try:
            answer = to_json(answer).encode("utf-8")
        except Exception as error:
            raise Fault("Runtime.MarshalError", "Unable to marshal response: %s" % error)
        return _post(path + b"/response", answer, b"application/json")
    except Fault as fault:
        error = make_error(fault.message, fault.error_type, fault.trace, _request_id)
    except Exception:
        error = error_of(sys.exc_info(), _request_id)
    log_error(error)
    text = to_json(error).encode("utf-8", "backslashreplace")
    return _post(path + b"/error", text, b"application/json", _error_type_header(error))


def main():
    global _request_id
    environ = os.environ
    if environ.pop("_LAYERCAKE_LC_CTYPE", None) and sys.version_info < (3, 12):
        environ.pop("LC_CTYPE", None)
    task = environ.get("LAMBDA_TASK_ROOT", "/var/task")
    opt = environ.pop("_LAYERCAKE_OPT", "/opt")
    know_function(environ)
    set_up_streams()
    set_up_builtins()
    set_up_path(task, opt)
    sys.meta_path.insert(0, _LoggingFinder())
    connection = Connection(environ["AWS_LAMBDA_RUNTIME_API"])
    try:
        handler = load_handler(environ.get("_HANDLER", ""))
    except Fault as fault:
        error = make_error(fault.message, fault.error_type, fault.trace)
    except Exception:
        error = error_of(sys.exc_info())
    else:
        error = None
    if error is not None:
        log_error(error)
        _flush()
        text = to_json(error).encode("utf-8", "backslashreplace")
        connection.send(_post(b"init/error", text, b"application/json", _error_type_header(error)))
        connection.accepted()
        sys.exit(1)

    _flush()
    connection.send(_NEXT)
    while True:
        status, headers, body = connection.receive()
        if status != "200":
            sys.exit("the Runtime API answered %s to /next" % status)
        _request_id = headers["Lambda-Runtime-Aws-Request-Id"]
        trace = headers.get("Lambda-Runtime-Trace-Id")
        if trace is not None:
            environ["_X_AMZN_TRACE_ID"] = trace
        else:
            environ.pop("_X_AMZN_TRACE_ID", None)
        request = call_handler(handler, headers, body)
        # All that the call has printed must be in the pipe before its answer is.
        _flush()
        # The answer and the question for the next call travel together: one write, one wake-up.
        connection.send(request + _NEXT)
        connection.accepted()


if __name__ == "__main__":
    main()
