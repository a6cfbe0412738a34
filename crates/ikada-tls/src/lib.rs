//! From the `tls*` options to what rustls needs: who is trusted, and who we are.
//!
//! Stands on floor 2. Outputs that connect ask for a [`client_config`], inputs that listen for a [`server_config`]. TLS 1.2 and 1.3 are spoken,
//! by aws-lc-rs.
//!
//! **What it does not know:** sockets, connections, protocols. It reads the files that the options name, and nothing else.
//!
//! In reading order: [`check`], [`client_config`] and [`server_name`], [`server_config`], [`TlsError`].
//!
//! ```
//! use ikada_options::{Diagnostics, Options, PropertyBag, Sources, TlsOptions};
//!
//! let mut sources = Sources::default();
//! let file = sources.add("a.conf", "");
//! let mut bag = PropertyBag::new("output http", file.span(0, 0), Vec::new());
//! let mut options = TlsOptions::parse(&mut bag, &mut Diagnostics::new()).unwrap();
//! options.verify = false;
//! assert!(ikada_tls::client_config(&options).is_ok());
//! assert!(ikada_tls::server_config(&options, false).is_err(), "a server needs a certificate");
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ikada_options::{TlsOptions, TlsVersion};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme,
    SupportedProtocolVersion,
};
use rustls_pki_types::pem::{Error as PemError, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

/// Why connections cannot be encrypted as the options say.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read, or is not what it should be.
    #[error("`{}` holds no {what}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What is wrong with it.
        source: PemError,
    },
    /// A directory of certificates cannot be read.
    #[error("`{}` cannot be listed", path.display())]
    List {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// No certificate to trust.
    #[error("nobody is trusted: the system names no certificate authority, and neither does `tls.ca_file`")]
    NoRoots,
    /// A certificate without its key, or a key without its certificate.
    #[error("`tls.crt_file` and `tls.key_file` belong together")]
    HalfIdentity,
    /// The key has a password.
    #[error("a key with a password cannot be read: leave `tls.key_passwd` out and name a key without one")]
    Password,
    /// Nothing to ask for in a handshake.
    #[error("`{0}` is no host name")]
    Name(String),
    /// Nothing between the lowest and the highest version.
    #[error("no version is left between `tls.min_version` and `tls.max_version`")]
    NoVersion,
    /// A server without a certificate.
    #[error("a server needs `tls.crt_file` and `tls.key_file`")]
    NoIdentity,
    /// Client certificates cannot be checked.
    #[error("certificates of clients cannot be checked")]
    Clients(#[from] rustls::server::VerifierBuilderError),
    /// Certificate and key are no pair.
    #[error("certificate and key do not fit together")]
    Build(#[from] rustls::Error),
}

/// Says whether the options can be followed. The authorities of the system are not looked at: it may not be the system that
/// the router will run on.
///
/// # Errors
/// A file is not what it should be, or the options contradict each other.
pub fn check(options: &TlsOptions) -> Result<(), TlsError> {
    let names_roots = options.ca_file.is_some() || options.ca_path.is_some();
    let unchecked = TlsOptions { verify: options.verify && names_roots, ..options.clone() };
    client_config(&unchecked)?;
    server_name(options).map(drop)
}

/// The client's side of TLS.
///
/// # Errors
/// A file is not what it should be, or the options contradict each other.
pub fn client_config(options: &TlsOptions) -> Result<ClientConfig, TlsError> {
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

/// The server's side of TLS; with `asks_clients` a client needs a certificate of an authority that the options name.
///
/// # Errors
/// There is no certificate, a file is not what it should be, or the options contradict each other.
pub fn server_config(options: &TlsOptions, asks_clients: bool) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(&versions(options)?)?;
    let builder = match asks_clients {
        false => builder.with_no_client_auth(),
        true => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(options)?), provider);
            builder.with_client_cert_verifier(verifier.build()?)
        }
    };
    let (chain, key) = match (&options.crt_file, &options.key_file) {
        (Some(chain), Some(key)) => (certificates(chain)?, private_key(key, options)?),
        (None, None) => return Err(TlsError::NoIdentity),
        _ => return Err(TlsError::HalfIdentity),
    };
    Ok(builder.with_single_cert(chain, key)?)
}

/// The name that the server has to prove, where it is not the host's.
///
/// # Errors
/// `tls.vhost` is no name.
pub fn server_name(options: &TlsOptions) -> Result<Option<ServerName<'static>>, TlsError> {
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

#[cfg(test)]
mod tests {
    use ikada_options::{Diagnostics, Options, PropertyBag, Sources};

    use super::*;

    fn options() -> TlsOptions {
        let mut sources = Sources::default();
        let file = sources.add("a.conf", "");
        let mut bag = PropertyBag::new("output x", file.span(0, 0), Vec::new());
        TlsOptions::parse(&mut bag, &mut Diagnostics::new()).unwrap()
    }

    #[test]
    fn a_server_shows_the_certificate_of_its_files() {
        let dir = tempfile::tempdir().unwrap();
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (chain, key) = (dir.path().join("crt.pem"), dir.path().join("key.pem"));
        std::fs::write(&chain, pair.cert.pem()).unwrap();
        std::fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
        let mut options = options();
        assert!(matches!(server_config(&options, false), Err(TlsError::NoIdentity)));
        options.crt_file = Some(chain.clone());
        assert!(matches!(server_config(&options, false), Err(TlsError::HalfIdentity)));
        options.key_file = Some(key);
        server_config(&options, false).unwrap();
        options.ca_file = Some(chain);
        server_config(&options, true).unwrap();
    }

    #[test]
    fn what_is_no_certificate_is_named() {
        let mut options = options();
        options.ca_file = Some("/no/such/file".into());
        let error = client_config(&options).unwrap_err();
        assert_eq!(error.to_string(), "`/no/such/file` holds no certificate");
    }
}
