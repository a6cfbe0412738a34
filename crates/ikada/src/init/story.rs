//! From the environment to what the loader reads.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ikada_aws::fetch::{ArnError, FetchError, FetchErrorKind, ObjectArn};
use ikada_config::{Env, Files, Loaded};
use ikada_diag::{Diagnostic, Diagnostics, codes};

use super::variables::{Variable, VariableKind, scan};
use super::{AwsFetch, Fetch, Overlay, TaskEnv, env};

/// What the made-up main file is called.
const MAIN: &str = "aws_fluent_bit_init.conf";

/// What the list of variables is called in findings.
pub const ENVIRONMENT: &str = "environment";

/// Something that the configuration was, or was not, made of because of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitSource {
    /// The variable.
    pub variable: String,
    /// A path or an ARN, as the loader's sources call it.
    pub name: String,
    /// Its size; `None` if it is not part of the configuration.
    pub bytes: Option<usize>,
    /// Why it is not.
    pub ignored: Option<String>,
}

/// The init process, done: what is to be loaded, and with which files and variables.
#[derive(Debug)]
pub struct Init {
    files: Overlay,
    env: TaskEnv,
    working_dir: PathBuf,
    main: Option<PathBuf>,
    /// The variables, one a line, for findings to point into.
    listing: String,
    findings: Vec<(Option<Range<usize>>, Diagnostic)>,
    sources: Vec<InitSource>,
}

impl Init {
    /// Looks at the environment of this process; `config` is the file of `-c`.
    #[must_use]
    pub fn of_process(config: Option<&Path>, working_dir: &Path) -> Self {
        let environment = std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()));
        let files = Overlay::default();
        Self::prepare(files, config, working_dir, environment, env::of_process(), AwsFetch::shared())
    }

    /// Looks at an environment, and fetches what it names. `process` is the same environment, for variables in values.
    #[must_use]
    pub fn prepare(
        files: Overlay,
        config: Option<&Path>,
        working_dir: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
        process: Arc<dyn Env>,
        fetch: Arc<dyn Fetch>,
    ) -> Self {
        let variables = scan(environment);
        let takes_part = variables.iter().any(|variable| variable.kind.is_some());
        let mut work = Work {
            files,
            env: TaskEnv::new(process, fetch.clone(), takes_part),
            fetch,
            working_dir,
            listing: String::new(),
            findings: Vec::new(),
            sources: Vec::new(),
            included: Vec::new(),
        };
        if takes_part {
            work.look_at_task();
        }
        for variable in variables {
            work.take(&variable);
        }
        let main = work.main(config);
        let Work { files, env, listing, findings, sources, .. } = work;
        Self { files, env, working_dir: working_dir.to_owned(), main, listing, findings, sources }
    }

    /// Loads the configuration: the file of `-c`, then those of the variables.
    #[must_use]
    pub fn load(&self) -> Loaded {
        let mut loaded = match &self.main {
            Some(path) => ikada_config::load(path, &self.files, &self.env, &self.working_dir),
            None => Loaded::nothing("command line", &self.working_dir),
        };
        self.tell(&mut loaded);
        loaded
    }

    /// The same with the files that options name.
    #[must_use]
    pub fn load_whole(&self) -> Loaded {
        let mut loaded = self.load();
        loaded.add_named_files(&self.files, &self.env, &self.working_dir);
        loaded
    }

    /// The files that the configuration may name: fetched ones over those on disk.
    #[must_use]
    pub fn files(&self) -> &Overlay {
        &self.files
    }

    /// The environment, with the task's variables.
    #[must_use]
    pub fn env(&self) -> &TaskEnv {
        &self.env
    }

    /// What the variables named, in the order in which it is read.
    #[must_use]
    pub fn sources(&self) -> &[InitSource] {
        &self.sources
    }

    /// The name of the made-up file that includes all others, if there is one.
    #[must_use]
    pub fn main_name(&self) -> Option<String> {
        let main = self.main.as_ref()?;
        main.ends_with(MAIN).then(|| main.display().to_string())
    }

    /// Puts what was found before what the loader found.
    fn tell(&self, loaded: &mut Loaded) {
        let mut found = Diagnostics::new();
        if !self.findings.is_empty() {
            let source = loaded.sources.add(ENVIRONMENT, self.listing.clone());
            for (range, finding) in &self.findings {
                let span = range.clone().map(|range| source.span(range.start, range.end));
                found.push(finding.clone().at(span));
            }
        }
        if let Some(why) = self.env.failure()
            && !self.findings.iter().any(|(_, finding)| finding.code == codes::TASK_METADATA)
        {
            found.push(no_task(why, false));
        }
        found.append(std::mem::take(&mut loaded.diagnostics));
        loaded.diagnostics = found;
    }
}

/// AWS's init process ends the start without metadata; where only a `${…}` wants them, Fluent Bit goes on.
fn no_task(why: &str, is_error: bool) -> Diagnostic {
    let message = format!("ECS tells nothing of the task: {why}");
    let help = "`ECS_CONTAINER_METADATA_URI_V4` is set, and nothing of use answers there";
    match is_error {
        true => Diagnostic::error(codes::TASK_METADATA, message).help(help),
        false => Diagnostic::warning(codes::TASK_METADATA, message).help(help),
    }
}

struct Work<'w> {
    files: Overlay,
    env: TaskEnv,
    fetch: Arc<dyn Fetch>,
    working_dir: &'w Path,
    listing: String,
    findings: Vec<(Option<Range<usize>>, Diagnostic)>,
    sources: Vec<InitSource>,
    /// What is included, as it is written.
    included: Vec<String>,
}

/// A variable and where it stands in the listing.
struct Listed<'v> {
    variable: &'v Variable,
    name: Range<usize>,
    value: Range<usize>,
}

impl Work<'_> {
    fn look_at_task(&mut self) {
        if let Some(Err(why)) = self.env.task() {
            let finding = no_task(why, true);
            self.findings.push((None, finding));
        }
    }

    fn take(&mut self, variable: &Variable) {
        let listed = self.list(variable);
        let Some(kind) = variable.kind else {
            let message = format!("`{}` is no variable of the init process; it is ignored", variable.name);
            let meant = variable.meant.clone().unwrap_or_default();
            let finding = Diagnostic::warning(codes::INIT_NAME, message).help(format!("name it `{meant}`"));
            return self.ignore(&listed, listed.name.clone(), finding);
        };
        if let Some(meant) = &variable.meant {
            let message = format!("`{}` is taken, though its name is not as AWS documents it", variable.name);
            let finding = Diagnostic::note(codes::INIT_NAME, message).help(format!("name it `{meant}`"));
            self.findings.push((Some(listed.name.clone()), finding));
        }
        if variable.value.is_empty() {
            let message = format!("`{}` is empty; it is ignored", variable.name);
            let finding = Diagnostic::warning(codes::INIT_VALUE, message).help(usual_value(kind));
            return self.ignore(&listed, listed.name.clone(), finding);
        }
        match ObjectArn::parse(&variable.value) {
            Ok(arn) => self.take_object(&listed, kind, &arn),
            Err(ArnError::NoArn) => self.take_path(&listed, kind),
            Err(error) => {
                let finding = Diagnostic::error(codes::INIT_VALUE, format!("`{}` {error}", variable.value));
                let finding = finding.help(usual_value(VariableKind::S3));
                self.ignore(&listed, listed.value.clone(), finding);
            }
        }
    }

    fn list<'v>(&mut self, variable: &'v Variable) -> Listed<'v> {
        let start = self.listing.len();
        let plain =
            |text: &str| -> String { text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect() };
        self.listing.push_str(&plain(&variable.name));
        let middle = self.listing.len();
        self.listing.push('=');
        self.listing.push_str(&plain(&variable.value));
        let end = self.listing.len();
        self.listing.push('\n');
        Listed { variable, name: start..middle, value: middle + 1..end }
    }

    fn take_object(&mut self, listed: &Listed<'_>, kind: VariableKind, arn: &ObjectArn) {
        let name = arn.to_string();
        if kind == VariableKind::File {
            let message = format!(
                "`{}` is for a path in the image, but names an object; it is fetched",
                listed.variable.name
            );
            let finding = Diagnostic::warning(codes::INIT_KIND, message);
            let meant = VariableKind::S3.name("1");
            let finding = finding.help(format!(
                "name the variable `{meant}`: AWS's own init process takes the text for a path"
            ));
            self.findings.push((Some(listed.value.clone()), finding));
        } else if listed.variable.value != name {
            let message = "AWS's own init process takes an ARN only".to_owned();
            let finding = Diagnostic::note(codes::INIT_VALUE, message).help(format!("write `{name}`"));
            self.findings.push((Some(listed.value.clone()), finding));
        }
        if self.is_twice(listed, &name) {
            return;
        }
        let region = self.region();
        match self.fetch.object(arn, region.as_deref()) {
            Ok(bytes) => {
                let size = bytes.len();
                // An ARN is no absolute path: the loader looks for it in the working directory first, and calls it by its name.
                self.files.insert(self.working_dir.join(&name), bytes);
                self.include(listed, name, size);
            }
            Err(error) => {
                let finding = unfetched(arn, &error);
                self.ignore_as(listed, name, listed.value.clone(), finding);
            }
        }
    }

    /// Where the task runs: as ECS says, else as the process's environment does.
    fn region(&self) -> Option<String> {
        self.env.var("AWS_REGION").or_else(|| self.env.var("AWS_DEFAULT_REGION"))
    }

    fn take_path(&mut self, listed: &Listed<'_>, kind: VariableKind) {
        let value = listed.variable.value.clone();
        let path = self.working_dir.join(&value);
        let is_there = self.files.exists(&path) && !self.files.is_dir(&path);
        if kind == VariableKind::S3 {
            if !is_there && !value.starts_with('/') {
                let finding = Diagnostic::error(codes::INIT_VALUE, format!("`{value}` {}", ArnError::NoArn));
                let finding = finding.help(usual_value(kind));
                return self.ignore(listed, listed.value.clone(), finding);
            }
            let message = format!(
                "`{}` is for the ARN of an object, but names a path; it is read",
                listed.variable.name
            );
            let meant = VariableKind::File.name("1");
            let finding = Diagnostic::warning(codes::INIT_KIND, message);
            let finding = finding
                .help(format!("name the variable `{meant}`: AWS's own init process ends the start here"));
            self.findings.push((Some(listed.value.clone()), finding));
        }
        if !is_there {
            let what = if self.files.is_dir(&path) { "is a directory" } else { "does not exist" };
            let finding = Diagnostic::error(codes::MISSING_INCLUDE, format!("the file `{value}` {what}"));
            let finding = finding.help(
                "the path is one inside the router's container; an object in S3 is named by `aws_fluent_bit_init_s3_1=arn:aws:s3:::bucket/key`",
            );
            return self.ignore(listed, listed.value.clone(), finding);
        }
        if self.is_twice(listed, &value) {
            return;
        }
        let size = self.files.read(&path).map_or(0, |bytes| bytes.len());
        self.include(listed, value, size);
    }

    fn is_twice(&mut self, listed: &Listed<'_>, name: &str) -> bool {
        let before = self.sources.iter().find(|source| source.name == name && source.bytes.is_some());
        let Some(before) = before else { return false };
        let message = format!("`{}` names `{name}` already; this has no effect", before.variable);
        let finding = Diagnostic::warning(codes::INCLUDE_REPEATED, message).help("remove one of the two");
        self.ignore(listed, listed.value.clone(), finding);
        true
    }

    fn include(&mut self, listed: &Listed<'_>, name: String, bytes: usize) {
        self.included.push(name.clone());
        let variable = listed.variable.name.clone();
        self.sources.push(InitSource { variable, name, bytes: Some(bytes), ignored: None });
    }

    fn ignore(&mut self, listed: &Listed<'_>, place: Range<usize>, finding: Diagnostic) {
        self.ignore_as(listed, listed.variable.value.clone(), place, finding);
    }

    fn ignore_as(&mut self, listed: &Listed<'_>, name: String, place: Range<usize>, finding: Diagnostic) {
        let variable = listed.variable.name.clone();
        let ignored = Some(finding.message.clone());
        self.sources.push(InitSource { variable, name, bytes: None, ignored });
        self.findings.push((Some(place), finding));
    }

    /// What the loader starts with: the file of `-c`, or one that includes it and all others. It stands beside the file of `-c`, so that
    /// relative paths there go on meaning what they mean without init variables.
    fn main(&mut self, config: Option<&Path>) -> Option<PathBuf> {
        if self.included.is_empty() {
            return config.map(Path::to_owned);
        }
        let mut text = String::new();
        let config = config.map(|path| self.working_dir.join(path));
        for path in config.iter().map(|path| path.display().to_string()).chain(self.included.drain(..)) {
            text.push_str(&format!("@INCLUDE {path}\n"));
        }
        let directory = config.as_deref().and_then(Path::parent).unwrap_or(self.working_dir);
        let main = directory.join(MAIN);
        self.files.insert(main.clone(), text.into_bytes());
        Some(main)
    }
}

fn usual_value(kind: VariableKind) -> &'static str {
    match kind {
        VariableKind::S3 => "write the ARN of an object: `arn:aws:s3:::bucket/key`",
        VariableKind::File => "write a path inside the image: `/fluent-bit/etc/extra.conf`",
    }
}

/// Says what a person can do about an object that cannot be had.
fn unfetched(arn: &ObjectArn, error: &FetchError) -> Diagnostic {
    let is_key =
        error.code.as_deref().is_some_and(|code| code.contains("KMS")) || error.cause.contains("kms:");
    let help = match error.kind {
        FetchErrorKind::Denied if is_key => {
            "the task role needs `kms:Decrypt` on the key that the object is encrypted with".to_owned()
        }
        FetchErrorKind::Denied => format!(
            "the task role needs `s3:GetObject` on `{arn}`; without `s3:ListBucket`, S3 says the same of a key that does not exist"
        ),
        FetchErrorKind::NoCredentials => format!(
            "the task definition needs a `taskRoleArn` whose role allows `s3:GetObject` on `{arn}`; the execution role does not count here"
        ),
        FetchErrorKind::NoBucket => format!("no bucket is named `{}`", arn.bucket),
        FetchErrorKind::NoKey => format!("the bucket `{}` has no key `{}`", arn.bucket, arn.key),
        FetchErrorKind::Other => {
            "the task needs a way to S3 at its start: a gateway endpoint in its subnets' route tables, or the internet".to_owned()
        }
    };
    Diagnostic::error(codes::INIT_FETCH, format!("cannot fetch `{arn}`: {error}")).help(help)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
