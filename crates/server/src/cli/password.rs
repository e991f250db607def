//! A password from standard input: one line, never from the command line, which every process on the machine can read.

use std::io::{self, BufRead, Read};

use zeroize::Zeroizing;

use super::failure::Failure;

/// Reads one line of standard input.
pub(crate) fn read_password() -> Result<Zeroizing<String>, Failure> {
    PasswordLines::of_stdin().next("password")
}

/// Several passwords, one in each line.
pub(crate) struct PasswordLines(io::StdinLock<'static>);

impl PasswordLines {
    /// Those of standard input.
    pub(crate) fn of_stdin() -> PasswordLines {
        PasswordLines(io::stdin().lock())
    }

    /// The next one; `what` it is, for the message if there is none.
    pub(crate) fn next(&mut self, what: &str) -> Result<Zeroizing<String>, Failure> {
        read_line(&mut self.0, what)
    }
}

/// Only the line's end is cut off: spaces are part of a password. Whether it is good enough is for the server to say.
fn read_line(input: &mut impl BufRead, what: &str) -> Result<Zeroizing<String>, Failure> {
    let mut line = Zeroizing::new(Vec::with_capacity(LINE_BYTES_MAX));
    let mut input = input.take(u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX));
    input.read_until(b'\n', &mut line).map_err(Failure::Input)?;
    if line.is_empty() {
        return Err(Failure::Missing(format!(
            "no {what} on standard input: give it as one line, for example `printf '%s\\n' \"$PASSWORD\" | …`"
        )));
    }
    if line.ends_with(b"\n") {
        line.pop();
        if line.ends_with(b"\r") {
            line.pop();
        }
    } else if line.len() >= LINE_BYTES_MAX {
        return Err(Failure::Missing(format!(
            "the password on standard input is longer than {LINE_BYTES_MAX} bytes"
        )));
    }
    match std::str::from_utf8(&line) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(Failure::Missing("the password on standard input is not UTF-8".to_owned())),
    }
}

/// Far beyond any password that the server takes; also what is read at once, so that no copy is left by growing.
const LINE_BYTES_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &[u8], expected: Option<&str>) {
        let mut reader = input;
        let read = read_line(&mut reader, "password").ok();
        assert_eq!(read.as_ref().map(|password| password.as_str()), expected);
    }

    #[test]
    fn only_the_end_of_the_line_is_cut_off() {
        check(b"secret\n", Some("secret"));
        check(b"secret\r\n", Some("secret"));
        check(b"secret", Some("secret"));
        check(b" se cret \n", Some(" se cret "));
        check(b"secret\r\r\n", Some("secret\r"));
        check(b"secret\r", Some("secret\r"));
    }

    #[test]
    fn the_second_line_is_not_read() {
        check(b"one\ntwo\n", Some("one"));
    }

    #[test]
    fn an_empty_line_is_for_the_server_to_refuse() {
        check(b"\n", Some(""));
    }

    #[test]
    fn no_line_at_all_is_an_error() {
        check(b"", None);
    }

    #[test]
    fn what_is_no_text_is_an_error() {
        check(b"\xff\xfe\n", None);
    }

    #[test]
    fn a_line_without_end_is_not_read_without_end() {
        check(&vec![b'a'; LINE_BYTES_MAX + 1], None);
    }
}
