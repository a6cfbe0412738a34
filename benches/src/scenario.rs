//! The scenarios: a table to which a line is added for a new one.

use crate::lines::Kind;
use crate::load::Shape;

/// A load and what becomes of it.
#[derive(Debug)]
pub(crate) struct Scenario {
    /// What it is called.
    pub(crate) name: &'static str,
    /// What it is, in a few words.
    pub(crate) about: &'static str,
    /// What is written.
    pub(crate) work: Work,
    /// How the router is set up.
    pub(crate) setup: Setup,
    /// What is done to records on their way.
    pub(crate) filters: Filters,
    /// Where it delivers to; every record goes to each of them.
    pub(crate) outputs: &'static [Output],
}

/// What is written to the router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// So many megabytes at full speed.
    Full(Shape, u64),
    /// So many megabytes a second.
    Paced(Shape, u64),
    /// Nothing: what does it take to wait?
    Idle,
    /// A file of so many megabytes, read from its start.
    File(Kind, u64),
    /// So many megabytes a second, once without a further output that is dead, and once with it.
    Isolated(Shape, u64),
    /// So many megabytes a second, for minutes: does the memory grow?
    Soak(Shape, u64),
}

/// How the router is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setup {
    /// For speed: no memory limit, two workers per output (S3: one), Flush 1.
    Tuned,
    /// As the ECS agent generates it: memory limit 25MB, the metadata filter, no `[SERVICE]`.
    Agent,
}

/// What is done to records on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filters {
    /// Nothing.
    None,
    /// `parser` (JSON in `log`), `modify`, `grep`, `record_modifier`.
    Chain,
    /// A Lua script that sets a field, drops one, and looks into the text of another one.
    Lua,
}

/// Where the router delivers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// Nowhere.
    Null,
    /// CloudWatch Logs.
    CloudWatch,
    /// Firehose.
    Firehose,
    /// Kinesis Data Streams.
    Kinesis,
    /// S3.
    S3(Objects),
}

/// How objects are uploaded to S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Objects {
    /// Objects of 10 MB, whole.
    Whole,
    /// The same, compressed with gzip.
    Gzip,
    /// The same, compressed with zstd.
    Zstd,
    /// Objects of 50 MB, in parts.
    Parts,
}

impl Scenario {
    /// A scenario at full speed, tuned.
    const fn full(
        name: &'static str,
        about: &'static str,
        shape: Shape,
        megabytes: u64,
        outputs: &'static [Output],
    ) -> Scenario {
        let work = Work::Full(shape, megabytes);
        Scenario { name, about, work, setup: Setup::Tuned, filters: Filters::None, outputs }
    }

    /// The same with other work.
    const fn work(mut self, work: Work) -> Scenario {
        self.work = work;
        self
    }

    /// The same as the ECS agent sets it up.
    const fn agent(mut self) -> Scenario {
        self.setup = Setup::Agent;
        self
    }

    /// The same with filters.
    const fn filters(mut self, filters: Filters) -> Scenario {
        self.filters = filters;
        self
    }

    /// Whether it runs where no scenario is named: all do but the one that takes minutes.
    pub(crate) fn is_usual(&self) -> bool {
        !matches!(self.work, Work::Soak(..))
    }

    /// Whether the router only completes at its end what it delivers.
    pub(crate) fn ends_with_objects(&self) -> bool {
        self.outputs.iter().any(|output| matches!(output, Output::S3(_)))
    }

    /// Whether anything is delivered to a service.
    pub(crate) fn has_services(&self) -> bool {
        self.outputs.iter().any(|output| *output != Output::Null)
    }
}

const NULL: &[Output] = &[Output::Null];
const CLOUDWATCH: &[Output] = &[Output::CloudWatch];
const FIREHOSE: &[Output] = &[Output::Firehose];
const KINESIS: &[Output] = &[Output::Kinesis];
const WHOLE: &[Output] = &[Output::S3(Objects::Whole)];
const GZIP: &[Output] = &[Output::S3(Objects::Gzip)];
const ZSTD: &[Output] = &[Output::S3(Objects::Zstd)];
const PARTS: &[Output] = &[Output::S3(Objects::Parts)];
const TWO: &[Output] = &[Output::CloudWatch, Output::Firehose];
const THREE: &[Output] = &[Output::CloudWatch, Output::Firehose, Output::S3(Objects::Gzip)];

/// All of them. Megabytes are chosen so that a run takes seconds.
#[rustfmt::skip]
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario::full("fwd-null", "messages, 64 kB per write, thrown away", Shape::Gathered, 2_000, NULL),
    Scenario::full("fwd-null-docker", "messages, one per write, thrown away", Shape::Single, 1_000, NULL),
    Scenario::full("fwdpacked-null", "packs of 1,000 records, thrown away", Shape::Packed, 2_000, NULL),
    Scenario::full("fwd-filters", "fwd-null through parser, modify, grep, record_modifier", Shape::Gathered, 500, NULL)
        .filters(Filters::Chain),
    Scenario::full("fwd-lua", "fwd-null through a Lua script", Shape::Gathered, 500, NULL).filters(Filters::Lua),
    Scenario::full("fwd-cwl", "messages, 64 kB per write, to CloudWatch Logs", Shape::Gathered, 1_000, CLOUDWATCH),
    Scenario::full("fwd-firehose", "messages, 64 kB per write, to Firehose", Shape::Gathered, 1_000, FIREHOSE),
    Scenario::full("fwd-kinesis", "messages, 64 kB per write, to Kinesis", Shape::Gathered, 1_000, KINESIS),
    Scenario::full("fwd-s3", "messages, 64 kB per write, to S3 in objects of 10 MB", Shape::Gathered, 1_000, WHOLE),
    Scenario::full("fwd-s3-gzip", "the same, compressed with gzip", Shape::Gathered, 500, GZIP),
    Scenario::full("fwd-s3-zstd", "the same, compressed with zstd", Shape::Gathered, 500, ZSTD),
    Scenario::full("fwd-s3-parts", "the same in objects of 50 MB, in parts, not compressed", Shape::Gathered, 1_000, PARTS),
    Scenario::full("tail-null", "a file of plain lines, thrown away", Shape::Single, 0, NULL)
        .work(Work::File(Kind::Plain, 1_000)),
    Scenario::full("tail-json-s3", "a file of JSON lines, parsed, to S3 with gzip", Shape::Single, 0, GZIP)
        .work(Work::File(Kind::Json, 1_000)),
    Scenario::full("rate-5MBps", "messages, one per write, 5 MB/s, to CloudWatch Logs", Shape::Single, 0, CLOUDWATCH)
        .work(Work::Paced(Shape::Single, 5)),
    Scenario::full("rate-50MBps", "messages, one per write, 50 MB/s, to nowhere", Shape::Single, 0, NULL)
        .work(Work::Paced(Shape::Single, 50)),
    Scenario::full("fwd-cwl-firelens", "fwd-cwl with the configuration that the ECS agent generates", Shape::Gathered, 300, CLOUDWATCH)
        .agent(),
    Scenario::full("isolation", "5 MB/s to two services, without and with a third one that is dead", Shape::Single, 0, TWO)
        .work(Work::Isolated(Shape::Single, 5)).agent(),
    Scenario::full("soak", "5 MB/s through filters to three services, for minutes", Shape::Single, 0, THREE)
        .work(Work::Soak(Shape::Single, 5)).filters(Filters::Chain),
    Scenario::full("idle", "nothing, with the configuration that the ECS agent generates", Shape::Single, 0, CLOUDWATCH)
        .work(Work::Idle).agent(),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_fit_a_table() {
        for (at, scenario) in SCENARIOS.iter().enumerate() {
            assert!(scenario.name.len() <= 20 && scenario.about.len() <= 70, "{}", scenario.name);
            assert!(SCENARIOS[..at].iter().all(|other| other.name != scenario.name));
        }
    }
}
