//! Unkind functions: what they are refused, and that what they do stays with them.

use std::{
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use futures::future::join_all;
use insta::assert_snapshot;
use layercake_local::sandbox::{Isolation, SandboxError, Tuning};
use nix::libc;
use serde_json::{Value, json};

use crate::{
    life::{eventually, processes_with},
    support::{Lab, gives, newest, oldest_to_newest, show},
};

/// Calls the kernel by number, and says what it answers.
const CALLER: &str = "
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def call(number, *arguments):
    answer = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(argument) for argument in arguments])
    return 'done' if answer >= 0 else errno.errorcode[ctypes.get_errno()]
def handler(event, context):
    return {name: call(*arguments) for name, arguments in event.items()}
";

/// What changes a kernel, a clock, mounts or other processes, with arguments that would do no harm.
fn forbidden_calls() -> Value {
    let new_user = i64::from(libc::CLONE_NEWUSER);
    let new_net = i64::from(libc::CLONE_NEWNET);
    let child = i64::from(libc::SIGCHLD);
    json!({
        "add_key": [libc::SYS_add_key, 0, 0, 0, 0, 0],
        "bpf": [libc::SYS_bpf, 0, 0, 0],
        "clone with a namespace": [libc::SYS_clone, new_user | child, 0, 0, 0, 0],
        "clone with a network": [libc::SYS_clone, new_net | child, 0, 0, 0, 0],
        "clone3": [libc::SYS_clone3, 0, 0],
        "init_module": [libc::SYS_init_module, 0, 0, 0],
        "kexec_load": [libc::SYS_kexec_load, 0, 0, 0, 0],
        "keyctl": [libc::SYS_keyctl, 0, -3, 0],
        "mount": [libc::SYS_mount, 0, 0, 0, 0, 0],
        "move_mount": [libc::SYS_move_mount, 0, 0, 0, 0, 0],
        "open_by_handle_at": [libc::SYS_open_by_handle_at, 0, 0, 0],
        "perf_event_open": [libc::SYS_perf_event_open, 0, 0, -1, -1, 0],
        "pivot_root": [libc::SYS_pivot_root, 0, 0],
        "process_vm_readv": [libc::SYS_process_vm_readv, 1, 0, 0, 0, 0, 0],
        "ptrace of the keeper": [libc::SYS_ptrace, 16, 1, 0, 0],
        "reboot": [libc::SYS_reboot, 0, 0, 0, 0],
        "request_key": [libc::SYS_request_key, 0, 0, 0, 0],
        "sethostname": [libc::SYS_sethostname, 0, 0],
        "setns": [libc::SYS_setns, 0, 0],
        "settimeofday": [libc::SYS_settimeofday, 0, 0],
        "setuid to root": [libc::SYS_setuid, 0],
        "swapon": [libc::SYS_swapon, 0, 0],
        "syslog": [libc::SYS_syslog, 3, 0, 0],
        "umount2": [libc::SYS_umount2, 0, 0],
        "unshare": [libc::SYS_unshare, new_user],
        "userfaultfd": [libc::SYS_userfaultfd, 0],
    })
}

/// What came of them, most frequent answer left out.
async fn check_forbidden(lab: &Lab, runtime: layercake_core::target::Runtime) -> String {
    let answers = lab.function(runtime, CALLER).value(&forbidden_calls().to_string()).await;
    let answers = answers.as_object().expect("a map");
    assert_eq!(answers.len(), 26);
    let others = answers.iter().filter(|(_, answer)| **answer != "EPERM");
    others.map(|(name, answer)| format!("{name}: {answer}")).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn system_calls_that_change_the_kernel_are_refused() {
    for runtime in oldest_to_newest() {
        let lab = Lab::new();
        assert!(gives(&lab, "system call filter"), "{:?}", lab.sandbox.isolation());
        assert_eq!(check_forbidden(&lab, runtime).await, r#"clone3: "ENOSYS""#, "{runtime}");
        lab.sandbox.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn system_calls_are_refused_in_process_mode_too() {
    let lab = Lab::with(Isolation::ProcessOnly, Tuning::default());
    assert!(gives(&lab, "system call filter"), "{:?}", lab.sandbox.isolation());
    let mut others = check_forbidden(&lab, newest()).await;
    if is_root() {
        // Nobody else is there to become.
        others = others.replace("setuid to root: \"done\"", "");
    }
    assert_eq!(others.trim(), r#"clone3: "ENOSYS""#);
    lab.sandbox.shutdown().await;
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_program_of_an_environment_has_or_can_gain_a_privilege() {
    let code = "
import subprocess
def status(text):
    fields = dict(line.split(':', 1) for line in text.splitlines())
    return ' '.join(fields[name].strip() for name in ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb', 'NoNewPrivs', 'Seccomp'])
def handler(event, context):
    child = subprocess.Popen(['/bin/cat', '/proc/self/status'], stdout=subprocess.PIPE).communicate()[0]
    return [status(open('/proc/self/status').read()), status(child.decode())]
";
    let none = "0000000000000000 0000000000000000 0000000000000000 0000000000000000 0000000000000000 1 2";
    for isolation in [Isolation::Best, Isolation::ProcessOnly] {
        for runtime in oldest_to_newest() {
            let lab = Lab::with(isolation, Tuning::default());
            let seen = lab.function(runtime, code).value("{}").await;
            assert_eq!(seen, json!([none, none]), "{isolation:?} {runtime}");
            lab.sandbox.shutdown().await;
        }
    }
}

/// What libraries do that is not to be refused.
const ORDINARY: &str = "
import concurrent.futures, ctypes, mmap, multiprocessing, os, select, signal, socket, subprocess, sys, tempfile, threading, time
def square(queue, number):
    queue.put(number * number)
def handler(event, context):
    done = []
    threads = [threading.Thread(target=done.append, args=(n,)) for n in range(20)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    anonymous = mmap.mmap(-1, 64 << 20)
    anonymous[-1:] = b'x'
    with tempfile.TemporaryFile() as file:
        file.truncate(1 << 20)
        mapped = mmap.mmap(file.fileno(), 1 << 20)
        mapped[:2] = b'ok'
        read = bytes(mapped[:2]).decode()
    reader, writer = multiprocessing.Pipe()
    worker = multiprocessing.Process(target=writer.send, args=(49,))
    worker.start()
    answer = reader.recv()
    worker.join()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        lengths = list(pool.map(len, ['a', 'bb']))
    server = socket.socket()
    server.bind(('127.0.0.1', 0))
    server.listen(1)
    client = socket.create_connection(server.getsockname())
    peer = server.accept()[0]
    client.sendall(b'over tcp')
    local, remote = socket.socketpair()
    local.sendall(b'over unix')
    poll = select.epoll()
    poll.register(remote, select.EPOLLIN)
    rung = []
    signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    while not rung:
        time.sleep(0.01)
    shell = subprocess.check_output('echo $((1 + 1)) | cat', shell=True).decode()
    os.sched_getaffinity(0)
    os.nice(1)
    forked = os.fork()
    if forked == 0:
        os._exit(7)
    return [len(done), read, answer, lengths, peer.recv(8).decode(), remote.recv(9).decode(), shell, os.waitpid(forked, 0)[1] >> 8]
";

#[tokio::test(flavor = "multi_thread")]
async fn ordinary_work_is_not_refused() {
    for isolation in [Isolation::Best, Isolation::ProcessOnly] {
        for runtime in oldest_to_newest() {
            let lab = Lab::with(isolation, Tuning::default());
            let seen = lab.function(runtime, ORDINARY).value("{}").await;
            let expected = json!([20, "ok", 49, [1, 2], "over tcp", "over unix", "2\n", 7]);
            assert_eq!(seen, expected, "{isolation:?} {runtime}");
            lab.sandbox.shutdown().await;
        }
    }
}

const BOMB: &str = "
import os, time
def handler(event, context):
    born = 0
    for _ in range(event):
        try:
            child = os.fork()
        except OSError as error:
            return [error.errno, born]
        if child == 0:
            time.sleep(600)
            os._exit(0)
        born += 1
    return [0, born]
";

async fn check_bomb(lab: &Lab, runtime: layercake_core::target::Runtime) {
    let mut function = lab.function(runtime, BOMB);
    function.spec.timeout = Duration::from_secs(60);
    let name = function.spec.function_name.to_string();
    if gives(lab, "process limit") {
        let seen = function.value("5000").await;
        let born = seen[1].as_u64().expect("a number");
        assert!(seen[0] == libc::EAGAIN && (900..1024).contains(&born), "{runtime}: {seen}");
        assert_eq!(processes_with(&name).len() as u64, born + 1);
    } else {
        assert_eq!(function.value("300").await, json!([0, 300]));
        assert_eq!(processes_with(&name).len(), 301);
    }
    lab.sandbox.retire(&function.spec.function_arn()).await;
    assert_eq!(processes_with(&name), Vec::<String>::new(), "{runtime}");
    assert_eq!(function.value("0").await, json!([0, 0]), "{runtime}: the machine has room again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_bomb_stays_in_its_environment_and_ends_with_it() {
    for runtime in oldest_to_newest() {
        let lab = Lab::new();
        check_bomb(&lab, runtime).await;
        lab.sandbox.shutdown().await;
    }
    let lab = Lab::with(Isolation::ProcessOnly, Tuning::default());
    assert!(!gives(&lab, "process limit"), "processes of a user are not counted by environment");
    check_bomb(&lab, newest()).await;
    lab.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bomb_that_goes_off_ends_with_its_call_s_time() {
    // Each child goes on forking until somebody ends all of them.
    let code = "
import os
def handler(event, context):
    while True:
        try:
            os.fork()
        except OSError:
            pass
";
    let lab = Lab::new();
    assert!(gives(&lab, "process limit"), "{:?}", lab.sandbox.isolation());
    let mut function = lab.function(newest(), code);
    function.spec.timeout = Duration::from_secs(1);
    let name = function.spec.function_name.to_string();
    let shown = show(&function.call("{}").await);
    let first = shown.lines().next().unwrap_or_default();
    let is_contained = first.contains("Task timed out after <n> seconds") || first.contains("signal: killed");
    assert!(is_contained, "{shown}");
    assert_eq!(processes_with(&name), Vec::<String>::new(), "the timeout takes all of them");
    lab.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_fifty_megabytes_has_an_end() {
    let code = "
import sys
def handler(event, context):
    lines = ('x' * 99 + '\\n') * 10486
    for _ in range(50):
        sys.stdout.write(lines)
    return 'done'
";
    for runtime in oldest_to_newest() {
        let lab = Lab::new();
        let mut function = lab.function(runtime, code);
        function.spec.timeout = Duration::from_secs(60);
        let outcome = function.call("{}").await;
        assert_eq!(outcome.payload, "\"done\"");
        let kept: usize = outcome.log.iter().map(|event| event.text.len()).sum();
        assert!((8 << 20..17 << 20).contains(&kept), "{kept}");
        let said = outcome.log.iter().find(|event| event.text.starts_with("[layercake] "));
        let said = &said.expect("what is left out is said").text;
        assert!(said.ends_with("more bytes were printed; one call's log ends at 16777216 bytes\n"), "{said}");
        assert!(outcome.log.last().expect("a line").text.starts_with("REPORT"));
        lab.sandbox.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_text_are_logged_as_far_as_they_can_be() {
    let code = "
import sys
def handler(event, context):
    sys.stdout.buffer.write(b'\\x00\\xff\\xfe begin ' + bytes(range(256)) * 4000 + b' end\\n')
    sys.stdout.buffer.flush()
    return 'done'
";
    for runtime in oldest_to_newest() {
        let lab = Lab::new();
        let outcome = lab.function(runtime, code).call("{}").await;
        assert_eq!(outcome.payload, "\"done\"");
        let log: String = outcome.log.iter().map(|event| event.text.as_str()).collect();
        assert!(log.contains("\0\u{fffd}\u{fffd} begin ") && log.contains(" end\n"), "{runtime}");
        assert!(outcome.log.last().expect("a line").text.starts_with("REPORT"));
        lab.sandbox.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_closes_the_runtime_s_socket_is_answered_at_once() {
    let code = "
import os
def handler(event, context):
    os.closerange(event, 1024)
    return 'closed from %d' % event
";
    for runtime in oldest_to_newest() {
        let lab = Lab::new();
        let mut function = lab.function(runtime, code);
        function.spec.timeout = Duration::from_secs(600);
        for first in [3, 0] {
            let event = first.to_string();
            let answer = tokio::time::timeout(Duration::from_secs(60), function.call(&event)).await;
            let outcome = answer.expect("an answer long before the timeout");
            let payload = String::from_utf8_lossy(&outcome.payload).into_owned();
            assert_eq!(outcome.function_error.as_deref(), Some("Unhandled"), "{runtime} {first}: {payload}");
            assert!(payload.contains("Runtime.ExitError"), "{runtime} {first}: {payload}");
            assert_eq!(function.value("1024").await, "closed from 1024", "{runtime}: the next call works");
        }
        lab.sandbox.shutdown().await;
    }
}

fn kernel() -> (u32, u32) {
    let text = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("a version");
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse().ok());
    (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default())
}

const KILLER: &str = "
import os
def handler(event, context):
    answers = []
    for pid in event or [os.getppid()]:
        try:
            os.kill(pid, 9)
            answers.append('sent')
        except OSError as error:
            answers.append(type(error).__name__)
    return answers
";

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_cannot_end_its_keeper() {
    for isolation in [Isolation::Best, Isolation::ProcessOnly] {
        for runtime in oldest_to_newest() {
            let lab = Lab::with(isolation, Tuning::default());
            assert!(
                gives(&lab, "own processes") || gives(&lab, "file fence"),
                "{:?}",
                lab.sandbox.isolation()
            );
            let function = lab.function(runtime, KILLER);
            let outcome = function.call("[]").await;
            if gives(&lab, "own processes") || kernel() >= (6, 12) {
                assert_eq!(outcome.payload, r#"["PermissionError"]"#, "{isolation:?} {runtime}");
            }
            // Where a fence keeps signals in only since Linux 6.12, the call is answered all the same.
            assert!(function.call("[0]").await.function_error.is_some(), "its own group");
            assert_eq!(function.call("[]").await.report.error_type, outcome.report.error_type);
            lab.sandbox.shutdown().await;
        }
    }
}

const READER: &str = "
import os, tempfile
def attempt(action, *arguments):
    try:
        action(*arguments)
        return 'done'
    except OSError as error:
        return type(error).__name__
def read(path):
    with open(path, 'rb') as file:
        file.read(1)
def write(path):
    with open(path, 'w') as file:
        file.write('x')
def handler(event, context):
    return {
        'read the secret': attempt(read, event['secret']),
        'list its folder': attempt(os.listdir, os.path.dirname(event['secret'])),
        'list the home': attempt(os.listdir, event['home']),
        'write beside it': attempt(write, event['secret'] + '.new'),
        'write a temporary file': attempt(write, os.path.join(tempfile.gettempdir(), 'x')),
        'replace it': attempt(os.rename, os.path.join(tempfile.gettempdir(), 'x'), event['secret']),
        'write beside the code': attempt(write, os.path.join(os.environ['LAMBDA_TASK_ROOT'], 'x')),
        'write to /etc': attempt(write, '/etc/layercake-was-here'),
        'write to /tmp itself': attempt(write, '/tmp/' + event['name']) if tempfile.gettempdir() != '/tmp' else 'PermissionError',
        'read the environment of the server': attempt(read, '/proc/%d/environ' % event['server']),
        'read the memory of the server': attempt(read, '/proc/%d/mem' % event['server']),
        'read /etc/hosts': attempt(read, '/etc/hosts'),
    }
";

#[tokio::test(flavor = "multi_thread")]
async fn in_process_mode_a_fence_keeps_functions_from_the_user_s_files() {
    for runtime in oldest_to_newest() {
        let lab = Lab::with(Isolation::ProcessOnly, Tuning::default());
        // Where the kernel has no Landlock the report says so, and the rest of this cannot hold.
        let kernel_has_it = std::fs::read_to_string("/sys/kernel/security/lsm")
            .map_or_else(|_| gives(&lab, "file fence"), |all| all.contains("landlock"));
        assert_eq!(gives(&lab, "file fence"), kernel_has_it);
        if !kernel_has_it {
            return lab.sandbox.shutdown().await;
        }
        let secret = lab.path().join("secret/key");
        fs_err::create_dir_all(secret.parent().expect("a parent")).expect("a folder");
        fs_err::write(&secret, "secret").expect("a file");
        let home = std::env::var("HOME").unwrap_or_else(|_| "/root".into());
        let event = json!({"secret": secret, "home": home, "server": std::process::id(), "name": uuid::Uuid::new_v4().to_string()});
        let seen = lab.function(runtime, READER).value(&event.to_string()).await;
        let shown: Vec<_> = seen
            .as_object()
            .expect("a map")
            .iter()
            .map(|(what, answer)| format!("{what}: {answer}"))
            .collect();
        insta::allow_duplicates! { assert_snapshot!(shown.join("\n"), @r#"
        read the secret: "PermissionError"
        list its folder: "PermissionError"
        list the home: "PermissionError"
        write beside it: "PermissionError"
        write a temporary file: "done"
        replace it: "PermissionError"
        write beside the code: "PermissionError"
        write to /etc: "PermissionError"
        write to /tmp itself: "PermissionError"
        read the environment of the server: "PermissionError"
        read the memory of the server: "PermissionError"
        read /etc/hosts: "done"
        "#); }
        assert_eq!(fs_err::read_to_string(&secret).expect("there"), "secret");
        lab.sandbox.shutdown().await;
    }
}

const COUNTER: &str = "
import threading, time
stamps = []
def run():
    while True:
        stamps.append(time.monotonic())
        time.sleep(0.01)
threading.Thread(target=run, daemon=True).start()
def handler(event, context):
    before = len(stamps)
    while len(stamps) <= before + 1:
        time.sleep(0.01)
    return max(later - earlier for earlier, later in zip(stamps, stamps[1:]))
";

/// Whether the control group that a process is in stands still.
fn stands_still(pid: &str) -> bool {
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let Some(own) = groups.lines().find_map(|line| line.strip_prefix("0::/")) else { return false };
    ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].iter().any(|mount| {
        std::fs::read_to_string(format!("{mount}/{own}/cgroup.events"))
            .is_ok_and(|events| events.lines().any(|line| line == "frozen 1"))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn background_threads_stand_still_between_calls_and_go_on_in_the_next() {
    const STILL: Duration = Duration::from_millis(1500);
    for runtime in oldest_to_newest() {
        let lab = Lab::new();
        let function = lab.function(runtime, COUNTER);
        let name = function.spec.function_name.to_string();
        function.value("{}").await;
        let pids = processes_with(&name);
        if !gives(&lab, "stands still between calls") {
            assert!(!stands_still(&pids[0]));
            return lab.sandbox.shutdown().await;
        }
        eventually("standing still", || stands_still(&pids[0])).await;
        let since = Instant::now();
        tokio::time::sleep(STILL).await;
        let still = since.elapsed();
        let gap = function.value("{}").await.as_f64().expect("seconds");
        assert!(gap >= still.as_secs_f64(), "{runtime}: {gap} in {still:?}");
        eventually("standing still again", || stands_still(&pids[0])).await;
        lab.sandbox.retire(&function.spec.function_arn()).await;
        assert_eq!(processes_with(&name), Vec::<String>::new(), "{runtime}: what stands still can be ended");
        lab.sandbox.shutdown().await;
    }
}

const SLEEPER: &str = "
import time
def handler(event, context):
    time.sleep(0.02)
    return event
";

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_calls_at_once_are_all_answered_by_thirty_two_environments() {
    const CALLS: usize = 1000;
    let most_environments = NonZeroUsize::new(32).expect("not zero");
    let lab = Lab::with(Isolation::Best, Tuning { most_environments, ..Tuning::default() });
    let mut function = lab.function(newest(), SLEEPER);
    function.spec.timeout = Duration::from_secs(120);
    let name = function.spec.function_name.to_string();
    let answers = join_all((0..CALLS).map(|number| {
        let function = function.clone();
        async move { function.value(&number.to_string()).await }
    }))
    .await;
    assert!(answers.iter().enumerate().all(|(number, answer)| *answer == number), "each its own answer");
    let environments = processes_with(&name).len();
    assert!((1..=32).contains(&environments), "{environments}");
    lab.sandbox.shutdown().await;
    assert_eq!(processes_with(&name), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_beyond_the_patience_of_the_queue_are_refused_and_counted() {
    const CALLS: usize = 1000;
    let tuning = Tuning {
        most_environments: NonZeroUsize::new(8).expect("not zero"),
        patience: Duration::from_millis(500),
        ..Tuning::default()
    };
    let lab = Lab::with(Isolation::Best, tuning);
    let mut function = lab.function(
        newest(),
        "import time\ndef handler(event, context):\n    time.sleep(2)\n    return event\n",
    );
    function.spec.timeout = Duration::from_secs(120);
    let name = function.spec.function_name.to_string();
    let (mut answered, mut refused) = (0, 0);
    for (number, result) in join_all((0..CALLS).map(|number| {
        let function = function.clone();
        async move { function.try_call(&number.to_string()).await }
    }))
    .await
    .into_iter()
    .enumerate()
    {
        match result {
            Ok(outcome) => {
                assert_eq!(outcome.payload, number.to_string());
                answered += 1;
            }
            Err(SandboxError::Busy { environments: 8 }) => refused += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(answered >= 8 && answered + refused == CALLS, "{answered} answered, {refused} refused");
    lab.sandbox.shutdown().await;
    assert_eq!(processes_with(&name), Vec::<String>::new());
}

/// The rest of a test that must run as an ordinary user.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by another test"]
async fn as_this_user() {
    let lab = Lab::of_another_user();
    let runtime = lab.newest();
    // There is no root to become.
    let others = check_forbidden(&lab, runtime).await;
    assert_eq!(others, "clone3: \"ENOSYS\"\nsetuid to root: \"EINVAL\"");
    let killer = lab.function(runtime, KILLER);
    // Process 1 of a namespace does not hear what comes from inside, whoever sends it.
    for _ in 0..2 {
        assert_eq!(killer.value("[]").await, json!(["sent"]));
    }
    check_bomb(&lab, runtime).await;
    lab.sandbox.shutdown().await;
}
