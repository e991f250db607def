//! Plain aligned tables and lists of fields for a person to read.

use super::answer::printable;

/// Rows under a heading, aligned by spaces; one line a row, whatever the cells hold.
pub(super) fn table<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> String {
    let heading = heading.map(str::to_owned);
    let rows: Vec<[String; N]> = std::iter::once(&heading)
        .chain(rows)
        .map(|row| row.each_ref().map(|cell| fill(&printable(cell))))
        .collect();
    let mut widths = [0_usize; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let lines: Vec<String> = rows.iter().map(|row| line(row, &widths)).collect();
    lines.join("\n")
}

/// `label  value` lines; a value of several lines continues under its first.
pub(super) fn fields(fields: &[(&str, Vec<String>)]) -> String {
    let width = fields.iter().map(|(label, _)| label.chars().count()).max().unwrap_or_default();
    let mut lines = Vec::new();
    for (label, values) in fields {
        let first = values.first().map_or("-", String::as_str);
        lines.push(format!("{label:width$}  {}", fill(&printable(first))));
        for value in values.iter().skip(1) {
            lines.push(format!("{:width$}  {}", "", printable(value)));
        }
    }
    lines.join("\n")
}

/// A cell that holds nothing shows so, and columns stay countable for `awk`.
fn fill(cell: &str) -> String {
    if cell.is_empty() { "-".to_owned() } else { cell.to_owned() }
}

fn line<const N: usize>(row: &[String; N], widths: &[usize; N]) -> String {
    let mut line = String::new();
    for (cell, width) in row.iter().zip(widths) {
        line.push_str(&format!("{cell:width$}  "));
    }
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row<const N: usize>(cells: [&str; N]) -> [String; N] {
        cells.map(str::to_owned)
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let text = table(["NAME", "X"], &[row(["é", "1"]), row(["longer", ""])]);
        assert_eq!(text, "NAME    X\né       1\nlonger  -");
    }

    #[test]
    fn a_cell_is_one_line_whatever_it_holds() {
        let text = table(["NAME"], &[row(["a\nb\u{1b}[0m"])]);
        assert_eq!(text.lines().count(), 2);
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn a_field_of_several_values_continues_under_its_first() {
        let text = fields(&[
            ("roles", vec!["a".to_owned(), "b".to_owned()]),
            ("publish prefix", Vec::new()),
        ]);
        assert_eq!(text, "roles           a\n                b\npublish prefix  -");
    }
}
