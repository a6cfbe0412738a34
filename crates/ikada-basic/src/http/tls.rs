//! Who is trusted, and who we are, on an encrypted connection: rustls with aws-lc-rs, TLS 1.2 and 1.3.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ikada_options::{TlsOptions, TlsVersion};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedProtocolVersion};
use rustls_pki_types::pem::{Error as PemError, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

/// Why connections cannot be encrypted as the options say.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    #[error("`{}` holds no {what}", path.display())]
    Pem { path: PathBuf, what: &'static str, source: PemError },
    #[error("`{}` cannot be listed", path.display())]
    List { path: PathBuf, source: std::io::Error },
    #[error("nobody is trusted: the system names no certificate authority, and neither does `tls.ca_file`")]
    NoRoots,
    #[error("`tls.crt_file` and `tls.key_file` belong together")]
    HalfIdentity,
    #[error("a key with a password cannot be read: leave `tls.key_passwd` out and name a key without one")]
    Password,
    #[error("`{0}` is no host name")]
    Name(String),
    #[error("no version is left between `tls.min_version` and `tls.max_version`")]
    NoVersion,
    #[error("certificate and key do not fit together")]
    Build(#[from] rustls::Error),
}

/// Says whether the options can be followed. The authorities of the system are not looked at: it may not be the system that
/// the router will run on.
pub(super) fn check(options: &TlsOptions) -> Result<(), TlsError> {
    let names_roots = options.ca_file.is_some() || options.ca_path.is_some();
    let unchecked = TlsOptions { verify: options.verify && names_roots, ..options.clone() };
    client_config(&unchecked)?;
    server_name(options).map(drop)
}

/// The client's side of TLS.
pub(super) fn client_config(options: &TlsOptions) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(&versions(options)?)?;
    let builder = match options.verify {
        true => builder.with_root_certificates(roots(options)?),
        false => builder.dangerous().with_custom_certificate_verifier(Arc::new(TrustAll(provider))),
    };
    let (chain, key) = match (&options.crt_file, &options.key_file) {
        (None, None) => return Ok(builder.with_no_client_auth()),
        (Some(chain), Some(key)) => (certificates(chain)?, private_key(key, options)?),
        _ => return Err(TlsError::HalfIdentity),
    };
    Ok(builder.with_client_auth_cert(chain, key)?)
}

/// The name that the server has to prove, where it is not the host's.
pub(super) fn server_name(options: &TlsOptions) -> Result<Option<ServerName<'static>>, TlsError> {
    let Some(name) = &options.vhost else { return Ok(None) };
    ServerName::try_from(name.clone()).map(Some).map_err(|_| TlsError::Name(name.clone()))
}

fn versions(options: &TlsOptions) -> Result<Vec<&'static SupportedProtocolVersion>, TlsError> {
    let range =
        options.min_version.unwrap_or(TlsVersion::V1_2)..=options.max_version.unwrap_or(TlsVersion::V1_3);
    let known = [(TlsVersion::V1_2, &rustls::version::TLS12), (TlsVersion::V1_3, &rustls::version::TLS13)];
    let left: Vec<_> = known.into_iter().filter(|(version, _)| range.contains(version)).collect();
    if left.is_empty() {
        return Err(TlsError::NoVersion);
    }
    Ok(left.into_iter().map(|(_, version)| version).collect())
}

/// The authorities that the options name, or those of the system where they name none.
fn roots(options: &TlsOptions) -> Result<RootCertStore, TlsError> {
    let mut named = Vec::new();
    if let Some(path) = &options.ca_file {
        named = certificates(path)?;
    }
    if let Some(path) = &options.ca_path {
        let files =
            std::fs::read_dir(path).map_err(|source| TlsError::List { path: path.clone(), source })?;
        // Such directories hold other things, too: what is no certificate is passed over.
        named.extend(files.flatten().filter_map(|file| certificates(&file.path()).ok()).flatten());
    }
    if options.ca_file.is_none() && options.ca_path.is_none() {
        named = rustls_native_certs::load_native_certs().certs;
    }
    let mut store = RootCertStore::empty();
    // One certificate of a bundle that is too odd for us does not spoil the others.
    store.add_parsable_certificates(named);
    if store.is_empty() { Err(TlsError::NoRoots) } else { Ok(store) }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let list = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let list = list.and_then(|list| if list.is_empty() { Err(PemError::NoItemsFound) } else { Ok(list) });
    list.map_err(|source| TlsError::Pem { path: path.to_owned(), what: "certificate", source })
}

fn private_key(path: &Path, options: &TlsOptions) -> Result<PrivateKeyDer<'static>, TlsError> {
    if options.key_passwd.is_some() {
        return Err(TlsError::Password);
    }
    PrivateKeyDer::from_pem_file(path).map_err(|source| TlsError::Pem {
        path: path.to_owned(),
        what: "private key",
        source,
    })
}

/// Takes any certificate (`tls.verify off`); the peer still has to hold its key.
#[derive(Debug)]
struct TrustAll(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustAll {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
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
