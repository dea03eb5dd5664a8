//! The ARM client: raw JSON in and out over the azure_core pipeline, whose retries are off. One call is one exchange (two
//! after a 401), within its deadline and budget, its body read under a cap. Whatever is no good answer becomes a
//! [`CallFailure`] with Azure's words and the correlation id.

mod answer;
mod budget;
mod call;
mod envelope;
mod error;
mod list;
mod path;

use std::sync::Arc;
use std::time::Duration;

use azure_core::http::headers::HeaderName;
use azure_core::http::{
    ClientOptions, Context, HttpClient, LoggingOptions, Pipeline, PipelineStreamOptions, Request, RetryOptions,
    Transport,
};
use futures::StreamExt;
use sreg_domain::{ArmId, CallFailure, Cause, Cloud};
use tokio::time::Instant;
use url::Url;

pub(crate) use answer::ArmResponse;
pub(crate) use budget::{Class, Payer};
pub(crate) use call::Call;
pub(crate) use envelope::deepest;
pub(crate) use error::{Leaving, cause_of_code};
pub(crate) use path::below;

use crate::identity::{TokenError, Tokens};
use crate::settings::AzureSettings;
use budget::Buckets;

/// Longest body that is read; a page of a few hundred resources is far below.
const MAX_BODY: usize = 8 << 20;

const AUTHORIZATION: HeaderName = HeaderName::from_static("authorization");
const CONTENT_TYPE: HeaderName = HeaderName::from_static("content-type");
const ACCEPT: HeaderName = HeaderName::from_static("accept");
const CORRELATION: HeaderName = HeaderName::from_static("x-ms-correlation-request-id");

/// Why a call that was put together says nothing that could be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotSent {
    /// A name cannot stand in a path.
    #[error(transparent)]
    Path(#[from] path::Unfit),
    /// The cloud's table has no API version of the resource type.
    #[error("the cloud has no API version of {0}: write it under apiVersions of --azure-cloud-file")]
    Version(String),
}

/// The ARM client.
#[derive(Debug)]
pub(crate) struct Arm {
    cloud: Arc<Cloud>,
    scope: String,
    pipeline: Pipeline,
    tokens: Tokens,
    buckets: Buckets,
    call_timeout: Duration,
}

impl Arm {
    /// A client for the cloud's Resource Manager.
    pub(crate) fn new(settings: &AzureSettings, tokens: Tokens, transport: Arc<dyn HttpClient>) -> Arm {
        let options = ClientOptions {
            transport: Some(Transport::new(transport)),
            retry: RetryOptions::none(),
            logging: LoggingOptions {
                additional_allowed_header_names: vec!["x-ms-correlation-request-id".into(), "retry-after".into()],
                additional_allowed_query_params: Vec::new(),
            },
            ..ClientOptions::default()
        };
        let pipeline = Pipeline::new(
            option_env!("CARGO_PKG_NAME"),
            option_env!("CARGO_PKG_VERSION"),
            options,
            vec![],
            vec![],
            None,
        );
        Arm {
            scope: settings.cloud.resource_manager.audience.scope(),
            cloud: Arc::clone(&settings.cloud),
            pipeline,
            tokens,
            buckets: Buckets::new(settings.budgets),
            call_timeout: settings.call_timeout,
        }
    }

    /// The scope of tokens for ARM.
    pub(crate) fn scope(&self) -> &str {
        &self.scope
    }

    /// The token that ARM is asked with, for its claims.
    pub(crate) async fn token(&self, deadline: Instant) -> Result<String, TokenError> {
        self.tokens.get(&self.scope, deadline).await
    }

    /// A URL of this ARM for a resource type: `path` begins with `/`; whatever stands between its slashes is one segment.
    fn url(&self, path: &str, resource_type: &str) -> Result<Url, NotSent> {
        let version = self.cloud.api_versions.of(resource_type);
        let version = version.ok_or_else(|| NotSent::Version(resource_type.to_owned()))?;
        let mut url = path::below(self.endpoint(), path.split('/').skip(1))?;
        url.query_pairs_mut().append_pair("api-version", version.as_str());
        Ok(url)
    }

    /// Where this ARM is.
    fn endpoint(&self) -> &Url {
        self.cloud.resource_manager.endpoint.as_url()
    }

    /// A URL that Azure gave us, if it leads to this ARM: same scheme, host and port. Any other would get our token.
    pub(crate) fn own_url(&self, text: &str) -> Option<Url> {
        let url = Url::parse(text)
            .ok()
            .or_else(|| self.endpoint().join(text).ok().filter(|_| text.starts_with('/')))?;
        let plain = url.username().is_empty() && url.password().is_none();
        (plain && url.origin() == self.endpoint().origin()).then_some(url)
    }

    /// Takes the budget of a write that follows a read at once.
    pub(crate) async fn reserve_write(
        &self,
        id: &ArmId,
        attempt: &str,
        payer: &Payer,
        deadline: Instant,
    ) -> Result<(), CallFailure> {
        let taken = self
            .buckets
            .take(id.subscription(), Class::Write, payer, deadline)
            .await;
        taken.map_err(|pause| error::over_budget(attempt, pause))
    }

    /// One call.
    pub(crate) async fn send(&self, call: Call, deadline: Instant) -> Result<ArmResponse, CallFailure> {
        self.send_with(call, &self.scope, deadline).await
    }

    /// One call with a token for another scope.
    pub(crate) async fn send_with(
        &self,
        call: Call,
        scope: &str,
        deadline: Instant,
    ) -> Result<ArmResponse, CallFailure> {
        if let Some(why) = &call.not_sent {
            return Err(error::not_sent(&call, why));
        }
        if !call.is_declared() {
            return Err(error::undeclared(&call));
        }
        debug_assert!(
            call.budget.is_none() || !call.payer.namespace.is_empty(),
            "{}: nobody's call: it would wait in a line of its own",
            call.attempt
        );
        if let Some((subscription, class)) = call.budget.as_ref().filter(|_| !call.prepaid)
            && let Err(pause) = self.buckets.take(subscription, *class, &call.payer, deadline).await
        {
            return Err(error::over_budget(&call.attempt, pause));
        }
        let deadline = deadline.min(Instant::now() + self.call_timeout);
        let token = self.token_for(&call, scope, deadline).await?;
        let mut result = self.exchange(&call, &token, deadline).await;
        // Nothing was carried out on a 401; the token may have been revoked, and azure_identity would send it again.
        if matches!(&result, Err(error) if error.status == Some(401) && !error::is_of_another_tenant(error)) {
            self.tokens.refused(scope, &token);
            let renewed = self.token_for(&call, scope, deadline).await?;
            if renewed != token {
                result = self.exchange(&call, &renewed, deadline).await;
            }
        }
        if let (Err(error), Some((subscription, class))) = (&result, &call.budget)
            && error.cause == Cause::Throttled
        {
            self.buckets.pause(subscription, *class, error.retry_after);
        }
        result
    }

    async fn token_for(&self, call: &Call, scope: &str, deadline: Instant) -> Result<String, CallFailure> {
        self.tokens
            .get(scope, deadline)
            .await
            .map_err(|error| error::no_token(&call.attempt, error))
    }

    /// Every write is told in one line, whatever came of it: who looks for it in Azure's activity log finds it by its
    /// correlation id.
    async fn exchange(&self, call: &Call, token: &str, deadline: Instant) -> Result<ArmResponse, CallFailure> {
        let answer = self.ask(call, token, deadline).await;
        if call.changes() {
            tell(call, &answer);
        }
        answer
    }

    async fn ask(&self, call: &Call, token: &str, deadline: Instant) -> Result<ArmResponse, CallFailure> {
        let correlation = uuid::Uuid::new_v4().to_string();
        let mut request = Request::new(call.url.clone(), call.method);
        request.insert_header(AUTHORIZATION, format!("Bearer {token}"));
        request.insert_header(ACCEPT, "application/json");
        request.insert_header(CORRELATION, correlation.clone());
        for (name, value) in &call.headers {
            request.insert_header(*name, value.clone());
        }
        if let Some(body) = &call.body {
            request.insert_header(CONTENT_TYPE, "application/json");
            request.set_body(body.to_string().into_bytes());
        }
        let sent = tokio::time::timeout_at(deadline, self.round_trip(&mut request)).await;
        let (status, headers, body) = match sent {
            Err(_) => return Err(error::timeout(call, &correlation)),
            Ok(Err(error)) => return Err(error::transport(call, &correlation, &error)),
            Ok(Ok(parts)) => parts,
        };
        let answer = ArmResponse::parse(call, status, &headers, &body, correlation)?;
        tracing::trace!(attempt = %call.attempt, status, correlation_id = %answer.correlation_id, "ARM answered");
        Ok(answer)
    }

    async fn round_trip(
        &self,
        request: &mut Request,
    ) -> azure_core::Result<(u16, azure_core::http::headers::Headers, Vec<u8>)> {
        let options = PipelineStreamOptions {
            skip_checks: true,
            ..PipelineStreamOptions::default()
        };
        let response = self.pipeline.stream(&Context::new(), request, Some(options)).await?;
        let (status, headers, mut stream) = response.deconstruct();
        let mut body = Vec::new();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk?;
            if body.len() + chunk.len() > MAX_BODY {
                return Err(azure_core::Error::with_message(
                    azure_core::error::ErrorKind::DataConversion,
                    format!("the body is longer than {MAX_BODY} bytes"),
                ));
            }
            body.extend_from_slice(&chunk);
        }
        Ok((u16::from(status), headers, body))
    }
}

fn tell(call: &Call, answer: &Result<ArmResponse, CallFailure>) {
    let (attempt, resource) = (&call.attempt, call.url.path());
    match answer {
        Ok(ArmResponse {
            status, correlation_id, ..
        }) => {
            let result = if *status == 202 { "accepted" } else { "done" };
            tracing::info!(
                resource,
                status,
                correlation_id,
                result,
                "write to Azure: {attempt}: {result}"
            );
        }
        Err(error) => {
            let error = error.clone().into_failure();
            let result = match (&error.code, error.may_have_taken_effect) {
                (_, true) => "not known",
                (Some(code), false) => code.as_str(),
                (None, false) => "refused",
            };
            let (status, correlation_id) = (error.status, error.correlation_id.as_deref());
            tracing::info!(resource, status, correlation_id, result, "write to Azure: {error}");
        }
    }
}
