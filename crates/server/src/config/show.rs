//! Writes the keys down: the effective configuration for `serve --check`, and the reference page.

use std::fmt::Write as _;

use super::keys::{KEYS, Key};
use super::{Config, Effective};

impl Effective {
    /// The effective configuration as TOML that gives the same configuration back, except for secrets, which
    /// are only said to be set.
    pub(crate) fn to_toml(&self) -> String {
        let mut out = String::new();
        let mut config = self.config.clone();
        let mut section = "";
        for (key, source) in KEYS.iter().zip(&self.sources) {
            if key.section != section {
                section = key.section;
                push(&mut out, format_args!("\n[{section}]\n"));
            }
            push(&mut out, format_args!("# {}\n", key.meaning));
            push(&mut out, format_args!("# {}; {}; {source}\n", allowed(key), key.variable()));
            let slot = (key.slot)(&mut config);
            match slot.toml() {
                Some(value) => push(&mut out, format_args!("{} = {value}\n", key.name)),
                None if slot.is_set() => {
                    push(&mut out, format_args!("# {} = (hidden)\n", key.name))
                }
                None => push(&mut out, format_args!("# {} is not set\n", key.name)),
            }
        }
        out
    }
}

/// The reference of all keys as a Markdown page: what `docs/configuration.md` holds.
#[cfg(test)]
pub(super) fn reference() -> String {
    let mut out = include_str!("reference.md").to_owned();
    let mut section = None;
    for key in KEYS {
        if section != Some(key.section) {
            section = Some(key.section);
            let title = if key.section.is_empty() {
                "At the top".to_owned()
            } else {
                format!("`[{}]`", key.section)
            };
            push(
                &mut out,
                format_args!(
                    "\n## {title}\n| key | value | default | meaning | variable |\n| --- | --- | --- | --- | --- |\n"
                ),
            );
        }
        let mut config = Config::default();
        let default = (key.slot)(&mut config).toml().unwrap_or_else(|| "(unset)".to_owned());
        push(
            &mut out,
            format_args!(
                "| `{}` | {} | `{default}` | {} | `{}` |\n",
                key.name,
                allowed(key),
                key.meaning,
                key.variable()
            ),
        );
    }
    out
}

fn allowed(key: &Key) -> String {
    (key.slot)(&mut Config::default()).allowed(key.range)
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    out.write_fmt(text).unwrap_or_default();
}
