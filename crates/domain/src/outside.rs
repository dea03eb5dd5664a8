//! The border for words from outside: what Azure, agents, the API server and people wrote, before it is told to anybody. Whoever
//! tells something in status, history, events or logs has it pass here, and nobody keeps a filter of his own.
//!
//! | in the text | becomes |
//! | --- | --- |
//! | newline, tab, line and paragraph separator | a blank |
//! | any other control character (ESC too), what turns the direction of writing, what nobody sees | `U+FFFD`, one for a run |
//! | `<` and `>` | `‹` and `›`: no tag in HTML or Markdown |
//! | a backtick | `'`: no code in Markdown, no command in a shell |
//! | `](` | `] (`: no link in Markdown |
//!
//! A value in a command that people are told to type is a [`word`] of a shell.
//!
//! What is taken out leaves a mark. Were it dropped, `alice` with an invisible character in it would read like `alice`, and a word that is
//! none of Azure's like one that is. The price: the joiners that Persian, Indic scripts and some emoji use show as that mark.
//! Letters of every script stay as they are. A URL stays a URL, because people need those in Azure's own messages; and a format with
//! signs of its own (a table, an attribute) still has to be escaped by whoever writes it.
//!
//! Only what people read passes. What is compared, digested or sent back to Azure stays as it was said: to trim a word or to shorten
//! a list could make it equal to another one.

use std::borrow::Cow;

/// Stands where something was that nobody may see or that does something to whoever reads it.
const TAKEN_OUT: char = '\u{fffd}';
/// Says that the rest was cut off.
const ELLIPSIS: &str = "…";

/// Longest text of a person, or of another program about a failure, that is taken in.
pub const LONGEST: usize = 4096;
/// Longest reason that a person gives.
pub const LONGEST_REASON: usize = 1024;
/// Longest name, code or id that is only told.
pub const LONGEST_NAME: usize = 256;

/// Somebody else's words for people: [`harmless`], runs of blanks joined, none at the ends, at most `longest` bytes with an
/// ellipsis where something is missing. Equal to the text where there is nothing to change; the same when done twice.
pub fn words(text: &str, longest: usize) -> Cow<'_, str> {
    let text = match harmless(text) {
        Cow::Borrowed(text) => joined(text),
        Cow::Owned(text) => Cow::Owned(joined(&text).into_owned()),
    };
    if text.len() <= longest {
        return text;
    }
    Cow::Owned(cut(&text, longest).into_owned())
}

/// A text for people that may hold somebody else's words: [`safe`], and without markup. What stands in it stays whole.
pub fn harmless(text: &str) -> Cow<'_, str> {
    if is_harmless(text) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in safe(text).chars() {
        match c {
            '<' => out.push('‹'),
            '>' => out.push('›'),
            '`' => out.push('\''),
            '(' if out.ends_with(']') => out.push_str(" ("),
            // No command in a line that somebody pastes into a shell.
            '(' | '{' if out.ends_with('$') => out.extend([' ', c]),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// A text on one line, in which every character is seen and none does anything to a terminal or turns the direction of writing.
/// For keys that are read back, and for lines of formats of their own: no other sign is touched.
pub fn safe(text: &str) -> Cow<'_, str> {
    if is_safe(text) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut before = None;
    for c in text.chars() {
        let stands_for_it = if breaks(c) {
            Some(' ')
        } else {
            is_forbidden(c).then_some(TAKEN_OUT)
        };
        // A run leaves one mark: a thousand of them must not crowd out what was said.
        if stands_for_it.is_none() || stands_for_it != before {
            out.push(stands_for_it.unwrap_or(c));
        }
        before = stands_for_it;
    }
    Cow::Owned(out)
}

/// Whether [`harmless`] leaves the text as it is.
pub fn is_harmless(text: &str) -> bool {
    is_safe(text) && !text.contains(['<', '>', '`']) && !["](", "$(", "${"].iter().any(|sign| text.contains(sign))
}

/// One word of a POSIX shell, for a command in a message: the text as it is if every character stands for itself there, else in single
/// quotes. The source of a command quotes each value that it was told; [`harmless`], which everything passes that people read, leaves
/// the word as it is. What it takes for something else (a backtick), it is before: a quote that it made would end ours.
pub fn word<T: AsRef<str> + ?Sized>(text: &T) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    // What a sentence ends with is not the value's.
    let ends = |text: &str| text.ends_with(['.', ':', ',']);
    let text = text.as_ref();
    if !text.is_empty() && text.chars().all(plain) && !ends(text) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("'{}'", harmless(text).replace('\'', r"'\''")))
}

/// The beginning of a word without what ends the sentence that it stands in: a bracket that the word does not open, a comma, a full stop.
pub fn without_brackets_around(word: &str) -> &str {
    let mut word = word;
    loop {
        let shorter = word.strip_suffix(['.', ':', ',', ';']).or_else(|| {
            let closes_more = word.matches(')').count() > word.matches('(').count();
            word.strip_suffix(')').filter(|_| closes_more)
        });
        match shorter {
            Some(shorter) => word = shorter,
            None => return word,
        }
    }
}

/// Whether [`safe`] leaves the text as it is.
pub fn is_safe(text: &str) -> bool {
    !text.chars().any(is_forbidden)
}

/// Makes a text harmless where it stands.
pub fn make_harmless(text: &mut String) {
    if let Cow::Owned(harmless) = harmless(text) {
        *text = harmless;
    }
}

/// Makes a text safe where it stands.
pub fn make_safe(text: &mut String) {
    if let Cow::Owned(safe) = safe(text) {
        *text = safe;
    }
}

/// At most so many bytes, cut between characters, with an ellipsis where something is missing.
pub fn cut(text: &str, longest: usize) -> Cow<'_, str> {
    if text.len() <= longest {
        return Cow::Borrowed(text);
    }
    let Some(most) = longest.checked_sub(ELLIPSIS.len()) else {
        return Cow::Owned(String::new());
    };
    let end = (0..=most)
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or_default();
    Cow::Owned(format!("{}{ELLIPSIS}", text.get(..end).unwrap_or_default()))
}

/// Two blanks or more as one, and none at the ends. A blank that stands alone stays the blank that it is.
fn joined(text: &str) -> Cow<'_, str> {
    let trimmed = text.trim();
    let mut chars = trimmed.chars().zip(trimmed.chars().skip(1));
    if !chars.any(|(a, b)| a.is_whitespace() && b.is_whitespace()) {
        return Cow::Borrowed(trimmed);
    }
    let mut out = String::with_capacity(trimmed.len());
    let mut blanks: Option<(char, bool)> = None;
    for c in trimmed.chars() {
        if c.is_whitespace() {
            blanks = Some((c, blanks.is_some()));
            continue;
        }
        if let Some((blank, more)) = blanks.take() {
            out.push(if more { ' ' } else { blank });
        }
        out.push(c);
    }
    Cow::Owned(out)
}

/// Characters that end a line, or move on in one.
fn breaks(c: char) -> bool {
    matches!(c, '\t'..='\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Characters that no text for people holds.
fn is_forbidden(c: char) -> bool {
    match c {
        ' '..='~' => false,
        // Controls: C0, DEL, C1.
        '\0'..='\u{9f}' => true,
        // What turns the direction of writing.
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}' => true,
        // What ends a line.
        '\u{2028}' | '\u{2029}' => true,
        // What nobody sees: joiners, fillers, invisible operators, annotations, tags.
        '\u{ad}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200d}'
        | '\u{2060}'..='\u{2065}'
        | '\u{3164}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e00ff}' => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What an attacker would write, one of each sort.
    const NASTY: &str =
        "\u{1b}[31m\u{9b}2K\r\nLocked\u{202e}x\u{2066}y\u{200b}z\u{feff}\u{e0041}\u{2028}<script/>`id`[a](b)\0\u{7f}";

    #[test]
    fn nothing_of_an_attack_is_left_and_what_was_taken_out_leaves_a_mark() {
        assert_eq!(
            words(NASTY, LONGEST),
            "\u{fffd}[31m\u{fffd}2K Locked\u{fffd}x\u{fffd}y\u{fffd}z\u{fffd} ‹script/›'id'[a] (b)\u{fffd}"
        );
        assert_eq!(words("ali\u{200b}ce", LONGEST), "ali\u{fffd}ce", "is not alice");
        assert_eq!(
            words("a\u{1b}\u{1b}\u{202e}b", LONGEST),
            "a\u{fffd}b",
            "a run leaves one mark"
        );
        assert_eq!(words(" a\t\t b \u{a0}c\n", LONGEST), "a b c");
        assert_eq!(words("]\u{200b}(]\n(](", LONGEST), "]\u{fffd}(] (] (");
        assert_eq!(
            words("--scope /subscriptions/s/$(rm$IFS~)/${x}", LONGEST),
            "--scope /subscriptions/s/$ (rm$IFS~)/$ {x}"
        );
    }

    #[test]
    fn a_value_is_one_word_of_a_shell() {
        for plain in [
            "/subscriptions/s/resourceGroups/rg_1.x/a-b",
            "10.0.0.0/8",
            "a=b",
            "a@b:c,d+e%20",
        ] {
            assert!(matches!(word(plain), Cow::Borrowed(same) if same == plain), "{plain}");
        }
        for (value, told) in [
            ("/s/rg(prod)", "'/s/rg(prod)'"),
            ("x; id | sh", "'x; id | sh'"),
            ("x'; id; '", r"'x'\''; id; '\'''"),
            ("x --role Owner", "'x --role Owner'"),
            ("x\"$HOME", "'x\"$HOME'"),
            // Two quotes that a border would have made of backticks cannot end ours.
            ("x`; id; `", r"'x'\''; id; '\'''"),
            ("$(id)", "'$ (id)'"),
            ("~", "'~'"),
            ("größe", "'größe'"),
            ("ends.", "'ends.'"),
            ("", "''"),
        ] {
            assert_eq!(word(value), told);
            assert!(is_harmless(&word(value)), "{told}");
        }
    }

    #[test]
    fn a_key_keeps_every_sign_that_can_be_seen() {
        let url = "https://arm.test/op?a=<B>`c`[d](e)  f#location";
        assert_eq!(safe(url), url);
        assert!(matches!(safe(url), Cow::Borrowed(_)));
        assert_eq!(safe("a\r\nb\u{202e}c"), "a b\u{fffd}c");
    }

    #[test]
    fn letters_of_every_script_stay_as_they_are() {
        for text in [
            "az network private-endpoint delete --ids /subscriptions/s \"x\" 'y' & | * _ # [a] (b) {c} ~ $",
            "Zugriff verweigert: größer als 5 € – „nein“…",
            "доступ запрещён, الوصول مرفوض, גישה נדחתה, アクセス拒否, 접근 거부, अनुमति नहीं, ไม่อนุญาต",
            "narrow\u{202f}no\u{a0}break 全角\u{3000}e\u{301} 👍 → ‹x›",
            "https://aka.ms/azure?x=1&y=2",
            "",
        ] {
            assert!(is_harmless(text), "{text}");
            assert!(
                matches!(words(text, LONGEST), Cow::Borrowed(same) if same == text),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_too_long_is_cut_between_characters_and_says_so() {
        assert_eq!(words("äöü", 6), "äöü");
        assert_eq!(words("äöüß", 6), "ä…");
        assert_eq!(words("abcd", 3), "…");
        assert_eq!(words("abcd", 2), "");
        assert_eq!(cut("short", 1024), "short");
        let long = "ü".repeat(1000);
        let note = cut(&long, 1024);
        assert!(note.ends_with('…') && note.len() <= 1024 && note.len() > 1020);
    }

    /// Texts in which what is forbidden stands often, alone and in runs.
    fn texts() -> impl Strategy<Value = String> {
        let nasty: Vec<char> = NASTY.chars().chain("--a ]($ {<>`\u{85}\u{a0}\u{ad}".chars()).collect();
        let one = prop_oneof![
            2 => prop::sample::select(nasty),
            2 => any::<char>(),
            3 => prop::char::range('\0', '\u{ff}'),
            1 => prop::char::range('\u{2000}', '\u{206f}'),
        ];
        prop::collection::vec(one, 0..60).prop_map(String::from_iter)
    }

    proptest! {
        #[test]
        fn doing_it_twice_changes_nothing(text in texts(), longest in 0_usize..200) {
            let once = words(&text, longest).into_owned();
            prop_assert_eq!(words(&once, longest), once.as_str());
            let once = harmless(&text).into_owned();
            prop_assert_eq!(harmless(&once), once.as_str());
            let once = safe(&text).into_owned();
            prop_assert_eq!(safe(&once), once.as_str());
        }

        /// Nothing stands outside of quotes but plain characters and an escaped quote.
        #[test]
        fn every_text_is_one_word(text in texts()) {
            let told = word(&text).into_owned();
            prop_assert!(is_harmless(&told), "{:?}", told);
            match told.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
                Some(inner) => prop_assert!(!inner.replace(r"'\''", "").contains('\''), "{:?}", told),
                None => prop_assert!(told.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c))),
            }
        }

        #[test]
        fn no_forbidden_character_gets_through_and_no_length(text in texts(), longest in 0_usize..200) {
            let told = words(&text, longest).into_owned();
            prop_assert!(told.len() <= longest);
            prop_assert!(!told.chars().any(|c| c.is_control() || is_forbidden(c)), "{:?}", told);
            prop_assert!(!told.contains(['<', '>', '`']) && !told.contains("]("), "{:?}", told);
            prop_assert!(!told.contains("  ") && told.trim() == told, "{:?}", told);
            prop_assert!(is_harmless(&harmless(&text)) && is_safe(&safe(&text)));
        }

        #[test]
        fn an_ordinary_text_stays_as_it_is(text in "\\PC{0,40}") {
            let ordinary = |c: &char| !is_forbidden(*c) && !"<>`({".contains(*c);
            let ordinary: String = text.chars().filter(ordinary).collect();
            prop_assert_eq!(harmless(&ordinary), ordinary.as_str());
            let tidy = joined(&ordinary).into_owned();
            prop_assert_eq!(words(&tidy, LONGEST), tidy.as_str());
        }
    }
}
