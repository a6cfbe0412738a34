//! Who is trusted, and who we are, on a TLS connection.
//!
//! One `rustls` with `aws-lc-rs` for everything. What the options say is checked when the configuration is read
//! ([`TlsSettings::check`]); the `ClientConfig` is made once per distinct setting, at the first connection.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ikada_options::{TlsOptions, TlsVersion};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    SupportedProtocolVersion,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file of certificates or keys is of no use.
    #[error("`{}` holds no usable {what}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// `certificates` or `private key`.
        what: &'static str,
        /// Why.
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    /// A directory cannot be listed.
    #[error("`{}` cannot be listed", path.display())]
    List {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Neither the system nor the options name an authority to trust.
    #[error("no certificate authority is trusted: the system has none")]
    NoRoots,
    /// One of certificate and key is missing.
    #[error("`tls.crt_file` and `tls.key_file` belong together")]
    HalfIdentity,
    /// The name to expect is no host name.
    #[error("`{0}` is no host name")]
    Name(String),
    /// The versions exclude each other.
    #[error("no TLS version is left between `tls.min_version` and `tls.max_version`")]
    NoVersion,
    /// The pieces do not fit together.
    #[error("the TLS settings do not fit together")]
    Build(#[from] rustls::Error),
}

/// What sets one TLS client apart from another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct TlsSettings {
    /// Takes any certificate: `tls.verify off`.
    trust_all: bool,
    /// Takes a certificate for any host: `tls.verify_hostname off`.
    any_host: bool,
    ca_file: Option<PathBuf>,
    ca_path: Option<PathBuf>,
    crt_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    vhost: Option<String>,
    min_version: Option<TlsVersion>,
    max_version: Option<TlsVersion>,
}

impl TlsSettings {
    /// Takes what matters from the options.
    #[must_use]
    pub fn new(options: &TlsOptions) -> Self {
        Self {
            trust_all: !options.verify,
            any_host: options.verify_hostname == Some(false),
            ca_file: options.ca_file.clone(),
            ca_path: options.ca_path.clone(),
            crt_file: options.crt_file.clone(),
            key_file: options.key_file.clone(),
            vhost: options.vhost.clone(),
            min_version: options.min_version,
            max_version: options.max_version,
        }
    }

    /// Says early whether the files named can be used. The system's authorities are not looked at.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn check(&self) -> Result<(), TlsError> {
        self.named_roots()?;
        self.identity()?;
        self.server_name()?;
        self.versions().map(drop)
    }

    /// The name expected of every server, where `tls.vhost` sets one.
    ///
    /// # Errors
    /// It is no host name.
    pub fn server_name(&self) -> Result<Option<ServerName<'static>>, TlsError> {
        let Some(name) = &self.vhost else { return Ok(None) };
        ServerName::try_from(name.clone()).map(Some).map_err(|_| TlsError::Name(name.clone()))
    }

    /// Makes the client's side of TLS.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn client_config(&self) -> Result<ClientConfig, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&self.versions()?)?;
        let builder = match (self.trust_all, self.any_host) {
            (true, _) => builder.dangerous().with_custom_certificate_verifier(Arc::new(TrustAll(provider))),
            (false, true) => {
                let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(self.roots()?), provider);
                let inner = inner.build().map_err(|_| TlsError::NoRoots)?;
                builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyHost(inner)))
            }
            (false, false) => builder.with_root_certificates(self.roots()?),
        };
        Ok(match self.identity()? {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
            None => builder.with_no_client_auth(),
        })
    }

    fn versions(&self) -> Result<Vec<&'static SupportedProtocolVersion>, TlsError> {
        let all = [(TlsVersion::V1_2, &rustls::version::TLS12), (TlsVersion::V1_3, &rustls::version::TLS13)];
        let min = self.min_version.unwrap_or(TlsVersion::V1_2);
        let max = self.max_version.unwrap_or(TlsVersion::V1_3);
        let left: Vec<_> = all.into_iter().filter(|(v, _)| (min..=max).contains(v)).map(|(_, v)| v).collect();
        if left.is_empty() { Err(TlsError::NoVersion) } else { Ok(left) }
    }

    /// The authorities the options name, or those of the system where they name none.
    fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut store = RootCertStore::empty();
        let named = self.named_roots()?;
        let certificates = match named.is_empty() {
            false => named,
            true => rustls_native_certs::load_native_certs().certs,
        };
        // A bundle may hold what `webpki` does not take; the rest of it still counts.
        store.add_parsable_certificates(certificates);
        if store.is_empty() { Err(TlsError::NoRoots) } else { Ok(store) }
    }

    fn named_roots(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let mut all = Vec::new();
        if let Some(path) = &self.ca_file {
            all.append(&mut certificates(path)?);
        }
        if let Some(directory) = &self.ca_path {
            let entries = std::fs::read_dir(directory)
                .map_err(|source| TlsError::List { path: directory.clone(), source })?;
            // Hashed directories hold links and lists beside certificates: what is none is passed over.
            all.extend(entries.flatten().filter_map(|entry| certificates(&entry.path()).ok()).flatten());
        }
        Ok(all)
    }

    #[allow(clippy::type_complexity)]
    fn identity(&self) -> Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>, TlsError> {
        let (chain, key) = match (&self.crt_file, &self.key_file) {
            (None, None) => return Ok(None),
            (Some(chain), Some(key)) => (chain, key),
            _ => return Err(TlsError::HalfIdentity),
        };
        let private = PrivateKeyDer::from_pem_file(key).map_err(|source| TlsError::Pem {
            path: key.clone(),
            what: "private key",
            source,
        })?;
        Ok(Some((certificates(chain)?, private)))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bad = |source| TlsError::Pem { path: path.to_owned(), what: "certificates", source };
    let list: Vec<_> =
        CertificateDer::pem_file_iter(path).map_err(bad)?.collect::<Result<_, _>>().map_err(bad)?;
    if list.is_empty() { Err(bad(rustls_pki_types::pem::Error::NoItemsFound)) } else { Ok(list) }
}

/// Takes any certificate, but still insists that the peer holds its key.
#[derive(Debug)]
struct TrustAll(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustAll {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Takes a certificate of a trusted authority whatever host it is for.
#[derive(Debug)]
struct AnyHost(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyHost {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The name is looked at last: all else is in order.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            result => result,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_missing_is_found_out_at_the_check() {
        let settings = TlsSettings { ca_file: Some("/nowhere/ca.pem".into()), ..TlsSettings::default() };
        assert_eq!(
            settings.check().unwrap_err().to_string(),
            "`/nowhere/ca.pem` holds no usable certificates"
        );
    }

    #[test]
    fn a_certificate_without_its_key_is_refused() {
        let settings = TlsSettings { crt_file: Some("/x".into()), ..TlsSettings::default() };
        assert!(matches!(settings.check(), Err(TlsError::HalfIdentity)));
    }

    #[test]
    fn versions_lie_between_the_two_bounds() {
        let versions = |min, max| {
            let settings = TlsSettings { min_version: min, max_version: max, ..TlsSettings::default() };
            settings.versions().map(|list| list.len()).ok()
        };
        assert_eq!(versions(None, None), Some(2));
        assert_eq!(versions(Some(TlsVersion::V1_3), None), Some(1));
        assert_eq!(versions(Some(TlsVersion::V1_3), Some(TlsVersion::V1_2)), None);
    }

    #[test]
    fn without_verification_no_authority_is_needed() {
        let settings = TlsSettings { trust_all: true, ..TlsSettings::default() };
        assert!(settings.client_config().is_ok());
    }
}
