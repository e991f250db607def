//! Certificate signing requests: only the public key is taken from one, after proof that the sender has the
//! private key and that the name is the expected one.

use rcgen::{
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, PublicKeyData,
    SubjectPublicKeyInfo,
};
use rustls_pki_types::pem::{self, SectionKind};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;

use crate::certificate::clean;
use crate::common_name;
use crate::tls;

/// Why a certificate signing request is refused. All of it is its sender's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestFault {
    /// It is not a PEM request.
    #[error("it is not a PEM certificate signing request")]
    NotPem,
    /// Its DER cannot be read.
    #[error("it is malformed")]
    Malformed,
    /// It is too large.
    #[error("it is larger than {REQUEST_BYTES_MAX} bytes")]
    TooLarge,
    /// Its subject has no usable common name, or several.
    #[error("{0}")]
    CommonName(String),
    /// Its common name is not the user's.
    #[error("its common name is `{found}`, but the user is `{expected}`")]
    OtherName {
        /// What it says.
        found: String,
        /// What it should say.
        expected: String,
    },
    /// Its key is of a kind or length that is not accepted.
    #[error("its key is {0}; accepted are RSA of 2048 to 8192 bits, P-256, P-384 and Ed25519")]
    Key(String),
    /// It is not signed by its own key.
    #[error("its signature does not fit its key, or uses an algorithm that is not accepted")]
    Signature,
}

/// The public key of a good request of this user.
pub(crate) fn public_key(text: &str, user: &str) -> Result<SubjectPublicKeyInfo, RequestFault> {
    if text.len() > REQUEST_BYTES_MAX {
        return Err(RequestFault::TooLarge);
    }
    let der = der(text)?;
    let (rest, request) =
        X509CertificationRequest::from_der(&der).map_err(|_| RequestFault::Malformed)?;
    if !rest.is_empty() {
        return Err(RequestFault::Malformed);
    }
    let info = &request.certification_request_info;
    let found = common_name::common_name(&info.subject)
        .map_err(|fault| RequestFault::CommonName(fault.to_string()))?;
    if found != user {
        let found = clean(&found);
        return Err(RequestFault::OtherName { found, expected: user.to_owned() });
    }
    let key = SubjectPublicKeyInfo::from_der(info.subject_pki.raw)
        .map_err(|_| RequestFault::Key("of an unknown kind".to_owned()))?;
    check_key(&key, info.subject_pki.parsed().ok())?;
    let signature = &request.signature_value.data;
    if !tls::is_signed_by(key.der_bytes(), info.raw, signature) {
        return Err(RequestFault::Signature);
    }
    Ok(key)
}

fn der(text: &str) -> Result<Vec<u8>, RequestFault> {
    // Old tools write a label of their own for the same thing.
    let text = text.replace("NEW CERTIFICATE REQUEST", "CERTIFICATE REQUEST");
    match pem::from_buf(&mut text.as_bytes()) {
        Ok(Some((SectionKind::Csr, der))) => Ok(der),
        Ok(_) | Err(_) => Err(RequestFault::NotPem),
    }
}

fn check_key(
    key: &SubjectPublicKeyInfo,
    parsed: Option<PublicKey<'_>>,
) -> Result<(), RequestFault> {
    let algorithm = key.algorithm();
    if [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519].contains(&algorithm) {
        return Ok(());
    }
    if *algorithm != PKCS_RSA_SHA256 {
        return Err(RequestFault::Key("of a kind that is not accepted".to_owned()));
    }
    let bits = match parsed {
        Some(PublicKey::RSA(rsa)) => bits(rsa.modulus),
        _ => 0,
    };
    if (RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) {
        Ok(())
    } else {
        Err(RequestFault::Key(format!("RSA of {bits} bits")))
    }
}

fn bits(modulus: &[u8]) -> usize {
    let mut significant = modulus.iter().skip_while(|byte| **byte == 0);
    let Some(first) = significant.next() else { return 0 };
    let leading_zeros = usize::try_from(first.leading_zeros()).unwrap_or(0);
    (significant.count() + 1) * 8 - leading_zeros
}

/// The largest honest request (RSA 8192) has some 3,000 bytes.
const REQUEST_BYTES_MAX: usize = 32_768;
const RSA_BITS_MIN: usize = 2_048;
const RSA_BITS_MAX: usize = 8_192;
