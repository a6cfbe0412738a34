//! A certificate for loopback, made at start.

use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio_rustls::TlsAcceptor;

use crate::StartError;

/// A self-signed certificate and what serves it.
pub(crate) struct Tls {
    pub(crate) acceptor: TlsAcceptor,
    /// The certificate that clients must trust.
    pub(crate) ca_pem: String,
}

impl Tls {
    /// Makes a certificate for the loopback names, buckets under `s3.localhost`, and `more` names.
    pub(crate) fn make(more: &[String]) -> Result<Self, StartError> {
        let own = ["localhost", "s3.localhost", "*.s3.localhost", "127.0.0.1", "::1"];
        let names: Vec<String> =
            own.iter().map(|name| (*name).to_owned()).chain(more.iter().cloned()).collect();
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(names).map_err(StartError::Certificate)?;
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).map_err(|_| StartError::Key)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key))
            .map_err(StartError::Tls)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Tls { acceptor: TlsAcceptor::from(Arc::new(config)), ca_pem: cert.pem() })
    }
}
