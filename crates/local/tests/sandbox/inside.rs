//! What function code sees: variables, paths, folders, the context object, logging.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
};

use bytes::Bytes;
use insta::{allow_duplicates, assert_snapshot};
use layercake_core::target::Runtime;
use layercake_local::sandbox::{Call, Isolation, Tuning};
use serde_json::{Value, json};

use crate::support::{Lab, newest, runtimes, show};

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_variables_are_lambda_s() {
    for runtime in runtimes() {
        let lab = Lab::new();
        let mut function =
            lab.function(runtime, "import os\ndef handler(event, context):\n    return dict(os.environ)\n");
        function.spec.variables = BTreeMap::from([("MINE".into(), "1 = 2".into())]);
        function.spec.log_group = "/mine/of-NAME".into();
        let mut variables: BTreeMap<String, String> =
            serde_json::from_value(function.value("{}").await).expect("a map of texts");
        // What depends on run or version is checked apart.
        assert_eq!(variables.remove("AWS_EXECUTION_ENV"), Some(format!("AWS_Lambda_{runtime}")));
        assert_eq!(variables.remove("LC_CTYPE"), (runtime.minor() >= 12).then(|| "C.UTF-8".to_owned()));
        let name = function.spec.function_name.as_str();
        assert!(
            variables["AWS_ACCESS_KEY_ID"].starts_with("ASIA") && variables["AWS_ACCESS_KEY_ID"].len() == 20
        );
        assert_eq!(variables["AWS_SECRET_ACCESS_KEY"].len(), 40);
        let shown: Vec<_> = variables
            .iter()
            .map(|(key, value)| match key.as_str() {
                "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" | "AWS_SESSION_TOKEN" => key.clone(),
                "AWS_LAMBDA_LOG_STREAM_NAME" => format!("{key}=...{}", &value[10..20]),
                "AWS_LAMBDA_RUNTIME_API" => format!("{key}={}", value.split(':').next().expect("a host")),
                _ => format!("{key}={}", value.replace(name, "NAME")),
            })
            .collect();
        allow_duplicates! { assert_snapshot!(shown.join("\n"), @r"
        AWS_ACCESS_KEY_ID
        AWS_DEFAULT_REGION=eu-west-1
        AWS_LAMBDA_FUNCTION_MEMORY_SIZE=1024
        AWS_LAMBDA_FUNCTION_NAME=NAME
        AWS_LAMBDA_FUNCTION_VERSION=$LATEST
        AWS_LAMBDA_INITIALIZATION_TYPE=on-demand
        AWS_LAMBDA_LOG_GROUP_NAME=/mine/of-NAME
        AWS_LAMBDA_LOG_STREAM_NAME=.../[$LATEST]
        AWS_LAMBDA_RUNTIME_API=127.0.0.1
        AWS_REGION=eu-west-1
        AWS_SECRET_ACCESS_KEY
        AWS_SESSION_TOKEN
        AWS_XRAY_CONTEXT_MISSING=LOG_ERROR
        AWS_XRAY_DAEMON_ADDRESS=169.254.100.1:2000
        LAMBDA_RUNTIME_DIR=/var/runtime
        LAMBDA_TASK_ROOT=/var/task
        LANG=en_US.UTF-8
        LD_LIBRARY_PATH=/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib
        MINE=1 = 2
        PATH=/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin
        PWD=/var/task
        PYTHONPATH=/var/runtime
        SHLVL=0
        TZ=:UTC
        _AWS_XRAY_DAEMON_ADDRESS=169.254.100.1
        _AWS_XRAY_DAEMON_PORT=2000
        _HANDLER=app.handler
        _X_AMZN_TRACE_ID=Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0
        "); }
        lab.sandbox.shutdown().await;
    }
}

const PATHS: &str = "import os, sys\ndef handler(event, context):\n    return [sys.path, os.getcwd(), sys.prefix, os.environ.get('PYTHONPATH')]\n";

async fn paths(runtime: Runtime, variables: BTreeMap<String, String>) -> Value {
    let lab = Lab::new();
    let mut function = lab.function(runtime, PATHS);
    function.spec.variables = variables;
    function.spec.opt = Some(lab.files(&[("python/in_layer.py", "")]));
    let value = function.value("{}").await;
    lab.sandbox.shutdown().await;
    value
}

#[tokio::test(flavor = "multi_thread")]
async fn sys_path_has_lambda_s_order() {
    for runtime in runtimes() {
        let version = runtime.python_version();
        let lib = format!("/var/lang/lib/python{version}");
        let zip = format!("/var/lang/lib/python{}.zip", version.replace('.', ""));
        let layer = format!("/opt/python/lib/python{version}/site-packages");
        let mut expected = vec!["/var/task".to_owned(), layer, "/opt/python".into()];
        if runtime.minor() >= 11 {
            expected.push(format!("{lib}/site-packages"));
        }
        expected.extend([
            "/var/runtime".into(),
            zip,
            lib.clone(),
            format!("{lib}/lib-dynload"),
            format!("{lib}/site-packages"),
        ]);
        let seen = paths(runtime, BTreeMap::new()).await;
        assert_eq!(seen, json!([expected, "/var/task", "/var/lang", "/var/runtime"]), "{runtime}");

        let own = BTreeMap::from([("PYTHONPATH".to_owned(), "/var/task/lib".to_owned())]);
        let seen = paths(runtime, own).await.to_string();
        assert!(seen.starts_with(r#"[["/var/task","/var/runtime","/var/task/lib","#), "{runtime}: {seen}");
        assert!(!seen.contains("/opt"), "a user's PYTHONPATH switches the layers off: {seen}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_are_imported_and_their_pth_files_obeyed() {
    for runtime in runtimes() {
        let lab = Lab::new();
        let code = "import in_layer, in_site, by_pth\ndef handler(event, context):\n    return [in_layer.__file__, in_site.__file__, by_pth.__file__]\n";
        let mut function = lab.function(runtime, code);
        let site = format!("python/lib/python{}/site-packages", runtime.python_version());
        function.spec.opt = Some(lab.files(&[
            ("python/in_layer.py", ""),
            (&format!("{site}/in_site.py"), ""),
            ("python/more.pth", "/opt/elsewhere\n"),
            ("elsewhere/by_pth.py", ""),
        ]));
        let expected =
            json!(["/opt/python/in_layer.py", format!("/opt/{site}/in_site.py"), "/opt/elsewhere/by_pth.py"]);
        assert_eq!(function.value("{}").await, expected, "{runtime}");
        lab.sandbox.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_tmp_can_be_written_and_nothing_of_the_host_is_seen() {
    let code = "
import os, socket, sys
def attempt(path):
    try:
        open(path, 'w').close()
        return 'written'
    except OSError as error:
        return type(error).__name__ + ' ' + str(error.errno)
def handler(event, context):
    with open('/tmp/filler', 'wb') as f:
        try:
            for _ in range(event['megabytes']):
                f.write(b'x' * 1048576)
            full = None
        except OSError as error:
            full = error.errno
    return {
        'writes': {path: attempt(path) for path in ['/opt/x', '/var/task/x', '/x', '/etc/x', '/usr/x', '/var/lang/x', '/tmp/x']},
        'full': full,
        'root': sorted(os.listdir('/')),
        'processes': sorted(int(p) for p in os.listdir('/proc') if p.isdigit()),
        'uid': os.getuid(), 'groups': [g for g in os.getgroups() if g != 65534],
        'home': os.path.exists(event['home']),
        'modes': [oct(os.stat(path).st_mode) for path in ['/opt', '/var/task', '/tmp']],
        'host name': socket.gethostname(),
        'local': os.listdir('/usr/local') if os.path.exists('/usr/local') else [],
        'open files': __import__('resource').getrlimit(__import__('resource').RLIMIT_NOFILE),
        'process limit': __import__('resource').getrlimit(__import__('resource').RLIMIT_NPROC)[0],
        'descriptors': len(os.listdir('/proc/self/fd')),
        'privileges': [line.split()[1] for line in open('/proc/self/status') if line.startswith(('CapEff', 'NoNewPrivs'))],
    }
";
    for runtime in runtimes() {
        let lab = Lab::new();
        let mut function = lab.function(runtime, code);
        function.spec.opt = Some(lab.files(&[("python/x.py", "")]));
        function.spec.tmp_mb = 8;
        let home = lab.path().join("work").to_string();
        let seen = function.value(&json!({"megabytes": 16, "home": home}).to_string()).await;
        assert_eq!(seen["full"], 28, "/tmp is full at its size");
        assert_eq!(seen["home"], false);
        assert_eq!(seen["processes"], json!([1, 2]));
        assert_eq!((&seen["uid"], &seen["groups"]), (&json!(993), &json!([])));
        assert_eq!(seen["host name"], "sandbox");
        assert_eq!(seen["local"], json!([]));
        assert_eq!(seen["open files"], json!([1024, 1024]));
        if lab.sandbox.isolation().missing().all(|feature| feature.name != "process limit") {
            assert_eq!(seen["process limit"], 1024);
        }
        assert_eq!(seen["descriptors"], 5, "stdin, stdout, stderr, the API, and the folder being read");
        assert_eq!(seen["privileges"], json!(["0000000000000000", "1"]));
        assert_eq!(seen["modes"], json!(["0o40755", "0o40755", "0o41777"]));
        allow_duplicates! { assert_snapshot!(seen["writes"], @r#"{"/opt/x":"OSError 30","/var/task/x":"OSError 30","/x":"OSError 30","/etc/x":"OSError 30","/usr/x":"OSError 30","/var/lang/x":"OSError 30","/tmp/x":"written"}"#); }
        assert!(seen["root"].to_string().contains("\"opt\",\"proc\""), "{}", seen["root"]);
        for foreign in ["root", "home", "work"] {
            assert!(
                !seen["root"].as_array().expect("a list").contains(&json!(foreign)),
                "/{foreign} is visible"
            );
        }
        lab.sandbox.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_context_object_has_all_its_parts() {
    let code = "
def handler(event, context):
    context.log('by context.log\\n')
    left = context.get_remaining_time_in_millis()
    c = context.client_context
    return [context.function_name, context.function_version, context.invoked_function_arn, context.memory_limit_in_mb,
            context.aws_request_id, context.log_group_name, len(context.log_stream_name), 0 < left <= 10000,
            context.identity.cognito_identity_id, c and [c.custom, c.env, c.client.app_title], context.tenant_id, context.w3c()]
";
    for runtime in runtimes() {
        let lab = Lab::new();
        let function = lab.function(runtime, code);
        let call = Call {
            request_id: "5dddcd14-8325-4771-ae70-69cb3f20c514".into(),
            payload: Bytes::from_static(b"{}"),
            invoked_arn: format!("{}:live", function.spec.function_arn()),
            client_context: Some(r#"{"custom": {"a": "1"}, "env": {}, "client": {"app_title": "t"}}"#.into()),
            trace_id: "Root=1".into(),
        };
        let outcome = lab.sandbox.invoke(Arc::new(function.spec.clone()), call).await.expect("an outcome");
        let shown = show(&outcome).replace(function.spec.function_name.as_str(), "NAME");
        allow_duplicates! { assert_snapshot!(shown.lines().next().expect("a line"), @r#"- ["NAME", "$LATEST", "arn:aws:lambda:eu-west-1:123456789012:function:NAME:live", "1024", "<id>", "/aws/lambda/NAME", 52, true, null, [{"a": "1"}, {}, "t"], null, {}]"#); }
        assert!(shown.contains("\nby context.log\n"), "{shown}");
        let plain = function.value("{}").await;
        assert_eq!(plain[9], Value::Null, "no client context");
        lab.sandbox.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_standard_library_works_and_names_resolve() {
    let code = "
import bz2, ctypes, hashlib, lzma, multiprocessing, socket, sqlite3, ssl, subprocess, sys, threading, zlib
def handler(event, context):
    child = subprocess.run([sys.executable, '-c', 'import os; print(os.getcwd())'], stdout=subprocess.PIPE)
    pipe, end = multiprocessing.Pipe()
    worker = multiprocessing.Process(target=end.send, args=('from a child',))
    worker.start()
    worker.join()
    return [child.stdout.decode(), pipe.recv(), socket.gethostbyname('localhost'), len(ssl.create_default_context().get_ca_certs()) >= 0]
";
    for runtime in runtimes() {
        let lab = Lab::new();
        let expected = json!(["/var/task\n", "from a child", "127.0.0.1", true]);
        assert_eq!(lab.function(runtime, code).value("{}").await, expected, "{runtime}");
        lab.sandbox.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logging_has_lambda_s_format() {
    let code = "
import logging
logger = logging.getLogger()
logger.setLevel('INFO')
logger.info('at import')
def handler(event, context):
    logger.info('hello %s', 'world')
    logging.getLogger('quiet').debug('not seen')
    logging.warning('careful')
    return len(logger.handlers)
";
    for runtime in runtimes() {
        let lab = Lab::new();
        let outcome = lab.function(runtime, code).call("{}").await;
        let shown = show(&outcome).replace(&runtime.python_version(), "3.x");
        allow_duplicates! { assert_snapshot!(shown, @r"
        - 1
        INIT_START Runtime Version: python:3.x.v1→Runtime Version ARN: arn:aws:lambda:eu-west-1::runtime:<hash>
        [INFO]→<time>→→at import
        START RequestId: <id> Version: $LATEST
        [INFO]→<time>→<id>→hello world
        [WARNING]→<time>→<id>→careful
        END RequestId: <id>
        REPORT RequestId: <id>→Duration: <n> ms→Billed Duration: <n> ms→Memory Size: 1024 MB→Max Memory Used: <n> MB→Init Duration: <n> ms→
        "); }
        lab.sandbox.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn json_is_that_of_lambda_s_client() {
    let code = "
import decimal
def handler(event, context):
    return {'text': 'é', 'decimal': decimal.Decimal('1.10'), 'bytes': b'x', 'infinity': float('inf'), 1: None, 'event': event}
";
    for runtime in runtimes() {
        let lab = Lab::new();
        let outcome = lab.function(runtime, code).call(r#" {"b": [1, 2.50, "ü"]} "#).await;
        let text = String::from_utf8(outcome.payload.to_vec()).expect("UTF-8");
        if runtime.minor() >= 12 {
            allow_duplicates! { assert_snapshot!(text, @r#"{"text": "é", "decimal": 1.10, "bytes": "x", "infinity": Infinity, "1": null, "event": {"b": [1, 2.5, "ü"]}}"#); }
        } else {
            allow_duplicates! { assert_snapshot!(text, @r#"{"text": "\u00e9", "decimal": 1.10, "bytes": "x", "infinity": Infinity, "1": null, "event": {"b": [1, 2.5, "\u00fc"]}}"#); }
        }
        lab.sandbox.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_memory_figure_is_measured() {
    let lab = Lab::new();
    let code = "keep = []\ndef handler(event, context):\n    keep.append(bytearray(event * 1048576))\n";
    let function = lab.function(newest(), code);
    let small = function.call("0").await.report.max_memory_mb;
    let large = function.call("100").await.report.max_memory_mb;
    assert!((4..60).contains(&small), "{small}");
    assert!((small + 95..small + 120).contains(&large), "{small} {large}");
    lab.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_s_keys_are_seen_or_reached() {
    // keyctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, do not create)
    let code = "
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
def handler(event, context):
    call = {'x86_64': 250, 'aarch64': 219}[os.uname().machine]
    answer = libc.syscall(call, 0, ctypes.c_int(-3), 0)
    keys = open('/proc/keys').read().splitlines() if os.path.exists('/proc/keys') else []
    return [answer, errno.errorcode[ctypes.get_errno()], [key for key in keys if key.split()[0] in event]]
";
    let outside = std::fs::read_to_string("/proc/keys").unwrap_or_default();
    let outside: Vec<_> = outside.lines().filter_map(|line| line.split_whitespace().next()).collect();
    for isolation in [Isolation::Best, Isolation::ProcessOnly] {
        let lab = Lab::with(isolation, Tuning::default());
        let function = lab.function(newest(), code);
        let seen = function.value(&json!(outside).to_string()).await;
        assert_eq!((&seen[0], &seen[1]), (&json!(-1), &json!("EPERM")), "{isolation:?}");
        if isolation == Isolation::Best {
            assert_eq!(seen[2], json!([]), "{isolation:?}");
        }
        lab.sandbox.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_environment_s_own_processes_reach_its_runtime_api() {
    // What the Runtime API refuses to its own runtime at this time, it refuses with an answer.
    let code = "
import http.client, os, subprocess, sys
def ask(address):
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request('POST', '/2018-06-01/runtime/init/error', '{}')
        return connection.getresponse().status
    except ConnectionError:
        return 'closed'
def handler(event, context):
    own = os.environ['AWS_LAMBDA_RUNTIME_API']
    if event == 'address':
        return own
    child = 'import sys; sys.path.insert(0, sys.argv[1]); import app; print(app.ask(sys.argv[2]))'
    child = [sys.executable, '-S', '-c', child, os.environ['LAMBDA_TASK_ROOT'], own]
    child = subprocess.Popen(child, stdout=subprocess.PIPE, start_new_session=True).communicate()[0]
    return [ask(event), ask(own), child.decode().strip()]
";
    for isolation in [Isolation::Best, Isolation::ProcessOnly] {
        let lab = Lab::with(isolation, Tuning::default());
        let (victim, neighbour) = (lab.function(newest(), code), lab.function(newest(), code));
        let address = victim.value("\"address\"").await;
        let seen = neighbour.value(&address.to_string()).await;
        assert_eq!(seen, json!(["closed", 403, "403"]), "{isolation:?}");

        let mut stream = TcpStream::connect(address.as_str().expect("a text")).expect("connected");
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("written");
        let mut answer = Vec::new();
        // Closed with a request unread, or before it was read: both are an end without an answer.
        let _ = stream.read_to_end(&mut answer);
        assert_eq!(String::from_utf8_lossy(&answer), "", "{isolation:?}");
        assert_eq!(victim.value("\"address\"").await, address, "the environment works on");
        lab.sandbox.shutdown().await;
    }
}
