//! The story of each variable, without a network.

use std::collections::BTreeMap;
use std::sync::Mutex;

use ikada_aws::fetch::TaskMetadata;
use ikada_config::{MapEnv, SectionKind};

use super::*;

/// S3 and ECS in a map.
#[derive(Default)]
struct Shelf {
    objects: BTreeMap<String, Result<Vec<u8>, FetchError>>,
    task: Option<Result<TaskMetadata, String>>,
    asked: Mutex<Vec<String>>,
}

impl Shelf {
    fn with(mut self, arn: &str, text: &str) -> Self {
        self.objects.insert(arn.to_owned(), Ok(text.into()));
        self
    }

    fn failing(mut self, arn: &str, kind: FetchErrorKind, cause: &str) -> Self {
        let error = FetchError { kind, code: None, cause: cause.to_owned(), attempts: 2 };
        self.objects.insert(arn.to_owned(), Err(error));
        self
    }

    fn in_task(mut self) -> Self {
        let json = br#"{"Cluster":"prod","TaskARN":"arn:aws:ecs:eu-west-1:1:task/prod/77","Family":"web","Revision":"3"}"#;
        self.task = Some(Ok(TaskMetadata::parse(json).unwrap()));
        self
    }
}

impl Fetch for Shelf {
    fn object(&self, arn: &ObjectArn, region: Option<&str>) -> Result<Vec<u8>, FetchError> {
        self.asked.lock().unwrap().push(format!("{arn} {}", region.unwrap_or("-")));
        self.objects[&arn.to_string()].clone()
    }

    fn task(&self, _endpoint: &str) -> Result<TaskMetadata, String> {
        self.asked.lock().unwrap().push("task".to_owned());
        self.task.clone().unwrap()
    }
}

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        place.write("fluent-bit.conf", "[INPUT]\n    Name dummy\n[OUTPUT]\n    Name stdout\n    Match *\n");
        place
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn prepare(&self, variables: &[(&str, &str)], shelf: Shelf) -> (Init, Arc<Shelf>) {
        let shelf = Arc::new(shelf);
        let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut process = MapEnv::new();
        for (name, value) in variables {
            process = process.with(*name, *value);
        }
        let config = Path::new("fluent-bit.conf");
        let init = Init::prepare(
            Overlay::default(),
            Some(config),
            self.dir.path(),
            environment,
            Arc::new(process),
            shelf.clone(),
        );
        (init, shelf)
    }

    /// The findings of a load, with the place's own path left out.
    fn findings(&self, variables: &[(&str, &str)], shelf: Shelf) -> Vec<String> {
        let loaded = self.prepare(variables, shelf).0.load();
        let path = format!("{}/", self.dir.path().display());
        loaded.diagnostics.lines(&loaded.sources).map(|line| line.replace(&path, "")).collect()
    }
}

const EXTRA: &str = "arn:aws:s3:::conf/extra.conf";
const PARSERS: &str = "arn:aws:s3:::conf/parsers.conf";

#[test]
fn files_come_in_order_behind_the_file_of_the_command_line() {
    let place = Place::new();
    let file = place.write("own.conf", "[FILTER]\n    Name grep\n    Match c\n");
    let shelf = Shelf::default().with(EXTRA, "[FILTER]\n    Name grep\n    Match b\n").with(
        PARSERS,
        "[PARSER]\n    Name audit_json\n    Format json\n[FILTER]\n    Name grep\n    Match a\n",
    );
    let variables = [
        ("aws_fluent_bit_init_file_3", file.as_str()),
        ("aws_fluent_bit_init_s3_2", EXTRA),
        ("aws_fluent_bit_init_s3_1", PARSERS),
    ];
    let (init, _) = place.prepare(&variables, shelf);
    let loaded = init.load();
    assert!(
        loaded.diagnostics.is_empty(),
        "{:?}",
        loaded.diagnostics.lines(&loaded.sources).collect::<Vec<_>>()
    );
    let kinds: Vec<_> = loaded.document.sections().iter().map(|section| section.kind).collect();
    assert_eq!(
        kinds,
        [
            SectionKind::Input,
            SectionKind::Output,
            SectionKind::Parser,
            SectionKind::Filter,
            SectionKind::Filter,
            SectionKind::Filter
        ]
    );
    let matches: Vec<_> = loaded
        .document
        .of_kind(SectionKind::Filter)
        .map(|section| section.get("match").unwrap().value.clone())
        .collect();
    assert_eq!(matches, ["a", "b", "c"], "a file with a parser is not only a parsers file");
    let names: Vec<_> =
        init.sources().iter().map(|source| (source.name.as_str(), source.bytes.is_some())).collect();
    assert_eq!(names, [(PARSERS, true), (EXTRA, true), (file.as_str(), true)]);
}

#[test]
fn findings_in_an_object_name_its_arn() {
    let place = Place::new();
    let shelf =
        Shelf::default().with(EXTRA, "[FILTER]\n    Name grep\n    Match ${NOWHERE}\n@INCLUDE more.conf\n");
    let found = place.findings(&[("aws_fluent_bit_init_s3_1", EXTRA)], shelf);
    assert!(found[0].starts_with("arn:aws:s3:::conf/extra.conf:4:10: error[missing-include]"), "{found:?}");
    assert!(
        found[1].starts_with("arn:aws:s3:::conf/extra.conf:3:11: warning[undefined-variable]"),
        "{found:?}"
    );
}

#[test]
fn an_object_may_include_another_one_that_lies_beside_it() {
    let place = Place::new();
    let shelf = Shelf::default()
        .with(EXTRA, "@INCLUDE parsers.conf\n")
        .with(PARSERS, "[PARSER]\n    Name audit_json\n    Format json\n");
    let variables = [("aws_fluent_bit_init_s3_1", EXTRA), ("aws_fluent_bit_init_s3_2", PARSERS)];
    let loaded = place.prepare(&variables, shelf).0.load();
    assert_eq!(loaded.document.of_kind(SectionKind::Parser).count(), 1);
}

#[test]
fn a_path_where_an_arn_belongs_and_the_reverse_work_and_are_called_out() {
    let place = Place::new();
    let file = place.write("own.conf", "[FILTER]\n    Name grep\n    Match *\n");
    let shelf = Shelf::default().with(EXTRA, "[FILTER]\n    Name grep\n    Match *\n");
    let variables = [("aws_fluent_bit_init_file_1", EXTRA), ("aws_fluent_bit_init_s3_1", file.as_str())];
    let found = place.findings(&variables, shelf);
    assert_eq!(
        found,
        [
            "environment:1:28: warning[init-variable-kind]: `aws_fluent_bit_init_file_1` is for a path in the image, but names \
             an object; it is fetched (help: name the variable `aws_fluent_bit_init_s3_1`: AWS's own init process takes the text \
             for a path)",
            "environment:2:26: warning[init-variable-kind]: `aws_fluent_bit_init_s3_1` is for the ARN of an object, but names a \
             path; it is read (help: name the variable `aws_fluent_bit_init_file_1`: AWS's own init process ends the start here)",
        ]
    );
    let shelf = Shelf::default().with(EXTRA, "[FILTER]\n    Name grep\n    Match *\n");
    assert_eq!(place.prepare(&variables, shelf).0.load().document.of_kind(SectionKind::Filter).count(), 2);
}

#[test]
fn a_variable_that_nearly_fits_is_called_out() {
    let place = Place::new();
    let found = place.findings(&[("AWS_FLUENT_BIT_INIT_S3_1", EXTRA)], Shelf::default());
    assert_eq!(
        found,
        [
            "environment:1:1: warning[init-variable-name]: `AWS_FLUENT_BIT_INIT_S3_1` is no variable of the init process; it is \
          ignored (help: name it `aws_fluent_bit_init_s3_1`)"
        ]
    );
    let shelf = Shelf::default().with(EXTRA, "");
    let found = place.findings(&[("aws_fluent_bit_init_s3-1", EXTRA)], shelf);
    assert_eq!(
        found,
        [
            "environment:1:1: note[init-variable-name]: `aws_fluent_bit_init_s3-1` is taken, though its name is not as AWS \
          documents it (help: name it `aws_fluent_bit_init_s3_1`)"
        ]
    );
}

#[test]
fn what_cannot_be_fetched_says_what_is_missing() {
    let place = Place::new();
    let found = |kind, cause| {
        let shelf = Shelf::default().failing(EXTRA, kind, cause);
        let found = place.findings(&[("aws_fluent_bit_init_s3_1", EXTRA)], shelf);
        assert_eq!(found.len(), 1);
        found.into_iter().next().unwrap()
    };
    assert_eq!(
        found(FetchErrorKind::Denied, "AccessDenied: Access Denied (HTTP 403)"),
        "environment:1:26: error[init-fetch]: cannot fetch `arn:aws:s3:::conf/extra.conf`: AccessDenied: Access Denied (HTTP \
         403) (tried 2 times) (help: the task role needs `s3:GetObject` on `arn:aws:s3:::conf/extra.conf`; without \
         `s3:ListBucket`, S3 says the same of a key that does not exist)"
    );
    assert!(
        found(FetchErrorKind::Denied, "AccessDenied: not authorized to perform: kms:Decrypt")
            .contains("`kms:Decrypt`")
    );
    assert!(found(FetchErrorKind::NoKey, "NoSuchKey").contains("the bucket `conf` has no key `extra.conf`"));
    assert!(found(FetchErrorKind::NoBucket, "NoSuchBucket").contains("no bucket is named `conf`"));
    assert!(found(FetchErrorKind::NoCredentials, "none").contains("`taskRoleArn`"));
}

#[test]
fn values_that_name_nothing_are_refused() {
    let place = Place::new();
    let line = |name: &str, value: &str| {
        let found = place.findings(&[(name, value)], Shelf::default());
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].split(" (help").next().unwrap().to_owned()
    };
    let s3 = "aws_fluent_bit_init_s3_1";
    assert_eq!(
        line(s3, ""),
        "environment:1:1: warning[init-variable-value]: `aws_fluent_bit_init_s3_1` is empty; it is ignored"
    );
    assert_eq!(
        line(s3, "arn:aws:s3:::conf"),
        "environment:1:26: error[init-variable-value]: `arn:aws:s3:::conf` names a bucket, but no object in it"
    );
    assert_eq!(
        line(s3, "https://conf.s3.amazonaws.com/x"),
        "environment:1:26: error[init-variable-value]: `https://conf.s3.amazonaws.com/x` is no ARN of an S3 object"
    );
    assert_eq!(
        line("aws_fluent_bit_init_file_1", "/nowhere/x.conf"),
        "environment:1:28: error[missing-include]: the file `/nowhere/x.conf` does not exist"
    );
}

#[test]
fn the_same_object_counts_once() {
    let place = Place::new();
    let shelf = Shelf::default().with(EXTRA, "[FILTER]\n    Name grep\n    Match *\n");
    let variables = [("aws_fluent_bit_init_s3_1", EXTRA), ("aws_fluent_bit_init_s3_2", EXTRA)];
    let (init, shelf) = place.prepare(&variables, shelf);
    let loaded = init.load();
    assert_eq!(loaded.document.of_kind(SectionKind::Filter).count(), 1);
    assert_eq!(shelf.asked.lock().unwrap().len(), 1);
    assert!(init.sources()[1].ignored.as_deref().unwrap().contains("already"));
}

#[test]
fn the_task_s_variables_win_with_init_variables_and_fill_in_without() {
    let place = Place::new();
    let uri = ("ECS_CONTAINER_METADATA_URI_V4", "http://169.254.170.2/v4/1");
    let shelf = Shelf::default().in_task().with(EXTRA, "");
    let variables =
        [uri, ("ECS_CLUSTER", "mine"), ("AWS_REGION", "us-west-2"), ("aws_fluent_bit_init_s3_1", EXTRA)];
    let (init, shelf) = place.prepare(&variables, shelf);
    assert_eq!(init.env().var("ECS_CLUSTER").as_deref(), Some("prod"));
    assert_eq!(init.env().var("ECS_TASK_DEFINITION").as_deref(), Some("web:3"));
    assert_eq!(*shelf.asked.lock().unwrap(), ["task", "arn:aws:s3:::conf/extra.conf eu-west-1"]);

    let (init, shelf) = place.prepare(&[uri, ("ECS_CLUSTER", "mine")], Shelf::default().in_task());
    assert_eq!(init.env().var("ECS_CLUSTER").as_deref(), Some("mine"));
    assert!(shelf.asked.lock().unwrap().is_empty(), "nobody wanted to know");
    assert_eq!(init.env().var("ECS_TASK_ID").as_deref(), Some("77"));
    assert_eq!(init.env().var("ECS_FAMILY").as_deref(), Some("web"));
    assert_eq!(*shelf.asked.lock().unwrap(), ["task"], "it is asked once");
}

#[test]
fn a_task_that_tells_nothing_ends_the_start_where_init_variables_want_it() {
    let place = Place::new();
    let uri = ("ECS_CONTAINER_METADATA_URI_V4", "http://169.254.170.2/v4/1");
    let silent =
        || Shelf { task: Some(Err("HTTP status 500".to_owned())), ..Shelf::default().with(EXTRA, "") };
    let found = place.findings(&[uri, ("aws_fluent_bit_init_s3_1", EXTRA)], silent());
    assert!(
        found[0].starts_with("error[task-metadata]: ECS tells nothing of the task: HTTP status 500"),
        "{found:?}"
    );

    place.write(
        "fluent-bit.conf",
        "[INPUT]\n    Name dummy\n    Tag ${ECS_CLUSTER}\n[OUTPUT]\n    Name stdout\n",
    );
    let found = place.findings(&[uri], silent());
    assert!(found[0].starts_with("warning[task-metadata]"), "{found:?}");
    assert!(found[1].contains("[undefined-variable]"), "{found:?}");
}
