//! The program under test as a child process.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::cgroup::Cgroup;

/// How long a test waits for something that ought to happen soon, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the program says when it is up.
const UP: &str = "[engine] Shutdown Grace Period";

/// A running `ikada`. Killed when it is dropped.
pub struct Router {
    child: Child,
    dir: Arc<TempDir>,
    log: Arc<(Mutex<Vec<String>>, Condvar)>,
    stdout: Arc<Mutex<Vec<u8>>>,
    /// They read what the process says until it is gone.
    readers: Vec<JoinHandle<()>>,
}

/// The program's path: `IKADA_BIN`, or beside the tests in the target folder, built if it is not there.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("IKADA_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().unwrap();
    // target/debug/deps/test-1234 → target/debug/ikada
    let path = test.parent().and_then(Path::parent).unwrap().join("ikada");
    static BUILD: std::sync::Once = std::sync::Once::new();
    BUILD.call_once(|| {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--quiet", "--package", "ikada"]);
        if path.parent().is_some_and(|dir| dir.ends_with("release")) {
            cargo.arg("--release");
        }
        assert!(cargo.status().unwrap().success(), "the program cannot be built");
    });
    path
}

/// A TCP port that is free now.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// What an HTTP server on this machine answers, head and body.
pub fn get(port: u16, path: &str) -> String {
    let mut socket = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(socket, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

/// Waits until `is_so`, and panics with `what` if it never is.
pub fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl Router {
    /// Starts the program with a configuration and waits until it says that it is up. `{dir}` in the text stands for a folder of the
    /// test's own, where the unix socket `{dir}/fluent.sock` lies.
    pub fn start(config: &str) -> Self {
        Self::start_in(Arc::new(TempDir::with_prefix("ik").unwrap()), config, &[])
    }

    /// The same in a folder that exists already, with further arguments.
    pub fn start_in(dir: Arc<TempDir>, config: &str, args: &[&str]) -> Self {
        let router = Self::spawn(dir, config, args);
        router.wait_for_log(UP);
        router
    }

    /// Starts the program without waiting for anything.
    pub fn spawn(dir: Arc<TempDir>, config: &str, args: &[&str]) -> Self {
        Self::spawn_by(Command::new(binary()), dir, config, args)
    }

    /// The same as [`start`](Self::start) in a control group.
    pub fn start_bounded(group: &Cgroup, config: &str) -> Self {
        let dir = Arc::new(TempDir::with_prefix("ik").unwrap());
        let router = Self::spawn_by(group.command(&binary()), dir, config, &[]);
        router.wait_for_log(UP);
        router
    }

    /// The same by a user who may not read everything: `nobody` where the tests run as root.
    pub fn spawn_as_nobody(dir: Arc<TempDir>, config: &str, args: &[&str]) -> Self {
        if !rustix::process::geteuid().is_root() {
            return Self::spawn(dir, config, args);
        }
        // The folder that the program was built in may be closed to others.
        let program = dir.path().join("ikada");
        std::fs::copy(binary(), &program).unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let mut command = Command::new(program);
        command.uid(65_534).gid(65_534).current_dir("/");
        Self::spawn_by(command, dir, config, args)
    }

    fn spawn_by(mut command: Command, dir: Arc<TempDir>, config: &str, args: &[&str]) -> Self {
        let path = dir.path().join("fluent-bit.conf");
        std::fs::write(&path, config.replace("{dir}", dir.path().to_str().unwrap())).unwrap();
        let mut child = command
            .arg("-c")
            .arg(&path)
            .args(args)
            .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        let (lines, stderr) = (log.clone(), child.stderr.take().unwrap());
        let log_reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                lines.0.lock().unwrap().push(line);
                lines.1.notify_all();
            }
        });
        let stdout = Arc::new(Mutex::new(Vec::new()));
        let (kept, mut pipe) = (stdout.clone(), child.stdout.take().unwrap());
        let stdout_reader = std::thread::spawn(move || {
            let mut buf = [0; 8192];
            while let Ok(n @ 1..) = pipe.read(&mut buf) {
                kept.lock().unwrap().extend_from_slice(&buf[..n]);
            }
        });
        Self { child, dir, log, stdout, readers: vec![log_reader, stdout_reader] }
    }

    /// The folder that `{dir}` stands for.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The same folder, to start another program in.
    pub fn shared_dir(&self) -> Arc<TempDir> {
        self.dir.clone()
    }

    /// The unix socket.
    pub fn socket(&self) -> PathBuf {
        self.dir().join("fluent.sock")
    }

    /// The process's number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has said so far.
    pub fn log(&self) -> String {
        self.log.0.lock().unwrap().join("\n")
    }

    /// Everything it has written to standard output so far.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout.lock().unwrap()).into_owned()
    }

    /// Waits for a line that contains `text` and returns it.
    pub fn wait_for_log(&self, text: &str) -> String {
        let start = Instant::now();
        loop {
            // Asked before the lines are read: what a process wrote before its end is then among them.
            let ended = self.has_ended();
            let lines = self.log.0.lock().unwrap();
            if let Some(line) = lines.iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            // Not with the lock held: the drop of this router reads the lines once more.
            drop(self.log.1.wait_timeout(lines, Duration::from_millis(100)).unwrap());
            assert!(!ended || self.log().contains(text), "it ended without a line with `{text}`");
            assert!(start.elapsed() < PATIENCE, "no line with `{text}`");
        }
    }

    /// Whether the process is gone, or a zombie that waits to be asked for its status.
    fn has_ended(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        stat.rsplit(") ").next().is_none_or(|rest| rest.is_empty() || rest.starts_with('Z'))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.child.id() as i32).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Sends SIGTERM and waits for the end.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(rustix::process::Signal::TERM);
        self.wait()
    }

    /// Waits for the end.
    pub fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                // The last lines are still on their way through the pipe.
                for reader in self.readers.drain(..) {
                    reader.join().unwrap();
                }
                return status;
            }
            assert!(start.elapsed() < 2 * PATIENCE, "it does not end:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the router said:\n{}", self.log());
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
