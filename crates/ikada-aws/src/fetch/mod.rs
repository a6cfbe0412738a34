//! What a task reads before it can run: its configuration's objects in S3, and what ECS says of the task itself.
//!
//! The init process calls [`ObjectFetcher::fetch`] for every ARN it is given, and [`TaskMetadata::fetch`] once. Both try again by
//! themselves: nothing else would, before the pipeline runs.
//!
//! | answer | what happens |
//! |---|---|
//! | the bucket is in another region (`x-amz-bucket-region`, or `<Region>` in the answer) | asked again there; needs no `s3:GetBucketLocation` |
//! | network, timeout, 5xx, throttled, expired token | up to [`ObjectFetcher::ATTEMPTS`] times, with a pause that doubles |
//! | 403 | once more: a role that was just made is not known everywhere at once |
//! | 404 | at once final |

mod arn;
mod object;
mod task;

pub use arn::{ArnError, ObjectArn};
pub use object::{FetchError, FetchErrorKind, ObjectFetcher};
pub use task::{TaskError, TaskMetadata};
