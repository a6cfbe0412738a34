//! From the `tls*` options to what rustls needs: who is trusted, and who we are.
//!
//! Stands on floor 2. Outputs that connect ask for a [`client_config`], inputs that listen for a [`server_config`]. TLS 1.2 and 1.3 are spoken,
//! by aws-lc-rs.
//!
//! **What it does not know:** sockets, connections, protocols. It reads the files that the options name, and nothing else.
//!
//! In reading order: [`TlsSettings`]; [`check`], [`client_config`], [`server_name`] and [`server_config`] for options as they are; [`TlsError`].
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
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme,
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
    /// Certificates of the other side cannot be checked.
    #[error("certificates cannot be checked")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// Certificate and key are no pair.
    #[error("certificate and key do not fit together")]
    Build(#[from] rustls::Error),
}

/// What sets one side of TLS apart from another: equal settings can share connections.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TlsSettings {
    /// Whether a certificate is looked at: `tls.verify`.
    verifies: bool,
    /// Whether it has to be for the host: `tls.verify_hostname`.
    verifies_host: bool,
    ca_file: Option<PathBuf>,
    ca_path: Option<PathBuf>,
    crt_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    key_has_password: bool,
    vhost: Option<String>,
    min_version: Option<TlsVersion>,
    max_version: Option<TlsVersion>,
}

/// A chain of certificates, and the key of the first of them.
type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Default for TlsSettings {
    /// The system's authorities are trusted, for the host that is asked for.
    fn default() -> Self {
        Self {
            verifies: true,
            verifies_host: true,
            ca_file: None,
            ca_path: None,
            crt_file: None,
            key_file: None,
            key_has_password: false,
            vhost: None,
            min_version: None,
            max_version: None,
        }
    }
}

impl TlsSettings {
    /// Takes what matters from the options.
    #[must_use]
    pub fn new(options: &TlsOptions) -> Self {
        Self {
            verifies: options.verify,
            verifies_host: options.verify_hostname,
            ca_file: options.ca_file.clone(),
            ca_path: options.ca_path.clone(),
            crt_file: options.crt_file.clone(),
            key_file: options.key_file.clone(),
            key_has_password: options.key_passwd.is_some(),
            vhost: options.vhost.clone(),
            min_version: options.min_version,
            max_version: options.max_version,
        }
    }

    /// Says whether the settings can be followed. The authorities of the system are not looked at: it may not be the system that
    /// the router will run on.
    ///
    /// # Errors
    /// A file is not what it should be, or the settings contradict each other.
    pub fn check(&self) -> Result<(), TlsError> {
        let names_roots = self.ca_file.is_some() || self.ca_path.is_some();
        Self { verifies: self.verifies && names_roots, ..self.clone() }.client_config()?;
        self.server_name().map(drop)
    }

    /// The client's side of TLS.
    ///
    /// # Errors
    /// A file is not what it should be, or the settings contradict each other.
    pub fn client_config(&self) -> Result<ClientConfig, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&self.versions()?)?;
        let names_roots = self.ca_file.is_some() || self.ca_path.is_some();
        let builder = match self.verifies {
            true if self.verifies_host && !names_roots => builder.with_root_certificates(self.roots()?),
            true => {
                let named = if names_roots { self.named_roots()? } else { Vec::new() };
                let roots = Arc::new(self.roots()?);
                let inner = WebPkiServerVerifier::builder_with_provider(roots, provider).build()?;
                let verifier = Trust { inner, named, verifies_host: self.verifies_host };
                builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
            }
            false => builder.dangerous().with_custom_certificate_verifier(Arc::new(TrustAll(provider))),
        };
        Ok(match self.identity()? {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
            None => builder.with_no_client_auth(),
        })
    }

    /// The server's side of TLS; with `asks_clients` a client needs a certificate of an authority that the settings name.
    ///
    /// # Errors
    /// There is no certificate, a file is not what it should be, or the settings contradict each other.
    pub fn server_config(&self, asks_clients: bool) -> Result<ServerConfig, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&self.versions()?)?;
        let builder = match asks_clients {
            false => builder.with_no_client_auth(),
            true => {
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()?), provider);
                builder.with_client_cert_verifier(verifier.build()?)
            }
        };
        let (chain, key) = self.identity()?.ok_or(TlsError::NoIdentity)?;
        Ok(builder.with_single_cert(chain, key)?)
    }

    /// The name that the server has to prove, where it is not the host's.
    ///
    /// # Errors
    /// `tls.vhost` is no name.
    pub fn server_name(&self) -> Result<Option<ServerName<'static>>, TlsError> {
        let Some(name) = &self.vhost else { return Ok(None) };
        ServerName::try_from(name.clone()).map(Some).map_err(|_| TlsError::Name(name.clone()))
    }

    fn versions(&self) -> Result<Vec<&'static SupportedProtocolVersion>, TlsError> {
        let range =
            self.min_version.unwrap_or(TlsVersion::V1_2)..=self.max_version.unwrap_or(TlsVersion::V1_3);
        let known =
            [(TlsVersion::V1_2, &rustls::version::TLS12), (TlsVersion::V1_3, &rustls::version::TLS13)];
        let left: Vec<_> = known.into_iter().filter(|(version, _)| range.contains(version)).collect();
        if left.is_empty() {
            return Err(TlsError::NoVersion);
        }
        Ok(left.into_iter().map(|(_, version)| version).collect())
    }

    /// The authorities that the settings name.
    fn named_roots(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let mut named = Vec::new();
        if let Some(path) = &self.ca_file {
            named = certificates(path)?;
        }
        if let Some(path) = &self.ca_path {
            let files =
                std::fs::read_dir(path).map_err(|source| TlsError::List { path: path.clone(), source })?;
            // Such directories hold other things, too: what is no certificate is passed over.
            named.extend(files.flatten().filter_map(|file| certificates(&file.path()).ok()).flatten());
        }
        Ok(named)
    }

    /// The authorities that the settings name, or those of the system where they name none.
    fn roots(&self) -> Result<RootCertStore, TlsError> {
        let named = match (&self.ca_file, &self.ca_path) {
            (None, None) => rustls_native_certs::load_native_certs().certs,
            _ => self.named_roots()?,
        };
        let mut store = RootCertStore::empty();
        // One certificate of a bundle that is too odd for us does not spoil the others.
        store.add_parsable_certificates(named);
        if store.is_empty() { Err(TlsError::NoRoots) } else { Ok(store) }
    }

    /// Who we are, where the settings say so.
    fn identity(&self) -> Result<Option<Identity>, TlsError> {
        match (&self.crt_file, &self.key_file) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) if self.key_has_password => Err(TlsError::Password),
            (Some(chain), Some(key)) => Ok(Some((certificates(chain)?, private_key(key)?))),
            _ => Err(TlsError::HalfIdentity),
        }
    }
}

/// [`TlsSettings::check`] of the options.
///
/// # Errors
/// A file is not what it should be, or the options contradict each other.
pub fn check(options: &TlsOptions) -> Result<(), TlsError> {
    TlsSettings::new(options).check()
}

/// [`TlsSettings::client_config`] of the options.
///
/// # Errors
/// A file is not what it should be, or the options contradict each other.
pub fn client_config(options: &TlsOptions) -> Result<ClientConfig, TlsError> {
    TlsSettings::new(options).client_config()
}

/// [`TlsSettings::server_config`] of the options.
///
/// # Errors
/// There is no certificate, a file is not what it should be, or the options contradict each other.
pub fn server_config(options: &TlsOptions, asks_clients: bool) -> Result<ServerConfig, TlsError> {
    TlsSettings::new(options).server_config(asks_clients)
}

/// [`TlsSettings::server_name`] of the options.
///
/// # Errors
/// `tls.vhost` is no name.
pub fn server_name(options: &TlsOptions) -> Result<Option<ServerName<'static>>, TlsError> {
    TlsSettings::new(options).server_name()
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let list = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let list = list.and_then(|list| if list.is_empty() { Err(PemError::NoItemsFound) } else { Ok(list) });
    list.map_err(|source| TlsError::Pem { path: path.to_owned(), what: "certificate", source })
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
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

/// Takes what OpenSSL takes beyond the rules of the web: a certificate that the settings name themselves, although it is an authority's; and
/// where `tls.verify_hostname` is off, one for any host.
#[derive(Debug)]
struct Trust {
    inner: Arc<WebPkiServerVerifier>,
    named: Vec<CertificateDer<'static>>,
    verifies_host: bool,
}

impl Trust {
    /// Whether a certificate is one that the settings name, refused only because it is an authority's: its time was looked at before that.
    fn is_named(&self, certificate: &CertificateDer<'_>, error: &CertificateError) -> bool {
        let CertificateError::Other(other) = error else { return false };
        matches!(other.0.downcast_ref::<webpki::Error>(), Some(webpki::Error::CaUsedAsEndEntity))
            && self.named.iter().any(|named| named == certificate)
    }
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.inner.verify_server_cert(certificate, chain, name, ocsp, now) {
            Err(rustls::Error::InvalidCertificate(error)) if self.is_named(certificate, &error) => {
                if self.verifies_host {
                    verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                }
                Ok(ServerCertVerified::assertion())
            }
            // The name is looked at last: all else is in order.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.verifies_host => Ok(ServerCertVerified::assertion()),
            result => result,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
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

    #[test]
    fn versions_lie_between_the_two_bounds() {
        let versions = |min_version, max_version| {
            let settings = TlsSettings { min_version, max_version, ..TlsSettings::default() };
            settings.versions().map(|list| list.len()).ok()
        };
        assert_eq!(versions(None, None), Some(2));
        assert_eq!(versions(Some(TlsVersion::V1_3), None), Some(1));
        assert_eq!(versions(Some(TlsVersion::V1_3), Some(TlsVersion::V1_2)), None);
    }

    /// Whether a client of these options takes the certificate of `logs.example` for that of `host`.
    fn is_taken(options: &TlsOptions, host: &str) -> bool {
        takes(options, host, rcgen::CertificateParams::new(["logs.example".to_owned()]).unwrap())
    }

    /// Whether a client of these options, with a certificate for an authority, takes the same from a server.
    fn takes(options: &TlsOptions, host: &str, params: rcgen::CertificateParams) -> bool {
        let key = rcgen::KeyPair::generate().unwrap();
        let cert = params.self_signed(&key).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let ca = dir.path().join("ca.pem");
        std::fs::write(&ca, cert.pem()).unwrap();
        let settings = TlsSettings { ca_file: Some(ca), ..TlsSettings::new(options) };
        let server = rustls::ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![cert.der().clone()],
                PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap(),
            )
            .unwrap();
        let mut server = rustls::ServerConnection::new(Arc::new(server)).unwrap();
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let config = Arc::new(settings.client_config().unwrap());
        let mut client = rustls::ClientConnection::new(config, name).unwrap();
        while client.is_handshaking() {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut wire.as_slice()).unwrap();
            server.process_new_packets().unwrap();
            let mut wire = Vec::new();
            server.write_tls(&mut wire).unwrap();
            client.read_tls(&mut wire.as_slice()).unwrap();
            if client.process_new_packets().is_err() {
                return false;
            }
        }
        true
    }

    /// As `openssl req -x509` makes them.
    #[test]
    fn a_server_may_show_the_very_certificate_that_is_trusted() {
        let own = |until: i32| {
            let mut params = rcgen::CertificateParams::new(["logs.example".to_owned()]).unwrap();
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            params.not_before = rcgen::date_time_ymd(2000, 1, 1);
            params.not_after = rcgen::date_time_ymd(until, 1, 1);
            params
        };
        let lax = TlsOptions { verify_hostname: false, ..options() };
        assert!(takes(&options(), "logs.example", own(2100)));
        assert!(!takes(&options(), "other.example", own(2100)));
        assert!(takes(&lax, "other.example", own(2100)));
        assert!(!takes(&options(), "logs.example", own(2001)), "its time is over");
    }

    #[test]
    fn a_certificate_of_another_host_is_taken_only_where_the_options_say_so() {
        let strict = options();
        let lax = TlsOptions { verify_hostname: false, ..options() };
        assert!(is_taken(&strict, "logs.example") && !is_taken(&strict, "other.example"));
        assert!(is_taken(&lax, "other.example"));
    }
}
