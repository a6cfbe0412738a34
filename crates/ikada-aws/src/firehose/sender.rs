//! Calls of PutRecordBatch.

use aws_sdk_firehose::primitives::Blob;
use aws_sdk_firehose::types::Record;
use aws_sdk_firehose::{Client, config};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_types::SdkConfig;

use crate::client::{CallError, Pen};
use crate::records::{RecordService, Shape};

/// The service, as its outputs call it.
pub(super) enum Firehose {}

impl RecordService for Firehose {
    const SHAPE: &'static Shape =
        &Shape { name: "Firehose", max_bytes: 4 * 1024 * 1024, max_record: 1_024_000, has_keys: false };
    const MEMBER: &'static str = "DeliveryStreamName";
    const KIND: &'static str = "delivery stream";
    const ACTION: &'static str = "firehose:PutRecordBatch";
    const NONE_FAILED: &'static [u8] = br#""FailedPutCount":0"#;

    async fn draft(config: &SdkConfig, endpoint: Option<&str>, pen: Pen) -> Result<(), CallError> {
        let mut config = config::Builder::from(config).http_client(pen);
        if let Some(url) = endpoint {
            config.set_endpoint_url(Some(url.to_owned()));
        }
        // The SDK insists on its own members.
        let stand_in = Record::builder().data(Blob::new([])).build();
        let stand_in = stand_in.map_err(SdkError::construction_failure)?;
        let call =
            Client::from_conf(config.build()).put_record_batch().delivery_stream_name("-").records(stand_in);
        call.send().await.map(drop).map_err(|error| error.map_service_error(|error| error.meta().clone()))
    }
}
