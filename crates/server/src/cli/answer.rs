//! What a command has to say, for a person and for a program, and how it gets to stdout.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use serde_json::Value;

use super::failure::Failure;

/// Which of the two forms of an answer is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// For a person.
    Text,
    /// `--json`: the REST object, or an array of them.
    Json,
}

/// The answer of one command.
#[derive(Debug)]
pub(super) struct Answer {
    /// The REST object, or an array of them.
    pub(super) json: Value,
    /// Lines for a person, without the last newline.
    pub(super) text: String,
    /// What the exit code is to say.
    pub(super) verdict: Verdict,
}

/// The exit code of a command that was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Done, or allowed: 0.
    Good,
    /// The question was answered with no: 1.
    Denied,
    /// Done, and printed already: 0.
    Said,
}

impl Answer {
    /// A command that is done.
    pub(super) fn done(json: Value, text: impl Into<String>) -> Answer {
        Answer { json, text: text.into(), verdict: Verdict::Good }
    }

    /// A command that has said all already.
    pub(super) fn quiet() -> Answer {
        Answer { json: Value::Null, text: String::new(), verdict: Verdict::Said }
    }

    /// Prints what is for a person, before more is done.
    pub(super) fn say(self) -> Result<(), Failure> {
        self.print(Form::Text).map(|_| ())
    }

    /// Prints it in `form`. A reader that has gone away (`| head`) is no failure: the command itself is done.
    pub(super) fn print(self, form: Form) -> Result<ExitCode, Failure> {
        let code = match self.verdict {
            Verdict::Good => ExitCode::SUCCESS,
            Verdict::Denied => ExitCode::FAILURE,
            Verdict::Said => return Ok(ExitCode::SUCCESS),
        };
        let mut out = std::io::stdout().lock();
        let text = self.render(form);
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => Ok(code),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(code),
            Err(error) => Err(Failure::Output(error)),
        }
    }

    /// The whole output, with its last newline; empty if there is nothing to say.
    pub(super) fn render(&self, form: Form) -> String {
        let mut text = match form {
            Form::Json => escape_json(&self.json.to_string()),
            Form::Text => self.text.clone(),
        };
        if !text.is_empty() {
            text.push('\n');
        }
        text
    }
}

/// Peers choose client ids and topics, and a terminal obeys what stands in them: no control or direction character
/// of theirs reaches it raw. Line feeds are escaped as well, so that one value cannot pretend to be two lines.
pub(super) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_unprintable(letter) {
            out.extend(letter.escape_unicode());
        } else {
            out.push(letter);
        }
    }
    out
}

/// The same for JSON, whose own rules stop at U+001F. Such characters stand inside of strings only.
fn escape_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for letter in json.chars() {
        if is_unprintable(letter) {
            let mut units = [0_u16; 2];
            for unit in letter.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(letter);
        }
    }
    out
}

/// Control characters, and those that reorder or break a line.
fn is_unprintable(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_peer_cannot_command_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(printable("a\u{202e}b\nc"), "a\\u{202e}b\\u{a}c");
        assert_eq!(printable("plant/été/温度"), "plant/été/温度");
    }

    #[test]
    fn json_stays_the_same_value_when_escaped() {
        let value = json!({"clientId": "a\u{9b}2J\u{202e}\u{1b}\u{7f}é"});
        let text = Answer::done(value.clone(), "").render(Form::Json);
        assert!(!text.trim_end().chars().any(is_unprintable));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }

    #[test]
    fn nothing_to_say_prints_nothing() {
        assert_eq!(Answer::done(json!([]), "").render(Form::Text), "");
        assert_eq!(Answer::done(json!([]), "").render(Form::Json), "[]\n");
    }
}
