//! moto, a stand-in for AWS that this project did not write, in a Python environment of the tests' own.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::fs::{FlockOperation, flock};
use serde_json::Value;

use crate::require::skip;

/// The version of moto that the tests are true for.
pub const VERSION: &str = "5.2.5";

/// The region that everything lies in: moto keeps them apart.
pub const REGION: &str = "ap-northeast-1";

/// What every question starts with: a client for each service, made by AWS's own library for Python.
const PRELUDE: &str = r#"
import boto3, json, os, sys
def client(service):
    return boto3.client(service, endpoint_url=os.environ["MOTO_URL"], region_name=os.environ["AWS_REGION"])
def answer(value):
    json.dump(value, sys.stdout)
"#;

/// A running moto server, empty at first. Killed when it is dropped.
pub struct Moto {
    server: Child,
    url: String,
    python: PathBuf,
    log: Arc<Mutex<Vec<String>>>,
}

impl Moto {
    /// Starts one, at the first time on a machine after installing it; `None`, with one line that says why, where it cannot be had.
    pub fn start() -> Option<Self> {
        match environment() {
            Ok(python) => Some(Self::spawn(python)),
            Err(reason) => {
                skip("moto", &reason);
                None
            }
        }
    }

    /// It picks a free port itself and says which.
    fn spawn(python: PathBuf) -> Self {
        let mut server = command(&python)
            .args(["-u", "-m", "moto.server", "--host", "127.0.0.1", "--port", "0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(server.stderr.take().unwrap()).lines().map_while(Result::ok);
        let url = lines.by_ref().find_map(|line| Some(line.split_once("Running on ")?.1.trim().to_owned()));
        let log = Arc::new(Mutex::new(Vec::new()));
        let kept = log.clone();
        std::thread::spawn(move || lines.for_each(|line| kept.lock().unwrap().push(line)));
        let Some(url) = url else {
            drop(server.kill());
            drop(server.wait());
            panic!("moto does not start");
        };
        Self { server, url, python, log }
    }

    /// Where it listens, for `endpoint`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Runs a Python snippet that talks to it, `client("s3").…`, and returns what the snippet hands to `answer(…)`.
    pub fn ask(&self, snippet: &str) -> Value {
        let output = command(&self.python)
            .args(["-c", &format!("{PRELUDE}{snippet}")])
            .env("MOTO_URL", &self.url)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{snippet}\n{errors}");
        if output.stdout.is_empty() {
            return Value::Null;
        }
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        drop(self.server.kill());
        drop(self.server.wait());
        if std::thread::panicking() {
            let log = self.log.lock().unwrap();
            let tail: Vec<&str> = log.iter().rev().take(20).map(String::as_str).collect();
            eprintln!("--- moto said, last line first:\n{}", tail.join("\n"));
        }
    }
}

/// Python with an identity, and without what the user's own shell says of AWS.
fn command(python: &Path) -> Command {
    let mut command = Command::new(python);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    command
        .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("AWS_REGION", REGION)
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env_remove("PYTHONPATH")
        .env_remove("PYTHONHOME");
    command
}

/// The Python of an environment that has moto, made if it is not there: `target/tmp/moto-VERSION`.
///
/// Tests run in processes side by side: a lock lets one of them make it. A file is written last, so that an environment that was left
/// half made is made anew.
fn environment() -> Result<PathBuf, String> {
    let test = std::env::current_exe().unwrap();
    // target/debug/deps/moto-1234 → target/tmp
    let tmp = test.ancestors().nth(3).unwrap().join("tmp");
    std::fs::create_dir_all(&tmp).unwrap();
    let dir = tmp.join(format!("moto-{VERSION}"));
    let lock = File::create(tmp.join(format!("moto-{VERSION}.lock"))).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();

    let (python, whole) = (dir.join("bin/python"), dir.join("whole"));
    if whole.exists() && succeeds(command(&python).args(["-c", "import moto.server, boto3"])).is_ok() {
        return Ok(python);
    }
    drop(std::fs::remove_dir_all(&dir));
    succeeds(command(Path::new("python3")).args(["-m", "venv"]).arg(&dir)).map_err(|error| {
        format!("Python cannot make an environment (apt-get install python3-venv): {error}")
    })?;
    let package = format!("moto[server]=={VERSION}");
    succeeds(command(&python).args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        &package,
    ]))
    .map_err(|error| format!("moto {VERSION} cannot be installed from PyPI: {error}"))?;
    File::create(whole).unwrap();
    Ok(python)
}

/// Runs a command to its end; an error is the last line it said.
fn succeeds(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    Err(said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it says nothing").to_owned())
}
