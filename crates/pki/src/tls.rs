//! TLS configurations: one provider, TLS 1.2 and 1.3, authenticated encryption with forward secrecy only, the hybrid
//! post-quantum key exchange first.
//!
//! A resumed session skips the certificate check, so tickets are the weak spot. Each listener has its own ticket keys (a
//! ticket got where no certificate is demanded opens no door elsewhere), they are thrown away when
//! the bundle or a revocation list changes, nothing is kept on the server side, and the caller asks
//! [`Pki::identify`](crate::Pki::identify) after every handshake all the same.

use std::error::Error as StdError;
use std::sync::{Arc, LazyLock};

use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::server::{NoServerSessionStorage, ProducesTickets, ServerConfig};
use rustls::sign::SingleCertAndKey;
use rustls::time_provider::TimeProvider;

use crate::error::PkiError;
use crate::refusal::Refusal;
use crate::verifier::{ClientVerifier, Judges, RefusalSlot};

/// A listener that speaks TLS. Each has tickets of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Listener {
    /// MQTT over TLS (8883).
    Mqtts,
    /// HTTPS: UI, REST and MQTT WebSocket (8443).
    Https,
}

/// What a listener does about client certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientCertificate {
    /// Does not ask, so one that a client has changes nothing.
    NotAsked,
    /// Asks; none is fine, an invalid one fails the handshake.
    Optional,
    /// Demands a valid one.
    Mandatory,
}

/// What one handshake needs: get it when a connection arrives, drop it when the handshake is over.
pub struct Handshake {
    /// To be given to the TLS library.
    pub config: Arc<ServerConfig>,
    refusal: RefusalSlot,
}

/// The ticket keys of all listeners.
#[derive(Clone)]
pub(crate) struct Tickets {
    mqtts: Arc<dyn ProducesTickets>,
    https: Arc<dyn ProducesTickets>,
}

impl Handshake {
    /// Builds the configuration for one handshake.
    pub(crate) fn new(
        listener: Listener,
        client_certificate: ClientCertificate,
        judges: Judges,
        resolver: &Arc<SingleCertAndKey>,
        tickets: &Tickets,
        clock: &Arc<dyn TimeProvider>,
    ) -> Result<Self, PkiError> {
        let refusal = RefusalSlot::default();
        let builder = ServerConfig::builder_with_details(Arc::clone(&PROVIDER), Arc::clone(clock))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| PkiError::crypto("configure TLS", error))?;
        let builder = match client_certificate {
            ClientCertificate::NotAsked => builder.with_no_client_auth(),
            ClientCertificate::Optional => builder.with_client_cert_verifier(Arc::new(
                ClientVerifier::optional(judges, Arc::clone(&refusal)),
            )),
            ClientCertificate::Mandatory => builder.with_client_cert_verifier(Arc::new(
                ClientVerifier::mandatory(judges, Arc::clone(&refusal)),
            )),
        };
        let mut config = builder.with_cert_resolver(Arc::clone(resolver) as _);
        config.alpn_protocols = match listener {
            Listener::Mqtts => vec![b"mqtt".to_vec()],
            Listener::Https => vec![b"http/1.1".to_vec()],
        };
        config.ticketer = tickets.of(listener);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = TICKETS_SENT;
        // Early data could be replayed, and MQTT's CONNECT would be in it.
        config.max_early_data_size = 0;
        Ok(Self { config: Arc::new(config), refusal })
    }

    /// Why the handshake failed, from the error it failed with: exact where a certificate was refused.
    #[must_use]
    pub fn refusal(&self, error: &(dyn StdError + 'static)) -> Refusal {
        self.refusal.lock().take().unwrap_or_else(|| Refusal::of_handshake(error))
    }
}

impl Tickets {
    pub(crate) fn new() -> Result<Self, PkiError> {
        let ticketer = || {
            aws_lc_rs::Ticketer::new().map_err(|error| PkiError::crypto("make ticket keys", error))
        };
        Ok(Self { mqtts: ticketer()?, https: ticketer()? })
    }

    fn of(&self, listener: Listener) -> Arc<dyn ProducesTickets> {
        match listener {
            Listener::Mqtts => Arc::clone(&self.mqtts),
            Listener::Https => Arc::clone(&self.https),
        }
    }
}

/// The one provider of cryptography.
pub(crate) fn provider() -> &'static Arc<CryptoProvider> {
    &PROVIDER
}

/// The signature algorithms that count, for handshakes, chains, lists and requests alike.
pub(crate) fn algorithms() -> WebPkiSupportedAlgorithms {
    PROVIDER.signature_verification_algorithms
}

/// Whether this bare public key made the signature. Each algorithm takes keys of its own kind and length
/// only, so trying all of them accepts nothing that naming one would not.
pub(crate) fn is_signed_by(public_key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let mut algorithms = algorithms().all.iter();
    algorithms.any(|algorithm| algorithm.verify_signature(public_key, message, signature).is_ok())
}

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    // Named one by one, so that a new default of the library does not become ours unseen.
    Arc::new(CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![
            kx_group::X25519MLKEM768,
            kx_group::X25519,
            kx_group::SECP256R1,
            kx_group::SECP384R1,
        ],
        ..aws_lc_rs::default_provider()
    })
});

/// A device reconnects with one connection, and each ticket repeats its whole chain.
const TICKETS_SENT: usize = 1;
