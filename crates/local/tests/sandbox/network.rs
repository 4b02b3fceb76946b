//! Functions without a network: what they reach, and what goes on working.

use std::{io::ErrorKind, net::TcpListener, time::Duration};

use layercake_core::{Hint, target::Runtime};
use layercake_local::sandbox::{Isolation, Network, SandboxError, Tuning};
use serde_json::json;

use crate::{
    extensions::Extended,
    support::{Function, Lab, gives, newest, oldest_to_newest, show},
    telemetry::{SUBSCRIBER, TALKER},
};

/// Tries everything that leads out, and what is its own.
const CALLER: &str = "
import errno, os, socket, time
def attempt(action, *arguments):
    try:
        action(*arguments)
        return 'done'
    except socket.gaierror as error:
        return 'no name'
    except OSError as error:
        return errno.errorcode.get(error.errno, type(error).__name__)
def datagram(address):
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', address)
def own():
    server = socket.socket()
    server.bind(('127.0.0.1', 0))
    server.listen(1)
    socket.create_connection(server.getsockname(), 5)
def handler(event, context):
    begun = time.time()
    host, port = event
    print('looking')
    return {
        'this machine': attempt(socket.create_connection, ('127.0.0.1', port), 5),
        'an address': attempt(socket.create_connection, ('192.0.2.1', 80), 5),
        'a datagram': attempt(datagram, ('192.0.2.1', 53)),
        'a name': attempt(socket.create_connection, ('layercake.example', 80), 5),
        'another address of this machine': attempt(socket.create_connection, (host, port), 5),
        'own': attempt(own),
        'interfaces': sorted(line.split(':')[0].strip() for line in open('/proc/net/dev') if ':' in line),
        'api': os.environ['AWS_LAMBDA_RUNTIME_API'],
    }
";

/// An address of this machine that is not loopback, where it has one: the way out, not asked for.
fn own_address() -> String {
    let told = || {
        let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
        socket.connect("192.0.2.1:53")?;
        socket.local_addr()
    };
    told().map_or_else(|_| "192.0.2.2".to_owned(), |address| address.ip().to_string())
}

async fn check_cut_off(lab: &Lab, runtime: Runtime) {
    assert!(gives(lab, "own network"), "{:?}", lab.sandbox.isolation());
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("set");
    let port = listener.local_addr().expect("an address").port();
    let mut function = lab.function(runtime, CALLER);
    function.spec.network = Network::None;
    let event = json!([own_address(), port]).to_string();
    let expected = json!({
        "this machine": "ECONNREFUSED",
        "an address": "ENETUNREACH",
        "a datagram": "ENETUNREACH",
        "a name": "no name",
        "another address of this machine": "ENETUNREACH",
        "own": "done",
        "interfaces": ["lo"],
        "api": "127.0.0.1:9001",
    });
    for _ in 0..2 {
        let outcome = function.call(&event).await;
        let shown = show(&outcome);
        assert_eq!(outcome.function_error, None, "{runtime}: {shown}");
        let seen: serde_json::Value = serde_json::from_slice(&outcome.payload).expect("JSON");
        assert_eq!(seen, expected, "{runtime}");
        assert!(shown.contains("looking\nEND "), "{runtime}: {shown}");
    }
    let nobody = listener.accept().expect_err("nobody has come through");
    assert_eq!(nobody.kind(), ErrorKind::WouldBlock);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_without_a_network_reaches_nothing_but_its_own_loopback() {
    for runtime in oldest_to_newest() {
        let lab = Lab::new();
        check_cut_off(&lab, runtime).await;
        lab.sandbox.shutdown().await;
    }
}

const LISTENER: &str = "
import socket, time
def handler(event, context):
    socket.create_connection(('127.0.0.1', event), 5).close()
";

#[tokio::test(flavor = "multi_thread")]
async fn with_the_network_this_machine_is_reached_and_the_two_share_no_environment() {
    let lab = Lab::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port().to_string();
    let with: Function = lab.function(newest(), LISTENER);
    assert_eq!(with.call(&port).await.function_error, None);
    listener.accept().expect("somebody has come through");
    let mut without = with.clone();
    without.spec.network = Network::None;
    for _ in 0..2 {
        let shown = show(&without.call(&port).await);
        assert!(shown.contains("ConnectionRefusedError"), "{shown}");
        assert_eq!(with.call(&port).await.function_error, None);
    }
    lab.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn crashes_timeouts_and_many_at_once_are_as_with_a_network() {
    let lab = Lab::new();
    let code = "import os, time\ndef handler(event, context):\n    time.sleep(event) if event >= 0 else os._exit(3)\n    return event\n";
    let mut function = lab.function(newest(), code);
    function.spec.network = Network::None;
    function.spec.timeout = Duration::from_secs(1);
    for (event, expected) in [("-1", "exit status 3"), ("600", "Task timed out after <n> seconds")] {
        let shown = show(&function.call(event).await);
        assert!(shown.contains(expected), "{shown}");
        assert_eq!(function.value("0").await, 0, "the next call works");
    }
    function.spec.timeout = Duration::from_secs(60);
    function.spec.revision = "2".into();
    let answers = futures::future::join_all((0..4).map(|_| function.value("0.2"))).await;
    assert_eq!(answers, [0.2, 0.2, 0.2, 0.2]);
    lab.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn extensions_and_subscribers_work_without_a_network() {
    for destination in ["over_http()", "over_tcp()"] {
        let body = format!(
            "{SUBSCRIBER}\nme = register('INVOKE', 'SHUTDOWN')\n\
             say(subscribe(me, '/2022-07-01/telemetry', '2022-07-01', {destination}))\nwatch(me)\n"
        );
        let mut extended = Extended::new(TALKER, &[("subscriber", &body)]);
        extended.function.spec.network = Network::None;
        for _ in 0..2 {
            assert_eq!(extended.call().await.payload, "1");
        }
        extended.settled(2).await;
        let log = extended.end_plainly().await;
        assert!(log.contains("subscriber 200 \"OK\""), "{log}");
        assert_eq!(log.matches(r#""type": "platform.report""#).count(), 2, "{log}");
        assert_eq!(log.matches(r#""record": "handled\n""#).count(), 2, "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_cannot_cut_a_function_off_refuses_it() {
    let lab = Lab::with(Isolation::ProcessOnly, Tuning::default());
    assert!(!gives(&lab, "own network"));
    let mut function = lab.function(newest(), "def handler(event, context):\n    return 1\n");
    function.spec.network = Network::None;
    let refused = function.try_call("{}").await.expect_err("refused");
    assert!(matches!(refused, SandboxError::NoOwnNetwork), "{refused:?}");
    assert_eq!(refused.to_string(), "this machine cannot cut a function off from the network");
    assert_eq!(
        refused.hint().as_deref(),
        Some("it takes Linux with network namespaces; or let the function have the network")
    );
    function.spec.network = Network::Host;
    assert_eq!(function.value("{}").await, 1);
    lab.sandbox.shutdown().await;
}

/// The rest of a test that must run as an ordinary user.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by another test"]
async fn as_this_user() {
    let lab = Lab::of_another_user();
    check_cut_off(&lab, lab.newest()).await;
    lab.sandbox.shutdown().await;
}
