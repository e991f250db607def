//! Whole numbers in JSON, in either spelling: to JSON Schema, and so to the API's document, `2` and `2.0` are the same.

use serde::de::{Deserialize, Deserializer, Error, Unexpected};

/// Reads a whole number that may be absent or `null`.
pub(crate) fn optional<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    let Some(number) = Option::<f64>::deserialize(from)? else { return Ok(None) };
    // Every 32-bit number is one of these exactly, and prints without a point.
    let whole = format!("{number:.0}").parse::<u32>().ok();
    match whole.filter(|whole| f64::from(*whole) == number) {
        Some(whole) => Ok(Some(whole)),
        None => Err(D::Error::invalid_value(Unexpected::Float(number), &"a whole number")),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn two_and_two_point_nothing_are_the_same_and_half_is_refused() {
        let check = |json: &str, expected: Option<Option<u32>>| {
            let mut json = serde_json::Deserializer::from_str(json);
            assert_eq!(super::optional(&mut json).ok(), expected);
        };
        check("2", Some(Some(2)));
        check("2.0", Some(Some(2)));
        check("4294967295", Some(Some(u32::MAX)));
        check("0", Some(Some(0)));
        check("null", Some(None));
        for bad in ["2.5", "-1", "4294967296", "1e300", "\"2\"", "true"] {
            check(bad, None);
        }
    }
}
