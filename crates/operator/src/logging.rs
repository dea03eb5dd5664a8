//! Structured logs on standard error. Whatever is logged, and whoever's words it repeats, is one line and does nothing to the terminal
//! that shows it.

use std::io::{self, Write};

use anyhow::{Context as _, Result, anyhow};
use sreg_domain::outside;
use sreg_settings::{LogArgs, LogFormat};
use tracing_subscriber::EnvFilter;

/// Libraries repeat what we log ourselves where it matters, and at debug they print their insides. A filter that names one goes
/// before this: `debug,kube_client=debug`.
const QUIETER: &str = "typespec_client_core=warn,azure_core=warn,azure_identity=warn,h2=warn,hickory_net=warn,\
hickory_proto=warn,hickory_resolver=warn,hyper=warn,hyper_util=warn,kube_client=warn,kube_lease_manager=warn,\
kube_runtime=info,reqwest=warn,rustls=warn,rustls_platform_verifier=warn,tokio_util=warn,tower=warn";

/// Starts logging for the whole process.
///
/// # Errors
/// The filter cannot be understood.
pub fn start(args: &LogArgs) -> Result<()> {
    let filter = EnvFilter::try_new(format!("{QUIETER},{}", args.log_filter)).with_context(|| {
        format!(
            "read the log filter {:?}: write it like info,sreg_runtime=debug",
            args.log_filter
        )
    })?;
    let format = args.log_format;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || Lines {
            to: io::stderr(),
            format,
        });
    let started = match args.log_format {
        // The list of spans names the innermost one too.
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).try_init(),
        // No colours: they are escapes, and none of those passes.
        LogFormat::Text => lines.with_ansi(false).try_init(),
    };
    started.map_err(|error| anyhow!("start logging: {error}"))
}

/// Takes one line at a time, as the subscriber writes it, with its end.
struct Lines<W> {
    to: W,
    format: LogFormat,
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let (text, end) = match text.strip_suffix('\n') {
            Some(text) => (text, "\n"),
            None => (text.as_ref(), ""),
        };
        let mut safe = match self.format {
            LogFormat::Json => outside::safe(&without_escaped_controls(text)).into_owned(),
            LogFormat::Text => outside::safe(text).into_owned(),
        };
        safe.push_str(end);
        self.to.write_all(safe.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// JSON escapes control characters, and whoever takes a text out of a line (`jq -r`) has them back. So they become what
/// [`outside::safe`] makes of them.
fn without_escaped_controls(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        let length = if escape.starts_with("\\u") { 6 } else { 2 };
        let (escape, after) = escape.split_at_checked(length).unwrap_or((escape, ""));
        out.push_str(before);
        let decoded: Option<String> = serde_json::from_str(&format!("\"{escape}\"")).ok();
        match decoded {
            Some(text) if !outside::is_safe(&text) => out.push_str(&outside::safe(&text)),
            Some(_) | None => out.push_str(escape),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is written of one event that repeats an attacker's words in its message, a field and a span, in either format.
    fn logged(json: bool) -> String {
        const NASTY: &str =
            "no\r\n2026-11-23T10:00:00Z  INFO pass: all is locked\u{1b}[2K\u{9b}1A\u{202e}x\u{2028}y\u{200b}z";
        let written = Written::default();
        let to = written.clone();
        let lines = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::INFO)
            .with_writer(move || Lines {
                to: to.clone(),
                format: if json { LogFormat::Json } else { LogFormat::Text },
            });
        let log = || {
            let _entered = tracing::info_span!("step", action = NASTY).entered();
            tracing::warn!(cause = %NASTY, debugged = ?NASTY, "{NASTY}");
        };
        if json {
            tracing::subscriber::with_default(lines.json().flatten_event(true).finish(), log);
        } else {
            tracing::subscriber::with_default(lines.with_ansi(false).finish(), log);
        }
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn whatever_is_logged_is_one_line_without_escapes() {
        for json in [true, false] {
            let text = logged(json);
            let line = text.strip_suffix('\n').unwrap();
            assert!(outside::is_safe(line), "{line:?}");
            assert!(line.contains("all is locked") && line.contains("2K"), "{line}");
            if json {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                let message = line["message"].as_str().unwrap();
                assert!(
                    outside::is_safe(message) && message.starts_with("no  2026"),
                    "{message:?}"
                );
                let action = line["spans"][0]["action"].as_str().unwrap();
                assert!(outside::is_safe(action), "{action:?}");
            }
        }
    }

    #[test]
    fn what_json_escapes_for_itself_stays() {
        for text in [
            r#"{"a":"say \"hi\" \\n C:\\new \u00e9 \/"}"#,
            r#"{"a":"\"#,
            r#"{"a":"\u12"#,
        ] {
            assert_eq!(without_escaped_controls(text), text);
        }
        let forged = r#"{"a":"x\u001b[2K\r\n\ty\\\n"}"#;
        assert_eq!(without_escaped_controls(forged), "{\"a\":\"x\u{fffd}[2K   y\\\\ \"}");
    }
}
