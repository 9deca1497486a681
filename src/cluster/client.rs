//! The HTTP client of a connection. `kube::Client::try_from` would build the same, and bring along what [`super::connection`] has settled
//! before: exec plugins, auth providers and token files, with YAML, JSONPath and regex engines of their own, an eighth of the binary.

use std::error::Error as StdError;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderValue};
use http::{HeaderName, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ConfigExt};
use kube::config::AuthInfo;
use percent_encoding::percent_decode_str;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_platform_verifier::BuilderVerifierExt;
use secrecy::ExposeSecret;
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_http::decompression::DecompressionLayer;

type BoxError = Box<dyn StdError + Send + Sync>;

/// Must be called within a runtime. Sends nothing yet.
///
/// # Errors
/// A certificate, key, server name or proxy that cannot be used.
pub(super) fn client(config: &kube::Config) -> Result<kube::Client, BoxError> {
    let tls = tls(config)?;
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    let wire = match &config.proxy_url {
        None => boxed(tcp),
        Some(proxy) => match proxy.scheme_str() {
            Some("socks5") => boxed(SocksV5::new(proxy.clone(), tcp)),
            Some("http") => boxed(with_credentials(proxy, Tunnel::new(proxy.clone(), tcp))),
            Some("https") => {
                let to_proxy = https(config, tls.clone(), tcp)?;
                boxed(with_credentials(proxy, Tunnel::new(proxy.clone(), to_proxy)))
            }
            _ => return Err("the proxy is none of http, https and socks5".into()),
        },
    };
    let mut connector = TimeoutConnector::new(https(config, tls, wire)?);
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(config.read_timeout);
    connector.set_write_timeout(config.write_timeout);
    let http: legacy::Client<_, Body> = legacy::Builder::new(TokioExecutor::new()).build(connector);

    let mut with_headers = config.clone();
    with_headers.headers.extend(authorization(&config.auth_info)?);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .layer(DecompressionLayer::new().gzip(!config.disable_compression))
        .layer(with_headers.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(http);
    Ok(kube::Client::new(service, config.default_namespace.clone()))
}

/// What connects, whatever it is: HTTP and TLS are compiled once.
fn boxed<C>(connector: C) -> BoxCloneSyncService<Uri, Wire, BoxError>
where
    C: Service<Uri> + Clone + Send + Sync + 'static,
    C::Response: Connection + Read + Write + Send + Unpin + 'static,
    C::Future: Send + 'static,
    C::Error: Into<BoxError>,
{
    let wired = connector.map_response(|io| Wire(Box::new(io))).map_err(Into::into);
    BoxCloneSyncService::new(wired)
}

/// A connection to the server, or through a proxy to it.
struct Wire(Box<dyn Io>);

trait Io: Connection + Read + Write + Send + Unpin {}

impl<T: Connection + Read + Write + Send + Unpin> Io for T {}

impl Connection for Wire {
    fn connected(&self) -> Connected {
        self.0.connected()
    }
}

impl Read for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl Write for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, pieces)
    }
}

fn https<C>(config: &kube::Config, tls: ClientConfig, connector: C) -> Result<HttpsConnector<C>, BoxError> {
    let mut builder = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    if let Some(name) = &config.tls_server_name {
        builder = builder.with_server_name_resolver(FixedServerNameResolver::new(name.clone().try_into()?));
    }
    Ok(builder.enable_http1().wrap_connector(connector))
}

/// `user:password@` of the proxy's URL, which may be percent-encoded.
fn with_credentials<C>(proxy: &Uri, tunnel: Tunnel<C>) -> Tunnel<C> {
    let userinfo = proxy.authority().and_then(|authority| authority.as_str().rsplit_once('@')).map(|(user, _)| user);
    let value = userinfo.map(|user| basic(&percent_decode_str(user).collect::<Vec<u8>>()));
    match value.and_then(|value| HeaderValue::try_from(value).ok()) {
        Some(value) => tunnel.with_auth(value),
        None => tunnel,
    }
}

fn basic(credentials: &[u8]) -> String {
    format!("Basic {}", STANDARD.encode(credentials))
}

/// What [`super::connection`] found to say who one is, apart from a client certificate.
fn authorization(auth: &AuthInfo) -> Result<Option<(HeaderName, HeaderValue)>, BoxError> {
    let value = match (&auth.token, &auth.username) {
        (Some(token), _) => format!("Bearer {}", token.expose_secret()),
        (None, Some(user)) => {
            let password = auth.password.as_ref().map_or("", |password| password.expose_secret());
            basic(format!("{user}:{password}").as_bytes())
        }
        (None, None) => return Ok(None),
    };
    let mut value = HeaderValue::try_from(value)?;
    value.set_sensitive(true);
    Ok(Some((AUTHORIZATION, value)))
}

fn tls(config: &kube::Config) -> Result<ClientConfig, BoxError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let builder = match &config.root_cert {
        Some(certificates) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates {
                roots.add(CertificateDer::from(certificate.as_slice()))?;
            }
            builder.with_root_certificates(roots)
        }
        None => builder.with_platform_verifier()?,
    };
    let auth = &config.auth_info;
    let mut tls = match (&auth.client_certificate_data, &auth.client_key_data) {
        (Some(certificate), Some(key)) => {
            let chain =
                CertificateDer::pem_slice_iter(&STANDARD.decode(certificate)?).collect::<Result<Vec<_>, _>>()?;
            let key = PrivateKeyDer::from_pem_slice(&STANDARD.decode(key.expose_secret())?)?;
            builder.with_client_auth_cert(chain, key)?
        }
        _ => builder.with_no_client_auth(),
    };
    if config.accept_invalid_certs {
        tls.dangerous().set_certificate_verifier(Arc::new(AnyCertificate(provider)));
    }
    Ok(tls)
}

/// For `--insecure-skip-tls-verify`: whoever answers is taken for the server.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
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
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
