//! Durations as the API writes them: `90s`, `1h30m`, `250ms`.

use std::time::Duration;

/// Parses `^([0-9]+(ms|s|m|h))+$`. `None` for anything else, or more than about 500 million years.
///
/// ```
/// use std::time::Duration;
/// assert_eq!(sreg_domain::duration::parse("1h30m"), Some(Duration::from_secs(5400)));
/// assert_eq!(sreg_domain::duration::parse("soon"), None);
/// ```
pub fn parse(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let amount: u64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let (unit, length) = if rest.starts_with("ms") {
            (Duration::from_millis(amount), 2)
        } else {
            let seconds = match rest.chars().next()? {
                's' => 1,
                'm' => 60,
                'h' => 3600,
                _ => return None,
            };
            (Duration::from_secs(amount.checked_mul(seconds)?), 1)
        };
        total = total.checked_add(unit)?;
        rest = rest.get(length..)?;
    }
    Some(total)
}

/// Writes a duration for people, rounded to seconds where it is longer than ten: `1h30m`, `45s`, `250ms`.
pub fn show(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis < 10_000 && !millis.is_multiple_of(1000) {
        return format!("{millis}ms");
    }
    let seconds = duration.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut text = String::new();
    if hours > 0 {
        text += &format!("{hours}h");
    }
    if minutes > 0 {
        text += &format!("{minutes}m");
    }
    if seconds > 0 || text.is_empty() {
        text += &format!("{seconds}s");
    }
    text
}
