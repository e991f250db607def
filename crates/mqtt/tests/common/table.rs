//! The table of packets: one line a packet, read from text so that it can be read by people.

use mqtt::ProtocolVersion;

/// One line of the table.
pub struct Row {
    pub name: String,
    pub version: ProtocolVersion,
    pub bytes: Vec<u8>,
    pub expected: Expected,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    Accepted,
    Incomplete,
    /// The reason code.
    Refused(u8),
}

/// All rows; one that is for all versions is there three times.
pub fn rows() -> Vec<Row> {
    let files = [
        include_str!("../table/connect.txt"),
        include_str!("../table/publish.txt"),
        include_str!("../table/others.txt"),
    ];
    files.iter().flat_map(|text| text.lines()).filter(|line| is_row(line)).flat_map(parse).collect()
}

fn is_row(line: &str) -> bool {
    !line.trim().is_empty() && !line.starts_with('#')
}

fn parse(line: &str) -> Vec<Row> {
    let columns: Vec<&str> = line.split('|').map(str::trim).collect();
    let [name, versions, text, expected] = columns[..] else { panic!("not four columns: {line}") };
    let versions = match versions {
        "3.1" => &super::VERSIONS[..1],
        "3.1.1" => &super::VERSIONS[1..2],
        "5" => &super::VERSIONS[2..],
        "all" => &super::VERSIONS[..],
        other => panic!("unknown version {other}: {line}"),
    };
    let expected = match expected {
        "ok" => Expected::Accepted,
        "more" => Expected::Incomplete,
        code => Expected::Refused(u8::from_str_radix(code, 16).expect("a reason code")),
    };
    let row = |&version| Row { name: name.into(), version, bytes: bytes(text), expected };
    versions.iter().map(row).collect()
}

/// Hex, `'text'`, and `~` for the remaining length of what follows.
pub fn bytes(text: &str) -> Vec<u8> {
    if let Some((before, after)) = text.split_once('~') {
        let (mut result, rest) = (bytes(before), bytes(after));
        assert!(rest.len() < 16_384, "the tables have no packet as long as that");
        if rest.len() >= 128 {
            result.push((rest.len() % 128) as u8 | 0x80);
            result.push((rest.len() / 128) as u8);
        } else {
            result.push(rest.len() as u8);
        }
        result.extend(rest);
        return result;
    }
    let mut result = Vec::new();
    for (index, part) in text.split('\'').enumerate() {
        if index % 2 == 1 {
            result.extend(part.as_bytes());
            continue;
        }
        let digits: Vec<char> = part.chars().filter(|it| !it.is_whitespace()).collect();
        for pair in digits.chunks(2) {
            let pair: String = pair.iter().collect();
            assert_eq!(pair.len(), 2, "half a byte in {text}");
            result.push(u8::from_str_radix(&pair, 16).expect("hex digits"));
        }
    }
    result
}
