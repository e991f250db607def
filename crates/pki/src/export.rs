//! PKCS#12: certificate, key and authority in one file under a password.

use p12_keystore::{
    Certificate, EncryptionAlgorithm, KeyStore, KeyStoreEntry, MacAlgorithm, PrivateKey,
    PrivateKeyChain,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem;
use zeroize::Zeroizing;

use crate::authority::Issued;
use crate::error::IssueError;

/// Least number of characters of a PKCS#12 file's password: the file may travel, and it holds a key.
pub const PKCS12_PASSWORD_LENGTH_MIN: usize = 8;

/// AES-256 and HMAC-SHA-256, which OpenSSL 1.1 and 3 read without their legacy providers.
pub(crate) fn pkcs12(
    issued: &Issued,
    user: &str,
    authority: &CertificateDer<'_>,
    password: &str,
) -> Result<Zeroizing<Vec<u8>>, IssueError> {
    if password.chars().count() < PKCS12_PASSWORD_LENGTH_MIN {
        return Err(IssueError::Password { minimum: PKCS12_PASSWORD_LENGTH_MIN });
    }
    let key = key_der(issued)?;
    let failed = |error: p12_keystore::error::Error| IssueError::crypto("write PKCS#12", error);
    let chain = PrivateKeyChain::new(
        issued.fingerprint.as_bytes().as_slice(),
        PrivateKey::from_der(&key).map_err(failed)?,
        [
            Certificate::from_der(&issued.der).map_err(failed)?,
            Certificate::from_der(authority).map_err(failed)?,
        ],
    );
    let mut store = KeyStore::new();
    store.add_entry(user, KeyStoreEntry::PrivateKeyChain(chain));
    let bytes = store
        .writer(password)
        .encryption_algorithm(EncryptionAlgorithm::PbeWithHmacSha256AndAes256)
        .encryption_iterations(ITERATIONS)
        .mac_algorithm(MacAlgorithm::HmacSha256)
        .mac_iterations(ITERATIONS)
        .write()
        .map_err(failed)?;
    Ok(Zeroizing::new(bytes))
}

fn key_der(issued: &Issued) -> Result<Zeroizing<Vec<u8>>, IssueError> {
    let text = issued.key_pem.as_ref().ok_or_else(|| {
        IssueError::crypto("write PKCS#12", "the key of a signed request is not known here")
    })?;
    match pem::from_buf(&mut text.expose().as_bytes()) {
        Ok(Some((_, der))) => Ok(Zeroizing::new(der)),
        Ok(None) | Err(_) => Err(IssueError::crypto("write PKCS#12", "the key cannot be read")),
    }
}

/// Makes guessing the password of a stolen file slower; a tenth of a second here.
const ITERATIONS: u32 = 100_000;
