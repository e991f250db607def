//! PEM files, read strictly: a block that cannot be used is an error with its line, never skipped.
//!
//! A block that is passed over in silence would be a certificate authority or a revocation list that the
//! operator believes to be in force.

use std::path::Path;

use base64::Engine as _;
use rustls_pki_types::pem::{self, SectionKind};
use zeroize::Zeroizing;

use crate::error::PkiError;

/// One block of a PEM file.
pub(crate) struct Block {
    /// Line of its `BEGIN`, counted from 1.
    pub(crate) line: usize,
    pub(crate) kind: SectionKind,
    pub(crate) der: Zeroizing<Vec<u8>>,
}

/// All blocks of a file; text between blocks is a comment.
pub(crate) fn blocks(path: &Path, bytes: &[u8]) -> Result<Vec<Block>, PkiError> {
    let mut blocks = Vec::new();
    for (line, text) in block_texts(path, bytes)? {
        let parsed = pem::from_buf(&mut text.as_slice())
            .map_err(|_| PkiError::at_line(path, line, "not valid PEM", REMEDY_WHOLE))?;
        let Some((kind, der)) = parsed else {
            return Err(PkiError::at_line(path, line, "unknown kind of PEM block", REMEDY_KIND));
        };
        blocks.push(Block { line, kind, der: Zeroizing::new(der) });
    }
    Ok(blocks)
}

/// The blocks of the known kinds: for keys and the server's chain, where an unknown block (such as the
/// `EC PARAMETERS` that openssl writes before a key) decides nothing about whom to trust.
pub(crate) fn known_blocks(path: &Path, bytes: &[u8]) -> Result<Vec<Block>, PkiError> {
    let mut blocks = Vec::new();
    for (line, text) in block_texts(path, bytes)? {
        if let Ok(Some((kind, der))) = pem::from_buf(&mut text.as_slice()) {
            blocks.push(Block { line, kind, der: Zeroizing::new(der) });
        }
    }
    Ok(blocks)
}

/// All blocks of a file that may hold one kind only.
pub(crate) fn blocks_of(
    path: &Path,
    bytes: &[u8],
    kind: SectionKind,
) -> Result<Vec<Block>, PkiError> {
    let blocks = blocks(path, bytes)?;
    if let Some(other) = blocks.iter().find(|block| block.kind != kind) {
        let what = format!("a {} where only {} may be", name(other.kind), name(kind));
        return Err(PkiError::at_line(path, other.line, what, REMEDY_KIND));
    }
    Ok(blocks)
}

/// A block as text.
pub(crate) fn encode(label: &str, der: &[u8]) -> Zeroizing<String> {
    let encoded = Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(der));
    let mut text = Zeroizing::new(String::with_capacity(encoded.len() + encoded.len() / 32 + 80));
    text.push_str(&format!("-----BEGIN {label}-----\n"));
    for (index, character) in encoded.chars().enumerate() {
        if index > 0 && index % LINE_CHARACTERS == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text.push_str(&format!("\n-----END {label}-----\n"));
    text
}

/// Line of the `BEGIN`, and the text from there to the `END`.
type BlockText = (usize, Zeroizing<Vec<u8>>);

fn block_texts(path: &Path, bytes: &[u8]) -> Result<Vec<BlockText>, PkiError> {
    let mut texts = Vec::new();
    let mut open: Option<BlockText> = None;
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let number = index + 1;
        let trimmed = line.trim_ascii();
        let begins = trimmed.starts_with(b"-----BEGIN ");
        if begins && let Some((begun, _)) = &open {
            return Err(PkiError::at_line(path, *begun, "a block without its END", REMEDY_WHOLE));
        }
        if begins {
            open = Some((number, Zeroizing::new(Vec::new())));
        }
        if let Some((_, text)) = &mut open {
            text.extend_from_slice(trimmed);
            text.push(b'\n');
        }
        let ends = trimmed.starts_with(b"-----END ");
        if ends {
            let Some(block) = open.take() else {
                return Err(PkiError::at_line(
                    path,
                    number,
                    "an END without its BEGIN",
                    REMEDY_WHOLE,
                ));
            };
            texts.push(block);
        }
    }
    if let Some((begun, _)) = open {
        return Err(PkiError::at_line(path, begun, "a block without its END", REMEDY_WHOLE));
    }
    Ok(texts)
}

fn name(kind: SectionKind) -> &'static str {
    match kind {
        SectionKind::Certificate => "certificate",
        SectionKind::Crl => "revocation list",
        SectionKind::Csr => "certificate signing request",
        SectionKind::PublicKey => "public key",
        SectionKind::RsaPrivateKey | SectionKind::PrivateKey | SectionKind::EcPrivateKey => {
            "private key"
        }
        _ => "block of another kind",
    }
}

/// RFC 7468 2: lines of exactly 64 characters.
const LINE_CHARACTERS: usize = 64;
const REMEDY_WHOLE: &str = "put the whole PEM text there, from BEGIN to END";
const REMEDY_KIND: &str = "remove that block from the file";
