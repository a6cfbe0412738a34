//! A Docker daemon of the test's own, and containers whose log driver writes to the router.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use ikada_record::{Entry, Timestamp};
use tempfile::TempDir;

use crate::require::{is_installed, search_path, skip};

/// How long the daemon may take to start or to stop, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The image that [`Docker::start`] builds: `tests/assets/talker.rs` and nothing else.
const IMAGE: &str = "ikada-talker";

/// A running `dockerd` with folders, sockets and an image of its own. Dropping it removes its containers and stops it.
pub struct Docker {
    daemon: Child,
    dir: TempDir,
}

/// A running container. Its log driver sends to a unix socket.
pub struct Container<'a> {
    docker: &'a Docker,
    /// Its id: 64 hexadecimal digits.
    pub id: String,
}

impl Docker {
    /// Starts a daemon and builds the image; `None`, with one line that says why, where Docker cannot be had.
    pub fn start() -> Option<Self> {
        if let Err(reason) = missing() {
            skip("docker", &reason);
            return None;
        }
        let docker = Self::spawn();
        match docker {
            Ok(docker) => {
                docker.build_image();
                Some(docker)
            }
            Err(reason) => {
                skip("docker", &format!("dockerd does not start here: {reason}"));
                None
            }
        }
    }

    /// The daemon's unix sockets lie four folders deep and their paths may have 107 bytes, so a long `TMPDIR` is not for them.
    fn spawn() -> Result<Self, String> {
        let dir = TempDir::with_prefix_in("ikd", "/tmp").unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("daemon.json"), "{}").unwrap();
        let log = File::create(at("log")).unwrap();
        let daemon = Command::new("dockerd")
            .env("PATH", search_path())
            .arg("--config-file")
            .arg(at("daemon.json"))
            .arg("--data-root")
            .arg(at("data"))
            .arg("--exec-root")
            .arg(at("exec"))
            .arg("--pidfile")
            .arg(at("pid"))
            .arg(format!("--host=unix://{}", at("docker.sock").display()))
            .args(["--iptables=false", "--bridge=none", "--storage-driver=vfs"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .map_err(|error| error.to_string())?;
        let mut docker = Self { daemon, dir };
        docker.wait_until_it_answers()?;
        Ok(docker)
    }

    fn wait_until_it_answers(&mut self) -> Result<(), String> {
        let start = Instant::now();
        while !self.cli(&["version"]).output().unwrap().status.success() {
            let has_ended = self.daemon.try_wait().unwrap().is_some();
            if has_ended || start.elapsed() > PATIENCE {
                return Err(self.log().lines().last().unwrap_or("it says nothing").to_owned());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// What the daemon has said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    fn cli(&self, args: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command
            .env("PATH", search_path())
            .env("DOCKER_CONFIG", self.dir.path().join("client"))
            .env("DOCKER_BUILDKIT", "0")
            .env_remove("DOCKER_CONTEXT")
            .env_remove("DOCKER_HOST")
            .arg(format!("--host=unix://{}", self.dir.path().join("docker.sock").display()))
            .args(args)
            .stdin(Stdio::null());
        command
    }

    /// Runs the client and returns what it printed.
    pub fn run(&self, args: &[&str]) -> String {
        let output = self.cli(args).output().unwrap();
        checked("docker", args, output)
    }

    fn build_image(&self) {
        let context = self.dir.path().join("image");
        std::fs::create_dir(&context).unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/talker.rs");
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let args = ["--edition=2024", "-Copt-level=1", "-Ctarget-feature=+crt-static", "-o", "talker"];
        let output = Command::new(rustc).current_dir(&context).args(args).arg(source).output().unwrap();
        checked("rustc", &args, output);
        std::fs::write(
            context.join("Dockerfile"),
            "FROM scratch\nCOPY talker /talker\nENTRYPOINT [\"/talker\"]\n",
        )
        .unwrap();
        self.run(&["build", "--quiet", "--tag", IMAGE, context.to_str().unwrap()]);
    }

    /// Starts a container as the ECS agent would have it started for FireLens: its lines go to `socket`. `args` are for the talker,
    /// `options` for `docker run`.
    pub fn container(&self, socket: &Path, tag: &str, options: &[&str], args: &[&str]) -> Container<'_> {
        let (address, tag) = (format!("fluentd-address=unix://{}", socket.display()), format!("tag={tag}"));
        let mut all = vec!["run", "--detach", "--network", "host", "--log-driver", "fluentd"];
        for option in [address.as_str(), &tag, "fluentd-sub-second-precision=true", "fluentd-async=true"] {
            all.extend(["--log-opt", option]);
        }
        all.extend(options);
        all.push(IMAGE);
        all.extend(args);
        Container { docker: self, id: self.run(&all).trim().to_owned() }
    }

    /// Removes the containers, or the daemon would wait for them to end by themselves.
    fn remove_containers(&self) {
        let Ok(listed) = self.cli(&["ps", "--all", "--quiet"]).output() else { return };
        let ids = String::from_utf8_lossy(&listed.stdout).into_owned();
        let ids: Vec<&str> = ids.split_whitespace().collect();
        if !ids.is_empty() {
            drop(self.cli(&["rm", "--force"]).args(ids).output());
        }
    }

    fn stop_daemon(&mut self) {
        let pid = rustix::process::Pid::from_raw(self.daemon.id() as i32).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap_or_default();
        let start = Instant::now();
        while matches!(self.daemon.try_wait(), Ok(None)) && start.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(self.daemon.kill());
        drop(self.daemon.wait());
    }

    /// The daemon leaves its own network namespace mounted, and its folder cannot be removed before that is gone.
    fn unmount(&self) {
        for target in mounts_below(self.dir.path()) {
            drop(Command::new("umount").env("PATH", search_path()).arg(target).output());
        }
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(20).collect();
            eprintln!("--- dockerd said, last line first:\n{}", tail.join("\n"));
        }
        self.remove_containers();
        self.stop_daemon();
        self.unmount();
    }
}

impl Container<'_> {
    /// What `docker inspect` says of it, as `format` asks.
    pub fn inspect(&self, format: &str) -> String {
        self.docker.run(&["inspect", "--format", format, &self.id]).trim().to_owned()
    }
}

/// Why Docker cannot be had.
fn missing() -> Result<(), String> {
    for (program, package) in
        [("dockerd", "docker.io"), ("docker", "docker.io"), ("containerd", "containerd")]
    {
        if !is_installed(program) {
            return Err(format!("{program} is not installed (apt-get install {package})"));
        }
    }
    if !rustix::process::geteuid().is_root() {
        return Err("dockerd needs root".to_owned());
    }
    Ok(())
}

fn checked(program: &str, args: &[&str], output: Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {}: {errors}", args.join(" "));
    String::from_utf8(output.stdout).unwrap()
}

/// Mount points below a folder, innermost first (proc(5): the fifth field of `mountinfo`).
fn mounts_below(dir: &Path) -> Vec<PathBuf> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    let mut points: Vec<_> = points.filter(|point| point.starts_with(dir)).collect();
    points.sort();
    points.reverse();
    points
}

/// An entry that the router has written to a file.
#[derive(Debug)]
pub struct Arrived {
    /// Its time.
    pub time: Timestamp,
    /// The record's fields, which are all text.
    pub fields: BTreeMap<String, Vec<u8>>,
}

impl Arrived {
    /// A field, empty if the record has none of this name.
    pub fn field(&self, name: &str) -> &[u8] {
        self.fields.get(name).map_or(b"", Vec::as_slice)
    }

    /// A field as text.
    pub fn text(&self, name: &str) -> &str {
        std::str::from_utf8(self.field(name)).unwrap()
    }
}

/// The whole entries in a file that the output `file` writes in the format `msgpack`, none while it does not exist.
pub fn arrived(path: &Path) -> Vec<Arrived> {
    let bytes = std::fs::read(path).unwrap_or_default();
    let (mut entries, mut rest) = (Vec::new(), &bytes[..]);
    while let Ok((entry, len)) = Entry::scan(rest) {
        let text = |view: ikada_msgpack::View<'_>| view.as_str().expect("a driver writes text only").to_vec();
        let fields =
            entry.record().iter().map(|(key, value)| (String::from_utf8(text(key)).unwrap(), text(value)));
        entries.push(Arrived { time: entry.time(), fields: fields.collect() });
        rest = &rest[len..];
    }
    entries
}
