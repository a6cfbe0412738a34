//! Calls of PutRecords.

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use aws_sdk_kinesis::{Client, config};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_types::SdkConfig;

use crate::client::{CallError, Pen};
use crate::records::{RecordService, Shape};

/// The service, as its outputs call it.
pub(super) enum Kinesis {}

impl RecordService for Kinesis {
    const SHAPE: &'static Shape =
        &Shape { name: "Kinesis", max_bytes: 10 * 1024 * 1024, max_record: 1024 * 1024, has_keys: true };
    const MEMBER: &'static str = "StreamName";
    const KIND: &'static str = "data stream";
    const ACTION: &'static str = "kinesis:PutRecords";
    const NONE_FAILED: &'static [u8] = br#""FailedRecordCount":0"#;

    async fn draft(config: &SdkConfig, endpoint: Option<&str>, pen: Pen) -> Result<(), CallError> {
        let mut config = config::Builder::from(config).http_client(pen);
        if let Some(url) = endpoint {
            config.set_endpoint_url(Some(url.to_owned()));
        }
        // The SDK insists on its own members.
        let stand_in = PutRecordsRequestEntry::builder().data(Blob::new([])).partition_key("-").build();
        let stand_in = stand_in.map_err(SdkError::construction_failure)?;
        let call = Client::from_conf(config.build()).put_records().stream_name("-").records(stand_in);
        call.send().await.map(drop).map_err(|error| error.map_service_error(|error| error.meta().clone()))
    }
}
