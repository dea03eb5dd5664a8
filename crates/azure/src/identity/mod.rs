//! Tokens: one credential and one cached token per scope, so that a hung fetch for one scope blocks no other. What azure_identity
//! 1.0 does not do is done here: a token that still holds is used when its renewal fails, short-lived tokens are cached, a
//! token refused by the server is never sent again.

mod claims;
mod credential;
mod entra;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use azure_core::credentials::TokenCredential;
use azure_core::error::ErrorKind;
use azure_core::http::HttpClient;
use azure_core::time::OffsetDateTime;
use sreg_domain::outside::{LONGEST, words};
use tokio::time::Instant;

pub(crate) use claims::principal_of;

use crate::settings::{AzureSettings, ConnectError};
use credential::CredentialMaker;

/// A token with less than this left is not sent: it would lapse on the way.
const LAST_MOMENT: Duration = Duration::from_secs(20);
/// For so long a refusal is taken for the answer to every call that would ask again: the reads of one visit make one request.
const REFUSAL_STANDS: Duration = Duration::from_secs(10);
/// A token with less than this left is renewed, as azure_identity does.
const RENEW_BEFORE: Duration = Duration::from_secs(300);

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct TokenError {
    /// What Entra or the credential said.
    pub(crate) message: String,
    /// `AADSTS…`, where Entra named one.
    pub(crate) code: Option<String>,
    /// Refused; as opposed to not answered.
    pub(crate) refused: bool,
    /// What Entra's support asks for; another one for each request, so it is no part of the message.
    pub(crate) correlation_id: Option<String>,
}

/// All tokens of one identity.
#[derive(Debug)]
pub(crate) struct Tokens {
    maker: CredentialMaker,
    scopes: Mutex<HashMap<String, Arc<Slot>>>,
    timeout: Duration,
}

/// One scope's credential and token.
struct Slot {
    /// Held while fetching, so that concurrent first calls make one request. Holds the credential in use.
    credential: tokio::sync::Mutex<Option<Arc<dyn TokenCredential>>>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    token: Option<Token>,
    /// The server refused the token that the present credential gave: make a new one.
    credential_is_stale: bool,
    /// When Entra last refused to give one, and why.
    refusal: Option<(Instant, TokenError)>,
}

#[derive(Clone)]
struct Token {
    secret: String,
    expires_at: Instant,
    renew_at: Instant,
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Slot")
    }
}

impl Slot {
    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self) -> Option<Token> {
        self.held()
            .token
            .clone()
            .filter(|t| t.expires_at > Instant::now() + LAST_MOMENT)
    }

    /// A refusal that still stands.
    fn refusal(&self) -> Option<TokenError> {
        let held = self.held();
        let (at, error) = held.refusal.as_ref()?;
        (Instant::now() < *at + REFUSAL_STANDS).then(|| error.clone())
    }

    fn fresh(&self) -> Option<Token> {
        self.current().filter(|t| t.renew_at > Instant::now())
    }
}

impl Tokens {
    /// Tokens by the configured credential. Builds one credential, to find bad settings now.
    pub(crate) fn new(settings: &AzureSettings, transport: Arc<dyn HttpClient>) -> Result<Tokens, ConnectError> {
        let maker = CredentialMaker::new(settings, transport)?;
        Ok(Tokens {
            maker,
            scopes: Mutex::default(),
            timeout: settings.token_timeout,
        })
    }

    /// A token for this scope.
    pub(crate) async fn get(&self, scope: &str, deadline: Instant) -> Result<String, TokenError> {
        let slot = self.slot(scope);
        if let Some(token) = slot.fresh() {
            return Ok(token.secret);
        }
        let deadline = deadline.min(Instant::now() + self.timeout);
        // While an old token still holds, a slow renewal is not worth waiting for long.
        let patience = match slot.current() {
            Some(_) => deadline.min(Instant::now() + Duration::from_secs(5)),
            None => deadline,
        };
        let fetched = match tokio::time::timeout_at(patience, self.fetch(&slot, scope)).await {
            Ok(fetched) => fetched,
            Err(_) => Err(TokenError {
                message: format!("no answer in time for {scope}"),
                code: None,
                refused: false,
                correlation_id: None,
            }),
        };
        match (fetched, slot.current()) {
            (Ok(token), _) => Ok(token.secret),
            (Err(error), Some(token)) => {
                tracing::warn!(%error, scope, "renewing a token failed; the present one still holds");
                Ok(token.secret)
            }
            (Err(error), None) => Err(error),
        }
    }

    /// The server refused this token: it is not sent again, and the credential that would repeat it is dropped.
    pub(crate) fn refused(&self, scope: &str, token: &str) {
        let slot = self.slot(scope);
        let mut held = slot.held();
        if held.token.as_ref().is_some_and(|t| t.secret == token) {
            held.token = None;
            held.credential_is_stale = true;
        }
    }

    async fn fetch(&self, slot: &Slot, scope: &str) -> Result<Token, TokenError> {
        let mut credential = slot.credential.lock().await;
        if let Some(token) = slot.fresh() {
            return Ok(token);
        }
        if let Some(refusal) = slot.refusal() {
            return Err(refusal);
        }
        if std::mem::take(&mut slot.held().credential_is_stale) {
            *credential = None;
        }
        let fetched = self.ask(&mut credential, scope).await;
        let mut held = slot.held();
        match &fetched {
            Ok(token) => {
                held.token = Some(token.clone());
                held.refusal = None;
            }
            Err(error) if error.refused => held.refusal = Some((Instant::now(), error.clone())),
            Err(_) => {}
        }
        fetched
    }

    /// One request.
    async fn ask(&self, credential: &mut Option<Arc<dyn TokenCredential>>, scope: &str) -> Result<Token, TokenError> {
        let using = match credential.as_ref() {
            Some(using) => using.clone(),
            None => {
                let made = self.maker.make().map_err(|e| TokenError {
                    message: chain(&e),
                    code: None,
                    refused: true,
                    correlation_id: None,
                })?;
                credential.insert(made).clone()
            }
        };
        let got = using.get_token(&[scope], None).await.map_err(|e| token_error(&e))?;
        let left = got.expires_on - OffsetDateTime::now_utc();
        let left = Duration::try_from(left)
            .unwrap_or(Duration::ZERO)
            .min(Duration::from_secs(86_400));
        let now = Instant::now();
        Ok(Token {
            secret: got.token.secret().to_owned(),
            expires_at: now + left,
            renew_at: now + left.saturating_sub(RENEW_BEFORE.min(left / 4)),
        })
    }

    fn slot(&self, scope: &str) -> Arc<Slot> {
        let mut scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            Arc::new(Slot {
                credential: tokio::sync::Mutex::new(None),
                held: Mutex::default(),
            })
        };
        scopes.entry(scope.to_owned()).or_insert_with(new).clone()
    }
}

fn token_error(error: &azure_core::Error) -> TokenError {
    let (message, correlation_id) = without_ids(&chain(error));
    let code = message
        .split(|c: char| !c.is_ascii_alphanumeric())
        .find(|w| w.starts_with("AADSTS"))
        .map(str::to_owned);
    // The HTTP answer, if any, is the source of azure_identity's own error.
    let mut at: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut status = None;
    while let Some(inner) = at {
        if let Some(core) = inner.downcast_ref::<azure_core::Error>()
            && let ErrorKind::HttpResponse { status: answered, .. } = core.kind()
        {
            status = Some(u16::from(*answered));
        }
        at = inner.source();
    }
    let refused = status.is_some_and(|s| (400..500).contains(&s) && s != 408 && s != 429);
    TokenError {
        message: words(&message, LONGEST).into_owned(),
        code,
        refused,
        correlation_id,
    }
}

/// Entra ends what it says with ids and the time of the request: those are told apart from it, so that the same refusal reads the
/// same each time.
fn without_ids(message: &str) -> (String, Option<String>) {
    let Some((said, ids)) = message.split_once("Trace ID:") else {
        return (message.to_owned(), None);
    };
    let correlation = ids.split_once("Correlation ID:").map(|(_, rest)| rest.trim_start());
    let correlation = correlation.and_then(|rest| rest.split(|c: char| !(c.is_ascii_hexdigit() || c == '-')).next());
    let correlation = correlation.filter(|id| !id.is_empty()).map(str::to_owned);
    (said.trim_end().to_owned(), correlation)
}

/// An error with its sources in one line, without azure_identity's links and repetitions.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = String::new();
    let mut at = Some(error);
    while let Some(inner) = at {
        let said = inner.to_string();
        let said = said
            .split("\nTo troubleshoot")
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned();
        if !said.is_empty() && !text.contains(&said) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&said);
        }
        at = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_refusal_reads_the_same_each_time() {
        let said = |trace: u32| {
            format!(
                "ClientSecretCredential authentication failed: AADSTS7000222: The provided client secret keys for app 'x' are expired. Trace ID: {trace:08}-0000-0000-0000-000000000000 Correlation ID: {trace:08}-aaaa-bbbb-cccc-000000000001 Timestamp: 2026-11-28 12:00:{trace:02}Z"
            )
        };
        let (first, second) = (without_ids(&said(1)), without_ids(&said(2)));
        assert_eq!(first.0, second.0);
        assert!(first.0.ends_with("are expired."), "{}", first.0);
        assert_eq!(first.1.as_deref(), Some("00000001-aaaa-bbbb-cccc-000000000001"));
        assert_eq!(without_ids("no ids here"), ("no ids here".to_owned(), None));
    }
}
