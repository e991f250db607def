//! Moments, as they are told and as they are asked for.

use std::fmt;

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// Milliseconds since the Unix epoch; in JSON an RFC 3339 time in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(value_type = String, format = DateTime)]
pub struct Time(pub u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, in_day_ms) = (self.0 / DAY_MS, self.0 % DAY_MS);
        let (year, month, day) = civil_from_days(days);
        let (hour, minute) = (in_day_ms / 3_600_000, in_day_ms / 60_000 % 60);
        let (second, ms) = (in_day_ms / 1000 % 60, in_day_ms % 1000);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Time {
    /// The moment that a text names: `2026-11-23T10:00:00Z` (with an offset in the place of `Z`, or parts of a second), the
    /// beginning of `2026-11-23`, or a span before now: `90s`, `15m`, `2h`, `7d`.
    pub(crate) fn parse(text: &str, now_ms: u64) -> Result<Time, String> {
        let named = span_ms(text).map(|span_ms| now_ms.saturating_sub(span_ms));
        named.or_else(|| moment_ms(text)).map(Time).ok_or_else(|| {
            "is no time: write `2026-11-23T10:00:00Z`, `2026-11-23`, or a span before now such as `90s`, `15m`, `2h`, `7d`"
                .to_owned()
        })
    }
}

fn span_ms(text: &str) -> Option<u64> {
    let units = [("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", DAY_MS)];
    let (count, unit_ms) =
        units.iter().find_map(|(unit, ms)| Some((number(text.strip_suffix(unit)?)?, ms)))?;
    count.checked_mul(*unit_ms)
}

/// RFC 3339, with or without the time of day.
fn moment_ms(text: &str) -> Option<u64> {
    let (date, time) = match text.split_once(['T', 't', ' ']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let mut part = |digits| digits_of(parts.next()?, digits);
    let (year, month, day) = (part(4)?, part(2)?, part(2)?);
    if parts.next().is_some() || !(1970..=9999).contains(&year) {
        return None;
    }
    let days = days_from_civil(year, month, day)?;
    let midnight_ms = days.checked_mul(DAY_MS)?;
    let Some(time) = time else { return Some(midnight_ms) };
    let (clock, offset_minutes) = offset(time)?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut parts = clock.split(':');
    let mut part = || digits_of(parts.next()?, 2);
    let (hour, minute, second) = (part()?, part()?, part()?);
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    if fraction.is_empty() {
        return None;
    }
    number(fraction)?;
    let fraction: String = fraction.chars().chain("000".chars()).take(3).collect();
    let ms = number(&fraction)?;
    let local_ms = midnight_ms + ((hour * 60 + minute) * 60 + second) * 1000 + ms;
    local_ms.checked_add_signed(-offset_minutes.checked_mul(60_000)?)
}

/// The time of day, and by how many minutes it is ahead of UTC.
fn offset(time: &str) -> Option<(&str, i64)> {
    if let Some(clock) = time.strip_suffix(['Z', 'z']) {
        return Some((clock, 0));
    }
    let at = time.rfind(['+', '-'])?;
    let (clock, offset) = time.split_at_checked(at)?;
    let (sign, offset) = match offset.strip_prefix('-') {
        Some(offset) => (-1, offset),
        None => (1, offset.strip_prefix('+')?),
    };
    let (hours, minutes) = offset.split_once(':')?;
    let (hours, minutes) = (digits_of(hours, 2)?, digits_of(minutes, 2)?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    let minutes = i64::try_from(hours * 60 + minutes).ok()?;
    Some((clock, sign * minutes))
}

fn digits_of(text: &str, count: usize) -> Option<u64> {
    if text.len() == count { number(text) } else { None }
}

/// Digits alone: no sign.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// The other way round; none if there is no such day.
fn days_from_civil(year: u64, month: u64, day: u64) -> Option<u64> {
    let from_march = (month + 9) % 12;
    let years = year.checked_sub(u64::from(month <= 2))?;
    let of_year = (153 * from_march + 2) / 5 + day.checked_sub(1)?;
    let days = years * 365 + years / 4 - years / 100 + years / 400 + of_year;
    let days = days.checked_sub(719_468)?;
    (civil_from_days(days) == (year, month, day)).then_some(days)
}

/// Year, month and day of a day since 1970-01-01 in the Gregorian calendar: counting from a first of March puts the
/// leap day at the end of a year, and makes a month's first day a linear formula.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // from 0000-03-01
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

const DAY_MS: u64 = 86_400_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_as_it_is_shown() {
        let now_ms = 1_795_399_382_123;
        for ms in [0, 951_782_400_000, 951_868_799_999, now_ms, 253_402_300_799_999] {
            assert_eq!(Time::parse(&Time(ms).to_string(), 0), Ok(Time(ms)));
        }
        let check =
            |text: &str, ms: u64| assert_eq!(Time::parse(text, now_ms), Ok(Time(ms)), "{text}");
        check("2000-02-29", 951_782_400_000);
        check("2000-02-29T00:00:00Z", 951_782_400_000);
        check("2000-02-29 01:30:00.5+01:30", 951_782_400_500);
        check("2000-02-28T23:00:00-01:00", 951_782_400_000);
        check("90s", now_ms - 90_000);
        check("15m", now_ms - 900_000);
        check("2h", now_ms - 7_200_000);
        check("7d", now_ms - 604_800_000);
        check("99999d", 0);
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "now",
            "s",
            "-5m",
            "+5m",
            "1.5h",
            "5w",
            "99999999999999999999d",
            "2026-13-01",
            "2026-02-29",
            "2026-00-10",
            "2026-1-1",
            "1969-12-31",
            "2026-11-23T25:00:00Z",
            "2026-11-23T10:00Z",
            "2026-11-23T10:00:00",
            "2026-11-23T10:00:00.Z",
            "2026-11-23T10:00:00+1:00",
            "2026-11-23-04",
            "10000-01-01",
            "1970-01-01T00:00:00+01:00",
        ] {
            assert!(Time::parse(text, 1_795_399_382_123).is_err(), "{text}");
        }
    }
}
