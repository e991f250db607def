//! The judge of client certificates during a handshake: one for each handshake, so that a refusal can be
//! told with the client's address and not only as an alert.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::fingerprint::Fingerprint;
use crate::refusal::Refusal;
use crate::tls;
use crate::trust::Trust;

/// Where a refusal waits for the one who writes the log.
pub(crate) type RefusalSlot = Arc<Mutex<Option<Refusal>>>;

/// What a certificate is judged by.
pub(crate) struct Judges {
    pub(crate) trust: Arc<Trust>,
    /// Certificates that are revoked and may shake hands all the same, to be told that their users were removed.
    pub(crate) departed: Arc<HashSet<Fingerprint>>,
}

/// Verifies against the trust of the moment at which the handshake began.
pub(crate) struct ClientVerifier {
    judges: Judges,
    is_mandatory: bool,
    refusal: RefusalSlot,
}

impl ClientVerifier {
    /// A certificate is asked for.
    pub(crate) fn optional(judges: Judges, refusal: RefusalSlot) -> Self {
        Self { judges, is_mandatory: false, refusal }
    }

    /// A certificate is demanded.
    pub(crate) fn mandatory(judges: Judges, refusal: RefusalSlot) -> Self {
        Self { judges, is_mandatory: true, refusal }
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        self.is_mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // A long list would not fit the message; without hints a client chooses by itself.
        if self.judges.trust.hints().len() > HINTS_MAX { &[] } else { self.judges.trust.hints() }
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let mut chain = Vec::with_capacity(intermediates.len() + 1);
        chain.push(end_entity.clone());
        chain.extend_from_slice(intermediates);
        match self.judges.trust.verify(&chain, now, &self.judges.departed) {
            Ok(()) => Ok(ClientCertVerified::assertion()),
            Err(refusal) => {
                let error = refusal.to_tls();
                *self.refusal.lock() = Some(refusal);
                Err(error)
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &tls::algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &tls::algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        tls::algorithms().supported_schemes()
    }
}

impl std::fmt::Debug for ClientVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientVerifier")
            .field("is_mandatory", &self.is_mandatory)
            .finish_non_exhaustive()
    }
}

/// 64 names of at most some hundred bytes keep the request well below one TLS record.
const HINTS_MAX: usize = 64;
